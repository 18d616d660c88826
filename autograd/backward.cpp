#include <tapestry/autograd/backward.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/dual.h>
#include <tapestry/autograd/detail/sweep.h>

namespace tapestry {

namespace {

/// The gradient a sweep starts from: what the user gave, checked, or 1.
Tensor seed_of(const char* op, const Tensor& y, Tensor gradient, bool create_graph) {
  if (!detail::has_reverse_node(y)) {
    if (y.requires_grad()) {
      throw_invalid(
          "{}: the tensor must require grad; within a jvp only tangents are computed, unless .create_graph = true is "
          "given to it",
          op);
    }
    throw_invalid("{}: the tensor must require grad; it was computed from none that does, or under no_grad", op);
  }
  if (!gradient.defined()) {
    if (y.numel() != 1) {
      throw_invalid("{}: a tensor of several elements needs a gradient to start from; got shape {} and none", op,
                    y.shape());
    }
    gradient = ones_like(y);
  } else if (gradient.shape() != y.shape() || gradient.dtype() != y.dtype()) {
    throw_invalid("{}: the gradient must have the shape and dtype of the tensor, {} {}; got {} {}", op, y.dtype(),
                  y.shape(), gradient.dtype(), gradient.shape());
  }
  // While a graph is created every gradient has a node: one that comes back without has fallen out of the graph.
  return create_graph ? detail::as_leaf(gradient) : gradient;
}

}  // namespace

void backward(const Tensor& y, const BackwardOptions& options, Here here) {
  const CallSite site(here);
  Sweep sweep({.retain_graph = options.retain_graph || options.create_graph, .create_graph = options.create_graph});
  Tensor seed = seed_of("backward", y, options.gradient, options.create_graph);
  sweep.send(detail::reverse_node(y.impl().node), std::move(seed));
  sweep.run();
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options, Here here) {
  const CallSite site(here);
  const auto& seeds = options.grad_outputs;
  if (!seeds.empty() && seeds.size() != outputs.size()) {
    throw_invalid("grad: grad_outputs must be one per output, {}; got {}", outputs.size(), seeds.size());
  }
  Sweep sweep({.retain_graph = options.retain_graph || options.create_graph,
               .create_graph = options.create_graph,
               .deposit = false});
  std::vector<Tensor> results(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!detail::has_reverse_node(inputs[i])) {
      throw_invalid("grad: every input must require grad; input {} does not{}", i,
                    inputs[i].requires_grad() ? ", it has a tangent only" : "");
    }
    sweep.capture(detail::reverse_node(inputs[i].impl().node).get(), &results[i]);
  }
  bool sent = false;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    // An output that depends on nothing adds nothing, as long as another one does.
    if (!detail::has_reverse_node(outputs[i]) && (sent || i + 1 < outputs.size())) continue;
    sweep.send(detail::reverse_node(outputs[i].impl().node),
               seed_of("grad", outputs[i], seeds.empty() ? Tensor() : seeds[i], options.create_graph));
    sent = true;
  }
  sweep.run();
  for (std::size_t i = 0; i < inputs.size() && !options.allow_unused; ++i) {
    if (!results[i].defined()) {
      const Here cut = inputs[i].impl().node->detached_at();
      const std::string why =
          cut.file ? ", it was detached at " + to_string(Location{.file = cut.file, .line = cut.line}) : "";
      throw_invalid(
          "grad: every input must be reached from the outputs; input {} is not{} (.allow_unused = true makes its "
          "gradient "
          "undefined)",
          i, why);
    }
  }
  return results;
}

std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs, const GradOptions& options,
                         Here here) {
  const CallSite site(here);
  return grad(std::vector<Tensor>{output}, inputs, options);
}

Tensor grad(const Tensor& output, const Tensor& input, const GradOptions& options, Here here) {
  const CallSite site(here);
  return grad(std::vector<Tensor>{output}, std::vector<Tensor>{input}, options).front();
}

}  // namespace tapestry
