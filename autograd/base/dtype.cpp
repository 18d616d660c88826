#include <tapestry/autograd/base/dtype.h>

namespace tapestry {

const char* name_of(Dtype dtype) noexcept {
  switch (dtype) {
    case f32: return "f32";
    case f64: return "f64";
    case bf16: return "bf16";
    case i64: return "i64";
    case i32: return "i32";
    case u8: return "u8";
    default: return "bool";
  }
}

}  // namespace tapestry
