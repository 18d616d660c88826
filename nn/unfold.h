#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/unfold.h>

/// The ops of <tapestry/ops/unfold.h> as layers.
namespace tapestry::nn {

/// unfold: [N, H, W, C] -> [N, Ho, Wo, R S C].
class Unfold : public Module {
 public:
  explicit Unfold(const UnfoldOptions& options);
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  UnfoldOptions options_;
};

/// fold to images of this size: [N, Ho, Wo, R S C] -> [N, size.h, size.w, C].
class Fold : public Module {
 public:
  Fold(const Pair2& size, const UnfoldOptions& options);
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Pair2 size_;
  UnfoldOptions options_;
};

}  // namespace tapestry::nn
