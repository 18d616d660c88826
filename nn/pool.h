#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/pool2d.h>

/// The poolings of <tapestry/ops/pool2d.h> as layers: x [N, H, W, C]. `MaxPool2d{2}` is `MaxPool2d{{.kernel = 2}}`.
namespace tapestry::nn {

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const MaxPool2dOptions& options, Here here = {});
  explicit MaxPool2d(Index kernel, Here here = {}) : MaxPool2d(MaxPool2dOptions{.kernel = kernel}, here) {}
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  MaxPool2dOptions options_;
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(const AvgPool2dOptions& options, Here here = {});
  explicit AvgPool2d(Index kernel, Here here = {}) : AvgPool2d(AvgPool2dOptions{.kernel = kernel}, here) {}
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  AvgPool2dOptions options_;
};

/// To an image of this size: a number or {h, w}.
class AdaptiveAvgPool2d : public Module {
 public:
  explicit AdaptiveAvgPool2d(Pair2 output, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Pair2 output_;
};

/// Maxima, to an image of this size: a number or {h, w}.
class AdaptiveMaxPool2d : public Module {
 public:
  explicit AdaptiveMaxPool2d(Pair2 output, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Pair2 output_;
};

/// To one pixel: [N, 1, 1, C].
class GlobalAvgPool2d : public Module {
 public:
  GlobalAvgPool2d();
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
};

}  // namespace tapestry::nn
