#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// Why a parameter has never received a gradient.
enum class NoGradient {
  frozen,    ///< it does not require grad
  detached,  ///< what was computed from it was cut off by detach()
  unused,    ///< backward() was called for nothing that was computed from it, or no backward() at all
};

/// A parameter that has never received a gradient.
struct CoverageGap {
  std::string name;  ///< key of the parameter in its model, where it has one; else its number in the list
  Shape shape = {};  ///< of the parameter
  NoGradient why = NoGradient::unused;  ///< what kept the gradient away
  std::string where = {};               ///< "model.cpp:42": the line of the detach()
};

/// Which of a list of parameters have received gradients since they were made.
struct Coverage {
  Index parameters = 0;           ///< how many tensors there are
  std::vector<CoverageGap> gaps;  ///< those that have received none, in the order of the list

  /// Nothing is missing but what is frozen.
  [[nodiscard]] bool complete() const noexcept;
  /// Not one has received anything.
  [[nodiscard]] bool empty() const noexcept { return parameters > 0 && std::ssize(gaps) == parameters; }
};

/// Looks at parameters after a backward(): before zero_grad() or behind it. Names come from the modules that they
/// belong to. A gradient of zeros is a gradient; what grad() returns is none that a parameter receives.
[[nodiscard]] Coverage coverage(const std::vector<Tensor>& parameters);

/// A line per gap, then the count.
[[nodiscard]] std::string to_string(const Coverage& coverage);
std::ostream& operator<<(std::ostream& out, const Coverage& coverage);

}  // namespace tapestry
