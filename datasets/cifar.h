#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include <tapestry/datasets/labelled_images.h>

/// The CIFAR data sets (Krizhevsky, 2009): 32 x 32 RGB pictures, 50,000 for training and 10,000 for testing. Files are
/// checked - sizes, labels, the coarse label of every class - and read into memory as bytes: 154 MB and 31 MB. They may
/// be of the binary version or of the python version, whose pickles are read by a reader that executes nothing and
/// knows only what these files consist of; where both versions are there, the binary one is read.
namespace tapestry::datasets {

// Mean and standard deviation (population form) of the channels R, G, B of the training images scaled to [0, 1].
inline constexpr std::array<double, 3> cifar100_mean{0.5070751592371323, 0.48654887331495095, 0.4409178433670343};
inline constexpr std::array<double, 3> cifar100_std{0.26733428587924, 0.25643846291709, 0.27615047132568};
inline constexpr std::array<double, 3> cifar10_mean{0.4914, 0.4822, 0.4465};
inline constexpr std::array<double, 3> cifar10_std{0.2470, 0.2435, 0.2616};

struct CIFAR100Options {
  bool train = true;             ///< train.bin or test.bin; in the python version train or test
  Labels labels = Labels::fine;  ///< which label get() returns: one of 100 classes or of 20 groups
  ImageTransform transform = {};
  TargetTransform target_transform = {};
  bool allow_partial = false;  ///< take any whole number of records, up to the full one
};

/// 100 classes of 600 images, in 20 groups of five classes.
class CIFAR100 final : public LabelledImages {
 public:
  using Options = CIFAR100Options;

  /// `root` is the folder that contains cifar-100-binary/ or cifar-100-python/, or one of these itself. Reads the
  /// split's file and the names of the classes. Throws FileError for files that are missing, of the wrong size or kind,
  /// or hold impossible labels. Files written by write_patterns are known by their class names and read as well.
  explicit CIFAR100(const std::string& root, Options options = {}, Here here = {});

  /// The group of each class.
  [[nodiscard]] static std::span<const std::uint8_t, 100> coarse_of_fine() noexcept;
};

struct CIFAR10Options {
  bool train = true;  ///< data_batch_1.bin ... data_batch_5.bin or test_batch.bin; in the python version without .bin
  ImageTransform transform = {};
  TargetTransform target_transform = {};
  bool allow_partial = false;  ///< take any whole number of records per file, up to 10,000
};

/// 10 classes of 6,000 images. There are no coarse labels.
class CIFAR10 final : public LabelledImages {
 public:
  using Options = CIFAR10Options;

  /// `root` is the folder that contains cifar-10-batches-bin/ or cifar-10-batches-py/, or one of these itself. Errors
  /// as for CIFAR100.
  explicit CIFAR10(const std::string& root, Options options = {}, Here here = {});
};

}  // namespace tapestry::datasets
