#include <support/expect.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

/// Derivatives of twenty functions up to the third order, and gradient penalties, against their closed forms.
BOOST_AUTO_TEST_SUITE(closed_forms_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double kTolerance = 1e-10;  // of max(1, |derivative|)

using Numbers = std::array<double, 4>;  // a function and its first three derivatives

struct Form {
  std::string name;
  std::function<Tensor(const Tensor&)> f;
  std::function<Numbers(double)> derivatives;
};

double square_of(double x) { return x * x; }

/// All at positive arguments between 0.3 and 2.
const std::vector<Form> forms{
    {"exp", [](const Tensor& x) { return exp(x); },
     [](double x) {
       return Numbers{std::exp(x), std::exp(x), std::exp(x), std::exp(x)};
     }},
    {"log", [](const Tensor& x) { return log(x); },
     [](double x) {
       return Numbers{std::log(x), 1 / x, -1 / (x * x), 2 / (x * x * x)};
     }},
    {"sin", [](const Tensor& x) { return sin(x); },
     [](double x) {
       return Numbers{std::sin(x), std::cos(x), -std::sin(x), -std::cos(x)};
     }},
    {"cos", [](const Tensor& x) { return cos(x); },
     [](double x) {
       return Numbers{std::cos(x), -std::sin(x), -std::cos(x), std::sin(x)};
     }},
    {"sqrt", [](const Tensor& x) { return sqrt(x); },
     [](double x) {
       return Numbers{std::sqrt(x), .5 * std::pow(x, -.5), -.25 * std::pow(x, -1.5), .375 * std::pow(x, -2.5)};
     }},
    {"rsqrt", [](const Tensor& x) { return rsqrt(x); },
     [](double x) {
       return Numbers{std::pow(x, -.5), -.5 * std::pow(x, -1.5), .75 * std::pow(x, -2.5), -1.875 * std::pow(x, -3.5)};
     }},
    {"reciprocal", [](const Tensor& x) { return reciprocal(x); },
     [](double x) {
       return Numbers{1 / x, -1 / (x * x), 2 / (x * x * x), -6 / (x * x * x * x)};
     }},
    {"square", [](const Tensor& x) { return square(x); },
     [](double x) {
       return Numbers{x * x, 2 * x, 2, 0};
     }},
    {"x^3.5", [](const Tensor& x) { return pow(x, 3.5); },
     [](double x) {
       return Numbers{std::pow(x, 3.5), 3.5 * std::pow(x, 2.5), 8.75 * std::pow(x, 1.5), 13.125 * std::sqrt(x)};
     }},
    {"tanh", [](const Tensor& x) { return tanh(x); },
     [](double x) {
       const double t = std::tanh(x), s = 1 - t * t;
       return Numbers{t, s, -2 * t * s, s * (6 * t * t - 2)};
     }},
    {"sigmoid", [](const Tensor& x) { return sigmoid(x); },
     [](double x) {
       const double s = 1 / (1 + std::exp(-x)), d = s * (1 - s);
       return Numbers{s, d, d * (1 - 2 * s), d * (1 - 6 * d)};
     }},
    {"softplus", [](const Tensor& x) { return softplus(x); },
     [](double x) {
       const double s = 1 / (1 + std::exp(-x)), d = s * (1 - s);
       return Numbers{std::log1p(std::exp(x)), s, d, d * (1 - 2 * s)};
     }},
    {"erf", [](const Tensor& x) { return erf(x); },
     [](double x) {
       const double g = 2 / std::sqrt(M_PI) * std::exp(-x * x);
       return Numbers{std::erf(x), g, -2 * x * g, (4 * x * x - 2) * g};
     }},
    {"log1p", [](const Tensor& x) { return log1p(x); },
     [](double x) {
       const double r = 1 / (1 + x);
       return Numbers{std::log1p(x), r, -r * r, 2 * r * r * r};
     }},
    {"expm1", [](const Tensor& x) { return expm1(x); },
     [](double x) {
       return Numbers{std::expm1(x), std::exp(x), std::exp(x), std::exp(x)};
     }},
    {"x sin x", [](const Tensor& x) { return x * sin(x); },
     [](double x) {
       return Numbers{x * std::sin(x), std::sin(x) + x * std::cos(x), 2 * std::cos(x) - x * std::sin(x),
                      -3 * std::sin(x) - x * std::cos(x)};
     }},
    {"exp(-x^2 / 2)", [](const Tensor& x) { return exp(-0.5 * square(x)); },
     [](double x) {
       const double g = std::exp(-x * x / 2);
       return Numbers{g, -x * g, (x * x - 1) * g, (3 * x - x * x * x) * g};
     }},
    {"1 / (1 + x^2)", [](const Tensor& x) { return 1 / (1 + square(x)); },
     [](double x) {
       const double r = 1 / (1 + x * x);
       return Numbers{r, -2 * x * r * r, (6 * x * x - 2) * r * r * r, 24 * x * (1 - x * x) * square_of(r * r)};
     }},
    {"log(x)^2", [](const Tensor& x) { return square(log(x)); },
     [](double x) {
       const double l = std::log(x);
       return Numbers{l * l, 2 * l / x, 2 * (1 - l) / (x * x), (4 * l - 6) / (x * x * x)};
     }},
    {"silu", [](const Tensor& x) { return silu(x); },
     [](double x) {
       const double s = 1 / (1 + std::exp(-x)), d = s * (1 - s), d2 = d * (1 - 2 * s), d3 = d * (1 - 6 * d);
       return Numbers{x * s, s + x * d, 2 * d + x * d2, 3 * d2 + x * d3};
     }},
};

const std::vector<double> at{0.3, 0.7, 1.1, 1.9};

Tensor points() { return tensor(at, {static_cast<Index>(at.size())}, {.dtype = f64}); }
Tensor direction() { return tensor({1.0, -2.0, 0.5, 3.0}, {.dtype = f64}); }

/// The order-th derivative at each point, times a power of the direction.
std::vector<double> expected(const Form& form, std::size_t order, int power) {
  std::vector<double> out;
  const std::vector<double> u = values(direction());
  for (std::size_t i = 0; i < at.size(); ++i) out.push_back(form.derivatives(at[i])[order] * std::pow(u[i], power));
  return out;
}

void check(const std::string& what, const Tensor& got, const std::vector<double>& want) {
  BOOST_TEST(all_close(got, want, kTolerance, kTolerance), what);
}

}  // namespace

BOOST_AUTO_TEST_CASE(there_are_twenty) { BOOST_TEST(forms.size() == 20U); }

BOOST_AUTO_TEST_CASE(values_jvps_and_vjps) {
  for (const Form& form : forms) {
    check(form.name, form.f(points()), expected(form, 0, 0));
    check(form.name + ", jvp", jvp(form.f, points(), direction()), expected(form, 1, 1));
    check(form.name + ", vjp", vjp(form.f, points(), direction()), expected(form, 1, 1));
    check(form.name + ", linearize", linearize(UnaryFunction(form.f), points())(direction()), expected(form, 1, 1));
  }
}

BOOST_AUTO_TEST_CASE(jacobians_in_both_modes_and_in_chunks) {
  for (const Form& form : forms) {
    const std::vector<double> slope = expected(form, 1, 0);
    std::vector<double> diagonal(at.size() * at.size());
    for (std::size_t i = 0; i < at.size(); ++i) diagonal[i * at.size() + i] = slope[i];
    for (const JacobianMode mode : {JacobianMode::forward, JacobianMode::reverse, JacobianMode::cheaper}) {
      check(form.name + ", jacobian", jacobian(form.f, points(), {.mode = mode}), diagonal);
      const Tensor row = detail::alias(points(), Shape{1, 4});
      for (const Index chunk : {2, 3, 100}) {
        check(form.name + ", in chunks", jacobian(form.f, row, {.mode = mode, .chunk = chunk}), diagonal);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(hessians_and_their_products_and_traces) {
  for (const Form& form : forms) {
    const UnaryFunction total = [&](const Tensor& x) { return sum(form.f(x)); };
    const std::vector<double> curvature = expected(form, 2, 0);
    std::vector<double> diagonal(at.size() * at.size());
    double trace = 0;
    for (std::size_t i = 0; i < at.size(); ++i) trace += diagonal[i * at.size() + i] = curvature[i];
    check(form.name + ", hessian", hessian(total, points()), diagonal);
    check(form.name + ", hvp", hvp(total, points(), direction()), expected(form, 2, 1));
    check(form.name + ", laplacian", laplacian(total, points()), {trace});
    // A diagonal Hessian has the same v^T H v for every v of +1 and -1.
    check(form.name + ", hutchinson_trace", hutchinson_trace(total, points(), {.samples = 2}), {trace});
    check(form.name + ", second_derivative", second_derivative(form.f, points(), direction()), expected(form, 2, 2));
    const Tensor column = detail::alias(points(), Shape{4, 1});
    check(form.name + ", laplacian by rows", laplacian(form.f, column), curvature);
  }
}

BOOST_AUTO_TEST_CASE(third_derivatives) {
  for (const Form& form : forms) {
    const UnaryFunction total = [&](const Tensor& x) { return sum(form.f(x)); };
    const Tensor u = direction();
    check(form.name + ", jvp of second_derivative",
          jvp([&](const Tensor& x) { return second_derivative(form.f, x, u); }, points(), u), expected(form, 3, 3));
    check(form.name + ", jvp of hvp", jvp([&](const Tensor& x) { return hvp(total, x, u); }, points(), u),
          expected(form, 3, 2));
    const UnaryFunction curvature = [&](const Tensor& x) { return sum(hvp(total, x, u, {.create_graph = true})); };
    check(form.name + ", gradient of hvp", value_and_grad(curvature, points()).second, expected(form, 3, 1));
    const UnaryFunction laplacian_of = [&](const Tensor& x) { return laplacian(total, x, {.create_graph = true}); };
    check(form.name + ", gradient of laplacian", value_and_grad(laplacian_of, points()).second, expected(form, 3, 0));
  }
}

BOOST_AUTO_TEST_CASE(gradient_penalties) {
  for (const Form& form : forms) {
    // The gradient of (|f'(x)| - 1)^2, as a critic is penalised: 2 (|f'| - 1) sign(f') f''.
    const auto penalty = [&](const Tensor& x) {
      const Tensor slope = vjp(form.f, x, ones_like(x), {.create_graph = true});
      return sum(square(abs(slope) - 1));
    };
    std::vector<double> want;
    for (const double x : at) {
      const Numbers d = form.derivatives(x);
      want.push_back(2 * (std::abs(d[1]) - 1) * (d[1] < 0 ? -1 : 1) * d[2]);
    }
    check(form.name, value_and_grad(UnaryFunction(penalty), points()).second, want);
    check(form.name + ", forward over reverse",
          jvp([&](const Tensor& x) { return value_and_grad(UnaryFunction(penalty), x).first; }, points(),
              ones_like(points())),
          {[&] {
            double total = 0;
            for (const double w : want) total += w;
            return total;
          }()});
  }
}

BOOST_AUTO_TEST_SUITE_END()
