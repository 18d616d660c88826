#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tapestry/autograd/gradcheck/detail/report.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/random.h>

/// How check_grads works inside: one class in three sources, one for each thing that it does. Private to autograd.
namespace tapestry::detail {

using Values = std::vector<double>;

inline constexpr double kUnit = 0x1p-53;  // relative rounding of an f64
inline constexpr double kExact = 1e-12;   // what differs by the order of a few additions only

[[nodiscard]] Tensor copy_of(const Tensor& x);
[[nodiscard]] bool same_bytes(const Tensor& a, const Tensor& b);
[[nodiscard]] bool same_bits(const Values& a, const Values& b);
[[nodiscard]] double largest(const Values& v);
/// Largest |a - b|; infinite when one is not finite or their sizes differ.
[[nodiscard]] double distance(const Values& a, const Values& b);

/// One function at one point: everything is verified at first order. Order 2 is this again, for the gradients.
class Check {
 public:
  Check(const TensorFunction& f, const std::vector<Tensor>& inputs, const GradCheckOptions& options, int order)
      : f_(f),
        options_(options),
        rtol_(order == 1 ? options.rtol : 10 * options.rtol),
        order_(order),
        generator_(options.seed, 1) {
    for (const Tensor& x : inputs) {
      if (x.dtype() == f64) wanted_.push_back(inputs_.size());
      inputs_.push_back(copy_of(x));
    }
  }

  /// Runs f once, unrecorded; what f throws passes.
  void prepare();
  /// Everything else; what is wrong stands in failures().
  void verify();
  [[nodiscard]] const std::string& failures() const { return failures_; }
  [[nodiscard]] const std::vector<Shape>& output_shapes() const { return shapes_; }
  [[nodiscard]] const std::string& op() const { return op_; }
  [[nodiscard]] std::string summary() const;

 private:
  // Running f: gradcheck.cpp
  [[nodiscard]] std::vector<Tensor> copies() const;
  /// Copies of which those of wanted_ whose bit is set require grad.
  [[nodiscard]] std::vector<Tensor> leaves(std::uint64_t mask = ~std::uint64_t{0}) const;
  [[nodiscard]] std::vector<Tensor> select(const std::vector<Tensor>& ys) const;
  [[nodiscard]] static Values values_of(const std::vector<Tensor>& ys);
  [[nodiscard]] Values evaluate(const std::vector<Tensor>& xs) const;
  [[nodiscard]] std::vector<Tensor> run_recorded(const std::vector<Tensor>& xs);
  /// One tensor per output that holds its part of the seed.
  [[nodiscard]] std::vector<Tensor> seed_tensors(const Values& seed) const;
  /// Gradients of all of wanted_, one after the other; zeros for those without.
  [[nodiscard]] Values sweep(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs, const Values& seed);
  [[nodiscard]] Values random_seed();
  [[nodiscard]] Index columns() const;
  /// The part of a gradient that belongs to wanted_[k].
  [[nodiscard]] Values part(const Values& gradient, std::size_t k) const;

  // What must hold of any gradient: gradcheck_rules.cpp
  void check_unchanged(const std::vector<Tensor>& xs, const char* what);
  void check_repeats();
  void check_seeds();
  void check_subsets();
  /// f(x, x), for the first pair of inputs of equal shape.
  void check_aliased();
  void compare_aliased(std::size_t a, std::size_t b);
  void check_accumulation();

  // Comparison with differences of f: gradcheck_differences.cpp
  /// x with element e moved by t.
  [[nodiscard]] Values moved(std::size_t input, Index e, double t);
  /// Central differences of all outputs by one input element.
  [[nodiscard]] Values difference(std::size_t input, Index e, double h);
  /// The same from six points; the error is of order h^6.
  [[nodiscard]] Values smooth_difference(std::size_t input, Index e);
  [[nodiscard]] double allowed(double a, double n, double h, double magnitude) const;
  /// Compares one column of a block with what differences give. `rows` turns all outputs into the block's rows.
  template <class Rows>
  void compare_column(JacobianBlock& block, Index column, double magnitude, const Rows& rows);
  void compare_jacobian();
  [[nodiscard]] JacobianBlock new_block(std::size_t output, std::size_t k, Index rows) const;
  /// v^T J u for random v and u, per input; where one is wrong, v^T J element by element.
  void compare_projections();
  [[nodiscard]] bool projection_agrees(std::size_t k, const Values& v, const Values& u, const Values& gradient,
                                       double magnitude);
  void localise(std::size_t k, const Values& v, const Values& gradient, double magnitude);
  /// |f(x + hv) - f(x) - h g.v| shrinks at least with h^2, down to rounding.
  void check_taylor();

  void fail(const std::string& what) { failures_ += "  " + what + "\n"; }
  void fail_once(const std::string& what) {
    if (failures_.find(what) == std::string::npos) fail(what);
  }
  void fail_block(const JacobianBlock& block) { failures_ += describe(block); }

  const TensorFunction& f_;
  const GradCheckOptions& options_;
  const double rtol_;
  const int order_;
  Generator generator_;
  std::vector<Tensor> inputs_, probe_;
  std::vector<std::size_t> wanted_;  ///< the f64 inputs
  std::vector<Shape> shapes_;        ///< of the f64 outputs
  Values y_;                         ///< their values, one after the other
  Values seed_, gradient_;
  std::string op_, failures_;
  std::size_t compared_ = 0;
  double worst_ = 0;
  bool projected_ = false;
};

}  // namespace tapestry::detail
