#include <tapestry/ops/detail/loss.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/reduce.h>

namespace tapestry {

void check_reduction(const char* op, Reduction reduction) {
  if (reduction == Reduction::batchmean) throw_invalid("{}: reduction must be mean, sum or none; got batchmean", op);
}

void check_constant(const char* op, const char* what, const Tensor& factor, const Tensor& x) {
  check_same_dtype(op, x, factor);
  if (factor.requires_grad()) throw_invalid("{}: {} must be a constant; got one that requires grad", op, what);
}

Tensor reduced(const Tensor& losses, Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return mean(losses);
    case Reduction::sum: return sum(losses);
    case Reduction::none:
    case Reduction::batchmean: break;
  }
  return losses;
}

}  // namespace tapestry
