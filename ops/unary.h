#pragma once

#include <optional>

#include <tapestry/autograd/tensor.h>

/// Elementwise functions of one tensor. y has the shape and dtype of x; x is f32, f64, or bf16, which is computed
/// in f32, unless stated otherwise, else std::invalid_argument. All can be differentiated any number of times.
namespace tapestry {

[[nodiscard]] Tensor neg(const Tensor& x, Here here = {});         ///< -x; integers too
[[nodiscard]] Tensor abs(const Tensor& x, Here here = {});         ///< |x|, gradient 0 at 0; integers too; keeps x
[[nodiscard]] Tensor sign(const Tensor& x, Here here = {});        ///< -1, 0, 1; 0 for NaN; gradient 0; integers too
[[nodiscard]] Tensor square(const Tensor& x, Here here = {});      ///< x^2; integers too; keeps x
[[nodiscard]] Tensor sqrt(const Tensor& x, Here here = {});        ///< keeps y; gradient inf at 0
[[nodiscard]] Tensor rsqrt(const Tensor& x, Here here = {});       ///< 1 / sqrt(x); keeps y
[[nodiscard]] Tensor reciprocal(const Tensor& x, Here here = {});  ///< 1 / x; keeps y
[[nodiscard]] Tensor exp(const Tensor& x, Here here = {});         ///< keeps y
[[nodiscard]] Tensor expm1(const Tensor& x, Here here = {});       ///< exp(x) - 1; keeps y
[[nodiscard]] Tensor log(const Tensor& x, Here here = {});         ///< keeps x; -inf at 0, NaN below
[[nodiscard]] Tensor log1p(const Tensor& x, Here here = {});       ///< log(1 + x); keeps x
[[nodiscard]] Tensor log2(const Tensor& x, Here here = {});        ///< logarithm to base 2; keeps x
[[nodiscard]] Tensor log10(const Tensor& x, Here here = {});       ///< logarithm to base 10; keeps x
[[nodiscard]] Tensor sin(const Tensor& x, Here here = {});         ///< keeps x
[[nodiscard]] Tensor cos(const Tensor& x, Here here = {});         ///< keeps x
[[nodiscard]] Tensor tan(const Tensor& x, Here here = {});         ///< keeps y
[[nodiscard]] Tensor asin(const Tensor& x, Here here = {});        ///< keeps x; gradient inf at -1 and 1, NaN beyond
[[nodiscard]] Tensor acos(const Tensor& x, Here here = {});        ///< keeps x; gradient -inf at -1 and 1, NaN beyond
[[nodiscard]] Tensor atan(const Tensor& x, Here here = {});        ///< keeps x
[[nodiscard]] Tensor sinh(const Tensor& x, Here here = {});        ///< keeps x
[[nodiscard]] Tensor cosh(const Tensor& x, Here here = {});        ///< keeps x
[[nodiscard]] Tensor asinh(const Tensor& x, Here here = {});       ///< keeps x
[[nodiscard]] Tensor acosh(const Tensor& x, Here here = {});       ///< keeps x; gradient inf at 1, NaN below
[[nodiscard]] Tensor atanh(const Tensor& x, Here here = {});       ///< keeps x; infinite at -1 and 1, NaN beyond
[[nodiscard]] Tensor erf(const Tensor& x, Here here = {});         ///< keeps x
[[nodiscard]] Tensor tanh(const Tensor& x, Here here = {});        ///< keeps y
[[nodiscard]] Tensor sigmoid(const Tensor& x, Here here = {});     ///< 1 / (1 + exp(-x)); keeps y
[[nodiscard]] Tensor floor(const Tensor& x, Here here = {});       ///< gradient 0
[[nodiscard]] Tensor ceil(const Tensor& x, Here here = {});        ///< gradient 0
[[nodiscard]] Tensor round(const Tensor& x, Here here = {});       ///< halves to even; gradient 0
[[nodiscard]] Tensor trunc(const Tensor& x, Here here = {});       ///< towards 0; gradient 0

/// x^exponent. Gradient exponent x^(exponent - 1), which is 0 for exponent 0 everywhere. Keeps x. An integer x takes a
/// whole exponent that is not negative, else std::invalid_argument, and wraps around; see also pow of two tensors in
/// <tapestry/ops/binary.h>.
[[nodiscard]] Tensor pow(const Tensor& x, double exponent, Here here = {});

struct ClampOptions {
  std::optional<double> min = {};
  std::optional<double> max = {};
};

/// min(max(x, options.min), options.max): with min > max the result is max. Gradient 1 within the bounds and on them,
/// 0 outside and for NaN. Keeps x. Throws std::invalid_argument when no bound is given.
[[nodiscard]] Tensor clamp(const Tensor& x, const ClampOptions& options, Here here = {});

}  // namespace tapestry
