#pragma once

#include <string>
#include <vector>

#include <tapestry/autograd/tensor.h>

/// How a failed gradient check is told; see <tapestry/autograd/gradcheck/gradcheck.h>.
namespace tapestry::detail {

/// The derivatives of one output by one input, computed twice. Row r is for output element r - or, where the Jacobian
/// is too large, the only row is for the output's product with one random seed.
struct JacobianBlock {
  std::size_t output = 0;
  std::size_t input = 0;
  std::string input_name;  ///< its number, and its key if it has one
  Shape output_shape;
  Shape input_shape;
  Index rows = 0;
  Index columns = 0;
  std::vector<double> analytic;  ///< row-major
  std::vector<double> numeric;
  bool projected = false;
  bool unsteady = false;  ///< computed again, the gradient is another

  struct Bad {
    Index row;
    Index column;
    double half;  ///< the difference quotient with half the step
    double tolerance;
    bool kink;           ///< the slopes to both sides stay apart
    double left, right;  ///< what they are
    double x;            ///< the input element
  };
  std::vector<Bad> bad;

  [[nodiscard]] std::size_t at(Index row, Index column) const {
    return static_cast<std::size_t>(row * columns + column);
  }
};

/// "[0, 2]": where element number `element` of a tensor of this shape stands.
[[nodiscard]] std::string position_text(const Shape& shape, Index element);

/// What kind of mistake would make these entries bad: "sign", "a factor of 2", "transposed", ...
[[nodiscard]] std::string diagnose(const JacobianBlock& block);

/// Several lines: how many entries differ, the five worst, the diagnosis, and both matrices up to 8 x 8.
[[nodiscard]] std::string describe(const JacobianBlock& block);

}  // namespace tapestry::detail
