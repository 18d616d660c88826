#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <tapestry/autograd/node.h>
#include <tapestry/autograd/saved.h>

/// The nodes that record() and its kin make, of rules of any type (record.h).
namespace tapestry {

/// Before a gradient rule: it is the tangent rule too.
struct SelfAdjoint {};
inline constexpr SelfAdjoint self_adjoint;

namespace detail {
/// In a tangent rule's place: it follows from the gradient rule.
struct Transposed {};
}  // namespace detail

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

/// Throws std::logic_error unless a joint rule has returned as many gradients as there are inputs.
void check_count(std::size_t gradients, std::size_t inputs);

/// Two tangents of one tensor, of which the first may be undefined.
void add_tangent(Tensor& sum, Tensor part);

/// The sum of what the tangent rules at `rules` make of those inputs' tangents, or undefined; marks in `left` which
/// inputs it has seen to. Inputs that are not left have none.
using StatedTangents = Tensor (*)(const void* rules, const std::vector<Tensor>& tangents, const Tensor& y,
                                  std::vector<bool>& left);

/// What record() does while a jvp is going on: y gets its tangents, and `node` if reverse mode may want to play it.
[[nodiscard]] Tensor record_tangents(Tensor y, const Ref<Node>& node, StatedTangents stated, const void* rules);

/// y, whose node is `node`, with the tangents that follow from those of the inputs.
[[nodiscard]] Tensor with_own_tangents(Tensor y, Node& node, std::span<const Ref<Node>> inputs);

/// Reads the tangent rules of record(): `rules` is a tuple of references to them.
template <class... Tangents>
Tensor stated_tangents(const void* rules, const std::vector<Tensor>& tangents, const Tensor& y,
                       std::vector<bool>& left) {
  Tensor sum;
  std::size_t input = 0;
  const auto apply = [&]<class Tangent>(const Tangent& tangent) {
    const std::size_t i = input++;
    if constexpr (!std::same_as<Tangent, Transposed> && !std::same_as<Tangent, SelfAdjoint>) {
      if (!left[i]) return;
      if constexpr (wants_output<Tangent>) add_tangent(sum, tangent(tangents[i], y));
      else add_tangent(sum, tangent(tangents[i]));
      left[i] = false;
    }
  };
  std::apply([&](const Tangents&... each) { (apply(each), ...); },
             *static_cast<const std::tuple<const Tangents&...>*>(rules));
  return sum;
}

/// The same for record_joint(): `rules` is the one tangent rule.
template <class Tangent>
Tensor stated_joint_tangent(const void* rules, const std::vector<Tensor>& tangents, const Tensor& y,
                            std::vector<bool>& left) {
  left.assign(left.size(), false);
  const auto& tangent = *static_cast<const Tangent*>(rules);
  if constexpr (std::invocable<const Tangent&, const std::vector<Tensor>&, const Tensor&>) return tangent(tangents, y);
  else return tangent(tangents);
}

/// The node of an op with one rule per input. Inputs are Wrts.
template <class... Inputs>
class RuleNode final : public Node {
 public:
  RuleNode(const char* name_of, const Tensor& y, const Location& location, Inputs&... inputs)
      : Node(name_of, y.shape(), y.dtype(), location),
        inputs_{(has_node(inputs.x) ? inputs.x.impl().node : Ref<Node>())...},
        rules_{
            (has_node(inputs.x) ? std::optional<typename Inputs::RuleType>(std::move(inputs.rule)) : std::nullopt)...},
        bytes_(((has_node(inputs.x) ? inputs.bytes : 0) + ...)) {
    // The rules' own handle has no node: a node that owned itself would never die.
    if constexpr (kWantsOutput) {
      if (((wants_output<typename Inputs::RuleType> && has_node(inputs.x)) || ...)) {
        output_ = Saved(without_history(y));
        bytes_ += bytes_of(y);
      }
    }
  }

  void backward(const Tensor& dy, Sweep& sweep) override { play(dy, sweep, std::index_sequence_for<Inputs...>{}); }

  void release() noexcept override {
    inputs_ = {};
    std::apply([](auto&... rule) { (rule.reset(), ...); }, rules_);
    output_ = {};
    if constexpr (kWantsOutput) duals_ = {};
  }

  [[nodiscard]] std::vector<Tensor> gradients(const Tensor& dy, const Tensor& y,
                                              const std::vector<bool>& wanted) override {
    std::vector<Tensor> all(sizeof...(Inputs));
    const auto each = [&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
      if (wanted[I] && std::get<I>(rules_)) all[I] = gradient<I>(dy, [&] { return y; });
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (each(std::integral_constant<std::size_t, I>{}), ...); }
    (std::index_sequence_for<Inputs...>{});
    return all;
  }

  [[nodiscard]] bool is_self_adjoint(std::size_t input) const noexcept override {
    constexpr std::array all{std::same_as<typename Inputs::TangentType, SelfAdjoint>...};
    return all[input];
  }

  void keep_reverse_only() noexcept override {
    if constexpr (kWantsOutput) duals_ = inputs_;  // rules may want the output with its tangents
    [&]<std::size_t... I>(std::index_sequence<I...>) { (keep_reverse<I>(), ...); }
    (std::index_sequence_for<Inputs...>{});
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
    if (!std::get<I>(rules_)) return;
    Tensor to_send = gradient<I>(dy, [this] { return output(); });
    // The reference itself goes along when this node will not be played again.
    send(sweep, keeps_graph(sweep) ? inputs_[I] : std::move(inputs_[I]), std::move(to_send));
  }

  /// What rule I makes of dy; y() is the output as it shall see it.
  template <std::size_t I, class Output>
  [[nodiscard]] Tensor gradient(const Tensor& dy, const Output& y) const {
    const auto& rule = *std::get<I>(rules_);
    using Rule = typename std::tuple_element_t<I, std::tuple<Inputs...>>::RuleType;
    if constexpr (wants_output<Rule>) return rule(dy, y());
    else if constexpr (wants_shape<Rule>) return rule(dy, shape_of_input<I>());
    else return rule(dy);
  }

  template <std::size_t I>
  [[nodiscard]] const Shape& shape_of_input() const {
    if constexpr (kWantsOutput) {
      if (!inputs_[I]) return duals_[I]->shape;  // sent on already, or with tangents alone
    }
    return inputs_[I]->shape;
  }

  template <std::size_t I>
  void keep_reverse() noexcept {
    Ref<Node> kept = reverse_node(inputs_[I]);
    if (!kept && !kWantsOutput) std::get<I>(rules_).reset();
    inputs_[I] = std::move(kept);
  }

  /// y as rules see it: with its node while a graph is being created, so that its own dependence on x counts.
  [[nodiscard]] Tensor output() {
    if (!is_grad_enabled()) return output_();
    Tensor y = without_history(output_());
    y.impl().node = Ref<Node>(this);
    if constexpr (kWantsOutput) {
      if (thread_modes.tangent_level != 0) return with_own_tangents(std::move(y), *this, duals_);
    }
    return y;
  }

  static constexpr bool kWantsOutput = (wants_output<typename Inputs::RuleType> || ...);
  struct Nothing {};
  using Nodes = std::array<Ref<Node>, sizeof...(Inputs)>;

  Nodes inputs_;
  std::tuple<std::optional<typename Inputs::RuleType>...> rules_;
  Saved output_;
  [[no_unique_address]] std::conditional_t<kWantsOutput, Nodes, Nothing> duals_;  // inputs that had tangents
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
    check_count(gradients.size(), inputs_.size());
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      if (wanted_[i]) send(sweep, inputs_[i], std::move(gradients[i]));
    }
  }

  void release() noexcept override {
    inputs_.clear();
    rule_.reset();
  }

  [[nodiscard]] std::vector<Tensor> gradients(const Tensor& dy, const Tensor&,
                                              const std::vector<bool>& wanted) override {
    std::vector<Tensor> all = (*rule_)(dy, wanted);
    check_count(all.size(), inputs_.size());
    return all;
  }

  void keep_reverse_only() noexcept override {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      Ref<Node> kept = reverse_node(inputs_[i]);
      wanted_[i] = static_cast<bool>(kept);
      inputs_[i] = std::move(kept);
    }
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

}  // namespace tapestry
