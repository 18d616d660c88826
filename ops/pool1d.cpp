#include <tapestry/ops/pool1d.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/extent.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

void check_option(const char* op, const char* what, Index value, Index least) {
  if (value < least) throw_invalid("{}: {} must be at least {}; got {}", op, what, least, value);
}

/// All that the poolings of images would refuse, in words for sequences.
void check(const char* op, const Tensor& x, Index kernel, Index stride, Index padding, Index dilation, bool ceil_mode) {
  check_any_float(op, x);
  if (x.dim() != 3) throw_invalid("{}: the input must be [N, L, C]; got {}", op, x.shape());
  if (x.size(1) == 0) throw_invalid("{}: the input must have an element; got {}", op, x.shape());
  check_option(op, "kernel", kernel, 1);
  check_option(op, "stride", stride, 1);
  check_option(op, "dilation", dilation, 1);
  check_option(op, "padding", padding, 0);
  if (padding > kernel / 2) {
    throw_invalid("{}: padding must be at most half the kernel, {}; got {}", op, kernel, padding);
  }
  const auto [reach, padded] = checked_span(op, x.size(1), kernel, padding, dilation);
  // With ceil_mode a window may begin up to a stride, less one, before it would have to end.
  if (reach - padded >= (ceil_mode ? stride : 1)) {
    throw_invalid("{}: the kernel must fit into the padded input; it spans {}, the input {}", op, reach, padded);
  }
}

}  // namespace

Tensor max_pool1d(const Tensor& x, const MaxPool1dOptions& o, Here here) {
  const CallSite site(here);
  const Index stride = o.stride.value_or(o.kernel);
  check("max_pool1d", x, o.kernel, stride, o.padding, o.dilation, o.ceil_mode);
  const Tensor y = max_pool2d(unsqueeze(x, 1), {.kernel = {1, o.kernel},
                                                .stride = OptionalPair2(1, stride),
                                                .padding = {0, o.padding},
                                                .dilation = {1, o.dilation},
                                                .ceil_mode = o.ceil_mode});
  return squeeze(y, 1);
}

Tensor avg_pool1d(const Tensor& x, const AvgPool1dOptions& o, Here here) {
  const CallSite site(here);
  const Index stride = o.stride.value_or(o.kernel);
  check("avg_pool1d", x, o.kernel, stride, o.padding, 1, o.ceil_mode);
  const Tensor y = avg_pool2d(unsqueeze(x, 1), {.kernel = {1, o.kernel},
                                                .stride = OptionalPair2(1, stride),
                                                .padding = {0, o.padding},
                                                .ceil_mode = o.ceil_mode,
                                                .count_include_pad = o.count_include_pad});
  return squeeze(y, 1);
}

}  // namespace tapestry
