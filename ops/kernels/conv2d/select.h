#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/ops/kernels/conv2d/conv2d.h>
#include <tapestry/ops/kernels/precision.h>

/// The one door to convolutions: which algorithm computes a pass, and the passes by that algorithm. Contracts are those
/// of conv2d.h, but for what `precision` allows.
namespace tapestry::kernels {

enum class Conv2dPass : std::uint8_t { forward, input_grad, weight_grad };

/// The algorithm for a pass whose operands (x and w, dy and w, or x and dy) have these dtypes. Depends on nothing else
/// but the CPU, so a program gets the same bits every time.
[[nodiscard]] Conv2dMethod select_conv2d(Conv2dPass pass, const Conv2dShape& shape, Dtype first, Dtype second,
                                         Precision precision);

void conv2d(const Conv2dShape& shape, Precision precision, Elements x, Elements w, const void* bias, void* y,
            Storage* keep = nullptr);
void conv2d_input_grad(const Conv2dShape& shape, Precision precision, Elements dy, Elements w, void* dx);
void conv2d_weight_grad(const Conv2dShape& shape, Precision precision, Elements x, Elements dy, void* dw);

}  // namespace tapestry::kernels
