#pragma once

#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry::examples {

/// How well a classifier did on the images added so far.
class Score {
 public:
  /// A batch: logits f32 [N, C], labels i64 [N], and its mean loss.
  void add(const Tensor& logits, const Tensor& labels, double loss);

  [[nodiscard]] Index images() const { return images_; }
  [[nodiscard]] Index right() const { return top1_; }  ///< images whose class got the largest logit
  [[nodiscard]] double loss() const { return part(loss_); }
  [[nodiscard]] double top1() const { return part(static_cast<double>(top1_)); }  ///< 0 to 1
  [[nodiscard]] double top5() const {
    return part(static_cast<double>(top5_));
  }  ///< class among the five largest logits

 private:
  [[nodiscard]] double part(double of) const { return images_ > 0 ? of / static_cast<double>(images_) : 0; }

  Index images_ = 0, top1_ = 0, top5_ = 0;
  double loss_ = 0;
};

/// An image whose class did not get the largest logit.
struct Mistake {
  Index image;      ///< position in the data set
  Index predicted;  ///< class with the largest logit
  Index right;
  double probability;  ///< softmax of the largest logit
};

/// Adds those of a batch whose first image is number `first`, and keeps the `most` surest ones, surest first.
void note_mistakes(const Tensor& logits, const Tensor& labels, Index first, std::size_t most,
                   std::vector<Mistake>& mistakes);

}  // namespace tapestry::examples
