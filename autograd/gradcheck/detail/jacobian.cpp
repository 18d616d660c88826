// All derivatives of all outputs: one by one where they are few, else in random projections.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <tapestry/autograd/gradcheck/detail/differences.h>

namespace tapestry::detail {
namespace {

constexpr int kProjections = 4;     // two of directions +-1, where one wrong entry shows whole, two of normal ones
constexpr Index kLocalised = 4096;  // input elements that are looked at one by one when a projection fails

}  // namespace

std::vector<Values> Check::jacobian_rows() {
  const std::vector<Tensor> xs = leaves();
  const std::vector<Tensor> ys = run_recorded(xs);
  std::vector<Values> rows;
  scale_.assign(gradient_.size(), 0);
  for (std::size_t r = 0; r < y_.size(); ++r) {
    Values seed(y_.size());
    seed[r] = 1;
    rows.push_back(sweep(ys, xs, seed));
    for (std::size_t c = 0; c < scale_.size(); ++c) scale_[c] += std::abs(rows.back()[c]);
  }
  return rows;
}

void Check::compare_jacobian(const std::vector<Values>& rows) {
  double inputs = 0;  // f may cancel what it has made of them
  for (const std::size_t i : wanted_) inputs = std::max(inputs, largest(values_of({inputs_[i]})));
  std::size_t begin = 0;
  for (std::size_t o = 0; o < shapes_.size(); ++o) {
    const auto height = static_cast<std::size_t>(shapes_[o].numel());
    const double magnitude = std::max(largest(output_part(y_, o)), inputs);
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      JacobianBlock block = new_block(o, k, shapes_[o].numel());
      for (std::size_t r = 0; r < height; ++r) {
        const Values row = part(rows[begin + r], k);
        std::copy(row.begin(), row.end(),
                  block.analytic.begin() + static_cast<std::ptrdiff_t>(block.at(static_cast<Index>(r), 0)));
      }
      for (Index c = 0; c < block.columns; ++c) {
        compare_column(block, c, magnitude, [&](const Values& all) { return output_part(all, o); });
      }
      if (!block.bad.empty()) fail_block(block, rows);
    }
    begin += height;
  }
}

void Check::fail_block(JacobianBlock& block, const std::vector<Values>& rows) {
  if (!block.projected) {
    const Values scale = scale_;
    const std::vector<Values> again = jacobian_rows();
    scale_ = scale;
    block.unsteady = !std::equal(again.begin(), again.end(), rows.begin(), rows.end(), same_bits);
  }
  failures_ += describe(block);
}

JacobianBlock Check::new_block(std::size_t output, std::size_t k, Index rows) const {
  JacobianBlock block;
  block.output = output;
  block.input = wanted_[k];
  block.input_name = input_name(wanted_[k]);
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
  const double* const at = inputs_[wanted_[k]].data<double>();
  for (const double h : {kStep, kSmoothStep / 10, kStep / 10}) {  // others where rounding or curvature swamp the first
    Values width(u.size());
    const auto step = [&](double sign) {
      return dot(v, evaluate_at([&](std::size_t input, double* x) {
                   if (input != k) return;
                   for (std::size_t i = 0; i < u.size(); ++i) {
                     x[i] = at[i] + sign * h * std::max(1.0, std::abs(at[i])) * u[i];
                     width[i] += sign * x[i];
                   }
                 }));
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
  if (!block.bad.empty()) fail_block(block, {});
  else
    fail(fmt::format("a random projection of the gradient of input {} differs, beyond its first {} elements",
                     input_name(wanted_[k]), block.columns));
}

}  // namespace tapestry::detail
