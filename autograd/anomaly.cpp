#include <tapestry/autograd/anomaly.h>

#include <fmt/format.h>

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <tapestry/autograd/detail/statistics.h>
#include <tapestry/autograd/detail/watcher.h>

namespace tapestry {
namespace {

using detail::Statistics;
using detail::statistics_of;

std::string form_of(Dtype dtype, const Shape& shape) { return fmt::format("{} {}", name_of(dtype), to_string(shape)); }

/// "the result of mul at model.cpp:3 in head", "conv1.weight" or "a leaf".
std::string name_of(const Node& node) {
  const Location& where = node.where();
  if (node.is_leaf()) return where.module ? where.module : "a leaf";
  const std::string place = to_string(where);
  return fmt::format("the result of {}{}", node.name, place.empty() ? "" : " at " + place);
}

std::string describe(std::size_t i, const Tensor& x, const Statistics& s) {
  std::string text = fmt::format("\n  input {}: {}, {}", i, form_of(x.dtype(), x.shape()), to_string(s));
  if (const Node* const node = x.impl().node.get()) text += ", " + name_of(*node);
  return text;
}

}  // namespace

class AnomalyMode::Impl final : public detail::Watcher {
 public:
  explicit Impl(const AnomalyOptions& options) : options_(options) {}

  void computed(const char* op, const Tensor& y, std::span<const Tensor* const> inputs,
                const Location& where) override {
    Watcher::computed(op, y, inputs, where);
    for (const Tensor* const x : inputs) {
      if (x->defined() && x->impl().node) remember(*x->impl().node, *x);
    }
    if (!is_float(y.dtype())) return;
    const Statistics s = statistics_of(y);
    if (!is_anomaly(s)) return;
    const CallSite site(Here(where.file, where.line), nullptr);  // for an op that has none of its own
    throw AnomalyError(forward_message(op, y, s, inputs) + place_lines());
  }

  void playing(const Node& node, const Tensor& dy) override {
    Watcher::playing(node, dy);
    played_.emplace_back(&node, &dy);
    const auto found = sent_.find(&node);
    const bool is_sum = found != sent_.end() && found->second > 1;
    if (found != sent_.end()) sent_.erase(found);
    if (!is_sum) return;
    const Statistics s = statistics_of(dy);
    if (!is_anomaly(s)) return;
    throw AnomalyError(fmt::format("{}: the gradients that reach it add up to {} among the {} elements of {}",
                                   node.name, faults_of(s), dy.numel(), form_of(dy.dtype(), dy.shape())) +
                       place_lines());
  }

  void played(const Node& node) override {
    if (!played_.empty() && played_.back().first == &node) played_.pop_back();
    Watcher::played(node);
  }

  void sent(const Node& to, const Tensor& gradient) override {
    Watcher::sent(to, gradient);
    if (!to.is_leaf()) ++sent_[&to];
    const Statistics s = statistics_of(gradient);
    if (!is_anomaly(s)) return;
    sent_.clear();
    throw AnomalyError(backward_message(to, gradient, s) + place_lines());
  }

 private:
  [[nodiscard]] bool is_anomaly(const Statistics& s) const {
    return s.nan > 0 || (!options_.allow_infinity && s.infinite > 0);
  }

  void remember(const Node& node, const Tensor& x) {
    const auto [entry, is_new] = seen_.try_emplace(node.seq);
    if (is_new) entry->second = statistics_of(x);
  }

  [[nodiscard]] std::string forward_message(const char* op, const Tensor& y, const Statistics& s,
                                            std::span<const Tensor* const> inputs) const {
    const char* const rule_of = CallSite::current().rule_of;
    const std::string name = rule_of ? fmt::format("{} in the gradient rule of {}", op, rule_of) : std::string(op);
    std::string list;
    std::string culprit;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Tensor& x = *inputs[i];
      if (!x.defined()) continue;
      const Statistics of_input = statistics_of(x);
      list += describe(i, x, of_input);
      if (culprit.empty() && is_anomaly(of_input)) {
        const Node* const node = x.impl().node.get();
        culprit = fmt::format(
            "{}: its input {}{} has {} among the {} elements of {}, and no op that was looked at "
            "has made them",
            name, i, node ? ", " + name_of(*node) + "," : "", faults_of(of_input), x.numel(),
            form_of(x.dtype(), x.shape()));
      }
    }
    if (!culprit.empty()) return culprit + list;
    return fmt::format("{}: its result has {} among the {} elements of {}, the first that an op has made{}", name,
                       faults_of(s), y.numel(), form_of(y.dtype(), y.shape()), list);
  }

  [[nodiscard]] std::string backward_message(const Node& to, const Tensor& gradient, const Statistics& s) const {
    const std::string what = fmt::format("{} among the {} elements of {}", faults_of(s), gradient.numel(),
                                         form_of(gradient.dtype(), gradient.shape()));
    if (played_.empty()) return fmt::format("backward: the gradient to start from has {}", what);
    const Node& node = *played_.back().first;
    const Tensor& dy = *played_.back().second;
    std::string text =
        fmt::format("{}: its gradient rule has made {}, the gradient by {}", node.name, what, name_of(to));
    text += fmt::format("\n  dy: {}, {}", form_of(dy.dtype(), dy.shape()), to_string(statistics_of(dy)));
    for (std::size_t i = 0; i < node.inputs().size(); ++i) {
      // Of a node that is played once, references go away with the gradients.
      const Node* const input = node.inputs()[i] ? node.inputs()[i].get() : &to;
      const auto found = seen_.find(input->seq);
      if (found == seen_.end()) continue;
      text += fmt::format("\n  input {}: {}, {}, {}", i, form_of(input->dtype, input->shape), to_string(found->second),
                          name_of(*input));
    }
    return text;
  }

  AnomalyOptions options_;
  std::unordered_map<std::uint64_t, Statistics> seen_;         // by position on the tape, of what ops have read
  std::unordered_map<const Node*, int> sent_;                  // how many gradients wait for a node
  std::vector<std::pair<const Node*, const Tensor*>> played_;  // what is being played, and its dy
};

AnomalyMode::AnomalyMode(const AnomalyOptions& options) : impl_(make_handle<Impl>(options)) {}
AnomalyMode::~AnomalyMode() = default;

}  // namespace tapestry
