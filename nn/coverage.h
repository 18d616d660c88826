#pragma once

#include <tapestry/autograd/coverage.h>
#include <tapestry/nn/module.h>

namespace tapestry::nn {

/// Which parameters of a model have never received a gradient, and why; under their keys. To be asked after a
/// backward():
///
///     loss.backward();
///     std::cout << coverage(model);
///
/// An optimizer asks at its first step() and warns (<tapestry/autograd/base/warning.h>) of what is missing and not
/// frozen.
[[nodiscard]] Coverage coverage(const Module& model);

}  // namespace tapestry::nn
