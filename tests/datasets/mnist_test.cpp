#include <tapestry/datasets/mnist.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include "datasets/files.h"
#include "support/expect.h"
#include "support/idx_files.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// A folder with the four files, small.
struct Folder : TemporaryFolder {
  explicit Folder(const std::string& inside = "", bool packed = false)
      : data(inside.empty() ? path() : *this / inside) {
    const std::string end = packed ? ".gz" : "";
    const auto put = [&](const std::string& name, const ByteVector& bytes) {
      put_file(data / (name + end), packed ? gzip_fixed(bytes) : bytes);
    };
    put("train-images-idx3-ubyte", idx_images(3));
    put("train-labels-idx1-ubyte", idx_labels(3));
    put("t10k-images-idx3-ubyte", idx_images(12));
    put("t10k-labels-idx1-ubyte", idx_labels(12));
  }
  void put_images(const ByteVector& bytes) const { put_file(data / "train-images-idx3-ubyte", bytes); }
  void put_labels(const ByteVector& bytes) const { put_file(data / "train-labels-idx1-ubyte", bytes); }

  std::string error_of(bool allow_partial = true) const {
    std::string text = error<FileError>([&] { MNIST(path(), {.allow_partial = allow_partial}); });
    const std::size_t at = text.find(data.string() + "/");
    if (at != std::string::npos) text.erase(at, data.string().size() + 1);
    return text.substr(0, text.find('\n'));
  }

  std::filesystem::path data;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(mnist_test)

BOOST_AUTO_TEST_CASE(files_are_found_plain_or_packed_in_the_folder_or_where_torchvision_leaves_them) {
  for (const char* inside : {"", "MNIST/raw"}) {
    for (const bool packed : {false, true}) {
      const Folder folder(inside, packed);
      const MNIST train(folder.path(), {.allow_partial = true});
      const MNIST test(folder.path(), {.train = false, .allow_partial = true});
      BOOST_TEST(train.data().shape() == Shape({3, 28, 28, 1}));
      BOOST_TEST(train.get(2).image.shape() == Shape({28, 28, 1}));
      BOOST_TEST(int{train.get(2).image.data<std::uint8_t>()[30]} == 2 * 31 + 30);
      BOOST_TEST(values(train.targets()) == std::vector<double>({0, 1, 2}), boost::test_tools::per_element());
      BOOST_TEST(test.size() == 12U);
      BOOST_TEST(test.get(11).target == 1);
      BOOST_TEST(train.class_to_index("7 - seven").value() == 7);
    }
  }
  const Folder folder("FashionMNIST/raw", true);
  const FashionMNIST clothes(folder.path(), {.allow_partial = true});
  BOOST_TEST(clothes.class_to_index("Ankle boot").value() == 9);
  BOOST_TEST(clothes.classes()[0] == "T-shirt/top");
}

BOOST_AUTO_TEST_CASE(missing_files_are_named_with_a_way_to_get_them) {
  const TemporaryFolder empty;
  BOOST_TEST(error<FileError>([&] { MNIST(empty.path()); }) ==
             empty.path().string() +
                 ": expected a folder that contains train-images-idx3-ubyte or train-images-idx3-ubyte.gz; got "
                 "neither\n  to fetch the data: torchvision.datasets.MNIST(root, download=True) in Python leaves the "
                 "files in root/MNIST/raw");
  BOOST_TEST(error<FileError>([&] { FashionMNIST("/nonexistent", {.train = false}); }) ==
             "/nonexistent: expected a folder that contains t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz; got "
             "no such file or folder\n  to fetch the data: apt-get install dataset-fashion-mnist, which puts the files "
             "into /usr/share/datasets/fashion-mnist");
  const Folder folder;
  std::filesystem::remove(folder.data / "train-labels-idx1-ubyte");
  BOOST_TEST(error<FileError>([&] {
               MNIST(folder.path());
             }).find("a folder that contains train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz; got neither") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(i4_images_and_labels_in_each_others_place_are_recognised) {
  const Folder folder;
  folder.put_images(idx_labels(3));
  BOOST_TEST(folder.error_of() == "train-images-idx3-ubyte, byte 3: expected images [60000, 28, 28]; got [3], labels");
  folder.put_images(idx_images(3));
  folder.put_labels(idx_images(3));
  BOOST_TEST(folder.error_of().find("train-labels-idx1-ubyte, byte ") == 0U);
  folder.put_labels(idx_file({3, 1}, {0, 1, 2}));
  BOOST_TEST(folder.error_of() == "train-labels-idx1-ubyte, byte 3: expected labels [60000]; got [3, 1]");
}

BOOST_AUTO_TEST_CASE(pictures_of_another_size_and_files_of_another_split_are_refused) {
  const Folder folder;
  folder.put_images(idx_images(3, 32, 32));
  BOOST_TEST(folder.error_of() ==
             "train-images-idx3-ubyte, byte 3: expected images [60000, 28, 28]; got [3, 32, 32], images");
  folder.put_images(idx_images(3));
  BOOST_TEST(folder.error_of(false) ==
             "train-images-idx3-ubyte, byte 3: expected images [60000, 28, 28]; got [3, 28, 28], images");
  put_sparse_file(folder.data / "train-images-idx3-ubyte", 60'001 * 784 + 16);
  BOOST_TEST(folder.error_of(false) == "train-images-idx3-ubyte, byte 2: expected type 8, unsigned bytes; got 0");
}

BOOST_AUTO_TEST_CASE(i8_unequal_numbers_of_images_and_labels_are_refused) {
  const Folder folder;
  folder.put_labels(idx_labels(4));
  BOOST_TEST(folder.error_of() ==
             "train-labels-idx1-ubyte, byte 4: expected a label for each of 3 images; got 4 labels");
}

BOOST_AUTO_TEST_CASE(i9_labels_above_nine_are_refused_with_their_number) {
  const Folder folder;
  folder.put_labels(idx_file({3}, {0, 9, 10}));
  BOOST_TEST(folder.error_of() == "train-labels-idx1-ubyte, byte 10: expected label 2 below 10; got 10");
  folder.put_labels(gzip_stored(idx_file({3}, {0, 255, 10})));
  BOOST_TEST(folder.error_of() ==
             "train-labels-idx1-ubyte: expected label 1 below 10; got 255 at byte 9 of the "
             "unpacked contents");
}

BOOST_AUTO_TEST_CASE(transforms_and_the_loop_see_the_same_pictures) {
  const Folder folder;
  const MNIST data(folder.path(), {.transform =
                                       [](const Tensor&, const SampleKey& key) {
                                         return full({1, 1, 1}, static_cast<double>(key.index));
                                       },
                                   .target_transform = [](std::int64_t t) { return t + 100; },
                                   .allow_partial = true});
  BOOST_TEST(data.get(2).image.item() == 2);
  BOOST_TEST(data.get(2).target == 102);
}

// --- the real files

BOOST_AUTO_TEST_CASE(the_real_fashion_mnist_has_its_published_counts_and_statistics) {
  if (!std::filesystem::exists(FashionMNIST::default_root)) {
    BOOST_TEST_MESSAGE("skipped: apt-get install dataset-fashion-mnist for the real files");
    return;
  }
  for (const bool train : {false, true}) {
    const FashionMNIST data({.train = train});
    BOOST_TEST(data.size() == (train ? 60'000U : 10'000U));
    std::array<int, 10> count{};
    for (const std::uint8_t label : data.fine_targets().span<std::uint8_t>()) ++count.at(label);
    BOOST_TEST(std::ranges::all_of(count, [&](int n) { return n == (train ? 6'000 : 1'000); }));
    if (!train) continue;
    const std::vector<std::uint8_t> labels = data.fine_targets().to_vector<std::uint8_t>();
    BOOST_TEST(ByteVector(labels.begin(), labels.begin() + 10) == ByteVector({9, 0, 0, 3, 0, 2, 7, 2, 5, 5}),
               boost::test_tools::per_element());
    std::uint64_t sum = 0;
    std::uint64_t square = 0;
    for (const std::uint8_t byte : data.data().span<std::uint8_t>()) {
      sum += byte;
      square += std::uint64_t{byte} * byte;
    }
    const double n = 60'000.0 * 784;
    const double mean = static_cast<double>(sum) / n / 255;
    BOOST_TEST(mean == fashion_mnist_mean[0], boost::test_tools::tolerance(1e-9));
    BOOST_TEST(std::sqrt(static_cast<double>(square) / n / 65025 - mean * mean) == fashion_mnist_std[0],
               boost::test_tools::tolerance(1e-9));
  }
}

BOOST_AUTO_TEST_SUITE_END()
