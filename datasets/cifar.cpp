#include <tapestry/datasets/cifar.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/pickled_records.h>
#include <tapestry/datasets/detail/records.h>
#include <tapestry/datasets/patterns.h>

namespace tapestry::datasets {
namespace {

// Coarse class of fine class 0 ... 99, both in alphabetical order, as published with the data set.
constexpr std::array<std::uint8_t, 100> kCoarseOfFine{
    4,  1,  14, 8,  0,  6,  7,  7,  18, 3,  3,  14, 9,  18, 7,  11, 3,  9,  7,  11,  //
    6,  11, 5,  10, 7,  6,  13, 15, 3,  15, 0,  11, 1,  10, 12, 14, 16, 9,  11, 5,   //
    5,  19, 8,  8,  15, 13, 14, 17, 18, 10, 16, 4,  17, 4,  2,  0,  17, 4,  18, 17,  //
    10, 3,  2,  12, 12, 16, 12, 1,  9,  19, 2,  10, 0,  1,  16, 12, 9,  13, 15, 13,  //
    16, 19, 2,  4,  6,  19, 5,  5,  8,  19, 18, 1,  2,  15, 6,  0,  17, 8,  14, 13};

constexpr Index kTrainRecords = 50'000;
constexpr Index kTestRecords = 10'000;
constexpr Index kBatchRecords = 10'000;  // of one CIFAR-10 file

std::string fetch_advice(const char* archive, const std::string& root) {
  return format_message("to fetch the data: cmake -DNAME={} -DOUT={} -P get_cifar.cmake, which is in share/tapestry/",
                        archive, root);
}

/// What can lie in a folder: a version of the data set.
struct Version {
  const char* name;  // of the folder
  const char* file;  // in it
};

/// Where the data are, and in which of their versions.
struct Place {
  std::filesystem::path folder;
  bool is_pickled;
};

/// The folder of one of the two versions inside root, or root itself. What cannot even be looked at (a loop of links, a
/// name too long) is taken as present, so that opening the file reports the system's reason.
Place find_data(const std::filesystem::path& root, const Version& records, const Version& pickles,
                const std::string& advice) {
  const auto present = [](const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found;
  };
  if (present(root / records.name)) return {root / records.name, false};
  if (present(root / records.file)) return {root, false};
  if (present(root / pickles.name)) return {root / pickles.name, true};
  if (present(root / pickles.file)) return {root, true};
  throw FileError(root, FileError::nowhere,
                  format_message("a folder that contains {}/, {}/, {} or {}", records.name, pickles.name, records.file,
                                 pickles.file),
                  present(root) ? "none of them" : "no such file or folder", advice);
}

/// One file or several of the python version, one after the other.
void read_pickles(const std::filesystem::path& folder, const std::vector<std::string>& names, const char* meta,
                  const records::Format& format, Index expected, bool allow_partial, const std::string& advice,
                  LabelledContent& content) {
  std::vector<FileReader> files;
  std::vector<Index> rooms;
  Index total = 0;
  for (const std::string& name : names) {
    files.emplace_back(folder / name, advice);
    rooms.push_back(pickled_records::room_for(files.back(), format, expected, allow_partial));
    total += rooms.back();
  }
  FileReader meta_file(folder / meta, advice);
  pickled_records::read_names(meta_file, format, content);
  records::Destination to = records::allocate(content, format, total);
  Index count = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const Index came = pickled_records::read(files[i], format, rooms[i], allow_partial, to);
    to.images += came * records::kImageBytes;
    to.fine += came;
    if (to.coarse != nullptr) to.coarse += came;
    count += came;
  }
  if (count == total) return;
  for (Tensor* part : {&content.data, &content.fine, &content.coarse}) {
    if (part->defined()) *part = tapestry::detail::alias(*part, part->shape().with(0, count));
  }
}

LabelledContent read_cifar100(const std::string& root, bool train, bool allow_partial, const Here& here) {
  const CallSite site(here);
  LabelledContent content;
  const std::string advice = fetch_advice("cifar-100-binary", root);
  const char* name = train ? "train.bin" : "test.bin";
  const char* pickle = train ? "train" : "test";
  const Index expected = train ? kTrainRecords : kTestRecords;
  const auto [folder, is_pickled] = find_data(root, {"cifar-100-binary", name}, {"cifar-100-python", pickle}, advice);
  records::Format format{"CIFAR-100", 100, kCoarseOfFine};
  if (is_pickled) {
    read_pickles(folder, {pickle}, "meta", format, expected, allow_partial, advice, content);
    return content;
  }
  FileReader file(folder / name, advice);
  content.fine_classes = records::read_names(folder / "fine_label_names.txt", 100, advice);
  content.coarse_classes = records::read_names(folder / "coarse_label_names.txt", 20, advice);
  const bool drawn = std::ranges::equal(content.fine_classes, Patterns::fine_names());
  if (drawn) format.parents = Patterns::coarse_of_fine();
  const Index count = records::count(file, format, expected, allow_partial);
  records::read(file, format, count, records::allocate(content, format, count));
  return content;
}

LabelledContent read_cifar10(const std::string& root, bool train, bool allow_partial, const Here& here) {
  const CallSite site(here);
  LabelledContent content;
  const std::string advice = fetch_advice("cifar-10-binary", root);
  std::vector<std::string> pickles{"test_batch"};
  if (train) pickles = {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"};
  std::vector<std::string> names;
  for (const std::string& pickle : pickles) names.push_back(pickle + ".bin");
  const auto [folder, is_pickled] =
      find_data(root, {"cifar-10-batches-bin", names[0].c_str()}, {"cifar-10-batches-py", pickles[0].c_str()}, advice);
  const records::Format format{"CIFAR-10", 10, {}};
  if (is_pickled) {
    read_pickles(folder, pickles, "batches.meta", format, kBatchRecords, allow_partial, advice, content);
    return content;
  }
  std::vector<FileReader> files;
  std::vector<Index> counts;
  Index total = 0;
  for (const std::string& name : names) {
    files.emplace_back(folder / name, advice);
    counts.push_back(records::count(files.back(), format, kBatchRecords, allow_partial));
    total += counts.back();
  }
  content.fine_classes = records::read_names(folder / "batches.meta.txt", 10, advice);
  records::Destination to = records::allocate(content, format, total);
  for (std::size_t i = 0; i < files.size(); ++i) {
    records::read(files[i], format, counts[i], to);
    to.images += counts[i] * records::kImageBytes;
    to.fine += counts[i];
  }
  return content;
}

}  // namespace

CIFAR100::CIFAR100(const std::string& root, Options options, Here here)
    : LabelledImages(read_cifar100(root, options.train, options.allow_partial, here), options.labels,
                     std::move(options.transform), std::move(options.target_transform)) {}

std::span<const std::uint8_t, 100> CIFAR100::coarse_of_fine() noexcept { return kCoarseOfFine; }

CIFAR10::CIFAR10(const std::string& root, Options options, Here here)
    : LabelledImages(read_cifar10(root, options.train, options.allow_partial, here), Labels::fine,
                     std::move(options.transform), std::move(options.target_transform)) {}

}  // namespace tapestry::datasets
