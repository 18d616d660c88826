#include <tapestry/autograd/detail/dual.h>

#include <algorithm>
#include <atomic>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/sweep.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/record.h>

namespace tapestry::detail {

// --- nodes that carry tangents

namespace {

std::atomic<std::uint64_t> last_level{0};

const Dual* as_dual(const Ref<Node>& node) noexcept {
  return node && node->is_dual() ? static_cast<const Dual*>(node.get()) : nullptr;
}

/// Seen by what this thread computes now.
bool is_in_sight(const TangentLevel& level) noexcept {
  return !level.is_over && level.number <= thread_modes.tangent_level;
}

Tensor tangent_at(const Ref<Node>& node, const TangentLevel& level) {
  for (const Dual* dual = as_dual(node); dual; dual = as_dual(dual->behind())) {
    if (dual->level().get() == &level) return dual->tangent();
  }
  return {};
}

/// The levels in sight at which some node has a tangent, outermost first.
std::vector<Handle<TangentLevel>> levels_of(std::span<const Ref<Node>> nodes) {
  std::vector<Handle<TangentLevel>> levels;
  for (const Ref<Node>& node : nodes) {
    for (const Dual* dual = as_dual(node); dual; dual = as_dual(dual->behind())) {
      if (is_in_sight(*dual->level()) && std::find(levels.begin(), levels.end(), dual->level()) == levels.end()) {
        levels.push_back(dual->level());
      }
    }
  }
  std::sort(levels.begin(), levels.end(), [](const auto& a, const auto& b) { return a->number < b->number; });
  return levels;
}

Ref<Node> in_front(const Handle<TangentLevel>& level, Tensor tangent, Ref<Node> behind) {
  return Ref<Node>::adopt(new Dual(level, std::move(tangent), std::move(behind)));
}

Tensor with_node(const Tensor& x, Ref<Node> node) {
  Tensor y = detail::without_history(x);
  y.impl().node = std::move(node);
  return y;
}

}  // namespace

const Ref<Node>& reverse_node(const Ref<Node>& node) noexcept {
  const Ref<Node>* at = &node;
  while (const Dual* dual = as_dual(*at)) at = &dual->behind();
  return *at;
}

bool has_reverse_node(const Tensor& x) noexcept { return x.defined() && reverse_node(x.impl().node); }

Dual::Dual(Handle<TangentLevel> level, Tensor tangent, Ref<Node> behind)
    : Node("tangent", tangent.shape(), tangent.dtype(), CallSite::current()),
      level_(std::move(level)),
      tangent_(std::move(tangent)),
      behind_(std::move(behind)) {
  set_dual();
}

// --- scopes

TangentScope::TangentScope(bool record) {
  const ThreadModes& outside = modes_.outside();
  const bool recorded = outside.grad_enabled && (outside.tangent_level == 0 || outside.record_reverse);
  level_ = make_handle<TangentLevel>(last_level.fetch_add(1, std::memory_order_relaxed) + 1, outside.tangent_level,
                                     record && recorded);
  thread_modes.grad_enabled = true;
  thread_modes.record_reverse = level_->record;
  thread_modes.tangent_level = level_->number;
}

TangentScope::~TangentScope() {
  level_->is_over = true;
  while (!marked_.empty()) {  // latest first: a tensor may have been marked twice
    marked_.back().first.impl().node = std::move(marked_.back().second);
    marked_.pop_back();
  }
}

Tensor TangentScope::dual(const Tensor& x, const Tensor& t) {
  Ref<Node> node = in_front(level_, t, x.impl().node);
  if (!has_reverse_node(x)) return with_node(x, std::move(node));
  marked_.emplace_back(x, x.impl().node);
  x.impl().node = std::move(node);
  return x;
}

Tensor TangentScope::without_history(Tensor y) const {
  return level_->record || level_->outer != 0 || !y.impl().node ? y : detail::without_history(y);
}

Tensor TangentScope::tangent(const Tensor& y) const {
  const Tensor t = tangent_at(y.impl().node, *level_);
  return t.defined() ? without_history(t) : t;
}

Tensor TangentScope::value(const Tensor& y) const {
  const Dual* dual = as_dual(y.impl().node);
  return without_history(dual && dual->level() == level_ ? with_node(y, dual->behind()) : y);
}

namespace {
/// x, with its tangents in front of another node.
Tensor over(const Tensor& x, Ref<Node> behind) {
  for (const auto& level : levels_of({&x.impl().node, 1})) {
    behind = in_front(level, tangent_at(x.impl().node, *level), std::move(behind));
  }
  return with_node(x, std::move(behind));
}
}  // namespace

Tensor as_leaf(const Tensor& x) {
  return has_reverse_node(x) ? x : over(x, detail::without_history(x).requires_grad(true).impl().node);
}

Tensor without_reverse(const Tensor& y) { return y.impl().node ? over(y, {}) : y; }

// --- an op's tangent

namespace {

/// What tangents of one level are computed with: the outer levels in sight, and recorded if that level wants it.
class OuterScope : public KeptModes {
 public:
  explicit OuterScope(const TangentLevel& level) noexcept {
    const bool record = level.record && outside().record_reverse;
    thread_modes.tangent_level = level.outer;
    thread_modes.record_reverse = record || level.outer == 0;
    thread_modes.grad_enabled = record || level.outer != 0;
  }
};

/// J t for the inputs that are left, from rules that only know J^T v: that is linear in v, and its gradient by v in the
/// direction t is J t.
Tensor transposed_twice(Node& node, const Tensor& y, const std::vector<Tensor>& tangents,
                        const std::vector<bool>& left) {
  const bool record = thread_modes.grad_enabled && thread_modes.record_reverse;
  const RecordScope scope;
  const Tensor v = zeros_like(y).requires_grad(true);
  const std::vector<Tensor> gradients = node.gradients(v, y, left);
  std::vector<Tensor> outputs, seeds;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!left[i] || !gradients[i].defined()) continue;
    if (!has_reverse_node(gradients[i])) {  // a derivative of 0 would be silently wrong
      throw_logic(
          "{}: its gradient is not differentiable: the rule returned a tensor that does not depend on dy; a jvp needs "
          "a tangent rule then",
          node.name);
    }
    outputs.push_back(gradients[i]);
    seeds.push_back(tangents[i]);
  }
  if (outputs.empty()) return {};
  return grad(outputs, std::vector<Tensor>{v}, {.grad_outputs = seeds, .create_graph = record, .allow_unused = true})
      .front();
}

}  // namespace

#ifdef TAPESTRY_RULE_HOOKS
/// For a program that plants faults in rules and compiles this file once more: it may replace what an op makes of the
/// tangents of its inputs.
Tensor (*tangent_hook)(const Node& node, Tensor tangent) = nullptr;
#endif

namespace {

/// The tangent of y at one level; undefined: zero.
Tensor tangent_of_output(const TangentLevel& level, const Tensor& y, Node& node, std::span<const Ref<Node>> inputs,
                         StatedTangents stated, const void* rules) {
  std::vector<Tensor> tangents;
  std::vector<bool> left;
  for (const Ref<Node>& input : inputs) {
    tangents.push_back(tangent_at(input, level));
    left.push_back(tangents.back().defined());
  }
  const OuterScope scope(level);
  Tensor sum;
  if (stated) add_tangent(sum, stated(rules, tangents, y, left));
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!left[i] || !node.is_self_adjoint(i)) continue;
    std::vector<bool> only(left.size());
    only[i] = true;
    add_tangent(sum, node.gradients(tangents[i], y, only)[i]);
    left[i] = false;
  }
  if (std::find(left.begin(), left.end(), true) != left.end())
    add_tangent(sum, transposed_twice(node, y, tangents, left));
#ifdef TAPESTRY_RULE_HOOKS
  if (sum.defined() && tangent_hook != nullptr) sum = tangent_hook(node, std::move(sum));
#endif
  if (sum.defined() && (sum.shape() != y.shape() || sum.dtype() != y.dtype())) {
    throw_logic("{}: its tangent rule must return a tangent of the output's shape and dtype, {} {}; got {} {}",
                node.name, y.dtype(), y.shape(), sum.dtype(), sum.shape());
  }
  return sum;
}

Ref<Node> with_tangents(const Tensor& y, Node& node, std::span<const Ref<Node>> inputs, Ref<Node> behind,
                        StatedTangents stated, const void* rules) {
  for (const Handle<TangentLevel>& level : levels_of(inputs)) {
    Tensor t = tangent_of_output(*level, with_node(y, behind), node, inputs, stated, rules);
    if (t.defined()) behind = in_front(level, std::move(t), std::move(behind));
  }
  return behind;
}

}  // namespace

Ref<Node> with_tangents(const Tensor& y, Node& node, std::span<const Ref<Node>> inputs, Ref<Node> behind) {
  return with_tangents(y, node, inputs, std::move(behind), nullptr, nullptr);
}

Tensor with_own_tangents(Tensor y, Node& node, std::span<const Ref<Node>> inputs) {
  y.impl().node = with_tangents(y, node, inputs, std::move(y.impl().node));
  return y;
}

Tensor record_tangents(Tensor y, const Ref<Node>& node, StatedTangents stated, const void* rules) {
  const std::span<const Ref<Node>> inputs = node->inputs();
  const bool recorded = thread_modes.record_reverse && std::any_of(inputs.begin(), inputs.end(), [](const auto& input) {
                          return static_cast<bool>(reverse_node(input));
                        });
  y.impl().node = with_tangents(y, *node, inputs, recorded ? node : Ref<Node>(), stated, rules);
  if (recorded) node->keep_reverse_only();
  return y;
}

}  // namespace tapestry::detail
