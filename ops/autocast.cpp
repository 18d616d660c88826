#include <tapestry/ops/autocast.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry {

bool Autocast::is_lower(Dtype dtype) {
  if (dtype != bf16 && dtype != f32) throw_invalid("Autocast: the dtype must be bf16, or f32 for none; got {}", dtype);
  return dtype == bf16;
}

}  // namespace tapestry
