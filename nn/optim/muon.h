#pragma once

#include <array>
#include <span>

#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::nn::optim {

struct NewtonSchulzOptions {
  Index steps = 5;                                                 ///< of the iteration
  std::array<double, 3> coefficients = {3.4445, -4.7750, 2.0315};  ///< a, b, c
  double eps = 1e-7;
};

/// Brings the singular values of matrices near 1: for u = U S V^T about U V^T. u [..., rows, columns], f32 or f64; the
/// result is as u. Each matrix by itself, transposed if it is taller than wide:
///
///     X = u / (|u| + eps)        then so many times  A = X X^T,  X = a X + (b A + c A^2) X
///
/// With the default coefficients singular values end between 0.7 and 1.2, few of them at 1: they were chosen for speed
/// from small values on. Throws std::invalid_argument for fewer than two dimensions or than one step, and for a
/// negative eps.
[[nodiscard]] Tensor newton_schulz(const Tensor& u, const NewtonSchulzOptions& options = {}, Here here = {});

/// By what Muon multiplies the rate of a parameter [rows, columns].
enum class AdjustLr {
  original,         ///< max(1, rows / columns)^(1/2)
  match_rms_adamw,  ///< 0.2 max(rows, columns)^(1/2): steps as long as AdamW's, so that its rates may be taken over
  none              ///< 1
};

struct MuonOptions {
  double lr = 1e-3;
  double weight_decay = 0.1;  ///< of the parameter itself: p *= 1 - lr weight_decay
  double momentum = 0.95;
  bool nesterov = true;
  Index ns_steps = 5;                                                 ///< of Newton and Schulz's iteration
  std::array<double, 3> ns_coefficients = {3.4445, -4.7750, 2.0315};  ///< a, b, c of the iteration
  double eps = 1e-7;                        ///< joins the length that the direction is first divided by
  AdjustLr adjust_lr = AdjustLr::original;  ///< the factor of the rate
  bool renormalize = false;  ///< scales the parameter to length sqrt(rows) before each step; for weights that a
                             ///< normalisation follows, whose length changes nothing but the step's effect
};

/// Muon (Jordan et al., 2024): momentum whose direction is made orthogonal. For parameters of two and more dimensions,
/// taken as matrices [first extent, rest], a convolution's filters [K, R, S, C / groups] as [K, R S C / groups]:
///
///     b = momentum b + g            u = nesterov ? g + momentum b : b
///     p *= 1 - lr weight_decay      p -= lr s NS(u)           s as .adjust_lr says
///
/// NS(u) is newton_schulz(). Embeddings, the last layer, biases and normalisation are for another optimizer
/// (split_parameters() tells them apart). Parameters of equal shape in a group are made orthogonal together, in
/// products of batches. Keeps b. Throws std::invalid_argument for a parameter of fewer than two dimensions, a negative
/// lr, momentum, weight decay or eps, fewer than one step, and for parameters as Optimizer says.
class Muon final : public Optimizer {
 public:
  Muon(const Parameters& parameters, const MuonOptions& options = {}, Here here = {});
  explicit Muon(const std::vector<Group<MuonOptions>>& groups, Here here = {});
  void add_group(const Parameters& parameters, const MuonOptions& options, Here here = {});

  void step(Here here = {}) override;
  [[nodiscard]] double lr(std::size_t group = 0) const override { return options_.at(group).lr; }
  [[nodiscard]] double momentum(std::size_t group = 0) const override { return options_.at(group).momentum; }
  void set_momentum(double momentum, std::size_t group = 0, Here here = {}) override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const override;

 private:
  void assign_lr(double lr, std::size_t group) override { options_.at(group).lr = lr; }
  [[nodiscard]] std::vector<std::string> slot_names(std::size_t) const override { return {"momentum_buffer"}; }

  struct Moving;
  static void make_orthogonal(std::span<Moving> group, const NewtonSchulzOptions& options);

  std::vector<MuonOptions> options_;
};

}  // namespace tapestry::nn::optim
