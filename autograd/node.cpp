#include <tapestry/autograd/node.h>

#include <array>
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
  while (doomed) {
    Node* const last = std::exchange(doomed, doomed->next_doomed_);
    if (last->detached_file_) {
      for (const Ref<Node>& input : last->inputs()) {
        if (input) input->mark_detached(last->detached_at());
      }
    }
    delete last;
  }
  busy = false;
}

std::vector<Tensor> Node::gradients(const Tensor&, const Tensor&, const std::vector<bool>&) { return {}; }
bool Node::is_self_adjoint(std::size_t) const noexcept { return false; }
bool Node::mark_detached(const Here& here) noexcept {
  if (detached_file_ == here.file && detached_line_ == here.line) return false;
  detached_file_ = here.file;
  detached_line_ = here.line;
  return true;
}

void note_detached(Node& node, const Here& here) noexcept {
  constexpr std::size_t kNodes = 1024;  // told at once: a few microseconds at most
  std::array<Node*, kNodes> told;       // each once, since a mark that is there is not made again
  std::size_t end = 0;
  const auto tell = [&](Node& one) {
    if (one.mark_detached(here) && end < kNodes) told[end++] = &one;
  };
  tell(node);
  for (std::size_t i = 0; i < end; ++i) {
    for (const Ref<Node>& input : told[i]->inputs()) {
      if (input) tell(*input);
    }
  }
}

void set_module(const Tensor& leaf, const char* path) {
  if (Node* node = leaf.impl().node.get()) node->where_.module = path;
}

void send(Sweep& sweep, Ref<Node> to, Tensor gradient) { sweep.send(std::move(to), std::move(gradient)); }

bool keeps_graph(const Sweep& sweep) noexcept { return sweep.options().retain_graph; }

}  // namespace tapestry
