#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/base/thread_modes.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

class Generator;

/// What a checkpoint keeps beside its inputs: of conv2d, linear and matmul, whose results cost much more to compute
/// than what stands between them, those that are called for here. They are not computed a second time.
struct CheckpointOptions {
  std::vector<Generator*> generators = {};   ///< that f draws from, beside the default generator
  std::vector<std::string> keep_ops = {};    ///< all results of these: {"conv2d"}
  std::vector<std::string> keep_names = {};  ///< the results that f marks by one of these names; see keep()
};

/// f(xs), of which nothing is kept for backward but xs: f is called again when its gradients are wanted, recorded this
/// time, and played at once (Chen et al. 2016, "Training deep nets with sublinear memory cost"). Memory for the price
/// of a second forward pass.
///
/// Values and gradients are those without it, bit by bit: the second call draws the same random numbers, runs under the
/// same autocast, precision and module path, and leaves running statistics alone. f may use other tensors that require
/// grad, such as parameters; they must not change before backward, and what f looks up elsewhere must be the same
/// again. Checkpoints may stand within one another and be differentiated any number of times. Within a jvp, f is simply
/// called.
///
/// Keeps xs, f and what the options name. Throws what f throws, also from backward; std::logic_error there when f
/// returns another shape or dtype than the first time or, where results are kept, calls other ops, and when an input
/// was modified; std::invalid_argument for keep_ops of which nothing can be kept.
[[nodiscard]] Tensor checkpoint(const Callable<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& xs,
                                const CheckpointOptions& options = {}, Here here = {});
[[nodiscard]] Tensor checkpoint(const Callable<Tensor(const Tensor&)>& f, const Tensor& x,
                                const CheckpointOptions& options = {}, Here here = {});

/// Within a checkpoint that keeps this name: what is kept is x, the result of the conv2d, linear or matmul that was
/// called last. Elsewhere nothing happens. Returns x. Throws std::invalid_argument for another x.
///
///     const Tensor scores = keep("scores", matmul(q, k, {.transpose_b = true}));
Tensor keep(std::string_view name, const Tensor& x, Here here = {});

namespace detail {

[[nodiscard]] Tensor kept_result(const char* op);
void computed_result(const Tensor& y);

/// For ops that cost more than the memory of their result is worth: compute(), or what a checkpoint has kept of it.
template <class Compute>
[[nodiscard]] Tensor kept_or(const char* op, const Compute& compute) {
  if (!thread_modes.keeper) [[likely]]
    return compute();
  Tensor y = kept_result(op);
  if (!y.defined()) y = compute();
  computed_result(y);
  return y;
}

}  // namespace detail

/// True while backward calls the function of a checkpoint a second time. An op that updates a state of its own, as
/// batch norm does its running statistics, has done so the first time.
[[nodiscard]] inline bool is_recomputing() noexcept { return detail::thread_modes.recomputing; }

}  // namespace tapestry
