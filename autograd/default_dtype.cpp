#include <tapestry/autograd/default_dtype.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry {

Dtype DefaultDtype::checked(Dtype dtype, Here here) {
  const CallSite site(here);
  if (!is_float(dtype)) throw_invalid("default_dtype: the dtype must be f32, f64 or bf16; got {}", dtype);
  return dtype;
}

}  // namespace tapestry
