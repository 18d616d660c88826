#pragma once

#include <concepts>
#include <cstdint>
#include <iosfwd>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tensor.h>

/// Compares the gradients of a function with finite differences, and tries what else a gradient must keep:
///
///     check_grads([](const Tensor& x) { return cube(x); }, {randn({3, 4}, {.dtype = f64})}, {.order = 2});
///     check_grads(model, {images});                     // by its inputs and by all its parameters
///     BOOST_TEST(gradients_match(f, {x}));              // the same in a test framework's own words
///
/// f takes one to six tensors, or a std::vector of them, and returns a Tensor or a std::vector of them. Gradients of
/// all f64 outputs are checked with respect to all float inputs; tensors of integers and bools are constants, and so
/// are outputs that are not f64.
///
/// An f64 input that is a leaf and requires grad is handed to f as it is: it is changed in place for the differences,
/// and restored. So f may be a closure over a model's parameters that ignores its arguments. Other inputs are copied,
/// and f must use what it is called with.
///
/// f must give the same values for the same inputs. default_generator() is put back before each call, and so are the
/// generators of the options and a model's buffers; what is random otherwise must be seeded inside.
namespace tapestry {

struct GradCheckOptions {
  int order = 1;                      ///< 2: the derivatives of the gradients too; 3: and those of these
  double rtol = 1e-7;                 ///< |analytic - numeric| <= atol + rtol * the larger; ten times that per order
  double atol = 1e-8;                 ///< to which the rounding of the differences themselves is added
  bool smooth = false;                ///< f has no kink within 0.003: six points instead of two, and rtol at most 1e-9
  std::uint64_t seed = 0;             ///< of the directions and seeds that are drawn
  std::int64_t full_limit = 1 << 16;  ///< inputs x outputs: beyond, four random projections replace the Jacobian
  bool vary_threads = true;           ///< also runs f with 1 and 4 threads, which is set for the whole program
  bool allow_independent = false;     ///< inputs that no output depends on, and outputs that depend on no input
  bool forward_mode = true;           ///< also compares v . (J u), which jvp() gives, with (v^T J) . u, in all orders
  double f32_rtol = 1e-4;             ///< of f32 inputs and their gradients against f64; for bf16 at least 0.03
  std::vector<Generator> generators{};  ///< what f draws from besides default_generator()
};

/// What a check has found. `if (report)`, and `std::cout << report`, which prints the text.
struct GradReport {
  bool ok = false;   ///< nothing is wrong
  std::string text;  ///< what was found wrong and the likely cause; how much was compared when nothing is wrong

  explicit operator bool() const noexcept { return ok; }  ///< ok
};
/// The text.
std::ostream& operator<<(std::ostream& out, const GradReport& report);

/// What check_grads throws: the report is the message.
class GradientError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

using TensorFunction = Callable<std::vector<Tensor>(const std::vector<Tensor>&)>;

/// What is to be checked, whatever the caller has written.
struct CheckedFunction {
  TensorFunction f;
  std::vector<Tensor> inputs;
  std::vector<std::string> names{};  ///< of inputs, in reports: parameters have their keys
  std::vector<Tensor> buffers{};     ///< put back before each call
};

[[nodiscard]] GradReport check_gradients(const CheckedFunction& checked, const GradCheckOptions& options);
[[noreturn]] void throw_wrong_count(std::size_t got);
[[noreturn]] void throw_narrow_parameter(const std::string& name, Dtype dtype);

[[nodiscard]] inline std::vector<Tensor> as_list(Tensor y) { return {std::move(y)}; }
[[nodiscard]] inline std::vector<Tensor> as_list(std::vector<Tensor> ys) { return ys; }

/// f(x[0], x[1], ...) if f can be called with as many tensors as there are.
template <std::size_t N, class F>
bool call_with(const F& f, const std::vector<Tensor>& x, std::vector<Tensor>& y) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    if constexpr (std::invocable<const F&, decltype(x[I])...>) {
      if (x.size() != N) return false;
      y = as_list(f(x[I]...));
      return true;
    } else {
      return false;
    }
  }
  (std::make_index_sequence<N>{});
}

/// Borrows f: the result must not outlive it.
template <class F>
[[nodiscard]] TensorFunction tensor_function(const F& f) {
  return [&f](const std::vector<Tensor>& x) -> std::vector<Tensor> {
    if constexpr (std::invocable<const F&, const std::vector<Tensor>&>) {
      return as_list(f(x));
    } else {
      std::vector<Tensor> y;
      if (!(call_with<1>(f, x, y) || call_with<2>(f, x, y) || call_with<3>(f, x, y) || call_with<4>(f, x, y) ||
            call_with<5>(f, x, y) || call_with<6>(f, x, y))) {
        throw_wrong_count(x.size());
      }
      return y;
    }
  };
}

/// A model: what nn::Module is, told by what it has, since the tape knows no modules.
template <class F>
concept HasParameters = requires(const F& f) {
  f.named_parameters();
  f.named_buffers();
};

/// Borrows f. Of a model the parameters that are trained become inputs, too; the model itself reads them.
template <class F>
[[nodiscard]] CheckedFunction checked_function(const F& f, const std::vector<Tensor>& inputs) {
  CheckedFunction checked{tensor_function(f), inputs};
  if constexpr (HasParameters<F>) {
    checked.f = [call = checked.f, n = static_cast<std::ptrdiff_t>(inputs.size())](const std::vector<Tensor>& x) {
      return call({x.begin(), x.begin() + n});
    };
    checked.names.resize(inputs.size());
    for (const auto& parameter : f.named_parameters()) {
      if (!parameter.tensor.requires_grad()) continue;
      if (parameter.tensor.dtype() != f64) throw_narrow_parameter(parameter.name, parameter.tensor.dtype());
      checked.inputs.push_back(parameter.tensor);
      checked.names.push_back(parameter.name);
    }
    for (const auto& buffer : f.named_buffers()) checked.buffers.push_back(buffer.tensor);
  }
  return checked;
}

}  // namespace detail

/// Verifies, at order 1 and, where asked for, again for the gradients as functions of inputs and seeds:
///
///   - every derivative against central differences with h = 1e-6 max(1, |x|); one that differs is tried again with
///     six points at several steps, so that it is the gradient that fails and not the difference;
///   - there is something that could fail: each input has a part in some output, and each output depends on an input;
///   - f and its gradients repeat bit by bit, also on 1 and 4 threads, and change no input and no seed;
///   - gradients are linear in the seed, and 0 for the seed 0;
///   - every subset of the inputs gets the same gradients, and frozen inputs get none;
///   - f(x, x) has the sum of the gradients; a leaf's gradient is added to the one it had;
///   - forward mode agrees with reverse mode, where the rules can be differentiated, and from order 2 on forward over
///     reverse and reverse over forward do, too;
///   - inputs that are f32 or bf16: all of this holds for f in f64, and values and gradients agree with those.
///
/// Where f calls grad() itself, differences too are taken with recording on. A failed check is a report, not an
/// exception. Throws what f throws for the inputs as given, and std::invalid_argument for options out of range, for a
/// model in f32 (model.to(f64) first), and when there is no float input or no f64 output to check.
template <class F>
[[nodiscard]] GradReport gradient_report(const F& f, const std::vector<Tensor>& inputs,
                                         const GradCheckOptions& options = {}, Here here = {}) {
  const OuterSite site(here);
  return detail::check_gradients(detail::checked_function(f, inputs), options);
}

/// The same under the name that a predicate has: BOOST_TEST(gradients_match(f, {x})),
/// ASSERT_TRUE(gradients_match(...)).
template <class F>
[[nodiscard]] GradReport gradients_match(const F& f, const std::vector<Tensor>& inputs,
                                         const GradCheckOptions& options = {}, Here here = {}) {
  return gradient_report(f, inputs, options, here);
}

/// gradient_report() for tests: throws GradientError with the report when something is wrong.
template <class F>
void check_grads(const F& f, const std::vector<Tensor>& inputs, const GradCheckOptions& options = {}, Here here = {}) {
  const OuterSite site(here);
  const GradReport report = gradient_report(f, inputs, options, here);
  if (!report.ok) throw GradientError(report.text + place_lines());
}

}  // namespace tapestry
