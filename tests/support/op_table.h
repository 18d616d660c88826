#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tensor.h>

/// The table of ops: every differentiable op has at least one row, written in its family's test file. Generic tests
/// (tests/ops/op_table_test.cpp) walk it: gradients of first and second order in f64, f32 against f64, offset operands,
/// purity, bits at several thread counts; and the table in docs/ops.md is printed from it.
namespace tapestry::test {

struct OpSpec {
  std::string op;                                         ///< the exported name: "conv2d"
  std::string variant;                                    ///< what this row adds: "stride 2, groups 2"
  std::function<std::vector<Tensor>(Generator&)> inputs;  ///< f64 samples, away from kinks and ties
  std::function<Tensor(const std::vector<Tensor>&)> f;    ///< the op; must work in f32 and f64
  double rtol = 1e-6;                                     ///< of check_grads
  double f32_tolerance = 1e-5;                            ///< |f32 - f64| <= this * max(1, largest |f64|)
  bool first_order_linear = false;                        ///< second derivatives are zero: nothing to compare
};

/// Adds rows at static initialisation: `const OpRows rows{{...}, {...}};`
struct OpRows {
  OpRows(std::initializer_list<OpSpec> specs);
};

[[nodiscard]] const std::vector<OpSpec>& op_table();

/// Samplers, all f64 and driven by the generator.
[[nodiscard]] Tensor sample(Generator& generator, const Shape& shape, double low = -1, double high = 1);
/// Magnitude in [low, high], random sign.
[[nodiscard]] Tensor sample_signed(Generator& generator, const Shape& shape, double low, double high);
/// Distinct values, shuffled multiples of 0.1 with a jitter of 0.02: no ties for max and its kin.
[[nodiscard]] Tensor sample_distinct(Generator& generator, const Shape& shape);

}  // namespace tapestry::test
