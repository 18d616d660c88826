#pragma once

#include <tapestry/nn/module.h>

namespace tapestry::nn {

/// Returns its input: holds a place in a Sequential, so that the keys of the layers behind it stay as they are.
class Identity : public Module {
 public:
  Identity();
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
};

}  // namespace tapestry::nn
