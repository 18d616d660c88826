#include <tapestry/ops/detail/norm_checks.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/detail/common.h>

namespace tapestry {

void check_parameter(const char* op, const char* what, const Tensor& parameter, const Tensor& x, const Shape& shape) {
  if (!parameter.defined()) return;
  if (x.dtype() != bf16) check_same_dtype(op, x, parameter);
  else if (parameter.dtype() != f32) {
    throw_invalid("{}: {} must be f32 beside a bf16 input; got {}, convert it with to(x, f32)", op, what,
                  parameter.dtype());
  }
  check_shape(op, what, parameter, shape);
}

void check_eps(const char* op, double eps) {
  if (!(eps >= 0)) throw_invalid("{}: eps must not be negative; got {}", op, eps);
}

}  // namespace tapestry
