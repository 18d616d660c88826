#pragma once

#include <utility>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/base/thread_modes.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

class Generator;

struct CheckpointOptions {
  std::vector<Generator*> generators = {};  ///< that f draws from, beside the default generator
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
/// Keeps xs and f. Throws what f throws, also from backward; std::logic_error there when f returns another shape or
/// dtype than the first time, or an input was modified.
[[nodiscard]] Tensor checkpoint(const Callable<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& xs,
                                const CheckpointOptions& options = {}, Here here = {});
[[nodiscard]] Tensor checkpoint(const Callable<Tensor(const Tensor&)>& f, const Tensor& x,
                                const CheckpointOptions& options = {}, Here here = {});

/// True while backward calls the function of a checkpoint a second time. An op that updates a state of its own, as
/// batch norm does its running statistics, has done so the first time.
[[nodiscard]] inline bool is_recomputing() noexcept { return detail::thread_modes.recomputing; }

}  // namespace tapestry
