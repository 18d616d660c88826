#include <tapestry/nn/optim/muon.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/optimizer_step.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::optim {
namespace {

struct Matrix {
  Index rows, columns;
};

Matrix matrix_of(const Tensor& x) {
  const Index rows = x.shape()[0];
  return {rows, rows == 0 ? 0 : x.numel() / rows};
}

double adjustment(AdjustLr how, const Matrix& m) {
  const auto rows = static_cast<double>(m.rows), columns = static_cast<double>(m.columns);
  switch (how) {
    case AdjustLr::original: return std::sqrt(std::max(1.0, rows / columns));
    case AdjustLr::match_rms_adamw: return 0.2 * std::sqrt(std::max(rows, columns));
    case AdjustLr::none: break;
  }
  return 1;
}

const char* name_of(AdjustLr how) {
  switch (how) {
    case AdjustLr::original: return "original";
    case AdjustLr::match_rms_adamw: return "match_rms_adamw";
    case AdjustLr::none: break;
  }
  return "none";
}

void check(const char* who, Index steps, double eps) {
  if (steps < 1) throw_invalid("{}: there must be at least 1 step of Newton and Schulz; got {}", who, steps);
  detail::check_not_negative(who, "eps", eps);
}

}  // namespace

Tensor newton_schulz(const Tensor& u, const NewtonSchulzOptions& options, Here here) {
  const CallSite site(here);
  check("newton_schulz", options.steps, options.eps);
  if (u.dim() < 2) {
    throw_invalid("newton_schulz: u must be a matrix, or matrices, [..., rows, columns]; got {}", u.shape());
  }
  if (u.numel() == 0) return u;
  const auto [a, b, c] = options.coefficients;
  const Autocast as_it_is(f32);  // the result is a step of a parameter, in its dtype
  const bool tall = u.size(-2) > u.size(-1);
  Tensor x = tall ? transpose(u, -1, -2) : u;
  x = x / (norm(x, {.dim = {-1, -2}, .keepdim = true}) + options.eps);
  for (Index step = 0; step < options.steps; ++step) {
    const Tensor square = matmul(x, x, {.transpose_b = true});
    x = a * x + matmul(b * square + c * matmul(square, square), x);
  }
  return tall ? transpose(x, -1, -2) : x;
}

Muon::Muon(const Parameters& parameters, const MuonOptions& options, Here here) {
  const CallSite site(here);
  add_group(parameters, options);
}

Muon::Muon(const std::vector<Group<MuonOptions>>& groups, Here here) {
  const CallSite site(here);
  for (const auto& group : groups) add_group(group.parameters, group.options);
}

void Muon::add_group(const Parameters& parameters, const MuonOptions& options, Here here) {
  const CallSite site(here);
  detail::check_not_negative("Muon", "lr", options.lr);
  detail::check_not_negative("Muon", "momentum", options.momentum);
  detail::check_not_negative("Muon", "weight_decay", options.weight_decay);
  check("Muon", options.ns_steps, options.eps);
  for (const NamedTensor& x : parameters.list()) {
    if (x.tensor.defined() && x.tensor.dim() < 2) {
      throw_invalid("Muon: a parameter must have at least 2 dimensions; {} is {}; give it to another optimizer", x.name,
                    x.tensor.shape());
    }
  }
  add_entries("Muon", parameters, options.lr);
  options_.push_back(options);
}

void Muon::set_momentum(double momentum, std::size_t group, Here here) {
  const CallSite site(here);
  detail::check_not_negative("Muon", "momentum", momentum);
  options_.at(group).momentum = momentum;
}

std::vector<std::pair<std::string, std::string>> Muon::settings(std::size_t group) const {
  const MuonOptions& o = options_.at(group);
  return {
      {"optimizer", "Muon"},
      {"weight_decay", fmt::format("{}", o.weight_decay)},
      {"nesterov", o.nesterov ? "yes" : "no"},
      {"ns_steps", fmt::format("{}", o.ns_steps)},
      {"ns_coefficients", fmt::format("{} {} {}", o.ns_coefficients[0], o.ns_coefficients[1], o.ns_coefficients[2])},
      {"eps", fmt::format("{}", o.eps)},
      {"adjust_lr", name_of(o.adjust_lr)},
      {"renormalize", o.renormalize ? "yes" : "no"}};
}

struct Muon::Moving {
  Entry* entry;
  Tensor gradient;
  Tensor step;  ///< as a matrix
  double shrink, rate, momentum;
};

/// The directions of a group, those of the same form in the same products.
void Muon::make_orthogonal(std::span<Moving> group, const NewtonSchulzOptions& options) {
  std::vector<bool> done(group.size());
  for (std::size_t i = 0; i < group.size(); ++i) {
    std::vector<std::size_t> batch;
    std::vector<Tensor> directions;
    for (std::size_t k = i; k < group.size() && !done[i]; ++k) {
      const Tensor& u = group[k].step;
      if (done[k] || u.shape() != group[i].step.shape() || u.dtype() != group[i].step.dtype()) continue;
      batch.push_back(k);
      directions.push_back(u);
    }
    if (batch.empty()) continue;
    const Tensor turned = newton_schulz(stack(directions), options);
    for (std::size_t k = 0; k < batch.size(); ++k) {
      Moving& m = group[batch[k]];
      m.step = reshape(select(turned, {.index = static_cast<Index>(k)}), m.entry->parameter.shape());
      done[batch[k]] = true;
    }
  }
}

void Muon::step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  warn_of_gaps("Muon");
  make_missing_slots();

  // First all that takes memory, then all that changes: what fails has changed nothing.
  std::vector<Moving> all;
  for (std::size_t g = 0; g < groups(); ++g) {
    const MuonOptions& o = options_[g];
    const std::size_t first = all.size();
    for (Entry& entry : entries(g)) {
      const Tensor gradient = entry.parameter.grad();
      if (!gradient.defined() || gradient.numel() == 0) continue;
      const Matrix form = matrix_of(gradient);
      const Tensor u = momentum_direction(gradient, entry.slots[0], o.momentum, o.nesterov);
      double shrink = 1 - o.lr * o.weight_decay;
      if (o.renormalize) {
        const double length = std::sqrt(sum_of_squares(entry.parameter));
        if (length > 0) shrink *= std::sqrt(static_cast<double>(form.rows)) / length;
      }
      all.push_back({&entry, gradient, reshape(u, {form.rows, form.columns}), shrink,
                     o.lr * adjustment(o.adjust_lr, form), o.momentum});
    }
    make_orthogonal(std::span(all).subspan(first),
                    {.steps = o.ns_steps, .coefficients = o.ns_coefficients, .eps = o.eps});
  }

  for (Moving& m : all) {
    scale_and_add_in_place(m.entry->slots[0], m.momentum, m.gradient, 1);
    scale_and_add_in_place(m.entry->parameter, m.shrink, m.step, -m.rate);
    m.entry->fresh = false;
    ++m.entry->step;
  }
}

}  // namespace tapestry::nn::optim
