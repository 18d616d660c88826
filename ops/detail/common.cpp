#include <tapestry/ops/detail/common.h>

#include <cmath>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/cast.h>

namespace tapestry {

void check_float(const char* op, const Tensor& x, const char* what) {
  check_defined(op, what, x);
  if (x.dtype() != f32 && x.dtype() != f64) {
    throw_invalid("{}: the dtype must be f32 or f64; got {}, convert it with to(x, f32)", op, x.dtype());
  }
}

void check_any_float(const char* op, const Tensor& x, const char* what) {
  check_defined(op, what, x);
  if (!is_float(x.dtype())) {
    throw_invalid("{}: the dtype must be f32, f64 or bf16; got {}, convert it with to(x, f32)", op, x.dtype());
  }
}

void check_arithmetic(const char* op, Dtype dtype) {
  if (dtype == boolean) throw_invalid("{}: the dtype must be f32, f64, bf16 or an integer; got {}", op, dtype);
}

void check_bool(const char* op, const Tensor& x) {
  if (x.dtype() != boolean) throw_invalid("{}: the dtype must be bool; got {}", op, x.dtype());
}

void check_image(const char* op, const Shape& shape) {
  if (shape.rank() == 4) return;
  throw_invalid("{}: the input must be [N, H, W, C]; got {}, reshape one image to [1, H, W, C]", op, shape);
}

const char* channels_first_hint(const Shape& x, Index channels) noexcept {
  const bool looks_so = x.rank() == 4 && x[1] == channels && x[3] != channels;
  return looks_so ? "; if the input is [N, C, H, W], permute(x, {0, 2, 3, 1}) makes it [N, H, W, C]" : "";
}

void check_same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype()) {
    throw_invalid("{}: the dtypes must be equal; got {} and {}, convert one with to(x, {})", op, a.dtype(), b.dtype(),
                  a.dtype());
  }
}

void check_shape(const char* op, const char* what, const Tensor& x, const Shape& expected) {
  if (x.shape() != expected) throw_invalid("{}: {} must be {}; got {}", op, what, expected, x.shape());
}

bool is_f32_or_bf16(const Tensor& a, const Tensor& b, const Tensor& c) noexcept {
  const auto is = [](const Tensor& x) { return !x.defined() || x.dtype() == f32 || x.dtype() == bf16; };
  return is(a) && is(b) && is(c);
}

bool has_bf16(const Tensor& a, const Tensor& b) noexcept { return a.dtype() == bf16 || b.dtype() == bf16; }

Tensor widened(const Tensor& x) { return x.dtype() == bf16 ? to(x, f32) : x; }

template <class T>
T number_as(const char* op, const Operand& operand) {
  const Number& number = operand.exact_number();
  if constexpr (std::is_same_v<T, bool>) {
    if (number.real() != 0 && number.real() != 1)
      throw_invalid("{}: beside a bool tensor the number must be 0 or 1; got {}", op, to_string(number));
  } else if (!detail::holds<T>(number)) {
    throw_invalid("{}: beside a tensor of {} the number must be one that it can hold; got {}", op, dtype_of<T>,
                  to_string(number));
  }
  return detail::as<T>(number);
}

template float number_as<float>(const char*, const Operand&);
template double number_as<double>(const char*, const Operand&);
template BFloat16 number_as<BFloat16>(const char*, const Operand&);
template std::int64_t number_as<std::int64_t>(const char*, const Operand&);
template std::int32_t number_as<std::int32_t>(const char*, const Operand&);
template std::uint8_t number_as<std::uint8_t>(const char*, const Operand&);
template bool number_as<bool>(const char*, const Operand&);

}  // namespace tapestry
