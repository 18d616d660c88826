#include <tapestry/ops/dropout.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/kernels/dropout.h>

namespace tapestry {
namespace {

/// x [outer, repeat, inner] against mask [outer, inner].
struct Layout {
  Index outer, repeat, inner;
};

/// mask ? scale * x : 0. Linear in x: its rule is the op itself.
Tensor masked_scale(const char* name, const Tensor& x, const Tensor& mask, const Layout& layout, double scale) {
  if (x.dtype() == bf16) return to(masked_scale(name, to(x, f32), mask, layout, scale), bf16);
  Tensor y = empty(x.shape(), x.dtype());
  visit_float(x.dtype(), [&]<class T>() {
    kernels::masked_scale(x.data<T>(), mask.data<bool>(), layout.outer, layout.repeat, layout.inner,
                          static_cast<T>(scale), y.mutable_data<T>());
  });
  return record(name, std::move(y), wrt(x, self_adjoint, [name, mask = saved(mask), layout, scale](const Tensor& dy) {
                  return masked_scale(name, dy, mask(), layout, scale);
                }));
}

/// Whether there is anything to drop.
bool drops(const char* op, const Tensor& x, const DropoutOptions& options) {
  check_any_float(op, x);
  if (!(options.p >= 0 && options.p <= 1)) throw_invalid("{}: p must be in [0, 1]; got {}", op, options.p);
  return options.training && options.p > 0;
}

/// With p = 1 nothing is kept, and nothing must be infinite.
double scale_of(const DropoutOptions& options) { return options.p == 1 ? 0 : 1 / (1 - options.p); }

Tensor draw_mask(const Shape& shape, const DropoutOptions& options) {
  return bernoulli(shape, 1 - options.p, {.generator = options.generator});
}

}  // namespace

Tensor dropout(const Tensor& x, const DropoutOptions& options, Here here) {
  const CallSite site(here);
  if (!drops("dropout", x, options)) return x;
  return masked_scale("dropout", x, draw_mask(x.shape(), options), {1, 1, x.numel()}, scale_of(options));
}

Tensor dropout2d(const Tensor& x, const DropoutOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("dropout2d", x);
  check_image("dropout2d", x.shape());
  if (!drops("dropout2d", x, options)) return x;
  const Tensor mask = draw_mask({x.size(0), 1, 1, x.size(3)}, options);
  return masked_scale("dropout2d", x, mask, {x.size(0), x.size(1) * x.size(2), x.size(3)}, scale_of(options));
}

Tensor drop_path(const Tensor& x, const DropoutOptions& options, Here here) {
  const CallSite site(here);
  check_any_float("drop_path", x);
  if (x.dim() == 0) throw_invalid("drop_path: the input must have a sample dimension; got shape []");
  if (!drops("drop_path", x, options)) return x;
  Shape one_per_sample = x.shape();
  for (Index d = 1; d < x.dim(); ++d) one_per_sample = one_per_sample.with(d, 1);
  return where(draw_mask(one_per_sample, options), x * scale_of(options), 0.0);
}

}  // namespace tapestry
