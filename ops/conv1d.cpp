#include <tapestry/ops/conv1d.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

constexpr const char* kOp = "conv1d";

/// All that conv2d would refuse, in words for sequences.
void check(const Tensor& x, const Tensor& w, const Tensor& b, const Conv1dOptions& o) {
  check_defined(kOp, "x", x);
  check_defined(kOp, "w", w);
  if (!is_autocast_enabled() || !is_f32_or_bf16(x, w, b)) {
    check_any_float(kOp, x);
    check_same_dtype(kOp, x, w);
    if (b.defined()) check_same_dtype(kOp, x, b);
  }
  const Shape &sx = x.shape(), &sw = w.shape();
  if (sx.rank() != 3) throw_invalid("{}: the input must be [N, L, C]; got {}", kOp, sx);
  if (sw.rank() != 3) throw_invalid("{}: the weight must be [K, R, C / groups]; got {}", kOp, sw);
  if (o.stride < 1) throw_invalid("{}: stride must be at least 1; got {}", kOp, o.stride);
  if (o.dilation < 1) throw_invalid("{}: dilation must be at least 1; got {}", kOp, o.dilation);
  if (o.padding.size < 0) throw_invalid("{}: padding must not be negative; got {}", kOp, o.padding.size);
  if (o.groups < 1) throw_invalid("{}: groups must be at least 1; got {}", kOp, o.groups);
  if (o.padding.is_same && o.stride != 1) throw_invalid("{}: Padding::same needs stride 1; got {}", kOp, o.stride);
  if (sw[1] < 1) throw_invalid("{}: the kernel must have a tap; the weight is {}", kOp, sw);
  const Index channels = checked_product(kOp, sw[2], o.groups);
  if (sx[2] != channels) {
    const bool channels_first = sx[1] == channels;
    throw_invalid("{}: input has {} channels, weight expects {} (input {}, weight {}, groups {}){}", kOp, sx[2],
                  channels, sx, sw, o.groups,
                  channels_first ? "; if the input is [N, C, L], transpose(x, 1, 2) makes it [N, L, C]" : "");
  }
  if (sw[0] % o.groups != 0) throw_invalid("{}: groups must divide the {} filters; got {}", kOp, sw[0], o.groups);
  const auto [reach, padded] = checked_span(kOp, sx[1], sw[1], o.padding.is_same ? 0 : o.padding.size, o.dilation);
  if (!o.padding.is_same && reach > padded) {
    throw_invalid("{}: the kernel must fit into the padded input; it spans {}, the input {}", kOp, reach, padded);
  }
  if (b.defined()) check_shape(kOp, "the bias", b, {sw[0]});
}

}  // namespace

Tensor conv1d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv1dOptions& options, Here here) {
  const CallSite site(here);
  check(x, w, b, options);
  const Padding2 padding = options.padding.is_same ? Padding2(Padding::same) : Padding2(0, options.padding.size);
  const Tensor y = conv2d(
      unsqueeze(x, 1), unsqueeze(w, 1), b,
      {.stride = {1, options.stride}, .padding = padding, .dilation = {1, options.dilation}, .groups = options.groups});
  return squeeze(y, 1);
}

}  // namespace tapestry
