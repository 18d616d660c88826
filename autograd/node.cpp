#include <tapestry/autograd/node.h>

#include <atomic>
#include <cstring>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/leaf.h>
#include <tapestry/autograd/detail/sweep.h>
#include <tapestry/autograd/record.h>

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

void Leaf::backward(const Tensor& dy, Sweep& sweep) {
  if (!sweep.options().deposit) return;
  const bool create_graph = sweep.options().create_graph;
  const std::scoped_lock lock(mutex_);
  if (grad_.defined()) {
    accumulate(grad_, dy, create_graph);
  } else if (create_graph || is_exclusive(dy)) {
    grad_ = dy;
  } else {  // somebody else holds dy: leaves never share storage
    grad_ = empty(shape, dtype);
    std::memcpy(grad_.impl().bytes(), dy.impl().bytes(), static_cast<std::size_t>(dy.numel() * item_bytes(dtype)));
  }
}

Tensor Leaf::grad() const {
  const std::scoped_lock lock(mutex_);
  return grad_;
}

void Leaf::set_grad(Tensor grad) {
  const std::scoped_lock lock(mutex_);
  std::swap(grad_, grad);  // the old one ends after the lock
}

void set_module(const Tensor& leaf, const char* path) {
  if (Node* node = leaf.impl().node.get()) node->where_.module = path;
}

void send(Sweep& sweep, Ref<Node> to, Tensor gradient) { sweep.send(std::move(to), std::move(gradient)); }

bool keeps_graph(const Sweep& sweep) noexcept { return sweep.options().retain_graph; }

Tensor detail::fresh(Tensor y) {
  if (y.impl().node || y.impl().use_count() > 1) return y.detach();
  return y;
}

void Saved::throw_modified() const {
  const char* op = CallSite::current().rule_of;
  throw_logic("{}: an input saved for backward was modified in place (saved at version {}, now {})", op ? op : "saved",
              version_, tensor_.impl().storage->version());
}

}  // namespace tapestry
