#pragma once

#include <tapestry/datasets/loader.h>

/// Transforms of whole batches, which mix images and their labels in pairs: image i with image i - 1, and the first
/// with the last, so that shuffled batches make random pairs. Called in the loop, on what a Loader gives:
///
///     const auto [x, targets] = mixup(batch, {.seed = 7, .epoch = epoch, .index = number_of_the_batch});
///
/// What they draw depends on the key alone.
namespace tapestry::datasets {

/// Images, and for each a distribution over the classes: what cross_entropy takes as soft targets.
struct MixedBatch {
  Tensor images;   ///< as they came
  Tensor targets;  ///< f32 [B, num_classes]; every row sums to 1
};

/// Mixup (Zhang et al., 2018): lambda x_i + (1 - lambda) x_(i-1), targets likewise, with one lambda for the batch from
/// Beta(alpha, alpha).
struct Mixup {
  Index num_classes = 0;  ///< of the labels; at least 1
  double alpha = 1;       ///< above 0
  /// images f32 [B, ...], labels i64 [B] -> images of the same shape, without history. Throws std::invalid_argument for
  /// other shapes and dtypes, std::out_of_range for a label outside [0, num_classes).
  [[nodiscard]] MixedBatch operator()(const Batch& batch, const SampleKey& key) const;
};

/// CutMix (Yun et al., 2019): a rectangle of x_(i-1), with a share of 1 - lambda of the pixels, is put over x_i; its
/// middle is random, and targets have the shares that the rectangle has inside the image.
struct CutMix {
  Index num_classes = 0;  ///< of the labels; at least 1
  double alpha = 1;       ///< above 0
  /// images u8 or f32 [B, H, W, C], labels i64 [B]. Errors as for Mixup.
  [[nodiscard]] MixedBatch operator()(const Batch& batch, const SampleKey& key) const;
};

}  // namespace tapestry::datasets
