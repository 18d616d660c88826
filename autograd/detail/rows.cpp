#include <tapestry/autograd/detail/rows.h>

#include <cstring>

#include <tapestry/autograd/record.h>

namespace tapestry::detail {
namespace {

Tensor put_part(const Tensor& part, const Shape& shape, Index at);

}  // namespace

Tensor take_part(const Tensor& x, const Shape& shape, Index at) {
  Tensor y = alias(x, shape, at * item_bytes(x.dtype()));
  return record("take_part", std::move(y),
                wrt(
                    x, [whole = x.shape(), at](const Tensor& dy) { return put_part(dy, whole, at); },
                    [&](const Tensor& t) { return take_part(t, shape, at); }));
}

namespace {

/// Zeros in this shape, but for the elements of `part` from `at` on.
Tensor put_part(const Tensor& part, const Shape& shape, Index at) {
  Tensor y = zeros(shape, {.dtype = part.dtype()});
  const Index bytes = item_bytes(part.dtype());
  if (part.numel() > 0) {
    std::memcpy(y.impl().bytes() + at * bytes, part.impl().bytes(), static_cast<std::size_t>(part.numel() * bytes));
  }
  return record("put_part", std::move(y),
                wrt(
                    part, [own = part.shape(), at](const Tensor& dy) { return take_part(dy, own, at); },
                    [&](const Tensor& t) { return put_part(t, shape, at); }));
}

}  // namespace

Tensor stack_rows(const std::vector<Tensor>& rows, const Shape& shape, Dtype dtype) {
  Tensor y = empty(shape, dtype);
  std::byte* out = y.impl().bytes();
  std::vector<Shape> shapes;
  for (const Tensor& row : rows) {
    shapes.push_back(row.shape());
    const auto bytes = static_cast<std::size_t>(row.numel() * item_bytes(dtype));
    if (bytes > 0) std::memcpy(out, row.impl().bytes(), bytes);
    out += bytes;
  }
  const auto rule = [shapes](const Tensor& dy, const std::vector<bool>& wanted) {
    std::vector<Tensor> parts(shapes.size());
    Index at = 0;
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      if (wanted[i]) parts[i] = take_part(dy, shapes[i], at);
      at += shapes[i].numel();
    }
    return parts;
  };
  const auto tangent = [&](const std::vector<Tensor>& ts) {
    std::vector<Tensor> whole;
    for (std::size_t i = 0; i < ts.size(); ++i) whole.push_back(ts[i].defined() ? ts[i] : zeros_like(rows[i]));
    return stack_rows(whole, shape, dtype);
  };
  return record_joint("stack_rows", std::move(y), rows, rule, tangent);
}

Tensor swap_parts(const Tensor& x, Index rows, const Shape& shape) {
  Tensor y = empty(shape, x.dtype());
  const Index columns = rows == 0 ? 0 : x.numel() / rows, bytes = item_bytes(x.dtype());
  for (Index r = 0; r < rows; ++r) {
    for (Index c = 0; c < columns; ++c) {
      std::memcpy(y.impl().bytes() + (c * rows + r) * bytes, x.impl().bytes() + (r * columns + c) * bytes,
                  static_cast<std::size_t>(bytes));
    }
  }
  return record("swap_parts", std::move(y),
                wrt(
                    x, [columns](const Tensor& dy, const Shape& own) { return swap_parts(dy, columns, own); },
                    [&](const Tensor& t) { return swap_parts(t, rows, shape); }));
}

}  // namespace tapestry::detail
