#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include <tapestry/autograd/base/pad_mode.h>
#include <tapestry/datasets/dataset.h>

/// Transforms of one image [H, W, C]: values that can be called as transform(image, key) and put together with Compose.
/// What they draw depends on the key alone. Shape and dtype are those of the argument unless said otherwise; an image
/// that does not fit is refused with std::invalid_argument.
namespace tapestry::datasets {

/// A window of random position in the image padded on all sides, with zeros or by reflection. Works on any dtype:
/// before Normalize the zeros are black, after it they are the mean.
struct RandomCrop {
  Index padding = 4;                 ///< pixels on each side; for reflect less than height and width
  PadMode mode = PadMode::constant;  ///< the constant is 0
  Index height = 0;                  ///< of the window; 0: that of the image
  Index width = 0;

  /// image [H, W, C] -> [height, width, C]. All (H + 2 padding - height + 1) (W + 2 padding - width + 1) positions are
  /// equally likely.
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// Mirrors left and right with probability p.
struct RandomHorizontalFlip {
  double p = 0.5;  ///< in [0, 1]
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// Mirrors left and right in every second epoch: every image in one of two epochs that follow each other, by lot in
/// which. Less random than RandomHorizontalFlip and, in short trainings, better (Jordan, 2024).
struct AlternatingFlip {
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key) const;
};

/// u8 0 ... 255 -> f32 x / 255.
struct ToFloat {
  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key = {}) const;
};

/// (x - mean[c]) / std[c] in every channel c, f32.
class Normalize {
 public:
  /// Throws std::invalid_argument unless both have the same number of channels, at least one, every mean is finite and
  /// every std is finite and above 0.
  Normalize(std::span<const double> mean, std::span<const double> std, Here here = {});
  Normalize(std::initializer_list<double> mean, std::initializer_list<double> std, Here here = {})
      : Normalize(std::span(mean.begin(), mean.size()), std::span(std.begin(), std.size()), here) {}

  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key = {}) const;

  [[nodiscard]] std::span<const float> mean() const noexcept { return mean_; }
  [[nodiscard]] std::span<const float> std() const noexcept { return std_; }

 private:
  std::vector<float> mean_, std_;
};

/// One transform after the other. Part i is called with key.child(i), so that equal parts draw independently. ToFloat
/// followed by Normalize is done in one pass by table, with the same bits.
class Compose {
 public:
  /// Throws std::invalid_argument for an empty function.
  Compose(std::initializer_list<ImageTransform> parts, Here here = {})
      : Compose(std::vector<ImageTransform>(parts), here) {}
  explicit Compose(std::vector<ImageTransform> parts, Here here = {});

  [[nodiscard]] Tensor operator()(const Tensor& image, const SampleKey& key = {}) const;

 private:
  struct Part {
    ImageTransform transform;
    std::uint64_t number;  ///< in the list as given
  };
  std::vector<Part> parts_;
};

}  // namespace tapestry::datasets
