#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/tensor.h>

/// What the author of an op needs. An op checks, computes, and records one gradient rule per input:
///
///     Tensor square(const Tensor& x, Here here) {
///       const CallSite site(here);
///       Tensor y = ...;
///       return record("square", y, wrt(x, [x = saved(x)](const Tensor& dy) { return 2 * dy * x(); }));
///     }
///
/// A rule is linear in dy and speaks in ops, so that it can be differentiated again. It must not capture the output -
/// that would be a cycle - but may ask for it: `[](const Tensor& dy, const Tensor& y) { ... }`. Nor need it keep the
/// shape that its result must have: `[](const Tensor& dy, const Shape& shape_of_x) { ... }`. Returning an undefined
/// tensor means zero.
namespace tapestry {

/// A tensor kept for backward, with the elements it had. Using it after they were modified, or others were put in their
/// place (Tensor::set_data), throws std::logic_error.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& x) : tensor_(x) {
    if (!x.defined()) return;
    version_ = x.impl().storage->version();
    generation_ = x.impl().generation;
  }

  const Tensor& operator()() const {
    if (tensor_.defined()) {
      const detail::TensorImpl& now = tensor_.impl();
      if (now.storage->version() != version_ || now.generation != generation_) throw_modified();
    }
    return tensor_;
  }

 private:
  [[noreturn]] void throw_modified() const;

  Tensor tensor_;
  std::uint32_t version_ = 0, generation_ = 0;
};

namespace detail {
[[nodiscard]] inline std::int64_t bytes_of(const Tensor& x) {
  return x.defined() ? x.numel() * item_bytes(x.dtype()) : 0;
}
}  // namespace detail

/// Keeps x for a rule. An undefined x stays undefined. While nothing is recorded there will be no rule to keep it for.
/// The next wrt() of the op takes what has been saved as what its rule keeps: how the tape knows without looking into
/// the rule. The op's CallSite forgets what was saved before it threw.
[[nodiscard]] inline Saved saved(const Tensor& x) {
  if (!is_grad_enabled()) return {};
  detail::bytes_saved += detail::bytes_of(x);
  return Saved(x);
}

/// An input and the rule for its gradient; see wrt().
template <class Rule>
struct Wrt {
  const Tensor& x;
  Rule rule;
  std::int64_t bytes;
  Here here;
};

/// "With respect to x, the gradient is rule(dy)". x may be undefined: an optional input that was not given.
template <class Rule>
[[nodiscard]] Wrt<Rule> wrt(const Tensor& x, Rule rule, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::bytes_saved, 0), here};
}

namespace detail {

[[nodiscard]] inline bool has_node(const Tensor& x) noexcept { return x.defined() && x.impl().node; }

/// Tells those who look on (detail/watcher.h) what an op has computed.
void watch_op(const char* name, const Tensor& y, std::initializer_list<const Tensor*> inputs, const Here& here);
void watch_op(const char* name, const Tensor& y, const std::vector<Tensor>& inputs, const Here& here);

/// The handle that record() returns: y itself when it is fresh, an alias when somebody else holds it.
[[nodiscard]] Tensor fresh(Tensor y);

[[nodiscard]] inline Location location_or(const Here& here) noexcept {
  Location location = CallSite::current();
  if (!location.file) {
    location.file = here.file;
    location.line = here.line;
  }
  return location;
}

template <class Rule>
inline constexpr bool wants_output = std::invocable<const Rule&, const Tensor&, const Tensor&>;

template <class Rule>
inline constexpr bool wants_shape = std::invocable<const Rule&, const Tensor&, const Shape&>;

/// The node of an op with one rule per input.
template <class... Rules>
class RuleNode final : public Node {
 public:
  RuleNode(const char* name_of, const Tensor& y, const Location& location, Wrt<Rules>&&... inputs)
      : Node(name_of, y.shape(), y.dtype(), location),
        inputs_{(has_node(inputs.x) ? inputs.x.impl().node : Ref<Node>())...},
        rules_{(has_node(inputs.x) ? std::optional<Rules>(std::move(inputs.rule)) : std::nullopt)...},
        bytes_(((has_node(inputs.x) ? inputs.bytes : 0) + ...)) {
    // The rules' own handle has no node: a node that owned itself would never die.
    if constexpr ((wants_output<Rules> || ...)) {
      if (((wants_output<Rules> && has_node(inputs.x)) || ...)) {
        output_ = Saved(without_history(y));
        bytes_ += bytes_of(y);
      }
    }
  }

  void backward(const Tensor& dy, Sweep& sweep) override { play(dy, sweep, std::index_sequence_for<Rules...>{}); }

  void release() noexcept override {
    inputs_ = {};
    std::apply([](auto&... rule) { (rule.reset(), ...); }, rules_);
    output_ = {};
  }

  [[nodiscard]] std::span<const Ref<Node>> inputs() const noexcept override { return inputs_; }
  [[nodiscard]] std::int64_t bytes_kept() const noexcept override { return released() ? 0 : bytes_; }

 private:
  template <std::size_t... I>
  void play(const Tensor& dy, Sweep& sweep, std::index_sequence<I...>) {
    (play_one<I>(dy, sweep), ...);
  }

  template <std::size_t I>
  void play_one(const Tensor& dy, Sweep& sweep) {
    const auto& rule = std::get<I>(rules_);
    if (!rule) return;
    using Rule = std::tuple_element_t<I, std::tuple<Rules...>>;
    Tensor gradient = [&] {
      if constexpr (wants_output<Rule>) return (*rule)(dy, output());
      else if constexpr (wants_shape<Rule>) return (*rule)(dy, inputs_[I]->shape);
      else return (*rule)(dy);
    }();
    // The reference itself goes along when this node will not be played again.
    send(sweep, keeps_graph(sweep) ? inputs_[I] : std::move(inputs_[I]), std::move(gradient));
  }

  /// y as rules see it: with its node while a graph is being created, so that its own dependence on x counts.
  [[nodiscard]] Tensor output() {
    if (!is_grad_enabled()) return output_();
    Tensor y = without_history(output_());
    y.impl().node = Ref<Node>(this);
    return y;
  }

  std::array<Ref<Node>, sizeof...(Rules)> inputs_;
  std::tuple<std::optional<Rules>...> rules_;
  Saved output_;
  std::int64_t bytes_;
};

/// The node of an op whose rule serves all inputs at once.
template <class Rule>
class JointNode final : public Node {
 public:
  JointNode(const char* name_of, const Tensor& y, const Location& location, const std::vector<Tensor>& inputs,
            Rule rule, std::int64_t bytes)
      : Node(name_of, y.shape(), y.dtype(), location), rule_(std::move(rule)), bytes_(bytes) {
    inputs_.reserve(inputs.size());
    for (const Tensor& x : inputs) {
      wanted_.push_back(has_node(x));
      inputs_.push_back(has_node(x) ? x.impl().node : Ref<Node>());
    }
  }

  void backward(const Tensor& dy, Sweep& sweep) override {
    std::vector<Tensor> gradients = (*rule_)(dy, wanted_);
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (wanted_[i]) send(sweep, inputs_[i], std::move(gradients[i]));
    }
  }

  void release() noexcept override {
    inputs_.clear();
    rule_.reset();
  }

  [[nodiscard]] std::span<const Ref<Node>> inputs() const noexcept override { return inputs_; }
  [[nodiscard]] std::int64_t bytes_kept() const noexcept override { return released() ? 0 : bytes_; }

 private:
  std::vector<Ref<Node>> inputs_;
  std::vector<bool> wanted_;
  std::optional<Rule> rule_;
  std::int64_t bytes_;
};

}  // namespace detail

/// Gives y a node if recording is on and some input has one, and returns it. Rules of inputs without a node are
/// dropped, together with whatever they saved. `name` must outlive the tape: a literal.
template <class... Rules>
Tensor record(const char* name, Tensor y, Wrt<Rules>... inputs) {
  if (detail::watcher) [[unlikely]]
    detail::watch_op(name, y, {&inputs.x...}, std::get<0>(std::tie(inputs...)).here);
  if (!is_grad_enabled() || !(detail::has_node(inputs.x) || ...)) return y;
  y = detail::fresh(std::move(y));
  const Location location = detail::location_or(std::get<0>(std::tie(inputs...)).here);
  y.impl().node = Ref<Node>::adopt(new detail::RuleNode<Rules...>(name, y, location, std::move(inputs)...));
  return y;
}

/// record() for gradients that share work, and for lists of inputs: rule(dy, wanted) returns one gradient per input,
/// where wanted[i] tells whether input i needs one; the others are ignored. Inputs may be undefined.
template <class Rule>
Tensor record_joint(const char* name, Tensor y, const std::vector<Tensor>& inputs, Rule rule, Here here = {}) {
  const std::int64_t bytes = std::exchange(detail::bytes_saved, 0);
  if (detail::watcher) [[unlikely]]
    detail::watch_op(name, y, inputs, here);
  bool wanted = false;
  for (const Tensor& x : inputs) wanted = wanted || detail::has_node(x);
  if (!is_grad_enabled() || !wanted) return y;
  y = detail::fresh(std::move(y));
  const Location location = detail::location_or(here);
  y.impl().node = Ref<Node>::adopt(new detail::JointNode<Rule>(name, y, location, inputs, std::move(rule), bytes));
  return y;
}

}  // namespace tapestry
