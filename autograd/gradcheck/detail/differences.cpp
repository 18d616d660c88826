// Gradients against differences of f: element by element where that is few, else in random projections; and by how
// fast the remainder of a first-order step vanishes.
#include <tapestry/autograd/gradcheck/detail/check.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace tapestry::detail {
namespace {

constexpr double kStep = 1e-6;        // of central differences, times max(1, |x|)
constexpr double kSmoothStep = 1e-3;  // of the six-point stencil
constexpr int kProjections = 4;       // two of directions +-1, where one wrong entry shows whole, two of normal ones
constexpr Index kLocalised = 4096;    // input elements that are looked at one by one when a projection fails

double step_at(double x) { return kStep * std::max(1.0, std::abs(x)); }

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

Values Check::moved(std::size_t input, Index e, double t) {
  if (probe_.empty()) probe_ = copies();
  double* at = reinterpret_cast<double*>(probe_[input].impl().bytes()) + e;
  const double x = *at;
  *at = x + t;
  Values y = evaluate(probe_);
  *at = x;
  return y;
}

Values Check::difference(std::size_t input, Index e, double h) {
  const double x = inputs_[input].data<double>()[e];
  const Values above = moved(input, e, h);
  Values slope = moved(input, e, -h);
  const double width = (x + h) - (x - h);  // what the step has become in f64
  for (std::size_t r = 0; r < slope.size(); ++r) slope[r] = (above[r] - slope[r]) / width;
  return slope;
}

Values Check::smooth_difference(std::size_t input, Index e) {
  constexpr double h = kSmoothStep;
  const Values one = difference(input, e, h);
  const Values two = difference(input, e, 2 * h);
  Values slope = difference(input, e, 3 * h);
  for (std::size_t r = 0; r < slope.size(); ++r) slope[r] = 1.5 * one[r] - 0.6 * two[r] + 0.1 * slope[r];
  return slope;
}

double Check::allowed(double a, double n, double h, double magnitude) const {
  const double rtol = options_.smooth ? std::min(rtol_, 1e-9) : rtol_;
  const double atol = options_.smooth ? std::min(options_.atol, 1e-10) : options_.atol;
  return atol + 20 * kUnit * magnitude / (options_.smooth ? kSmoothStep : h) +
         rtol * std::max(std::abs(a), std::abs(n));
}

template <class Rows>
void Check::compare_column(JacobianBlock& block, Index column, double magnitude, const Rows& rows) {
  const double h = step_at(inputs_[block.input].data<double>()[column]);
  const Values numeric =
      rows(options_.smooth ? smooth_difference(block.input, column) : difference(block.input, column, h));
  std::optional<Values> refined, half;
  for (Index r = 0; r < block.rows; ++r) {
    const std::size_t at = block.at(r, column);
    const double a = block.analytic[at];
    const double n = block.numeric[at] = numeric[static_cast<std::size_t>(r)];
    const double tolerance = allowed(a, n, h, magnitude);
    ++compared_;
    if (std::abs(a - n) <= tolerance) {
      worst_ = std::max(worst_, std::abs(a - n) / tolerance);
      continue;
    }
    if (!refined) refined = rows(smooth_difference(block.input, column));
    const double better = (*refined)[static_cast<std::size_t>(r)];
    if (std::abs(a - better) <= allowed(a, better, h, magnitude)) {
      block.numeric[at] = better;
      continue;
    }
    if (!half) half = rows(difference(block.input, column, h / 2));
    block.bad.push_back({r, column, (*half)[static_cast<std::size_t>(r)], tolerance});
  }
}

void Check::compare_jacobian() {
  const std::vector<Tensor> xs = leaves();
  const std::vector<Tensor> ys = run_recorded(xs);
  std::vector<Values> rows;
  for (std::size_t r = 0; r < y_.size(); ++r) {
    Values seed(y_.size());
    seed[r] = 1;
    rows.push_back(sweep(ys, xs, seed));
  }
  std::size_t begin = 0;
  for (std::size_t o = 0; o < shapes_.size(); ++o) {
    const auto height = static_cast<std::size_t>(shapes_[o].numel());
    const Values mine(y_.begin() + static_cast<std::ptrdiff_t>(begin),
                      y_.begin() + static_cast<std::ptrdiff_t>(begin + height));
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      JacobianBlock block = new_block(o, k, shapes_[o].numel());
      for (std::size_t r = 0; r < height; ++r) {
        const Values row = part(rows[begin + r], k);
        std::copy(row.begin(), row.end(),
                  block.analytic.begin() + static_cast<std::ptrdiff_t>(block.at(static_cast<Index>(r), 0)));
      }
      for (Index c = 0; c < block.columns; ++c) {
        compare_column(block, c, largest(mine), [&](const Values& all) {
          return Values(all.begin() + static_cast<std::ptrdiff_t>(begin),
                        all.begin() + static_cast<std::ptrdiff_t>(begin + height));
        });
      }
      if (!block.bad.empty()) fail_block(block);
    }
    begin += height;
  }
}

JacobianBlock Check::new_block(std::size_t output, std::size_t k, Index rows) const {
  JacobianBlock block;
  block.output = output;
  block.input = wanted_[k];
  block.output_shape = shapes_[output];
  block.input_shape = inputs_[wanted_[k]].shape();
  block.rows = rows;
  block.columns = inputs_[wanted_[k]].numel();
  block.analytic.resize(static_cast<std::size_t>(rows * block.columns));
  block.numeric.resize(block.analytic.size());
  return block;
}

void Check::compare_projections() {
  projected_ = true;
  const std::vector<Tensor> xs = leaves();
  const std::vector<Tensor> ys = run_recorded(xs);
  for (int p = 0; p < kProjections; ++p) {
    const auto draw = [&] { return p < 2 ? (generator_.uniform() < 0.5 ? -1.0 : 1.0) : generator_.normal(); };
    Values v(y_.size());
    for (double& e : v) e = draw();
    const Values gradient = sweep(ys, xs, v);
    const double magnitude = largest(y_) * largest(v) * std::sqrt(static_cast<double>(y_.size()));
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      const Tensor& x = inputs_[wanted_[k]];
      Values u(static_cast<std::size_t>(x.numel()));
      for (double& e : u) e = draw();
      ++compared_;
      if (!projection_agrees(k, v, u, part(gradient, k), magnitude)) localise(k, v, part(gradient, k), magnitude);
    }
    if (!failures_.empty()) return;
  }
}

bool Check::projection_agrees(std::size_t k, const Values& v, const Values& u, const Values& gradient,
                              double magnitude) {
  const Tensor& x = inputs_[wanted_[k]];
  const double* at = x.data<double>();
  for (const double h : {kStep, kSmoothStep / 10}) {  // the longer step where rounding swamps the shorter
    Values width(u.size());
    const auto step = [&](double sign) {
      std::vector<Tensor> moved_xs = copies();
      auto* out = reinterpret_cast<double*>(moved_xs[wanted_[k]].impl().bytes());
      for (std::size_t i = 0; i < u.size(); ++i) {
        out[i] = at[i] + sign * h * std::max(1.0, std::abs(at[i])) * u[i];
        width[i] += sign * out[i];
      }
      return dot(v, evaluate(moved_xs));
    };
    const double numeric = (step(1) - step(-1)) / h;
    const double analytic = dot(gradient, width) / h;
    const double tolerance =
        2 * (options_.atol * std::sqrt(static_cast<double>(u.size())) + 20 * kUnit * magnitude / h +
             std::max(rtol_, 1e-6) * std::max(std::abs(analytic), std::abs(numeric)));
    if (std::abs(analytic - numeric) <= tolerance) {
      worst_ = std::max(worst_, std::abs(analytic - numeric) / tolerance);
      return true;
    }
  }
  return false;
}

void Check::localise(std::size_t k, const Values& v, const Values& gradient, double magnitude) {
  JacobianBlock block = new_block(0, k, 1);
  block.projected = true;
  block.columns = std::min(block.columns, kLocalised);
  block.analytic.assign(gradient.begin(), gradient.begin() + block.columns);
  block.numeric.resize(block.analytic.size());
  for (Index c = 0; c < block.columns; ++c) {
    compare_column(block, c, magnitude, [&](const Values& all) { return Values{dot(v, all)}; });
  }
  if (!block.bad.empty()) fail_block(block);
  else
    fail(fmt::format("a random projection of the gradient of input {} differs, beyond its first {} elements",
                     wanted_[k], block.columns));
}

void Check::check_taylor() {
  std::vector<Values> direction;
  double slope = 0;
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    Values u(static_cast<std::size_t>(inputs_[wanted_[k]].numel()));
    for (double& e : u) e = generator_.uniform(-1, 1);
    slope += dot(part(gradient_, k), u);
    direction.push_back(std::move(u));
  }
  const double f0 = dot(seed_, y_);
  const double rounding = 100 * kUnit * (largest(y_) * static_cast<double>(y_.size()) + std::abs(slope));
  double before = 0;
  for (int e = 9; e <= 16; ++e) {
    const double h = std::ldexp(1.0, -e);
    std::vector<Tensor> xs = copies();
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      auto* out = reinterpret_cast<double*>(xs[wanted_[k]].impl().bytes());
      for (std::size_t i = 0; i < direction[k].size(); ++i) out[i] += h * direction[k][i];
    }
    const double rest = std::abs(dot(seed_, evaluate(xs)) - f0 - h * slope);
    if (e > 11 && rest > rounding && !(rest <= before * std::exp2(-1.9))) {
      fail(fmt::format(
          "Taylor test: the remainder falls from {:.3g} to {:.3g} when the step is halved to 2^-{}; it must "
          "fall to a quarter",
          before, rest, e));
      return;
    }
    before = rest;
  }
}

}  // namespace tapestry::detail
