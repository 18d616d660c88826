#include <tapestry/datasets/cifar.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>

#include "datasets/files.h"
#include "support/cifar_pickles.h"
#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// A folder with cifar-100-python/ in it: names, and whatever a test puts into train.
struct Folder100 : TemporaryFolder {
  Folder100() { put_file(data() / "meta", pickled_names(numbered_names("fine", 100), numbered_names("coarse", 20))); }
  std::filesystem::path data() const { return *this / "cifar-100-python"; }
  void put(const ByteVector& bytes, const char* name = "train") const { put_file(data() / name, bytes); }

  /// The error without the name of the folder.
  std::string error_of(bool allow_partial = true) const {
    std::string text = error<FileError>([&] { CIFAR100(path(), {.allow_partial = allow_partial}); });
    const std::size_t at = text.find(data().string() + "/");
    if (at != std::string::npos) text.erase(at, data().string().size() + 1);
    return text.substr(0, text.find('\n'));
  }
};

struct Folder10 : TemporaryFolder {
  Folder10() { put_file(data() / "batches.meta", pickled_names(numbered_names("class", 10), {})); }
  std::filesystem::path data() const { return *this / "cifar-10-batches-py"; }
};

PickledBatch hundred(int count) { return PickledBatch::of_records(cifar100_records(count), true); }
PickledBatch ten(int count) { return PickledBatch::of_records(cifar10_records(count), false); }

/// Where a part of a file begins.
std::size_t place_of(const ByteVector& bytes, std::string_view part) {
  const auto found = std::search(bytes.begin(), bytes.end(), part.begin(), part.end(),
                                 [](std::uint8_t byte, char c) { return byte == static_cast<std::uint8_t>(c); });
  BOOST_REQUIRE((found != bytes.end()));
  return static_cast<std::size_t>(found - bytes.begin());
}

/// The file with a part replaced by another, of any length.
ByteVector with(const ByteVector& bytes, std::string_view part, std::string_view other) {
  ByteVector changed(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(place_of(bytes, part)));
  for (const char c : other) changed.push_back(static_cast<std::uint8_t>(c));
  append(changed, std::span(bytes).subspan(place_of(bytes, part) + part.size()));
  return changed;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string at_byte(std::size_t place, const std::string& rest) {
  return std::string("train, byte ").append(std::to_string(place)).append(": ").append(rest);
}

/// Both have the same pictures and labels.
void check_equal(const LabelledImages& a, const LabelledImages& b) {
  BOOST_TEST(same_bits(a.data(), b.data()));
  BOOST_TEST(same_bits(a.fine_targets(), b.fine_targets()));
  BOOST_TEST(a.coarse_targets().defined() == b.coarse_targets().defined());
  if (a.coarse_targets().defined()) BOOST_TEST(same_bits(a.coarse_targets(), b.coarse_targets()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cifar_python_test)

BOOST_AUTO_TEST_CASE(the_python_version_gives_what_the_binary_one_gives) {
  const TemporaryFolder binary;
  put_file(binary / "train.bin", cifar100_records(1500));  // more than a chunk, and lists of more than a thousand
  put_names(binary / "fine_label_names.txt", 100, "fine");
  put_names(binary / "coarse_label_names.txt", 20, "coarse");
  const Folder100 folder;
  folder.put(hundred(1500).file());
  const CIFAR100 pickled(folder.path(), {.allow_partial = true});
  const CIFAR100 records(binary.path(), {.allow_partial = true});
  BOOST_TEST(pickled.size() == 1500U);
  check_equal(pickled, records);
  BOOST_TEST(pickled.fine_classes()[99] == "fine99");
  BOOST_TEST(pickled.coarse_classes()[19] == "coarse19");
  BOOST_TEST(CIFAR100(folder.data(), {.allow_partial = true}).size() == 1500U);  // the folder itself
}

BOOST_AUTO_TEST_CASE(cifar10_joins_its_five_pickles_in_order) {
  const TemporaryFolder binary;
  put_names(binary / "batches.meta.txt", 10, "class");
  const Folder10 folder;
  for (int i = 1; i <= 5; ++i) {
    ByteVector bytes = cifar10_records(i);
    bytes[0] = static_cast<std::uint8_t>(i);
    const std::string name = "data_batch_" + std::to_string(i);
    put_file(binary / (name + ".bin"), bytes);
    put_file(folder.data() / name, PickledBatch::of_records(bytes, false).file());
  }
  const CIFAR10 data(folder.path(), {.allow_partial = true});
  BOOST_TEST(values(data.targets()) == std::vector<double>({1, 2, 1, 3, 1, 2, 4, 1, 2, 3, 5, 1, 2, 3, 4}),
             boost::test_tools::per_element());
  check_equal(data, CIFAR10(binary.path(), {.allow_partial = true}));
  BOOST_TEST(data.classes()[9] == "class9");
}

BOOST_AUTO_TEST_CASE(names_have_the_bytes_that_are_published) {
  // MD5 of batches.meta as torchvision knows it is of exactly these 158 bytes.
  const ByteVector names =
      pickled_names({"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}, {});
  BOOST_TEST(names.size() == 158U);
  BOOST_TEST(crc32c(names) == 0x2C1BED3EU);
}

BOOST_AUTO_TEST_CASE(where_both_versions_are_there_the_binary_one_is_read) {
  const Folder100 folder;
  folder.put(hundred(2).file());
  put_file(folder / "cifar-100-binary/train.bin", cifar100_records(3));
  put_names(folder / "cifar-100-binary/fine_label_names.txt", 100, "f");
  put_names(folder / "cifar-100-binary/coarse_label_names.txt", 20, "c");
  BOOST_TEST(CIFAR100(folder.path(), {.allow_partial = true}).size() == 3U);
}

// --- files that are not what they should be

BOOST_AUTO_TEST_CASE(no_name_but_numpys_four_is_taken_from_a_pickle) {
  const Folder100 folder;
  const ByteVector whole = hundred(2).file();
  folder.put(with(whole, "cnumpy\nndarray\n", "cos\nsystem\n"));
  BOOST_TEST(folder.error_of() ==
             at_byte(place_of(whole, "cnumpy\nndarray"), "expected the name numpy.ndarray; got os.system"));
  folder.put(with(whole, "cnumpy.core.multiarray\n", "cbuiltins\x01\n"));
  BOOST_TEST(folder.error_of() == at_byte(place_of(whole, "cnumpy.core"),
                                          "expected the name numpy.core.multiarray._reconstruct; got "
                                          "builtins?._reconstruct"));
  folder.put(with(whole, "cnumpy\ndtype\n", std::string("c") + std::string(1000, 'n')));
  BOOST_TEST(folder.error_of().find("expected the name numpy.dtype; got nnnn") != std::string::npos);
  folder.put({0x80, 2, 'c', 'o', 's', '\n', 's', 'y', 's', 't', 'e', 'm', '\n', '.'});
  BOOST_TEST(folder.error_of() == "train, byte 2: expected a dictionary; got opcode GLOBAL");
}

BOOST_AUTO_TEST_CASE(opcodes_that_these_files_do_not_use_are_refused_by_name) {
  const Folder100 folder;
  const ByteVector whole = hundred(2).file();
  const std::size_t value = place_of(whole, "fine_labels") + 13;  // of the list behind the key and its put
  BOOST_REQUIRE(whole[value] == ']');
  const auto got = [&](std::uint8_t opcode) {
    ByteVector bytes = whole;
    bytes[value] = opcode;
    folder.put(bytes);
    return folder.error_of();
  };
  BOOST_TEST(got('R') == at_byte(value, "expected a list; got opcode REDUCE"));
  BOOST_TEST(got('i') == at_byte(value, "expected a list; got opcode INST"));
  BOOST_TEST(got('o') == at_byte(value, "expected a list; got opcode OBJ"));
  BOOST_TEST(got('h') == at_byte(value, "expected a list; got opcode BINGET"));
  BOOST_TEST(got(0x93) == at_byte(value, "expected a list; got opcode STACK_GLOBAL"));
  BOOST_TEST(got(0x81) == at_byte(value, "expected a list; got opcode NEWOBJ"));
  BOOST_TEST(got(0xFF) == at_byte(value, "expected a list; got byte 255, which is no opcode"));
}

BOOST_AUTO_TEST_CASE(every_cut_is_refused) {
  const Folder100 folder;
  ByteVector whole = hundred(1).file();
  const std::size_t begin = place_of(whole, std::string_view("T\0\x0C\0\0", 5)) + 5;
  for (std::size_t n = 0; n<whole.size(); n += n> begin && n + 100 < begin + 3072 ? 97 : 1) {
    folder.put(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
    const std::string text = folder.error_of();
    BOOST_TEST(text.rfind("train", 0) == 0U);
  }
  whole.push_back('.');
  folder.put(whole);
  BOOST_TEST(folder.error_of() ==
             at_byte(whole.size() - 1, "expected the end of the file after STOP; got 1 more bytes"));
}

BOOST_AUTO_TEST_CASE(files_of_other_kinds_are_recognised) {
  const Folder100 folder;
  folder.put({});
  BOOST_TEST(folder.error_of() == "train, byte 0: expected a CIFAR-100 pickle of protocol 2; got an empty file");
  folder.put({0x80, 4, 0x95, 0, 0});
  BOOST_TEST(folder.error_of() == "train, byte 1: expected a CIFAR-100 pickle of protocol 2; got protocol 4");
  folder.put({0x1F, 0x8B, 8, 0, 0});
  BOOST_TEST(folder.error_of() ==
             "train, byte 0: expected a CIFAR-100 pickle of protocol 2; got a gzip file (unpack it first)");
  folder.put(cifar100_records(1));
  BOOST_TEST(folder.error_of() == "train, byte 0: expected a CIFAR-100 pickle of protocol 2; got other bytes");
  BOOST_TEST(folder.error_of(false) ==
             "train: expected a CIFAR-100 pickle of 50000 images, more than 153600000 bytes; got 3074 bytes");
}

BOOST_AUTO_TEST_CASE(a_pickle_of_the_other_cifar_is_recognised) {
  const Folder100 folder;
  folder.put(ten(2).file());
  BOOST_TEST(contains(folder.error_of(),
                      "expected a key of CIFAR-100's python version; got labels, a key of "
                      "CIFAR-10's"));
  const Folder10 other;
  put_file(other.data() / "test_batch", hundred(2).file());
  BOOST_TEST(contains(error<FileError>([&] { CIFAR10(other.path(), {.train = false, .allow_partial = true}); }),
                      "expected a key of CIFAR-10's python version; got fine_labels, a key of CIFAR-100's"));
  put_file(folder.data() / "meta", pickled_names(numbered_names("class", 10), {}));
  BOOST_TEST(contains(folder.error_of(), "meta, byte "));
  BOOST_TEST(contains(folder.error_of(), "got label_names, a key of CIFAR-10's"));
}

BOOST_AUTO_TEST_CASE(impossible_labels_are_refused) {
  const Folder100 folder;
  PickledBatch batch = hundred(3);
  batch.fine[2] = 100;
  folder.put(batch.file());
  BOOST_TEST(contains(folder.error_of(), ": expected fine_labels below 100; got 100"));
  batch = hundred(3);
  batch.coarse[1] = 20;
  folder.put(batch.file());
  BOOST_TEST(contains(folder.error_of(), ": expected coarse_labels below 20; got 20"));
  batch.coarse[1] = 2;
  folder.put(batch.file());
  BOOST_TEST(folder.error_of() == "train: expected image 1 with coarse label 1, that of fine label 1; got 2");
}

BOOST_AUTO_TEST_CASE(lists_that_do_not_match_the_images_are_refused) {
  const Folder100 folder;
  PickledBatch batch = hundred(3);
  batch.fine.pop_back();
  folder.put(batch.file());
  BOOST_TEST(folder.error_of() == "train: expected as many fine_labels as images, 3; got 2");
  batch = hundred(3);
  batch.coarse.pop_back();
  folder.put(batch.file());
  BOOST_TEST(folder.error_of() == "train: expected as many coarse_labels as images, 3; got 2");
  batch = hundred(3);
  batch.coarse.push_back(0);
  folder.put(batch.file());
  BOOST_TEST(contains(folder.error_of(), ": expected at most 3 coarse_labels; got one more"));
  const ByteVector whole = hundred(3).file();
  folder.put(with(whole,
                  "U\x04"
                  "data",
                  "U\x04"
                  "fata"));
  BOOST_TEST(contains(folder.error_of(), ": expected a number, a string or a list of them; got opcode GLOBAL"));
  folder.put(with(whole, "coarse_labels", "fine_labelsXX"));
  BOOST_TEST(folder.error_of() == "train: expected the key coarse_labels; got none");
  folder.put(with(whole, "U\rcoarse_labels", "U\vfine_labels"));
  BOOST_TEST(contains(folder.error_of(), "got fine_labels again"));
}

BOOST_AUTO_TEST_CASE(arrays_of_another_shape_or_kind_are_refused) {
  const Folder100 folder;
  const ByteVector whole = hundred(3).file();
  const auto got = [&](std::string_view part, std::string_view other) {
    folder.put(with(whole, part, other));
    return folder.error_of();
  };
  BOOST_TEST(contains(got(std::string_view("M\0\x0C\x86", 4), std::string_view("M\0\x0D\x86", 4)),
                      ": expected the number 3072; got 3328"));
  BOOST_TEST(contains(got(std::string_view("K\x03M\0\x0C", 5), std::string_view("K\x04M\0\x0C", 5)),
                      ": expected 1 to 3 images; got 4"));
  BOOST_TEST(contains(got(std::string_view("K\x03M\0\x0C", 5), std::string_view("K\x00M\0\x0C", 5)),
                      ": expected 1 to 3 images; got 0"));
  BOOST_TEST(contains(got("U\x02u1", "U\x02i1"), ": expected the string 'u1'; got 'i1'"));
  BOOST_TEST(contains(got("U\x01|", "U\x01<"), ": expected the string '|'; got '<'"));
  BOOST_TEST(contains(got("NNN", "KNN"), ": expected None; got opcode BININT1"));
  BOOST_TEST(contains(got("\x89T", "\x88T"), ": expected False; got opcode NEWTRUE"));
  BOOST_TEST(contains(got(std::string_view("T\0\x24\0\0", 5), std::string_view("T\0\x25\0\0", 5)),
                      ": expected a string of 9216 bytes; got 9472"));
  BOOST_TEST(contains(got(std::string_view("T\0\x24\0\0", 5), std::string_view("T\0\x24\0\xFF", 5)),
                      ": expected a string of 9216 bytes; got -16768000"));
}

BOOST_AUTO_TEST_CASE(names_that_are_too_few_or_too_many_are_refused) {
  const Folder100 folder;
  folder.put(hundred(1).file());
  for (const int count : {99, 101}) {
    put_file(folder.data() / "meta", pickled_names(numbered_names("f", count), numbered_names("c", 20)));
    BOOST_TEST(folder.error_of() ==
               std::string("meta, byte 26: expected a list of 100 names; got ").append(count < 100 ? "99" : "more"));
  }
  put_file(folder.data() / "meta", pickled_names(numbered_names("f", 100), numbered_names("c", 21)));
  BOOST_TEST(contains(folder.error_of(), ": expected a list of 20 names; got more"));
}

BOOST_AUTO_TEST_CASE(what_is_not_needed_is_passed_over) {
  PickleWriter p;
  p.dict();
  p.string("another").integer(-5).string("more").list(2, [&](std::size_t) { p.string("x"); });
  p.string("shared").add({'h', 1});
  p.string("label_names").list(10, [&](std::size_t i) { p.string(std::to_string(i)); });
  const Folder10 folder;
  put_file(folder.data() / "batches.meta", p.end_of_dict().bytes());
  put_file(folder.data() / "test_batch", ten(3).file());
  BOOST_TEST(CIFAR10(folder.path(), {.train = false, .allow_partial = true}).classes()[7] == "7");
}

BOOST_AUTO_TEST_CASE(the_real_test_images_are_the_same_from_a_pickle) {
  const char* root = std::getenv("TAPESTRY_CIFAR100");
  if (root == nullptr) {
    BOOST_TEST_MESSAGE("skipped: set TAPESTRY_CIFAR100 to the folder that contains cifar-100-binary/");
    return;
  }
  const CIFAR100 records(root, {.train = false});
  const std::filesystem::path inside = std::filesystem::path(root) / "cifar-100-binary";
  const Folder100 folder;
  folder.put(PickledBatch::of_records(
                 get_file((std::filesystem::exists(inside) ? inside : std::filesystem::path(root)) / "test.bin"), true)
                 .file(),
             "test");
  check_equal(CIFAR100(folder.path(), {.train = false}), records);
}

BOOST_AUTO_TEST_SUITE_END()
