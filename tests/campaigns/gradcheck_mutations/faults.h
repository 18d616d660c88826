#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include <tapestry/autograd/tensor.h>

/// Faults in gradient and tangent rules, generated: what a rule sends to one of its inputs, or makes of the tangents of
/// all, is replaced by a matrix times it. A matrix says what is wrong - a sign, a factor, an axis, an offset - and a
/// site says where: which op's rule, sending to what, in which shape.
namespace tapestry::mutations {

/// "cross_entropy -> leaf [4, 3]": all gradients that this op's rules send to such a node; the seed of a sweep comes
/// from "dy". "tangent of matmul [2, 4]": all tangents of results of this op and shape.
struct Site {
  std::string name;
  Shape shape;
  bool is_tangent = false;
  auto operator<=>(const Site& other) const { return name <=> other.name; }
  bool operator==(const Site& other) const { return name == other.name; }
};

struct Fault {
  std::string name;  ///< "sign", "rolled along 1"
  Tensor matrix;     ///< f64, [n, n] for n elements
};

/// Everything that can be wrong with a gradient of this shape; none for more than kLargest elements.
[[nodiscard]] std::vector<Fault> faults_for(const Shape& shape);
inline constexpr Index kLargest = 512;

/// When the fault shows: always; in the derivative alone of what it replaces, whose values are right; or where the size
/// makes it more than linear.
enum class Kind { value, derivative, nonlinear };

/// Planted while it lives; one at a time.
class Planted {
 public:
  Planted(const Site& site, const Fault& fault, Kind kind);
  ~Planted();
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;
};

/// All sites that `run` passes.
class Recorder {
 public:
  Recorder();
  ~Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  [[nodiscard]] const std::set<Site>& sites() const;
};

}  // namespace tapestry::mutations
