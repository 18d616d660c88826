#include <tapestry/datasets/mnist.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>
#include <tapestry/datasets/detail/idx_file.h>

namespace tapestry::datasets {
namespace {

constexpr Index kSide = 28;
constexpr Index kClasses = 10;
constexpr Index kTrainImages = 60'000;
constexpr Index kTestImages = 10'000;

struct Kind {
  const char* folder;  // of torchvision's
  const char* advice;
  std::array<const char*, kClasses> classes;
};

constexpr Kind kDigits{
    "MNIST/raw",
    "to fetch the data: torchvision.datasets.MNIST(root, download=True) in Python leaves the files in root/MNIST/raw",
    {"0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight",
     "9 - nine"}};
constexpr Kind kClothes{
    "FashionMNIST/raw",
    "to fetch the data: apt-get install dataset-fashion-mnist, which puts the files into "
    "/usr/share/datasets/fashion-mnist",
    {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}};

/// Whether something is there. What cannot even be looked at is taken as present: opening it reports the reason.
bool present(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::status(path, ignored).type() != std::filesystem::file_type::not_found;
}

/// `name` in root or in the kind's folder within it, packed or not.
std::string find_file(const std::filesystem::path& root, const Kind& kind, const std::string& name) {
  for (const std::filesystem::path& folder : {root / kind.folder, root}) {
    for (const std::string& file : {name, name + ".gz"}) {
      if (present(folder / file)) return folder / file;
    }
  }
  throw FileError(root, FileError::nowhere, format_message("a folder that contains {} or {}.gz", name, name),
                  present(root) ? "neither" : "no such file or folder", kind.advice);
}

/// Opens a file whose first side is `count`, or with `allow_partial` from 1 to that, and whose others are `rest`.
detail::IdxFile open(const std::string& path, const Kind& kind, const char* what, Index count,
                     std::initializer_list<Index> rest, bool allow_partial) {
  Shape whole(rest);
  whole = whole.inserted(0, count);
  const Index header = 4 + 4 * whole.rank();
  detail::IdxFile file(FileReader(path, kind.advice), header + whole.numel());
  const Shape& shape = file.shape();
  const bool fits = shape.rank() == whole.rank() && shape.without(0) == whole.without(0) &&
                    (shape[0] == count || (allow_partial && shape[0] < count));
  if (!fits) {
    const char* seen = shape.rank() == 1 ? ", labels" : shape.rank() == 3 ? ", images" : "";
    file.fail(3, format_message("{} {}", what, whole), format_message("{}{}", shape, seen));
  }
  return file;
}

LabelledContent read(const std::string& root, const Kind& kind, const MNISTOptions& options, const Here& here) {
  const CallSite site(here);
  const std::string prefix = options.train ? "train" : "t10k";
  const Index count = options.train ? kTrainImages : kTestImages;
  const std::string images_path = find_file(root, kind, prefix + "-images-idx3-ubyte");
  const std::string labels_path = find_file(root, kind, prefix + "-labels-idx1-ubyte");
  detail::IdxFile images = open(images_path, kind, "images", count, {kSide, kSide}, options.allow_partial);
  detail::IdxFile labels = open(labels_path, kind, "labels", count, {}, options.allow_partial);
  const Index n = images.shape()[0];
  if (labels.shape()[0] != n) {
    labels.fail(4, format_message("a label for each of {} images", n), format_message("{} labels", labels.shape()[0]));
  }
  LabelledContent content;
  content.fine = labels.read();
  const std::span<const std::uint8_t> label = content.fine.span<std::uint8_t>();
  for (std::size_t i = 0; i < label.size(); ++i) {
    if (label[i] >= kClasses) {
      labels.fail(labels.header_bytes() + static_cast<std::int64_t>(i),
                  format_message("label {} below {}", i, kClasses), format_message("{}", int{label[i]}));
    }
  }
  content.data = tapestry::detail::alias(images.read(), {n, kSide, kSide, 1});
  content.fine_classes.assign(kind.classes.begin(), kind.classes.end());
  return content;
}

}  // namespace

MNIST::MNIST(const std::string& root, Options options, Here here)
    : LabelledImages(read(root, kDigits, options, here), Labels::fine, std::move(options.transform),
                     std::move(options.target_transform)) {}

FashionMNIST::FashionMNIST(const std::string& root, Options options, Here here)
    : LabelledImages(read(root, kClothes, options, here), Labels::fine, std::move(options.transform),
                     std::move(options.target_transform)) {}

}  // namespace tapestry::datasets
