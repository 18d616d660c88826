#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/broadcast.h>

/// Elementwise loops, compiled for every instruction set and chosen at run time.
namespace tapestry::kernels {

enum class Unary {
  neg,
  abs,
  sign,
  square,
  sqrt,
  rsqrt,
  reciprocal,
  exp,
  expm1,
  log,
  log1p,
  log2,
  log10,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  asinh,
  acosh,
  atanh,
  tanh,
  sigmoid,
  erf,
  floor,
  ceil,
  round,
  trunc,
  relu,
  silu,
  gelu,
  gelu_tanh
};

/// y[i] = op(x[i]). T is float, double or BFloat16, which is computed in float; for neg, abs, sign and square also an
/// integer type.
template <class T>
void unary(Unary op, const T* x, T* y, Index n);

/// Operations with one number beside the element.
enum class WithNumber { pow, leaky_relu, elu, clamp_low, clamp_high };

/// y[i] = op(x[i], number). T is float or double.
template <class T>
void with_number(WithNumber op, const T* x, T number, T* y, Index n);
void with_number(WithNumber op, const BFloat16* x, float number, BFloat16* y, Index n);

/// Arithmetic, and first-order gradients that pay as one pass: a is dy, b what the op saved.
enum class Binary {
  add,
  sub,
  mul,
  div,
  maximum,
  minimum,
  floor_divide,  ///< towards minus infinity; an integer b must not be 0
  remainder,     ///< what that leaves, with the sign of b; an integer b must not be 0
  fmod,          ///< what a division towards zero leaves, with the sign of a; an integer b must not be 0
  pow,           ///< a^b; an integer b must not be negative
  fmax,          ///< the larger; of a number and a NaN the number
  fmin,          ///< the smaller; of a number and a NaN the number
  atan2,         ///< the angle of (b, a)
  hypot,         ///< sqrt(a^2 + b^2)
  relu_grad,     ///< b > 0 or b is NaN ? a : 0            b: input or output of relu
  abs_grad,      ///< a sign(b)
  sqrt_grad,     ///< a / (2 b)                            b: output of sqrt
  tanh_grad,     ///< a (1 - b^2)                          b: output of tanh
  sigmoid_grad,  ///< a b (1 - b)                          b: output of sigmoid
  silu_grad,     ///< a s (1 + b (1 - s)), s = sigmoid(b)  b: input of silu
  gelu_grad      ///< a (Phi(b) + b phi(b))                b: input of gelu
};

/// y = op(a, b) over the rows of a broadcast. T is float, double or BFloat16; up to `pow` but for `div` also an
/// integer type.
template <class T>
void binary(Binary op, const Broadcast& broadcast, const T* a, const T* b, T* y);

enum class Compare { eq, ne, lt, le, gt, ge };

/// y = op(a, b), false where either is NaN except for ne. T is any element type.
template <class T>
void compare(Compare op, const Broadcast& broadcast, const T* a, const T* b, bool* y);

/// y[i] = condition[i] ? a[i * a_step] : b[i * b_step]; steps are 0 or 1. The loop copies bytes: T is an unsigned type
/// of the element's size.
template <class T>
void select(const bool* condition, const T* a, Index a_step, const T* b, Index b_step, T* y, Index n);

template <>
void unary(Unary op, const BFloat16* x, BFloat16* y, Index n);
template <>
void binary(Binary op, const Broadcast& broadcast, const BFloat16* a, const BFloat16* b, BFloat16* y);
template <>
void compare(Compare op, const Broadcast& broadcast, const BFloat16* a, const BFloat16* b, bool* y);

/// The loops of one element type for one instruction set; rows [begin, end) of a broadcast.
template <class T>
struct ElementwiseTable {
  void (*unary)(Unary, const T*, T*, Index);
  void (*with_number)(WithNumber, const T*, T, T*, Index);
  void (*binary)(Binary, const Broadcast&, Index begin, Index end, const T*, const T*, T*);
  void (*compare)(Compare, const Broadcast&, Index begin, Index end, const T*, const T*, bool*);
};

/// y = number * x. In f32 and f64.
template <class T>
void scale(const T* x, T number, T* y, Index n);

}  // namespace tapestry::kernels
