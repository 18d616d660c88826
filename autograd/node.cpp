#include <tapestry/autograd/node.h>

#include <atomic>
#include <utility>

#include <tapestry/autograd/detail/hook_list.h>
#include <tapestry/autograd/detail/sweep.h>

namespace tapestry {

namespace {
std::atomic<std::uint64_t> next_seq{1};
}

Node::Node(const char* name_of, const Shape& shape_of, Dtype dtype_of, const Location& where_at) noexcept
    : name(name_of),
      seq(next_seq.fetch_add(1, std::memory_order_relaxed)),
      shape(shape_of),
      dtype(dtype_of),
      where_(where_at) {
  detail::count_live(&detail::LiveCounts::nodes, 1);
}

Node::~Node() { detail::count_live(&detail::LiveCounts::nodes, -1); }

void Node::destroy(Node* node) noexcept {
  // Deleting a node drops its inputs, which may end here again: those only queue up for the outermost call.
  constinit thread_local Node* doomed = nullptr;
  constinit thread_local bool busy = false;
  node->next_doomed_ = doomed;
  doomed = node;
  if (busy) return;
  busy = true;
  while (doomed) delete std::exchange(doomed, doomed->next_doomed_);
  busy = false;
}

std::vector<Tensor> Node::gradients(const Tensor&, const Tensor&, const std::vector<bool>&) { return {}; }
bool Node::is_self_adjoint(std::size_t) const noexcept { return false; }

void set_module(const Tensor& leaf, const char* path) {
  if (Node* node = leaf.impl().node.get()) node->where_.module = path;
}

void send(Sweep& sweep, Ref<Node> to, Tensor gradient) { sweep.send(std::move(to), std::move(gradient)); }

bool keeps_graph(const Sweep& sweep) noexcept { return sweep.options().retain_graph; }

}  // namespace tapestry
