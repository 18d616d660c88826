#pragma once

#include <concepts>
#include <cstdint>
#include <tuple>
#include <utility>
#include <vector>

#include <tapestry/autograd/rule_node.h>
#include <tapestry/autograd/saved.h>

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

/// An input and the rules for its gradient and its tangent; see wrt().
template <class Rule, class Tangent = detail::Transposed>
struct Wrt {
  using RuleType = Rule;        ///< of the gradient
  using TangentType = Tangent;  ///< a rule, or a tag in its place

  const Tensor& x;
  Rule rule;
  std::int64_t bytes;
  Here here;
  Tangent tangent;  ///< called before record() returns, if at all
};

/// "With respect to x, the gradient is rule(dy)". x may be undefined: an optional input that was not given.
template <class Rule>
[[nodiscard]] Wrt<Rule> wrt(const Tensor& x, Rule rule, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::call_state.bytes_saved, 0), here, {}};
}

/// The same, where the derivative of y by x equals its own transpose, so that the rule serves tangents too.
template <class Rule>
[[nodiscard]] Wrt<Rule, SelfAdjoint> wrt(const Tensor& x, SelfAdjoint, Rule rule, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::call_state.bytes_saved, 0), here, {}};
}

/// The same with a tangent rule, tangent(t) or tangent(t, y).
template <class Rule, class Tangent>
requires(!std::same_as<Tangent, Here> && !std::same_as<Rule, SelfAdjoint>)
    [[nodiscard]] Wrt<Rule, Tangent> wrt(const Tensor& x, Rule rule, Tangent tangent, Here here = {}) {
  return {x, std::move(rule), std::exchange(detail::call_state.bytes_saved, 0), here, std::move(tangent)};
}

namespace detail {
/// Throws std::logic_error while derivatives of gradients are wanted.
void check_once();
}  // namespace detail

/// A gradient rule that cannot be differentiated again, because it speaks in loops of its own instead of ops: who asks
/// for a second derivative gets a std::logic_error that names the op and its line.
template <class Rule>
[[nodiscard]] auto once(Rule rule) {
  return [rule = std::move(rule)](const Tensor& dy) -> Tensor {
    detail::check_once();
    return rule(dy);
  };
}

/// Gives y a node if recording is on and some input has one, and returns it. Rules of inputs without a node are
/// dropped, together with whatever they saved. `name` must outlive the tape: a literal.
template <class... Rules, class... Tangents>
Tensor record(const char* name, Tensor y, Wrt<Rules, Tangents>... inputs) {
  if (detail::call_state.watcher) [[unlikely]]
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
  const std::int64_t bytes = std::exchange(call_state.bytes_saved, 0);
  if (call_state.watcher) [[unlikely]]
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

/// The same, where the tangents follow from the gradient rule.
template <class Rule>
std::vector<Tensor> record_many(const char* name, const std::vector<Tensor>& ys, const std::vector<Tensor>& inputs,
                                Rule rule, Here here = {}) {
  return record_many(name, ys, inputs, std::move(rule), detail::Transposed(), here);
}

}  // namespace tapestry
