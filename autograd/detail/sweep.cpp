#include <tapestry/autograd/detail/sweep.h>

#include <algorithm>
#include <limits>
#include <unordered_set>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/base/thread_modes.h>
#include <tapestry/autograd/detail/hook_list.h>
#include <tapestry/autograd/detail/watcher.h>
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

void add_in_place(Tensor& sum, const Tensor& gradient) {
  visit_any_float(sum.dtype(), [&]<class T>() {
    T* out = sum.mutable_data<T>();
    add_elements(out, gradient.data<T>(), out, sum.numel());
  });
}

}  // namespace

Tensor added(const Tensor& a, const Tensor& b) {
  Tensor sum = empty_like(a);
  visit_any_float(a.dtype(),
                  [&]<class T>() { add_elements(a.data<T>(), b.data<T>(), sum.mutable_data<T>(), sum.numel()); });
  const auto pass = [](const Tensor& dy) { return dy; };
  return record("add", std::move(sum), wrt(a, self_adjoint, pass), wrt(b, self_adjoint, pass));
}

void accumulate(Tensor& sum, Tensor gradient, bool create_graph) {
  if (!create_graph && is_exclusive(sum) && !gradient.impl().node) {  // a node may carry a tangent
    add_in_place(sum, gradient);
  } else if (!create_graph && is_exclusive(gradient) && !sum.impl().node) {
    add_in_place(gradient, sum);
    sum = std::move(gradient);
  } else {
    sum = added(sum, gradient);
  }
}

// --- the sweep

#ifdef TAPESTRY_RULE_HOOKS
/// For a program that plants faults in rules and compiles this file once more: it may replace what is sent.
Tensor (*send_hook)(const Node& to, Tensor gradient) = nullptr;
#endif

void Sweep::send(Ref<Node> to, Tensor gradient) {
  if (!to) return;
  if (!gradient.defined()) {
    zeroed_.push_back(std::move(to));
    return;
  }
#ifdef TAPESTRY_RULE_HOOKS
  if (send_hook != nullptr) gradient = send_hook(*to, std::move(gradient));
#endif
  if (gradient.shape() != to->shape || gradient.dtype() != to->dtype) {
    const char* op = CallSite::current().rule_of;
    throw_logic("{}: its rule must return a gradient of the input's shape and dtype, {} {}; got {} {}",
                op ? op : "backward", to->dtype, to->shape, gradient.dtype(), gradient.shape());
  }
  if (options_.create_graph && !detail::has_reverse_node(gradient)) {
    const char* op = CallSite::current().rule_of;
    throw_logic("{}: its gradient is not differentiable: the rule returned a tensor that does not depend on dy",
                op ? op : "backward");
  }
  if (detail::call_state.watcher) [[unlikely]]
    detail::current_watcher()->sent(*to, gradient);
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

Tensor Sweep::call_hooks(Node& node, Tensor gradient) {
  try {
    return node.hooks_->call(node, std::move(gradient), options_.create_graph);
  } catch (...) {
    if (!options_.retain_graph && !node.is_leaf()) {
      node.release();
      node.released_ = true;
    }
    throw;
  }
}
namespace {

/// For the time of a message: it is about the op that this node recorded.
class About {
 public:
  explicit About(const Node& node) noexcept : outer_(std::exchange(detail::call_state.location, node.where())) {
    detail::call_state.location.rule_of = node.name;
  }
  ~About() { detail::call_state.location = outer_; }
  About(const About&) = delete;
  About& operator=(const About&) = delete;

 private:
  Location outer_;
};

}  // namespace

void Sweep::play(Pending pending) {
  Node& node = *pending.node;
  if (node.hooks_) pending.gradient = call_hooks(node, std::move(pending.gradient));
  for (const auto& [captured, result] : captures_) {
    if (captured == &node) *result = pending.gradient;
  }
  if (node.is_leaf()) {
    node.backward(std::move(pending.gradient), *this);
    return;
  }
  if (node.released_) {
    const About op(node);
    throw_logic(
        "backward: what {} recorded has been played and released; pass .retain_graph = true the first time to "
        "play it again",
        node.name);
  }
  if (node.playing_) throw_logic("backward: {} is being played already, by a sweep that called this one", node.name);
  node.playing_ = true;
  // Ops inside a rule belong to the line and module where the op itself was recorded, and what they save is theirs.
  const std::int64_t saved_further_out = std::exchange(detail::call_state.bytes_saved, 0);
  const Location outer = std::exchange(detail::call_state.location, node.where_);
  detail::call_state.location.rule_of = node.name;
  const auto restore = [&] {
    detail::call_state.location = outer;
    detail::call_state.bytes_saved = saved_further_out;
    node.playing_ = false;
    if (detail::call_state.watcher) [[unlikely]]
      detail::current_watcher()->played(node);
  };
  try {
    if (detail::call_state.watcher) [[unlikely]]
      detail::current_watcher()->playing(node, pending.gradient);
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

namespace {

// One level takes 1 KiB of stack and what the rule takes; the smallest stacks in use have 256 KiB.
constexpr int kDeepest = 100;

/// Sweeps of this thread that are within one another: rules may call backward(), and theirs again.
class Level {
 public:
  Level() {
    if (depth_ == kDeepest) {
      throw_logic(
          "backward: sweeps may be {} deep within one another; a rule that calls backward() or grad() goes on for more",
          kDeepest);
    }
    ++depth_;
  }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  ~Level() { --depth_; }

 private:
  static constinit thread_local inline int depth_ = 0;
};

/// How rules run: recorded when gradients shall be differentiated, and with tangents within a jvp.
class GradientModes : public detail::KeptModes {
 public:
  explicit GradientModes(bool create_graph) noexcept {
    const bool within_jvp = outside().tangent_level != 0;
    detail::thread_modes.grad_enabled = create_graph || within_jvp;
    detail::thread_modes.record_reverse = create_graph || !within_jvp;
  }
};

}  // namespace

void Sweep::run() {
  const Level level;
  const PlayingSite site;
  const GradientModes modes(options_.create_graph);
  const std::uint64_t first = first_of_interest();
  try {
    while (latest_.node || !earlier_.empty()) {
      Pending pending = take_latest();
      if (pending.node->seq < first) break;
      play(std::move(pending));
    }
    if (!zeroed_.empty()) reach_with_zeros();
  } catch (...) {
    if (!options_.retain_graph) abandon();
    throw;
  }
}

void Sweep::reach_with_zeros() {
  // Playing zeros through the tape would cost as much as gradients do, and make NaN of them where a factor is infinite.
  const std::uint64_t first = first_of_interest();
  std::vector<Ref<Node>> waiting = std::exchange(zeroed_, {});
  std::unordered_set<const Node*> seen;
  while (!waiting.empty()) {
    const Ref<Node> node = std::move(waiting.back());
    waiting.pop_back();
    if (node->seq < first || !seen.insert(node.get()).second) continue;
    for (const auto& [captured, result] : captures_) {
      if (captured == node.get() && !result->defined()) *result = zeros(node->shape, {.dtype = node->dtype});
    }
    if (node->is_leaf()) node->backward(zeros(node->shape, {.dtype = node->dtype}), *this);
    for (const Ref<Node>& input : node->inputs()) {
      if (input) waiting.push_back(input);
    }
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

}  // namespace tapestry
