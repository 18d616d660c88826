#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include <tapestry/autograd/node.h>

namespace tapestry {

/// One playing of the tape. It holds the gradients that wait for their nodes and always plays the latest node next: an
/// op is recorded after its inputs, so by then every contribution to its gradient has arrived.
class Sweep {
 public:
  struct Options {
    bool retain_graph = false;
    bool create_graph = false;
    bool deposit = true;  ///< leaves add what reaches them to .grad
  };

  explicit Sweep(const Options& options) : options_(options) {}

  [[nodiscard]] const Options& options() const noexcept { return options_; }

  /// Store the gradient that reaches `node` in *result, which may stay undefined.
  void capture(const Node* node, Tensor* result) { captures_.emplace_back(node, result); }

  void send(Ref<Node> to, Tensor gradient);
  void run();

 private:
  struct Pending {
    Ref<Node> node;
    Tensor gradient;
  };

  [[nodiscard]] Pending take_latest();
  void play(Pending pending);
  [[nodiscard]] Tensor call_hooks(Node& node, Tensor gradient);
  void abandon() noexcept;
  /// What no gradient has reached, but a rule that returned none, has zeros.
  void reach_with_zeros();
  /// Below this position on the tape nothing can reach a captured node any more.
  [[nodiscard]] std::uint64_t first_of_interest() const noexcept;

  Options options_;
  // The latest node waits in a slot of its own: a chain never touches the map.
  Pending latest_;
  std::map<std::uint64_t, Pending, std::less<>, detail::BlockAllocator<std::pair<const std::uint64_t, Pending>>>
      earlier_;
  std::vector<std::pair<const Node*, Tensor*>> captures_;
  std::vector<Ref<Node>> zeroed_;  // inputs of rules that returned an undefined tensor: zero
};

/// a + b, recorded.
[[nodiscard]] Tensor added(const Tensor& a, const Tensor& b);

/// sum = sum + gradient; in place where nobody else can see the buffer and no graph is being created.
void accumulate(Tensor& sum, Tensor gradient, bool create_graph);

/// True when nobody else can see the elements of x: it may be written in place or kept.
[[nodiscard]] bool is_exclusive(const Tensor& x) noexcept;

}  // namespace tapestry
