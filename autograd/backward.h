#pragma once

#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

struct BackwardOptions {
  Tensor gradient = {};       ///< dL/dy, of y's shape and dtype; may be left out when y has one element: 1
  bool retain_graph = false;  ///< keep what was recorded, to play it again
  bool create_graph = false;  ///< record the gradients themselves, to differentiate them; implies retain_graph
};

/// Plays the tape behind y backwards, latest op first, and adds dL/dx to x.grad() of every leaf x. What the tape kept
/// is freed as it is passed, unless retained.
///
/// Throws std::invalid_argument when y does not require grad, when y has several elements and no gradient is given, or
/// when the gradient has another shape or dtype; std::logic_error when the graph has been played and released before.
/// An exception from a rule passes through unchanged; the graph then counts as released.
void backward(const Tensor& y, const BackwardOptions& options = {}, Here here = {});

struct GradOptions {
  std::vector<Tensor> grad_outputs = {};  ///< as BackwardOptions::gradient, one per output or none at all
  bool retain_graph = false;
  bool create_graph = false;
  bool allow_unused = false;  ///< an input that no output depends on gets an undefined gradient, no error
};

/// d(sum of outputs)/d(inputs), each of its input's shape, without touching any .grad(). Inputs may be leaves or
/// results of recorded ops. Throws like backward(), and std::invalid_argument for an input that is not reached.
[[nodiscard]] std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                                       const GradOptions& options = {}, Here here = {});
[[nodiscard]] Tensor grad(const Tensor& output, const Tensor& input, const GradOptions& options = {}, Here here = {});
[[nodiscard]] std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs,
                                       const GradOptions& options = {}, Here here = {});

}  // namespace tapestry
