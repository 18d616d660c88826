#include <tapestry/datasets/cifar.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
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

/// The folder of the data: `name` inside root, or root itself. What cannot even be looked at (a loop of links, a name
/// too long) is taken as present, so that opening the file reports the system's reason.
std::filesystem::path find_folder(const std::filesystem::path& root, const char* name, const char* file,
                                  const std::string& advice) {
  const auto present = [](const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found;
  };
  if (present(root / name)) return root / name;
  if (present(root / file)) return root;
  throw FileError(root, FileError::nowhere, format_message("a folder that contains {}/ or {}", name, file),
                  present(root) ? "neither" : "no such file or folder", advice);
}

LabelledContent read_cifar100(const std::string& root, bool train, bool allow_partial, const Here& here) {
  const CallSite site(here);
  LabelledContent content;
  const std::string advice = fetch_advice("cifar-100-binary", root);
  const char* name = train ? "train.bin" : "test.bin";
  const auto folder = find_folder(root, "cifar-100-binary", name, advice);
  FileReader file(folder / name, advice);
  content.fine_classes = records::read_names(folder / "fine_label_names.txt", 100, advice);
  content.coarse_classes = records::read_names(folder / "coarse_label_names.txt", 20, advice);
  const bool drawn = std::ranges::equal(content.fine_classes, Patterns::fine_names());
  const records::Format format{"CIFAR-100", 100,
                               drawn ? Patterns::coarse_of_fine() : std::span<const std::uint8_t, 100>(kCoarseOfFine)};
  const Index count = records::count(file, format, train ? kTrainRecords : kTestRecords, allow_partial);
  records::read(file, format, count, records::allocate(content, format, count));
  return content;
}

LabelledContent read_cifar10(const std::string& root, bool train, bool allow_partial, const Here& here) {
  const CallSite site(here);
  LabelledContent content;
  const std::string advice = fetch_advice("cifar-10-binary", root);
  std::vector<std::string> names{"test_batch.bin"};
  if (train)
    names = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
  const auto folder = find_folder(root, "cifar-10-batches-bin", names[0].c_str(), advice);
  const records::Format format{"CIFAR-10", 10, {}};
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
