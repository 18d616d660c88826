#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/gradcheck/detail/report.h>
#include <tapestry/autograd/gradcheck/detail/subject.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/gradcheck/taylor.h>
#include <tapestry/autograd/random.h>

/// How check_grads works inside: one class in several sources, one for each thing that it does. Private to autograd.
namespace tapestry::detail {

using Values = std::vector<double>;

inline constexpr double kUnit = 0x1p-53;  // relative rounding of an f64
inline constexpr double kExact = 1e-11;   // what differs by the order of a few additions only, as intermediates do

[[nodiscard]] bool same_bits(const Values& a, const Values& b);
[[nodiscard]] double largest(const Values& v);
/// Largest |a - b|; infinite when one is not finite or their sizes differ.
[[nodiscard]] double distance(const Values& a, const Values& b);
[[nodiscard]] double dot(const Values& a, const Values& b);

/// One function at one point: everything is verified at first order. Order 2 is this again, for the gradients.
class Check {
 public:
  /// `point` has f64 where f takes a float; `own` the caller's leaves among it, undefined elsewhere; `names` may be
  /// shorter.
  Check(const TensorFunction& f, const std::vector<Tensor>& point, const std::vector<Tensor>& own,
        const std::vector<std::string>& names, const GradCheckOptions& options, int order);

  /// Runs f once, unrecorded if it can be; what f throws passes.
  void prepare();
  /// Everything else; what is wrong stands in failures().
  void verify();
  /// f with inputs of the dtypes that the caller gave, against what has been verified in f64.
  void compare_narrow(const std::vector<Tensor>& given);
  [[nodiscard]] TaylorReport taylor(const TaylorOptions& options);

  [[nodiscard]] const std::string& failures() const { return failures_; }
  [[nodiscard]] const std::vector<Shape>& output_shapes() const { return shapes_; }
  [[nodiscard]] const std::string& op() const { return op_; }
  [[nodiscard]] std::string summary() const;

 private:
  // Running f: check.cpp
  [[nodiscard]] std::vector<Tensor> copies() const;
  /// Copies, and the caller's own leaves, of which those of wanted_ whose bit is set require grad.
  [[nodiscard]] std::vector<Tensor> leaves(std::uint64_t mask = ~std::uint64_t{0}) const;
  /// What f is evaluated with.
  [[nodiscard]] std::vector<Tensor> arguments() const { return needs_graph_ ? leaves() : copies(); }
  [[nodiscard]] std::vector<Tensor> select(const std::vector<Tensor>& ys) const;
  [[nodiscard]] static Values values_of(const std::vector<Tensor>& ys);
  [[nodiscard]] Values evaluate(const std::vector<Tensor>& xs) const;
  /// At another point: displace(k, elements) changes the elements of wanted_[k].
  template <class Displace>
  [[nodiscard]] Values evaluate_at(const Displace& displace) const;
  [[nodiscard]] std::vector<Tensor> run_recorded(const std::vector<Tensor>& xs);
  /// One tensor per output that holds its part of the seed.
  [[nodiscard]] std::vector<Tensor> seed_tensors(const Values& seed) const;
  /// Gradients of all of wanted_, one after the other; zeros for those without.
  [[nodiscard]] Values sweep(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs, const Values& seed);
  [[nodiscard]] Values random_seed();
  [[nodiscard]] Index columns() const;
  /// The part of a gradient that belongs to wanted_[k], of a seed or value that belongs to output o.
  [[nodiscard]] Values part(const Values& gradient, std::size_t k) const;
  [[nodiscard]] Values output_part(const Values& values, std::size_t o) const;
  /// What gradients for seeds of that size may differ by when the order of additions does.
  [[nodiscard]] double rounding(double seed_size) const { return kExact * seed_size * (1 + largest(scale_)); }
  [[nodiscard]] std::string input_name(std::size_t i) const;

  // What must hold of any gradient: rules.cpp
  void check_unchanged(const std::vector<Tensor>& xs, const char* what);
  void check_repeats();
  void check_seeds();
  void check_subsets();
  /// f(x, x), for the first pair of inputs of equal shape.
  void check_aliased();
  void compare_aliased(std::size_t a, std::size_t b);
  void check_accumulation();

  // Whether there is something to check: dependence.cpp
  void check_dependence(const std::vector<Tensor>& ys);
  /// Whether the values of output o - of any, for npos - change when the elements of input k do, or all inputs'.
  [[nodiscard]] bool reacts(std::size_t k, std::size_t o);

  // Forward mode against reverse mode: forward.cpp
  void check_forward();
  void check_tangents(const MapFunction& f, const std::vector<Tensor>& points, const std::vector<Tensor>& directions,
                      const std::vector<Tensor>& tangents);

  // Comparison with differences of f: jacobian.cpp, differences.cpp
  struct Sides {
    Values above, below;
    double up, down;  ///< what the steps have become in f64
  };
  /// All outputs with one input element moved by h both ways.
  [[nodiscard]] Sides sides(std::size_t input, Index e, double h);
  [[nodiscard]] Values moved(std::size_t input, Index e, double t);
  /// Central differences of all outputs by one input element.
  [[nodiscard]] Values difference(std::size_t input, Index e, double h);
  /// The same from six points; the error is of order h^6.
  [[nodiscard]] Values smooth_difference(std::size_t input, Index e, double h);
  [[nodiscard]] double allowed(double a, double n, double h, double magnitude) const;
  /// Compares one column of a block with what differences give. `rows` turns all outputs into the block's rows.
  template <class Rows>
  void compare_column(JacobianBlock& block, Index column, double magnitude, const Rows& rows);
  [[nodiscard]] std::vector<Values> jacobian_rows();
  void compare_jacobian(const std::vector<Values>& rows);
  void fail_block(JacobianBlock& block, const std::vector<Values>& rows);
  [[nodiscard]] JacobianBlock new_block(std::size_t output, std::size_t k, Index rows) const;
  /// v^T J u for random v and u, per input; where one is wrong, v^T J element by element.
  void compare_projections();
  [[nodiscard]] bool projection_agrees(std::size_t k, const Values& v, const Values& u, const Values& gradient,
                                       double magnitude);
  void localise(std::size_t k, const Values& v, const Values& gradient, double magnitude);

  void fail(const std::string& what) { failures_ += "  " + what + "\n"; }
  void fail_once(const std::string& what) {
    if (failures_.find(what) == std::string::npos) fail(what);
  }

  const TensorFunction& f_;
  const GradCheckOptions& options_;
  const std::vector<std::string>& names_;
  const double rtol_;
  const int order_;
  Generator generator_;
  std::vector<Tensor> inputs_, own_, probe_;
  std::vector<std::size_t> wanted_;  ///< the f64 inputs
  std::vector<Shape> shapes_;        ///< of the f64 outputs
  Values y_;                         ///< their values, one after the other
  Values seed_, gradient_;
  Values scale_;               ///< per input element, how large the terms are that its gradient is a sum of
  std::vector<char> reached_;  ///< per wanted_: a gradient has come there
  std::string op_, failures_, notes_;
  std::size_t compared_ = 0, at_kinks_ = 0;
  double worst_ = 0;
  bool projected_ = false;
  bool needs_graph_ = false;  ///< f differentiates inside: it cannot run unrecorded
  bool unsteady_ = false;     ///< f or its gradient changes from call to call
};

template <class Displace>
Values Check::evaluate_at(const Displace& displace) const {
  const std::vector<Tensor> xs = arguments();
  /// The caller's own leaves get their elements back, also when f throws.
  struct Restore {
    const Check& check;
    ~Restore() {
      for (std::size_t i = 0; i < check.own_.size(); ++i) {
        if (!check.own_[i].defined()) continue;
        const auto* from = check.inputs_[i].data<double>();
        auto* to = reinterpret_cast<double*>(check.own_[i].impl().bytes());
        for (Index e = 0; e < check.inputs_[i].numel(); ++e) to[e] = from[e];
      }
    }
  } restore{*this};
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    displace(k, reinterpret_cast<double*>(xs[wanted_[k]].impl().bytes()));
  }
  return evaluate(xs);
}

}  // namespace tapestry::detail
