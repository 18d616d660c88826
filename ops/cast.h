#pragma once

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// x converted to another dtype; x itself when it has it. Float to integer truncates and saturates, NaN becomes 0; to
/// bool, everything but 0 is true; f32 to bf16 rounds to nearest even. The gradient of a cast between floats comes back
/// in x's dtype; a cast to a type that is no float ends the graph.
[[nodiscard]] Tensor to(const Tensor& x, Dtype dtype, Here here = {});

/// A copy with storage of its own, recorded.
[[nodiscard]] Tensor clone(const Tensor& x, Here here = {});

}  // namespace tapestry
