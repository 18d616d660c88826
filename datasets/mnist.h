#pragma once

#include <array>
#include <string>
#include <utility>

#include <tapestry/datasets/labelled_images.h>

/// MNIST (LeCun, Cortes and Burges, 1998) and what was made in its form: 28 x 28 grey pictures of ten classes, 60,000
/// for training and 10,000 for testing, as two IDX files each. Files are checked and read into memory as bytes: 47 MB
/// and 8 MB.
namespace tapestry::datasets {

/// Mean of MNIST's training images scaled to [0, 1].
inline constexpr std::array<double, 1> mnist_mean{0.13066047627384287};
/// Their standard deviation, population form.
inline constexpr std::array<double, 1> mnist_std{0.30810780385646264};
/// Mean of Fashion-MNIST's training images scaled to [0, 1].
inline constexpr std::array<double, 1> fashion_mnist_mean{0.2860405970};
/// Their standard deviation, population form.
inline constexpr std::array<double, 1> fashion_mnist_std{0.3530242445};

struct MNISTOptions {
  bool train = true;  ///< the files whose names begin with train-, or those with t10k-
  ImageTransform transform = {};
  TargetTransform target_transform = {};
  bool allow_partial = false;  ///< take any number of pictures from 1 to the full one
};

/// Handwritten digits. Classes are named "0 - zero" to "9 - nine", as in torchvision.
class MNIST final : public LabelledImages {
 public:
  using Options = MNISTOptions;

  /// `root` is the folder that holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
  /// t10k-labels-idx1-ubyte, or one in which they lie in MNIST/raw/, as torchvision leaves them. Each may be in gzip's
  /// frame, with or without .gz behind its name; of two files the one without is read. Images are u8 [28, 28, 1].
  ///
  /// Throws FileError for files that are missing, damaged, of the wrong size or kind, of unequal numbers of images and
  /// labels, or with a label above 9. Files of other data sets in the same form (KMNIST) are read as these.
  explicit MNIST(const std::string& root, Options options = {}, Here here = {});
};

/// Pictures of clothes (Xiao, Rasul and Vollgraf, 2017), balanced: 6,000 and 1,000 of each class.
class FashionMNIST final : public LabelledImages {
 public:
  using Options = MNISTOptions;

  /// Where Debian's package dataset-fashion-mnist puts the files.
  static constexpr const char* default_root = "/usr/share/datasets/fashion-mnist";

  /// As for MNIST, with FashionMNIST/raw/ for MNIST/raw/.
  explicit FashionMNIST(const std::string& root, Options options = {}, Here here = {});
  explicit FashionMNIST(Options options = {}, Here here = {})
      : FashionMNIST(std::string(default_root), std::move(options), here) {}
};

}  // namespace tapestry::datasets
