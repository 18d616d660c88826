#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include <tapestry/datasets/geometry.h>

/// What training recipes do to whole batches of images: other sizes at first, several views at the end.
namespace tapestry::datasets {

/// Smaller images in the beginning of a training: a size for each part of its steps.
///
///     const ProgressiveSize size{{0, 20}, {0.15, 24}, {0.5, 32}};
///     const Tensor x = size(images, static_cast<double>(step) / steps);
class ProgressiveSize {
 public:
  /// A part of the training and the size of its images.
  struct Stage {
    double from;  ///< part of the training, in [0, 1), from which on
    Index size;   ///< the sides of the images, in pixels
  };

  /// Throws std::invalid_argument unless the first stage begins at 0, the others after the one before and below 1, and
  /// sizes are at least 1.
  ProgressiveSize(std::initializer_list<Stage> stages, Here here = {});

  /// At `progress`, the part of the training that is over. Throws std::invalid_argument outside [0, 1].
  [[nodiscard]] Index at(double progress, Here here = {}) const;

  /// u8 or f32 [B, H, W, C] or [H, W, C] -> the same with both sides of that size: resize(), antialiased.
  [[nodiscard]] Tensor operator()(const Tensor& images, double progress, Here here = {}) const;

 private:
  std::vector<Stage> stages_;
};

/// Images as one of several looks at them, and what its prediction counts.
struct View {
  Tensor images;
  double weight;
};

/// Which views test_time_views() gives.
enum class TestTimeViews : std::uint8_t {
  flip,           ///< the images and their mirror images: 1/2 each
  flip_and_shift  ///< those with 1/4 each, and both moved by one pixel, up and left or down and right: 1/8 each
};

/// What a prediction is averaged over when a little accuracy is worth two or six times the work:
///
///     Tensor logits = zeros({images.size(0), classes});
///     for (const auto& [x, weight] : test_time_views(images)) logits = logits + model(x) * weight;
///
/// images [B, H, W, C] of any dtype; what moves in comes from the image, mirrored at its border pixels, for which the
/// sides must be at least 2. Views have no history. Throws std::invalid_argument for another shape.
[[nodiscard]] std::vector<View> test_time_views(const Tensor& images,
                                                TestTimeViews views = TestTimeViews::flip_and_shift, Here here = {});

}  // namespace tapestry::datasets
