#include <tapestry/autograd/gradcheck/gradcheck.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <ostream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/detail/check.h>
#include <tapestry/autograd/record.h>

namespace tapestry {

std::ostream& operator<<(std::ostream& out, const GradReport& report) { return out << report.text; }

namespace detail {
namespace {

/// A leaf of the caller's that is frozen must be recorded for the gradients themselves, and is frozen again.
class Recorded {
 public:
  explicit Recorded(const Tensor& own) : own_(own), was_(own_.requires_grad()) {
    if (!was_) own_.requires_grad(true);
  }
  ~Recorded() {
    if (!was_) own_.requires_grad(false);
  }
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

 private:
  Tensor own_;
  bool was_;
};

/// F(x, v) = v^T J(x): the gradients of f by its f64 inputs, as a function of all inputs and then the seeds. Borrows f
/// and own.
TensorFunction gradient_function(const TensorFunction& f, std::size_t inputs, const std::vector<Tensor>& own) {
  return [&f, &own, inputs](const std::vector<Tensor>& xv) {
    const bool create_graph = is_grad_enabled();
    const EnableGradGuard guard;
    std::vector<Tensor> x(xv.begin(), xv.begin() + static_cast<std::ptrdiff_t>(inputs)), targets;
    std::vector<std::unique_ptr<Recorded>> recorded;
    for (std::size_t i = 0; i < inputs; ++i) {
      Tensor& t = x[i];
      if (t.dtype() != f64) continue;
      if (own[i].defined() && t.is_same(own[i])) {  // f reads it without being given it
        recorded.push_back(std::make_unique<Recorded>(t));
      } else if (t.requires_grad()) {
        // A tensor of its own for every input, so that f(x, x) has two gradients and not twice their sum.
        t = record("input", detail::without_history(t), wrt(t, [](const Tensor& dy) { return dy; }));
      } else {
        t = detail::without_history(t).requires_grad(true);
      }
      targets.push_back(t);
    }
    std::vector<Tensor> outputs, seeds;
    auto seed = xv.begin() + static_cast<std::ptrdiff_t>(inputs);
    for (const Tensor& y : f(x)) {
      if (!y.defined() || y.dtype() != f64) continue;
      if (y.requires_grad()) {
        outputs.push_back(y);
        seeds.push_back(*seed);
      }
      ++seed;
    }
    std::vector<Tensor> gradients(targets.size());
    if (!outputs.empty()) {
      gradients = grad(outputs, targets, {.grad_outputs = seeds, .create_graph = create_graph, .allow_unused = true});
    }
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      if (!gradients[k].defined()) gradients[k] = zeros_like(targets[k]);
    }
    return gradients;
  };
}

void check_arguments(const std::vector<Tensor>& inputs, const GradCheckOptions& options) {
  if (options.order < 1 || options.order > 3) {
    throw_invalid("check_grads: .order must be 1, 2 or 3; got {}", options.order);
  }
  if (!(options.rtol > 0 && options.atol >= 0)) {
    throw_invalid("check_grads: .rtol must be positive and .atol not negative; got {} and {}", options.rtol,
                  options.atol);
  }
  if (!(options.f32_rtol > 0)) throw_invalid("check_grads: .f32_rtol must be positive; got {}", options.f32_rtol);
  bool any = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) throw_invalid("check_grads: every input must be defined; input {} is not", i);
    any |= is_float(inputs[i].dtype());
  }
  if (!any) throw_invalid("check_grads: there must be a float input to differentiate by; got none");
}

/// In f64 where it is a float.
Tensor widened(const Tensor& x) {
  if (!is_float(x.dtype()) || x.dtype() == f64) return x;
  Tensor y = empty(x.shape(), f64);
  auto* const out = reinterpret_cast<double*>(y.impl().bytes());
  visit_any_float(x.dtype(), [&]<class T>() {
    const T* const in = x.data<T>();
    for (Index i = 0; i < x.numel(); ++i) {
      if constexpr (std::is_same_v<T, BFloat16>) out[i] = static_cast<double>(static_cast<float>(in[i]));
      else out[i] = static_cast<double>(in[i]);
    }
  });
  return y;
}

std::string heading(const std::string& op, int order, const GradCheckOptions& options) {
  return fmt::format("gradient check failed: {}, {} order (f64, seed {}, {} threads)\n",
                     op.empty() ? "the function" : op,
                     order == 1   ? "first"
                     : order == 2 ? "second"
                                  : "third",
                     options.seed, num_threads());
}

/// Throws what f throws, told apart where it is the dtype that f did not expect.
void prepare(Check& check, bool narrow) {
  try {
    check.prepare();
  } catch (const std::exception& e) {
    if (!narrow) throw;
    throw_invalid(
        "check_grads: a function of f32 or bf16 is compared with itself in f64, and must take f64 inputs; it throws: "
        "{}",
        e.what());
  }
}

}  // namespace

GradReport check_gradients(const CheckedFunction& checked, const GradCheckOptions& options) {
  check_arguments(checked.inputs, options);
  const Borrowed borrowed(checked, options.generators);
  const OwnLeaves& leaves = borrowed.leaves();
  const TensorFunction f = borrowed.function();
  std::vector<Tensor> point;
  std::transform(checked.inputs.begin(), checked.inputs.end(), std::back_inserter(point), widened);
  const bool narrow = std::any_of(checked.inputs.begin(), checked.inputs.end(),
                                  [](const Tensor& x) { return is_float(x.dtype()) && x.dtype() != f64; });
  Check first(f, point, leaves.tensors(), checked.names, options, 1);
  prepare(first, narrow);
  first.verify();
  if (narrow && first.failures().empty()) first.compare_narrow(checked.inputs);
  if (!first.failures().empty()) return {false, heading(first.op(), 1, options) + first.failures()};

  std::string summary = first.summary();
  std::vector<TensorFunction> functions{f};
  functions.reserve(static_cast<std::size_t>(options.order));  // each borrows the one before
  std::vector<Tensor> own = leaves.tensors();
  std::vector<std::vector<Tensor>> owned{own};
  owned.reserve(functions.capacity());
  std::vector<Shape> seeds = first.output_shapes();
  Generator generator(options.seed, 2);
  for (int order = 2; order <= options.order; ++order) {
    functions.push_back(gradient_function(functions.back(), point.size(), owned.back()));
    std::vector<Shape> outputs;
    for (const Tensor& x : point) {
      if (x.dtype() == f64) outputs.push_back(x.shape());
    }
    for (const Shape& shape : seeds) {
      point.push_back(uniform(shape, 0.5, 1.5, {.dtype = f64, .generator = &generator}));
      own.emplace_back();
    }
    owned.push_back(own);
    Check check(functions.back(), point, own, checked.names, options, order);
    check.prepare();
    check.verify();
    if (!check.failures().empty()) {
      return {false, heading(first.op(), order, options) +
                         fmt::format("  (of the gradients{}, with respect to the inputs and then the seeds)\n",
                                     order == 3 ? " of the gradients" : "") +
                         check.failures()};
    }
    summary += check.summary();
    seeds = outputs;
  }
  return {true, summary};
}

void throw_wrong_count(std::size_t got) {
  throw_invalid("check_grads: the function must take as many tensors as there are inputs; it cannot take {}", got);
}

void throw_narrow_parameter(const std::string& name, Dtype dtype) {
  throw_invalid("check_grads: a model must be f64, so that differences have enough digits: model.to(f64); its {} is {}",
                name, dtype);
}

}  // namespace detail
}  // namespace tapestry
