#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <tapestry/autograd/tensor.h>
#include <tapestry/nn/train/state.h>

namespace tapestry::nn::train {

/// What one batch did.
struct BatchScore {
  Index images = 0;
  double loss = 0;   ///< mean over the batch
  Index right = -1;  ///< images whose class got the largest logit; -1: not a matter of right and wrong
};

/// How a classifier did on one class.
struct ClassScore {
  Index images = 0;      ///< with this label
  Index predicted = 0;   ///< taken for this class
  Index right = 0;       ///< both
  double precision = 0;  ///< right / predicted; 0 where nothing was predicted
  double recall = 0;     ///< right / images; 0 where there were none
};

/// So many images of one class were taken for another.
struct Confusion {
  Index label = 0, predicted = 0;
  Index images = 0;
};

/// How well a classifier did on the images added so far: mean loss, top-1, top-5, coarse and per-class accuracy, and
/// the confusion matrix. Rates are parts of all, 0 to 1, and 0 where there are no images. Among equal logits the class
/// of the lower number comes first. A row with a NaN is no prediction: it is wrong and stands nowhere in the confusion
/// matrix.
class Metrics {
 public:
  /// `coarse_of_fine` gives the group of every class, as CIFAR100::coarse_of_fine() does; without it there is no
  /// coarse accuracy. Throws std::invalid_argument unless classes >= 1 and it has none or `classes` elements.
  explicit Metrics(Index classes, std::span<const std::uint8_t> coarse_of_fine = {}, Here here = {});

  /// Adds a batch: logits f32, f64 or bf16 [N, classes], labels i64 [N], and its mean loss. Throws
  /// std::invalid_argument for other shapes or dtypes and std::out_of_range for a label outside [0, classes), having
  /// added nothing.
  BatchScore add(const Tensor& logits, const Tensor& labels, double loss, Here here = {});

  /// Back to no images.
  void reset();

  [[nodiscard]] Index classes() const noexcept { return classes_; }
  [[nodiscard]] Index images() const noexcept { return images_; }
  [[nodiscard]] Index right() const noexcept { return right_; }          ///< class got the largest logit
  [[nodiscard]] Index undecided() const noexcept { return undecided_; }  ///< rows with a NaN
  [[nodiscard]] double loss() const;                                     ///< mean over images
  [[nodiscard]] double top1() const;
  [[nodiscard]] double top5() const;  ///< class among the five largest logits
  /// The predicted class is in the right group. Throws std::logic_error without coarse_of_fine.
  [[nodiscard]] double coarse(Here here = {}) const;

  [[nodiscard]] ClassScore of_class(Index c, Here here = {}) const;  ///< throws std::out_of_range for no class
  [[nodiscard]] Tensor confusion() const;                            ///< i64 [classes, classes]: [label, predicted]
  [[nodiscard]] std::vector<Confusion> most_confused(std::size_t most) const;  ///< the most frequent mistakes first

  [[nodiscard]] State state() const;
  void load_state(const State& state, Here here = {});

 private:
  Index classes_;
  std::vector<std::uint8_t> coarse_of_fine_;
  Index images_ = 0, right_ = 0, right5_ = 0, right_coarse_ = 0, undecided_ = 0;
  double loss_ = 0;                      // sum over images
  std::vector<std::int64_t> labels_;     // images per label
  std::vector<std::int64_t> confusion_;  // row-major
};

}  // namespace tapestry::nn::train
