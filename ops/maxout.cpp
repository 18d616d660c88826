#include <tapestry/ops/maxout.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {

Tensor maxout(const Tensor& x, Index pieces, Here here) {
  const CallSite site(here);
  check_any_float("maxout", x);
  if (x.dim() == 0) throw_invalid("maxout: the input must have a channel dimension; got shape []");
  const Index channels = x.size(-1);
  if (pieces < 1 || channels % pieces != 0) {
    throw_invalid("maxout: the pieces must divide the channels; got {} pieces, {} channels", pieces, channels);
  }
  const Shape shape = x.shape().with(x.dim() - 1, channels / pieces);
  const Tensor largest = max_dim(reshape(x, Shape{shape.numel(), pieces}), {.dim = 1}).values;
  return reshape(to(largest, x.dtype()), shape);  // max_dim gives f32 for bf16
}

}  // namespace tapestry
