#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <tapestry/datasets/labelled_images.h>

namespace tapestry::datasets {

struct PatternsOptions {
  bool train = true;     ///< which split; no two images of the two are the same
  std::size_t size = 0;  ///< images; 0: 50,000 for training, 10,000 for testing, and at most that
  std::uint64_t seed = 1;
  Labels labels = Labels::fine;
  ImageTransform transform = {};
  TargetTransform target_transform = {};
};

/// An embedded data set in the shape of CIFAR-100: 32 x 32 RGB pictures that the program draws itself, of one large
/// object before a background with small distractors. A class is what shape the object has (cross, disc, ring, square,
/// triangle), what colour (amber, azure, green, red, violet) and what texture (checked, dotted, plain, striped): 100
/// fine classes such as cross_amber_checked, whose coarse class is colour and texture, amber_checked. Position, size,
/// rotation, hue, texture, light and noise vary, so that a linear model learns little and a convolutional network much.
///
/// Image i of a split is a function of seed, split and i alone, to the bit, on every compiler and with any number of
/// threads; a smaller size gives a prefix. Image i has fine class 37 i mod 100.
class Patterns final : public LabelledImages {
 public:
  using Options = PatternsOptions;

  /// Draws the images on all cores, about 75 microseconds each. Throws std::invalid_argument for a size beyond the full
  /// one.
  explicit Patterns(Options options = {}, Here here = {});

  [[nodiscard]] static std::span<const std::string> fine_names();
  [[nodiscard]] static std::span<const std::string> coarse_names();
  [[nodiscard]] static std::span<const std::uint8_t, 100> coarse_of_fine() noexcept;  ///< fine mod 20
};

struct WritePatternsOptions {
  std::size_t train_size = 50'000;
  std::size_t test_size = 10'000;
  std::uint64_t seed = 1;
};

/// Writes train.bin, test.bin, fine_label_names.txt and coarse_label_names.txt into `folder`, which is made if missing:
/// what CIFAR100(folder) reads (sizes below the full ones with .allow_partial). Each file appears whole or not at all.
/// Throws FileError when they cannot be written, std::invalid_argument for sizes beyond the full ones or 0.
void write_patterns(const std::string& folder, const WritePatternsOptions& options = {}, Here here = {});

}  // namespace tapestry::datasets
