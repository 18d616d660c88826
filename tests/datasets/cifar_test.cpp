#include <tapestry/datasets/cifar.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "datasets/files.h"
#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// A folder with cifar-100-binary/ in it: names, and whatever a test puts into train.bin.
struct Folder100 : TemporaryFolder {
  Folder100() {
    std::filesystem::create_directories(data());
    put_names(data() / "fine_label_names.txt", 100, "fine");
    put_names(data() / "coarse_label_names.txt", 20, "coarse");
  }
  std::filesystem::path data() const { return *this / "cifar-100-binary"; }
  void put(std::span<const std::uint8_t> bytes, const char* name = "train.bin") const {
    put_file(data() / name, bytes);
  }

  /// The error without the name of the temporary folder and without the second line.
  std::string error_of(bool allow_partial = false) const {
    std::string text = error<FileError>([&] { CIFAR100(path(), {.allow_partial = allow_partial}); });
    const std::size_t at = text.find(data().string() + "/");
    if (at != std::string::npos) text.erase(at, data().string().size() + 1);
    return text.substr(0, text.find('\n'));
  }
};

struct Folder10 : TemporaryFolder {
  Folder10() {
    std::filesystem::create_directories(data());
    put_names(data() / "batches.meta.txt", 10, "class");
  }
  std::filesystem::path data() const { return *this / "cifar-10-batches-bin"; }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(cifar_test)

BOOST_AUTO_TEST_CASE(planes_become_pixels_and_both_labels_are_kept) {
  const Folder100 folder;
  folder.put(cifar100_records(3));
  const CIFAR100 data(folder.path(), {.allow_partial = true});
  BOOST_TEST(data.size() == 3U);
  BOOST_TEST(data.data().shape() == Shape({3, 32, 32, 3}));
  const auto* pixels = data.data().data<std::uint8_t>();
  for (const int record : {0, 2}) {
    for (const int position : {0, 33, 1023}) {
      for (int c = 0; c < 3; ++c) {
        BOOST_TEST(int{pixels[(record * 1024 + position) * 3 + c]} == (record * 31 + c * 50 + position % 7) % 256);
      }
    }
  }
  BOOST_TEST(data.fine_targets().to_vector<std::uint8_t>() == ByteVector({0, 1, 2}), boost::test_tools::per_element());
  BOOST_TEST(data.coarse_targets().to_vector<std::uint8_t>() == ByteVector({4, 1, 14}),
             boost::test_tools::per_element());
  BOOST_TEST(data.targets().dtype() == i64);
  BOOST_TEST(values(data.targets()) == std::vector<double>({0, 1, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(get_applies_both_transforms_and_refuses_an_index_beyond_the_end) {
  const Folder100 folder;
  folder.put(cifar100_records(3));
  const CIFAR100 plain(folder.path(), {.labels = Labels::coarse, .allow_partial = true});
  const Sample sample = plain.get(2);
  BOOST_TEST(sample.target == 14);
  BOOST_TEST(sample.image.shape() == Shape({32, 32, 3}));
  BOOST_TEST(std::equal(sample.image.data<std::uint8_t>(), sample.image.data<std::uint8_t>() + 3072,
                        plain.data().data<std::uint8_t>() + 2 * 3072));
  BOOST_TEST(error<std::out_of_range>([&] { (void)plain.get(3); }) == "dataset: index must be below 3; got 3");
  const CIFAR100 changed(folder.path(), {.transform =
                                             [](const Tensor&, const SampleKey& key) {
                                               return full({1, 1, 1}, static_cast<double>(key.index + 10 * key.epoch));
                                             },
                                         .target_transform = [](std::int64_t t) { return -t; },
                                         .allow_partial = true});
  BOOST_TEST(changed.get(1, {.epoch = 3, .index = 1}).image.item() == 31);
  BOOST_TEST(changed.get(2).target == -2);
}

BOOST_AUTO_TEST_CASE(class_names_follow_the_selected_labels) {
  const Folder100 folder;
  folder.put(cifar100_records(1));
  const CIFAR100 fine(folder.path(), {.allow_partial = true});
  const CIFAR100 coarse(folder.path(), {.labels = Labels::coarse, .allow_partial = true});
  BOOST_TEST(fine.classes().size() == 100U);
  BOOST_TEST(fine.classes()[99] == "fine99");
  BOOST_TEST(coarse.classes().size() == 20U);
  BOOST_TEST(coarse.fine_classes().size() == 100U);
  BOOST_TEST(coarse.class_to_index("coarse7").value() == 7);
  BOOST_TEST(!coarse.class_to_index("fine7").has_value());
}

BOOST_AUTO_TEST_CASE(the_root_may_be_the_data_folder_itself) {
  const Folder100 folder;
  folder.put(cifar100_records(1), "test.bin");
  BOOST_TEST(CIFAR100(folder.data(), {.train = false, .allow_partial = true}).size() == 1U);
}

BOOST_AUTO_TEST_CASE(every_coarse_class_has_five_fine_ones) {
  std::array<int, 20> members{};
  for (const std::uint8_t coarse : CIFAR100::coarse_of_fine()) ++members.at(coarse);
  BOOST_TEST(std::ranges::all_of(members, [](int n) { return n == 5; }));
  BOOST_TEST(int{CIFAR100::coarse_of_fine()[19]} == 11);  // cattle
}

// --- files that are not what they should be; the numbers are those of the list of malformed inputs

BOOST_AUTO_TEST_CASE(c1_a_missing_folder_file_or_name_list_is_named_with_the_command_that_fetches_it) {
  const Folder100 folder;
  const std::string missing = error<FileError>([&] { CIFAR100("/nonexistent/data"); });
  BOOST_TEST(
      missing ==
      "/nonexistent/data: expected a folder that contains cifar-100-binary/, cifar-100-python/, train.bin or train; "
      "got no such file or folder\n  to fetch the data: cmake -DNAME=cifar-100-binary -DOUT=/nonexistent/data -P "
      "get_cifar.cmake, which is in share/tapestry/");
  BOOST_TEST(folder.error_of() == "train.bin: cannot be read: no such file or directory");
  std::filesystem::create_directory(folder.data() / "train.bin");
  BOOST_TEST(folder.error_of() == "train.bin: expected a regular file; got a folder");
  std::filesystem::remove(folder.data() / "train.bin");
  std::filesystem::create_symlink("train.bin", folder.data() / "train.bin");
  BOOST_TEST(folder.error_of() == "train.bin: cannot be read: too many levels of symbolic links");
  std::filesystem::remove(folder.data() / "train.bin");
  folder.put(cifar100_records(1));
  std::filesystem::remove(folder.data() / "coarse_label_names.txt");
  BOOST_TEST(folder.error_of(true) == "coarse_label_names.txt: cannot be read: no such file or directory");
  put_names(folder.data() / "coarse_label_names.txt", 19, "c");
  BOOST_TEST(folder.error_of(true) == "coarse_label_names.txt: expected 20 lines with class names; got 19 lines");
}

BOOST_AUTO_TEST_CASE(c1_a_file_without_permission_is_refused, *boost::unit_test::precondition([](auto) {
                       return boost::test_tools::assertion_result(::geteuid() != 0);
                     })) {
  const Folder100 folder;
  folder.put(cifar100_records(1));
  ::chmod((folder.data() / "train.bin").c_str(), 0);
  BOOST_TEST(folder.error_of() == "train.bin: cannot be read: permission denied");
}

BOOST_AUTO_TEST_CASE(c2_c3_a_file_cut_inside_a_record_is_refused_and_the_record_named) {
  const Folder100 folder;
  const std::string wanted = "train.bin: expected 153700000 bytes (50000 CIFAR-100 records of 3074); got ";
  for (const bool partial : {false, true}) {
    folder.put({});
    BOOST_TEST(folder.error_of(partial) == wanted + "0 bytes (0 records)");
    folder.put(ByteVector(1));
    BOOST_TEST(folder.error_of(partial) == wanted + "1 bytes (record 0 is cut after 1 of 3074)");
    folder.put(ByteVector(3073));
    BOOST_TEST(folder.error_of(partial) == wanted + "3073 bytes (record 0 is cut after 3073 of 3074)");
    ByteVector bytes = cifar100_records(3);
    bytes.resize(2 * 3074 + 100);
    folder.put(bytes);
    BOOST_TEST(folder.error_of(partial) == wanted + "6248 bytes (record 2 is cut after 100 of 3074)");
  }
}

BOOST_AUTO_TEST_CASE(c4_a_file_cut_between_records_loads_only_when_partial_files_are_allowed) {
  const Folder100 folder;
  put_sparse_file(folder.data() / "train.bin", 49'999ULL * 3074);
  BOOST_TEST(
      folder.error_of() ==
      "train.bin: expected 153700000 bytes (50000 CIFAR-100 records of 3074); got 153696926 bytes (49999 records)");
  folder.put(cifar100_records(7));
  BOOST_TEST(CIFAR100(folder.path(), {.allow_partial = true}).size() == 7U);
}

BOOST_AUTO_TEST_CASE(c5_c14_a_file_that_is_too_large_is_refused_before_memory_is_asked_for) {
  const Folder100 folder;
  for (const bool partial : {false, true}) {
    put_sparse_file(folder.data() / "train.bin", 153'700'001);
    BOOST_TEST(contains(folder.error_of(partial), "got 153700001 bytes (record 50000 is cut after 1 of 3074)"));
    put_sparse_file(folder.data() / "train.bin", 50'001ULL * 3074);
    BOOST_TEST(contains(folder.error_of(partial), "got 153703074 bytes (50001 records)"));
    put_sparse_file(folder.data() / "train.bin", 3074ULL << 21);
    BOOST_TEST(contains(folder.error_of(partial), "(2097152 records)"));
  }
}

BOOST_AUTO_TEST_CASE(c6_c10_files_of_the_family_in_the_wrong_place_are_recognised) {
  const Folder100 folder;
  put_sparse_file(folder.data() / "train.bin", 30'730'000);
  BOOST_TEST(
      contains(folder.error_of(), "got 30730000 bytes, the size of a CIFAR-10 file (record 9996 is cut after 2296"));
  put_sparse_file(folder.data() / "train.bin", 30'740'000);
  BOOST_TEST(contains(folder.error_of(), "the size of CIFAR-100's test.bin (10000 records)"));
  const Folder10 ten;
  put_sparse_file(ten.data() / "test_batch.bin", 30'740'000);
  const auto load = [&] { CIFAR10(ten.path(), {.train = false}); };
  BOOST_TEST(contains(error<FileError>(load), "the size of CIFAR-100's test.bin (record 10003 is cut after 781"));
  put_sparse_file(ten.data() / "test_batch.bin", 153'700'000);
  BOOST_TEST(contains(error<FileError>(load), "the size of CIFAR-100's train.bin (record 50016 is cut after 832"));
}

BOOST_AUTO_TEST_CASE(c7_c8_impossible_labels_are_refused_with_record_and_byte) {
  const Folder100 folder;
  ByteVector bytes = cifar100_records(5);
  bytes[2 * 3074 + 1] = 100;
  bytes[4 * 3074 + 1] = 200;
  folder.put(bytes);
  BOOST_TEST(folder.error_of(true) == "train.bin, byte 6149: expected record 2 with a fine label below 100; got 100");
  bytes = cifar100_records(5);
  bytes[3 * 3074] = 20;
  folder.put(bytes);
  BOOST_TEST(folder.error_of(true) ==
             "train.bin, byte 9222: expected record 3 with coarse label 8, that of fine label 3; got 20");
  bytes[3 * 3074] = 9;
  folder.put(bytes);
  BOOST_TEST(folder.error_of(true) ==
             "train.bin, byte 9222: expected record 3 with coarse label 8, that of fine label 3; got 9");
}

BOOST_AUTO_TEST_CASE(c7_errors_carry_their_parts) {
  const Folder100 folder;
  ByteVector bytes = cifar100_records(1);
  bytes[1] = 255;
  folder.put(bytes);
  BOOST_CHECK_EXCEPTION(CIFAR100(folder.path(), {.allow_partial = true}), FileError, [&](const FileError& e) {
    return e.path() == folder.data() / "train.bin" && e.offset() == 1 && e.got() == "255" &&
           e.expected() == "record 0 with a fine label below 100";
  });
}

BOOST_AUTO_TEST_CASE(c9_archives_and_pickles_are_recognised) {
  const Folder100 folder;
  const auto with = [&](std::size_t at, const std::string& magic, std::size_t size) {
    ByteVector bytes(size, 'x');
    std::copy(magic.begin(), magic.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    folder.put(bytes);
    return folder.error_of(true);
  };
  BOOST_TEST(contains(with(0, "\x1F\x8B\x08", 5000), "5000 bytes, a gzip file (unpack it first)"));
  BOOST_TEST(contains(with(257, "ustar", 5120), "a tar archive (unpack it first)"));
  BOOST_TEST(contains(with(0, "\x80\x02}", 999),
                      "999 bytes, a Python pickle (an old PyTorch file, or data of a Python version)"));
  BOOST_TEST(with(0, "\x1F\x8B\x08", 3074) ==
             "train.bin: expected CIFAR-100 records; got a gzip file (unpack it first)");  // a size that fits
}

BOOST_AUTO_TEST_CASE(c11_pipes_sockets_and_devices_are_refused_without_waiting) {
  const Folder100 folder;
  const auto file = folder.data() / "train.bin";
  BOOST_REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  BOOST_TEST(folder.error_of() == "train.bin: expected a regular file; got a pipe");
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/dev/zero", file);
  BOOST_TEST(folder.error_of() == "train.bin: expected a regular file; got a device");
  std::filesystem::remove(file);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = file.string();
  BOOST_REQUIRE(name.size() < sizeof(address.sun_path));
  std::copy(name.begin(), name.end(), address.sun_path);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  BOOST_REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  BOOST_TEST(folder.error_of() == "train.bin: expected a regular file; got a socket");
  ::close(listener);
}

BOOST_AUTO_TEST_CASE(c15_constant_images_are_fine) {
  const Folder100 folder;
  ByteVector bytes = cifar100_records(2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i % 3074 > 1) bytes[i] = 0;
  }
  folder.put(bytes);
  const CIFAR100 data(folder.path(), {.allow_partial = true});
  BOOST_TEST(std::ranges::count(data.data().span<std::uint8_t>(), 0) == 2 * 3072);
}

BOOST_AUTO_TEST_CASE(c16_names_are_never_cut_short) {
  BOOST_TEST(
      contains(error<FileError>([] { CIFAR100(std::string(5000, 'a')); }), ": cannot be read: file name too long"));
  const Folder100 folder;
  folder.put(cifar100_records(1));
  const std::string hidden = folder.path().string() + std::string("\0/elsewhere", 11);
  BOOST_CHECK_THROW(CIFAR100(hidden, {.allow_partial = true}), FileError);
}

// --- CIFAR-10

BOOST_AUTO_TEST_CASE(cifar10_joins_its_five_training_files_in_order) {
  const Folder10 folder;
  for (int i = 1; i <= 5; ++i) {
    ByteVector bytes = cifar10_records(i);
    bytes[0] = static_cast<std::uint8_t>(i);
    put_file(folder.data() / ("data_batch_" + std::to_string(i) + ".bin"), bytes);
  }
  const CIFAR10 data(folder.path(), {.allow_partial = true});
  BOOST_TEST(values(data.targets()) == std::vector<double>({1, 2, 1, 3, 1, 2, 4, 1, 2, 3, 5, 1, 2, 3, 4}),
             boost::test_tools::per_element());
  BOOST_TEST(!data.coarse_targets().defined());
  BOOST_TEST(data.classes().size() == 10U);
  BOOST_TEST(int{data.get(14).image.data<std::uint8_t>()[2]} == 4 * 31 + 100);
}

BOOST_AUTO_TEST_CASE(cifar10_refuses_labels_above_nine) {
  const Folder10 folder;
  ByteVector bytes = cifar10_records(2);
  bytes[3073] = 10;
  put_file(folder.data() / "test_batch.bin", bytes);
  BOOST_TEST(contains(error<FileError>([&] { CIFAR10(folder.path(), {.train = false, .allow_partial = true}); }),
                      "test_batch.bin, byte 3073: expected record 1 with a label below 10; got 10"));
}

// --- the real files

BOOST_AUTO_TEST_CASE(the_real_cifar100_has_its_published_sums_and_counts) {
  const char* folder = std::getenv("TAPESTRY_CIFAR100");
  if (folder == nullptr) {
    BOOST_TEST_MESSAGE("skipped: set TAPESTRY_CIFAR100 to the folder that contains cifar-100-binary/");
    return;
  }
  using Sums = std::array<std::uint64_t, 3>;
  const std::array<Sums, 2> sums{Sums{1328569193, 1272680636, 1153999502}, Sums{6620373279, 6352382090, 5756623363}};
  const std::array<Sums, 2> squares{Sums{220286936083, 202279090580, 181176077848},
                                    Sums{1093977562105, 1007075543166, 901128318593}};
  for (const bool train : {false, true}) {
    const CIFAR100 data(folder, {.train = train});
    Sums sum{};
    Sums square{};
    const auto bytes = data.data().span<std::uint8_t>();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      sum[i % 3] += bytes[i];
      square[i % 3] += std::uint64_t{bytes[i]} * bytes[i];
    }
    BOOST_TEST(sum == sums[train ? 1 : 0], boost::test_tools::per_element());
    BOOST_TEST(square == squares[train ? 1 : 0], boost::test_tools::per_element());
    std::array<int, 100> count{};
    for (const std::uint8_t fine : data.fine_targets().span<std::uint8_t>()) ++count.at(fine);
    BOOST_TEST(std::ranges::all_of(count, [&](int n) { return n == (train ? 500 : 100); }));
    BOOST_TEST(data.class_to_index("cattle").value() == 19);
    BOOST_TEST(data.coarse_classes()[11] == "large_omnivores_and_herbivores");
    for (std::size_t c = 0; train && c < 3; ++c) {
      const double n = 50'000.0 * 1024;
      const double mean = static_cast<double>(sum[c]) / n / 255;
      BOOST_TEST(mean == cifar100_mean[c], boost::test_tools::tolerance(1e-12));
      BOOST_TEST(std::sqrt(static_cast<double>(square[c]) / n / 65025 - mean * mean) == cifar100_std[c],
                 boost::test_tools::tolerance(1e-10));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
