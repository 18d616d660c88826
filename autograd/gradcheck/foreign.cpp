#include <tapestry/autograd/gradcheck/foreign.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/record.h>

namespace tapestry::detail {
namespace {

Array elements(const Tensor& x) { return {x.data<double>(), static_cast<std::size_t>(x.numel())}; }

}  // namespace

std::vector<double> pulled_back(const std::vector<double>& jacobian, Array x, Array v) {
  if (jacobian.size() != x.size() * v.size()) {
    throw_invalid("check_grads: the gradient function must return {} elements, values x inputs; got {}",
                  x.size() * v.size(), jacobian.size());
  }
  std::vector<double> product(x.size());
  for (std::size_t r = 0; r < v.size(); ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) product[c] += v[r] * jacobian[r * x.size() + c];
  }
  return product;
}

GradReport check_foreign(const ArrayFunction& f, const ArrayGradient& gradient, const std::vector<double>& x,
                         const GradCheckOptions& options) {
  if (options.order != 1) {
    throw_invalid(
        "check_grads: the gradient of a function of arrays cannot be differentiated, .order must be 1; got {}",
        options.order);
  }
  const Tensor point = tensor(std::span<const double>(x), {static_cast<Index>(x.size())}, {.dtype = f64});
  const auto scalar_shape = [](std::size_t n) { return n == 1 ? Shape{} : Shape{static_cast<Index>(n)}; };
  const auto op = [&](const Tensor& at) {
    const std::vector<double> values = f(elements(at));
    Tensor y = tensor(std::span<const double>(values), scalar_shape(values.size()), {.dtype = f64});
    return record("the function of arrays", std::move(y), wrt(at, [&gradient, x0 = saved(at)](const Tensor& dy) {
                    const std::vector<double> product = gradient(elements(x0()), elements(dy));
                    if (static_cast<Index>(product.size()) != x0().numel()) {
                      throw_invalid("check_grads: the gradient function must return {} elements, one per input; got {}",
                                    x0().numel(), product.size());
                    }
                    return tensor(std::span<const double>(product), x0().shape(), {.dtype = f64});
                  }));
  };
  GradCheckOptions without_forward = options;
  without_forward.forward_mode = false;  // a plain function has none
  return gradient_report(op, {point}, without_forward);
}

}  // namespace tapestry::detail
