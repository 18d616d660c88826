#include <support/op_table.h>

namespace tapestry::test {
namespace {

std::vector<OpSpec>& table() {
  static std::vector<OpSpec> specs;
  return specs;
}

}  // namespace

OpRows::OpRows(std::initializer_list<OpSpec> specs) { table().insert(table().end(), specs.begin(), specs.end()); }

const std::vector<OpSpec>& op_table() { return table(); }

Tensor sample(Generator& generator, const Shape& shape, double low, double high) {
  return uniform(shape, low, high, {.dtype = f64, .generator = &generator});
}

Tensor sample_signed(Generator& generator, const Shape& shape, double low, double high) {
  Tensor x = sample(generator, shape, low, high);
  double* data = x.mutable_data<double>();
  for (Index i = 0; i < x.numel(); ++i) {
    if (generator.uniform() < 0.5) data[i] = -data[i];
  }
  return x;
}

Tensor sample_distinct(Generator& generator, const Shape& shape) {
  const Tensor order = randperm(shape.numel(), {.generator = &generator});
  Tensor x = sample(generator, shape, -0.02, 0.02);
  double* data = x.mutable_data<double>();
  for (Index i = 0; i < x.numel(); ++i) {
    data[i] += 0.1 * (1 + static_cast<double>(order.data<std::int64_t>()[i]));
  }
  return x;
}

}  // namespace tapestry::test
