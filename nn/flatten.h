#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn {

/// flatten as a layer: [N, H, W, C] -> [N, H W C] unless told otherwise.
class Flatten : public Module {
 public:
  explicit Flatten(const FlattenOptions& options = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  FlattenOptions options_;
};

}  // namespace tapestry::nn
