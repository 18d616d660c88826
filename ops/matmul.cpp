#include <tapestry/ops/matmul.h>

#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/checkpoint.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/detail/kernel_operands.h>
#include <tapestry/ops/kernels/gemm/select.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

/// Extents of a product: leading dimensions of each operand, and the matrices behind them.
struct Plan {
  Index m, n, k;
  Shape a_batch, b_batch, batch;

  Plan(const Tensor& a, const Tensor& b, const MatmulOptions& o) {
    const Shape& sa = a.shape();
    const Shape& sb = b.shape();
    const Index ra = sa.rank(), rb = sb.rank();
    m = sa[o.transpose_a ? ra - 1 : ra - 2];
    k = sa[o.transpose_a ? ra - 2 : ra - 1];
    n = sb[o.transpose_b ? rb - 2 : rb - 1];
    const Index b_inner = sb[o.transpose_b ? rb - 1 : rb - 2];
    if (k != b_inner) {
      throw_invalid("matmul: inner extents differ: a is {}{}, b is {}{}", sa, o.transpose_a ? " transposed" : "", sb,
                    o.transpose_b ? " transposed" : "");
    }
    a_batch = Shape(sa.extents().first(static_cast<std::size_t>(ra - 2)));
    b_batch = Shape(sb.extents().first(static_cast<std::size_t>(rb - 2)));
    batch = broadcast_shape("matmul", a_batch, b_batch);
  }

  [[nodiscard]] Shape result() const { return batch.inserted(batch.rank(), m).inserted(batch.rank() + 1, n); }
};

/// Where each product of the batch finds its operand, in elements of `matrix` per leading index.
CountedVector<Index> offsets(const Shape& operand, const Shape& batch, Index matrix) {
  CountedVector<Index> out(static_cast<std::size_t>(batch.numel()));
  for (Index i = 0; i < batch.numel(); ++i) {
    Index rest = i, offset = 0, stride = matrix;
    for (Index d = batch.rank() - 1; d >= 0; --d) {
      const Index at = rest % batch[d];
      rest /= batch[d];
      const Index own = d - (batch.rank() - operand.rank());
      if (own < 0) continue;
      if (operand[own] != 1) offset += at * stride;
      stride *= operand[own];
    }
    out[static_cast<std::size_t>(i)] = offset;
  }
  return out;
}

/// sum_to, in f32 for bf16.
Tensor sum_gradient(const Tensor& dy, const Shape& shape) {
  return dy.shape() == shape ? dy : to(sum_to(widened(dy), shape), dy.dtype());
}

Tensor compute(const Tensor& a, const Tensor& b, const MatmulOptions& o, const Plan& plan, Dtype dtype) {
  Tensor y = empty(plan.result(), dtype);
  const kernels::GemmShape shape{o.transpose_a, o.transpose_b, plan.m, plan.n, plan.k};
  if (plan.batch.numel() == 1) {
    kernels::gemm(shape, kernel_precision(), elements(a), elements(b), nullptr, dtype, result(y));
    return y;
  }
  const auto a_offsets = offsets(plan.a_batch, plan.batch, plan.m * plan.k);
  const auto b_offsets = offsets(plan.b_batch, plan.batch, plan.k * plan.n);
  kernels::gemm_batched(shape, kernel_precision(), plan.batch.numel(), a_offsets.data(), b_offsets.data(), elements(a),
                        elements(b), dtype, result(y));
  return y;
}

/// The product of matrices, in `dtype`: that of both operands, or bf16 or f32 for any mixture of these two.
/// With y = A B: dA = dY B^T, dB = A^T dY; the flags say how each operand lies in memory.
Tensor matrix_product(const Tensor& a, const Tensor& b, const MatmulOptions& o, Dtype dtype) {
  const Plan plan(a, b, o);
  return record(
      "matmul", detail::kept_or("matmul", [&] { return compute(a, b, o, plan, dtype); }),
      wrt(
          a,
          [b = saved(b), o, shape = a.shape(), own = a.dtype()](const Tensor& dy) {
            return sum_gradient(o.transpose_a
                                    ? matrix_product(b(), dy, {.transpose_a = o.transpose_b, .transpose_b = true}, own)
                                    : matrix_product(dy, b(), {.transpose_b = !o.transpose_b}, own),
                                shape);
          },
          [&](const Tensor& t) { return matrix_product(t, b, o, dtype); }),
      wrt(
          b,
          [a = saved(a), o, shape = b.shape(), own = b.dtype()](const Tensor& dy) {
            return sum_gradient(o.transpose_b
                                    ? matrix_product(dy, a(), {.transpose_a = true, .transpose_b = o.transpose_a}, own)
                                    : matrix_product(a(), dy, {.transpose_a = !o.transpose_a}, own),
                                shape);
          },
          [&](const Tensor& t) { return matrix_product(a, t, o, dtype); }));
}

}  // namespace

Tensor matmul(const Tensor& a_given, const Tensor& b_given, const MatmulOptions& options, Here here) {
  const CallSite site(here);
  check_defined("matmul", "a", a_given);
  check_defined("matmul", "b", b_given);
  const bool lower = is_autocast_enabled() && is_f32_or_bf16(a_given, b_given);
  const Tensor a = lower ? to(a_given, bf16) : a_given, b = lower ? to(b_given, bf16) : b_given;
  check_any_float("matmul", a);
  check_same_dtype("matmul", a, b);
  if (a.dim() == 0 || b.dim() == 0) {
    throw_invalid("matmul: operands must have a dimension; a is {}, b is {}", a.shape(), b.shape());
  }
  const bool a_vector = a.dim() == 1, b_vector = b.dim() == 1;
  if ((a_vector && options.transpose_a) || (b_vector && options.transpose_b)) {
    throw_invalid("matmul: a vector cannot be transposed; a is {}, b is {}", a.shape(), b.shape());
  }
  if (!a_vector && b.dim() == 2 && a.dim() > 2 && !options.transpose_a && a.numel() > 0) {
    // One matrix for the whole batch: the rows of all of a are one product, forward and backward.
    const Index k = a.shape()[a.dim() - 1];
    const Tensor y = matrix_product(reshape(a, Shape{a.numel() / k, k}), b, options, a.dtype());
    return reshape(y, a.shape().with(a.dim() - 1, y.shape()[1]));
  }
  if (!a_vector && !b_vector) return matrix_product(a, b, options, a.dtype());
  Tensor y = matrix_product(a_vector ? unsqueeze(a, 0) : a, b_vector ? unsqueeze(b, 1) : b, options, a.dtype());
  if (b_vector) y = reshape(y, y.shape().without(y.dim() - 1));
  if (a_vector) y = reshape(y, y.shape().without(y.dim() - (b_vector ? 1 : 2)));
  return y;
}

Tensor linear(const Tensor& x_given, const Tensor& w, const Tensor& b, Here here) {
  const CallSite site(here);
  check_defined("linear", "x", x_given);
  check_defined("linear", "w", w);
  // Under autocast w and b stay f32: their gradients are then the sums before they are rounded.
  const bool lower = is_autocast_enabled() && is_f32_or_bf16(x_given, w, b);
  const Tensor x = lower ? to(x_given, bf16) : x_given;
  check_any_float("linear", x);
  if (!lower) check_same_dtype("linear", x, w);
  if (x.dim() == 0 || w.dim() != 2 || x.shape()[x.dim() - 1] != w.shape()[1]) {
    throw_invalid("linear: x must be [..., in] and w [out, in]; got {} and {}", x.shape(), w.shape());
  }
  const Index out = w.shape()[0], in = w.shape()[1], rows = in == 0 ? x.shape().numel(0, x.dim() - 1) : x.numel() / in;
  if (b.defined()) {
    if (!lower) check_same_dtype("linear", x, b);
    check_shape("linear", "b", b, {out});
  }
  Tensor y = detail::kept_or("linear", [&] {
    Tensor sums = empty(x.shape().with(x.dim() - 1, out), x.dtype());
    const Tensor bias = b.defined() && x.dtype() == bf16 ? no_grad([&] { return to(b, f32); }) : b;
    kernels::gemm({false, true, rows, out, in}, kernel_precision(), elements(x), elements(w),
                  bias.defined() ? elements(bias).data : nullptr, sums.dtype(), result(sums));
    return sums;
  });
  return record(
      "linear", std::move(y),
      wrt(
          x,
          [w = saved(w), rows, out](const Tensor& dy, const Shape& shape) {
            return reshape(matrix_product(reshape(dy, Shape{rows, out}), w(), {}, dy.dtype()), shape);
          },
          [&](const Tensor& t) { return linear(t, w, {}); }),
      wrt(
          w,
          [x = saved(x), rows, in, out, dtype = w.dtype()](const Tensor& dy) {
            return matrix_product(reshape(dy, Shape{rows, out}), reshape(x(), Shape{rows, in}), {.transpose_a = true},
                                  dtype);
          },
          [&](const Tensor& t) { return linear(x, t, {}); }),
      wrt(
          b,
          [out, dtype = b.defined() ? b.dtype() : f32](const Tensor& dy) {
            return to(sum_to(widened(dy), Shape{out}), dtype);
          },
          [](const Tensor& t, const Tensor& sums) { return to(broadcast_to(t, sums.shape()), sums.dtype()); }));
}

}  // namespace tapestry
