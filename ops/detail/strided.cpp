#include <tapestry/ops/detail/strided.h>

#include <tapestry/ops/kernels/copy.h>

namespace tapestry {

Extents strides_of(const Shape& shape) {
  Extents strides{};
  Index stride = 1;
  for (Index d = shape.rank() - 1; d >= 0; --d) {
    strides[static_cast<std::size_t>(d)] = stride;
    stride *= shape[d];
  }
  return strides;
}

Tensor strided(const Tensor& x, const Shape& shape, const Extents& strides, Index offset) {
  Tensor y = empty(shape, x.dtype());
  const Index bytes = item_bytes(x.dtype());
  kernels::strided_read(x.impl().bytes() + offset * bytes, y.impl().bytes(), shape.begin(), strides.data(),
                        shape.rank(), bytes);
  return y;
}

void write_strided(const Tensor& x, Tensor& y, const Extents& strides, Index offset) {
  const Index bytes = item_bytes(x.dtype());
  if (x.numel() == 0) return;
  kernels::strided_write(x.impl().bytes(), y.impl().bytes() + offset * bytes, x.shape().begin(), strides.data(),
                         x.dim(), bytes);
}

}  // namespace tapestry
