#include <tapestry/autograd/backward.h>

#include <algorithm>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/detail/sweep.h>
#include <tapestry/autograd/record.h>

namespace tapestry {

// --- adding two gradients: the one operation the tape itself knows

bool is_exclusive(const Tensor& x) noexcept {
  const detail::TensorImpl& impl = x.impl();
  return impl.use_count() == 1 && impl.storage->use_count() == 1 && !impl.node;
}

namespace {

constexpr Index kAddGrain = 32 * 1024;  // elements: below this one core is done before a second wakes

template <class T>
void add_elements(const T* a, const T* b, T* sum, Index n) {
  parallel_for(n, kAddGrain, [=](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      if constexpr (std::is_same_v<T, BFloat16>) sum[i] = BFloat16(static_cast<float>(a[i]) + static_cast<float>(b[i]));
      else sum[i] = a[i] + b[i];
    }
  });
}

template <class F>
void visit_gradient(Dtype dtype, const F& f) {
  if (dtype == bf16) f.template operator()<BFloat16>();
  else visit_float(dtype, f);
}

Tensor added(const Tensor& a, const Tensor& b) {
  Tensor sum = empty_like(a);
  visit_gradient(a.dtype(),
                 [&]<class T>() { add_elements(a.data<T>(), b.data<T>(), sum.mutable_data<T>(), sum.numel()); });
  const auto pass = [](const Tensor& dy) { return dy; };
  return record("add", std::move(sum), wrt(a, pass), wrt(b, pass));
}

void add_in_place(Tensor& sum, const Tensor& gradient) {
  visit_gradient(sum.dtype(), [&]<class T>() {
    T* out = sum.mutable_data<T>();
    add_elements(out, gradient.data<T>(), out, sum.numel());
  });
}

}  // namespace

void accumulate(Tensor& sum, Tensor gradient, bool create_graph) {
  if (!create_graph && is_exclusive(sum)) {
    add_in_place(sum, gradient);
  } else if (!create_graph && is_exclusive(gradient)) {
    add_in_place(gradient, sum);
    sum = std::move(gradient);
  } else {
    sum = added(sum, gradient);
  }
}

// --- the sweep

void Sweep::send(Ref<Node> to, Tensor gradient) {
  if (!to || !gradient.defined()) return;
  if (gradient.shape() != to->shape || gradient.dtype() != to->dtype) {
    const char* op = CallSite::current().rule_of;
    throw_logic("{}: its rule must return a gradient of the input's shape and dtype, {} {}; got {} {}",
                op ? op : "backward", to->dtype, to->shape, gradient.dtype(), gradient.shape());
  }
  if (options_.create_graph && !gradient.impl().node) {
    const char* op = CallSite::current().rule_of;
    throw_logic("{}: its gradient is not differentiable: the rule returned a tensor that does not depend on dy",
                op ? op : "backward");
  }
  if (!latest_.node) {
    latest_.node = std::move(to);
    latest_.gradient = std::move(gradient);
  } else if (latest_.node == to) {
    accumulate(latest_.gradient, std::move(gradient), options_.create_graph);
  } else {
    // Whichever is later takes the slot; the other waits in the map, or joins its entry there.
    Pending other{std::move(to), std::move(gradient)};
    if (other.node->seq > latest_.node->seq) std::swap(other, latest_);
    const auto [entry, is_new] = earlier_.try_emplace(other.node->seq);
    if (is_new) entry->second = std::move(other);
    else accumulate(entry->second.gradient, std::move(other.gradient), options_.create_graph);
  }
}

Sweep::Pending Sweep::take_latest() {
  // The slot may be empty while the map is not, and what was sent since may be older than the map's last.
  if (!earlier_.empty()) {
    const auto last = std::prev(earlier_.end());
    if (!latest_.node || last->first > latest_.node->seq) {
      Pending pending = std::move(last->second);
      earlier_.erase(last);
      return pending;
    }
    if (last->first == latest_.node->seq) {  // sent to the slot after it had already waited in the map
      accumulate(latest_.gradient, std::move(last->second.gradient), options_.create_graph);
      earlier_.erase(last);
    }
  }
  return std::exchange(latest_, {});
}

std::uint64_t Sweep::first_of_interest() const noexcept {
  if (options_.deposit) return 0;
  std::uint64_t first = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [node, result] : captures_) first = std::min(first, node->seq);
  return first;
}

void Sweep::play(Pending pending) {
  Node& node = *pending.node;
  for (const auto& [captured, result] : captures_) {
    if (captured == &node) *result = pending.gradient;
  }
  if (node.is_leaf()) {
    node.backward(std::move(pending.gradient), *this);
    return;
  }
  if (node.released_) {
    throw_logic(
        "backward: what {} recorded has been played and released; pass .retain_graph = true the first time to "
        "play it again",
        node.name);
  }
  if (node.playing_) throw_logic("backward: {} is being played already, by a sweep that called this one", node.name);
  node.playing_ = true;
  // Ops inside a rule belong to the line and module where the op itself was recorded, and what they save is theirs.
  const std::int64_t saved_further_out = std::exchange(detail::bytes_saved, 0);
  const Location outer = std::exchange(detail::current_location, node.where_);
  detail::current_location.rule_of = node.name;
  const auto restore = [&] {
    detail::current_location = outer;
    detail::bytes_saved = saved_further_out;
    node.playing_ = false;
  };
  try {
    node.backward(pending.gradient, *this);
  } catch (...) {
    restore();
    if (!options_.retain_graph) {
      node.release();
      node.released_ = true;
    }
    throw;
  }
  restore();
  if (!options_.retain_graph) {
    node.released_ = true;
    node.release();
  }
}

void Sweep::run() {
  const GradModeGuard mode(options_.create_graph);
  const std::uint64_t first = first_of_interest();
  try {
    while (latest_.node || !earlier_.empty()) {
      Pending pending = take_latest();
      if (pending.node->seq < first) break;
      play(std::move(pending));
    }
  } catch (...) {
    if (!options_.retain_graph) abandon();
    throw;
  }
}

void Sweep::abandon() noexcept {
  const auto let_go = [](const Pending& pending) {
    if (!pending.node || pending.node->is_leaf()) return;
    pending.node->released_ = true;
    pending.node->release();
  };
  let_go(latest_);
  for (const auto& [seq, pending] : earlier_) let_go(pending);
}

// --- what a user calls

namespace {

/// The gradient a sweep starts from: what the user gave, checked, or 1.
Tensor seed_of(const char* op, const Tensor& y, Tensor gradient, bool create_graph) {
  if (!y.requires_grad()) {
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
  if (create_graph && !gradient.requires_grad()) gradient = gradient.detach().requires_grad(true);
  return gradient;
}

}  // namespace

void backward(const Tensor& y, const BackwardOptions& options) {
  Sweep sweep({.retain_graph = options.retain_graph || options.create_graph, .create_graph = options.create_graph});
  Tensor seed = seed_of("backward", y, options.gradient, options.create_graph);
  sweep.send(y.impl().node, std::move(seed));
  sweep.run();
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options) {
  const auto& seeds = options.grad_outputs;
  if (!seeds.empty() && seeds.size() != outputs.size()) {
    throw_invalid("grad: grad_outputs must be one per output, {}; got {}", outputs.size(), seeds.size());
  }
  Sweep sweep({.retain_graph = options.retain_graph || options.create_graph,
               .create_graph = options.create_graph,
               .deposit = false});
  std::vector<Tensor> results(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].requires_grad()) throw_invalid("grad: every input must require grad; input {} does not", i);
    sweep.capture(inputs[i].impl().node.get(), &results[i]);
  }
  bool sent = false;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    // An output that depends on nothing adds nothing, as long as another one does.
    if (!outputs[i].requires_grad() && (sent || i + 1 < outputs.size())) continue;
    sweep.send(outputs[i].impl().node,
               seed_of("grad", outputs[i], seeds.empty() ? Tensor() : seeds[i], options.create_graph));
    sent = true;
  }
  sweep.run();
  for (std::size_t i = 0; i < inputs.size() && !options.allow_unused; ++i) {
    if (!results[i].defined()) {
      throw_invalid(
          "grad: every input must be reached from the outputs; input {} is not (.allow_unused = true makes "
          "its gradient undefined)",
          i);
    }
  }
  return results;
}

std::vector<Tensor> grad(const Tensor& output, const std::vector<Tensor>& inputs, const GradOptions& options) {
  return grad(std::vector<Tensor>{output}, inputs, options);
}

Tensor grad(const Tensor& output, const Tensor& input, const GradOptions& options) {
  return grad(std::vector<Tensor>{output}, std::vector<Tensor>{input}, options).front();
}

}  // namespace tapestry
