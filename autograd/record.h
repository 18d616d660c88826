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
#include <tapestry/autograd/memory/handle.h>
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
///
/// For forward mode (jvp) an input may have a tangent rule too, which makes of a tangent of x its share in that of y.
/// It is called before record() returns, so it may refer to everything around it, and keeps nothing:
///
///     record("scale", y, wrt(x, [w = saved(w)](const Tensor& dy) { return dy * w(); },
///                            [&](const Tensor& t) { return t * w; }));
///
/// Where the derivative equals its own transpose - as in every elementwise op of one shape - the gradient rule serves
/// as both: `wrt(x, self_adjoint, rule)`. Where neither is given, the tangent follows from the gradient rule, at the
/// price of transposing it twice.
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
    if (detail::thread_modes.pack_saved) [[unlikely]]
      pack();
  }

  const Tensor& operator()() const {
    if (packed_) [[unlikely]]
      unpack();
    if (tensor_.defined()) {
      const detail::TensorImpl& now = tensor_.impl();
      if (now.storage->version() != version_ || now.generation != generation_) throw_modified();
    }
    return tensor_;
  }

 private:
  [[noreturn]] void throw_modified() const;
  void pack();
  void unpack() const;

  mutable Tensor tensor_;
  mutable std::uint32_t version_ = 0, generation_ = 0;
  mutable Ref<detail::Shared> packed_;  // how to get tensor_ back; see PackSaved
};

namespace detail {
/// Throws std::logic_error while derivatives of gradients are wanted.
void check_once();

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

/// Before a gradient rule: it is the tangent rule too.
struct SelfAdjoint {};
inline constexpr SelfAdjoint self_adjoint;

namespace detail {
/// In a tangent rule's place: it follows from the gradient rule.
struct Transposed {};
}  // namespace detail

/// An input and the rules for its gradient and its tangent; see wrt().
template <class Rule, class Tangent = detail::Transposed>
struct Wrt {
  using RuleType = Rule;
  using TangentType = Tangent;

  const Tensor& x;
  Rule rule;
  std::int64_t bytes;
  Here here;
  Tangent tangent;
};

/// "With respect to x, the gradient is rule(dy)". x may be undefined: an optional input that was not given.
template <class Rule>
[[nodiscard]] Wrt<Rule> wrt(const Tensor& x, Rule rule, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::bytes_saved, 0), here, {}};
}

/// The same, where the derivative of y by x equals its own transpose, so that the rule serves tangents too.
template <class Rule>
[[nodiscard]] Wrt<Rule, SelfAdjoint> wrt(const Tensor& x, SelfAdjoint, Rule rule, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::bytes_saved, 0), here, {}};
}

/// The same with a tangent rule, tangent(t) or tangent(t, y).
template <class Rule, class Tangent>
requires(!std::same_as<Tangent, Here> && !std::same_as<Rule, SelfAdjoint>)
    [[nodiscard]] Wrt<Rule, Tangent> wrt(const Tensor& x, Rule rule, Tangent tangent, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::bytes_saved, 0), here, std::move(tangent)};
}

/// A gradient rule that cannot be differentiated again, because it speaks in loops of its own instead of ops: who asks
/// for a second derivative gets a std::logic_error that names the op and its line.
template <class Rule>
[[nodiscard]] auto once(Rule rule) {
  return [rule = std::move(rule)](const Tensor& dy) -> Tensor {
    detail::check_once();
    return rule(dy);
  };
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
    else if constexpr (wants_shape<Rule>) return rule(dy, inputs_[I]->shape);
    else return rule(dy);
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

/// Gives y a node if recording is on and some input has one, and returns it. Rules of inputs without a node are
/// dropped, together with whatever they saved. `name` must outlive the tape: a literal.
template <class... Rules, class... Tangents>
Tensor record(const char* name, Tensor y, Wrt<Rules, Tangents>... inputs) {
  if (detail::watcher) [[unlikely]]
    detail::watch_op(name, y, {&inputs.x...}, std::get<0>(std::tie(inputs...)).here);
  if (!is_grad_enabled() || !(detail::has_node(inputs.x) || ...)) return y;
  y = detail::fresh(std::move(y));
  const Location location = detail::location_or(std::get<0>(std::tie(inputs...)).here);
  auto node = Ref<Node>::adopt(new detail::RuleNode<Wrt<Rules, Tangents>...>(name, y, location, inputs...));
  if (detail::thread_modes.tangent_level != 0) [[unlikely]] {
    const std::tuple<const Tangents&...> tangents(inputs.tangent...);
    return detail::record_tangents(std::move(y), node, detail::stated_tangents<Tangents...>, &tangents);
  }
  y.impl().node = std::move(node);
  return y;
}

namespace detail {

template <class Rule>
Tensor record_joint(const char* name, Tensor y, const std::vector<Tensor>& inputs, Rule rule, StatedTangents stated,
                    const void* tangent, const Here& here) {
  const std::int64_t bytes = std::exchange(bytes_saved, 0);
  if (watcher) [[unlikely]]
    watch_op(name, y, inputs, here);
  bool wanted = false;
  for (const Tensor& x : inputs) wanted = wanted || has_node(x);
  if (!is_grad_enabled() || !wanted) return y;
  y = fresh(std::move(y));
  auto node = Ref<Node>::adopt(new JointNode<Rule>(name, y, location_or(here), inputs, std::move(rule), bytes));
  if (thread_modes.tangent_level != 0) [[unlikely]]
    return record_tangents(std::move(y), node, stated, tangent);
  y.impl().node = std::move(node);
  return y;
}

}  // namespace detail

/// record() for gradients that share work, and for lists of inputs: rule(dy, wanted) returns one gradient per input,
/// where wanted[i] tells whether input i needs one; the others are ignored. Inputs may be undefined.
template <class Rule>
Tensor record_joint(const char* name, Tensor y, const std::vector<Tensor>& inputs, Rule rule, Here here = {}) {
  return detail::record_joint(name, std::move(y), inputs, std::move(rule), nullptr, nullptr, here);
}

/// The same with a tangent rule: tangent(ts) returns the tangent of y, where ts are those of the inputs, undefined
/// where an input has none. It is called before this returns.
template <class Rule, class Tangent>
requires(!std::same_as<Tangent, Here>) Tensor
    record_joint(const char* name, Tensor y, const std::vector<Tensor>& inputs, Rule rule, const Tangent& tangent,
                 Here here = {}) {
  return detail::record_joint(name, std::move(y), inputs, std::move(rule), detail::stated_joint_tangent<Tangent>,
                              &tangent, here);
}

namespace detail {
/// Checks the outputs of record_many(); false when there is none to record.
[[nodiscard]] bool check_outputs(const char* name, const std::vector<Tensor>& ys);
/// All elements one behind another, [n].
[[nodiscard]] Tensor joined(const std::vector<Tensor>& parts, const std::vector<Shape>& shapes, Dtype dtype);
/// What was joined, in these shapes. Recorded.
[[nodiscard]] std::vector<Tensor> parted(const Tensor& whole, const std::vector<Shape>& shapes);
[[nodiscard]] std::vector<Shape> shapes_of(const std::vector<Tensor>& xs);
}  // namespace detail

/// record() for an op with several outputs, all of one float dtype: rule(dys, wanted) returns one gradient per input,
/// where dys[k] is the gradient of output k, zeros if nothing depends on it. tangent(ts), which may be left out,
/// returns the tangents of all outputs. Outputs become parts of one tensor: they are copied once. Throws
/// std::invalid_argument for an undefined output and for dtypes that differ or are no floats.
template <class Rule, class Tangent>
requires(!std::same_as<Tangent, Here>) std::vector<Tensor> record_many(const char* name, const std::vector<Tensor>& ys,
                                                                       const std::vector<Tensor>& inputs, Rule rule,
                                                                       const Tangent& tangent, Here here = {}) {
  if (!detail::check_outputs(name, ys)) return ys;
  const std::vector<Shape> shapes = detail::shapes_of(ys);
  const Dtype dtype = ys.front().dtype();
  const auto joint_rule = [rule = std::move(rule), shapes](const Tensor& dy, const std::vector<bool>& wanted) {
    return rule(detail::parted(dy, shapes), wanted);
  };
  Tensor whole = no_grad([&] { return detail::joined(ys, shapes, dtype); });
  if constexpr (std::same_as<Tangent, detail::Transposed>) {
    whole = record_joint(name, std::move(whole), inputs, joint_rule, here);
  } else {
    const auto joint_tangent = [&](const std::vector<Tensor>& ts) {
      return detail::joined(tangent(ts), shapes, dtype);
    };
    whole = record_joint(name, std::move(whole), inputs, joint_rule, joint_tangent, here);
  }
  return detail::parted(whole, shapes);
}

template <class Rule>
std::vector<Tensor> record_many(const char* name, const std::vector<Tensor>& ys, const std::vector<Tensor>& inputs,
                                Rule rule, Here here = {}) {
  return record_many(name, ys, inputs, std::move(rule), detail::Transposed(), here);
}

}  // namespace tapestry
