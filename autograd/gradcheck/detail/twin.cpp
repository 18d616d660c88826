// A function of f32 or bf16 against itself in f64, whose gradients differences have confirmed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/detail/check.h>

namespace tapestry::detail {
namespace {

constexpr double kBf16Rtol = 0.03;  // eight units in the last place

Values values_in_f64(const Tensor& x) {
  Values v(static_cast<std::size_t>(x.numel()));
  visit_any_float(x.dtype(), [&]<class T>() {
    const T* const in = x.data<T>();
    for (std::size_t i = 0; i < v.size(); ++i) {
      if constexpr (std::is_same_v<T, BFloat16>) v[i] = static_cast<double>(static_cast<float>(in[i]));
      else v[i] = static_cast<double>(in[i]);
    }
  });
  return v;
}

Tensor tensor_of(const Values& values, const Shape& shape, Dtype dtype) {
  return tensor(std::span<const double>(values), shape, {.dtype = dtype});
}

}  // namespace

void Check::compare_narrow(const std::vector<Tensor>& given) {
  double rtol = options_.f32_rtol;
  const auto loosen = [&](const Tensor& x) {
    if (x.dtype() == bf16) rtol = std::max(rtol, kBf16Rtol);
  };
  std::vector<Tensor> xs, targets, ys, seeds;
  for (const Tensor& x : given) {
    xs.push_back(copy_of(x));
    if (!is_float(x.dtype())) continue;
    loosen(x);
    targets.push_back(xs.back().requires_grad(true));
  }
  const EnableGradGuard guard;
  for (const Tensor& y : f_(xs)) {
    if (!y.defined() || !is_float(y.dtype())) continue;
    loosen(y);
    ys.push_back(y);
  }
  bool same = ys.size() == shapes_.size();
  for (std::size_t o = 0; same && o < ys.size(); ++o) same = ys[o].shape() == shapes_[o];
  if (!same) {
    fail("with inputs as given and with inputs in f64 the float outputs are not the same in number and shape");
    return;
  }
  Index values = 0, gradients = 0;
  double worst = 0;
  const auto compare = [&](const std::string& what, const Tensor& narrow, const Values& wide, double scale) {
    const Values mine = values_in_f64(narrow);
    const double tolerance = rtol * std::max({1.0, scale, largest(wide)}), d = distance(mine, wide);
    worst = std::max(worst, d / tolerance);
    if (d <= tolerance) return;
    std::size_t at = 0;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      if (!(std::abs(mine[i] - wide[i]) <= std::abs(mine[at] - wide[at]))) at = i;
    }
    fail(fmt::format("{} is {:.9g} at {}, in f64 {:.9g}: {} disagrees with f64 by more than {:.2g}", what, mine[at],
                     position_text(narrow.shape(), static_cast<Index>(at)), wide[at], name_of(narrow.dtype()),
                     tolerance));
  };
  Values rounded;
  std::vector<Tensor> outputs;
  for (std::size_t o = 0; o < ys.size(); ++o) {
    compare(fmt::format("output {}", o), ys[o], output_part(y_, o), 0);
    values += ys[o].numel();
    const Tensor seed = tensor_of(output_part(seed_, o), shapes_[o], ys[o].dtype());
    const Values of_seed = values_in_f64(seed);
    rounded.insert(rounded.end(), of_seed.begin(), of_seed.end());
    if (!ys[o].requires_grad()) continue;
    outputs.push_back(ys[o]);
    seeds.push_back(seed);
  }
  std::vector<Tensor> narrow(targets.size());
  if (!outputs.empty()) narrow = grad(outputs, targets, {.grad_outputs = seeds, .allow_unused = true});
  const std::vector<Tensor> wide_xs = leaves();
  const Values wide = sweep(run_recorded(wide_xs), wide_xs, rounded);
  for (std::size_t k = 0; k < targets.size(); ++k) {
    const Tensor gradient = narrow[k].defined() ? narrow[k] : zeros_like(targets[k]);
    compare(fmt::format("the gradient of input {}", input_name(wanted_[k])), gradient, part(wide, k),
            largest(part(scale_, k)));
    gradients += gradient.numel();
  }
  notes_ += fmt::format("  {} values and {} gradients agree with f64, the largest error is {:.2g} of what is allowed\n",
                        values, gradients, worst);
}

}  // namespace tapestry::detail
