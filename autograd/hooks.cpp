#include <tapestry/autograd/hooks.h>

#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/thread_modes.h>
#include <tapestry/autograd/detail/hook_list.h>
#include <tapestry/autograd/detail/packed.h>
#include <tapestry/autograd/detail/sweep.h>
#include <tapestry/autograd/detail/watcher.h>
#include <tapestry/autograd/record.h>

namespace tapestry {

namespace detail {

const Ref<HookList>& HookList::of(Node& node) {
  if (!node.hooks_) node.hooks_ = Ref<HookList>::adopt(new HookList);
  return node.hooks_;
}

Tensor HookList::call(const Node& node, Tensor gradient, bool create_graph) {
  for_each([&](const GradientHook& hook) {
    Tensor replacement = hook(gradient);
    if (!replacement.defined()) return;
    if (replacement.shape() != node.shape || replacement.dtype() != node.dtype) {
      throw_logic("register_hook: a hook must return a gradient of the tensor's shape and dtype, {} {}; got {} {}",
                  node.dtype, node.shape, replacement.dtype(), replacement.shape());
    }
    if (create_graph && !has_reverse_node(replacement)) {
      throw_logic(
          "register_hook: while a graph is created, a hook must return a gradient that was computed from the "
          "one it got");
    }
    gradient = std::move(replacement);
  });
  if (!retains_) return gradient;
  if (retained_.defined()) accumulate(retained_, gradient, create_graph);
  else retained_ = gradient;
  return gradient;
}

Tensor HookList::retained(const Ref<Node>& node) { return node && node->hooks_ ? node->hooks_->retained_ : Tensor(); }

void HookList::forget_retained(const Ref<Node>& node) {
  if (node && node->hooks_) node->hooks_->retained_ = {};
}

namespace {

Node& node_of(const char* op, const Tensor& x) {
  if (!has_reverse_node(x)) throw_invalid("{}: the tensor must require grad; it does not", op);
  return *reverse_node(x.impl().node);
}

}  // namespace
}  // namespace detail

HookHandle::HookHandle() noexcept = default;
HookHandle::HookHandle(Ref<detail::Hooks> list, std::uint64_t number) noexcept
    : list_(std::move(list)), number_(number) {}
HookHandle::HookHandle(const HookHandle& other) noexcept = default;
HookHandle& HookHandle::operator=(HookHandle other) noexcept {
  std::swap(list_, other.list_);
  number_ = other.number_;
  return *this;
}
HookHandle::~HookHandle() = default;

void HookHandle::remove() {
  if (list_) list_->remove(number_);
  list_ = {};
}

HookHandle register_hook(const Tensor& x, GradientHook hook) {
  const Ref<detail::HookList>& list = detail::HookList::of(detail::node_of("register_hook", x));
  return {Ref<detail::Hooks>(list.get()), list->add(std::move(hook))};
}

void retain_grad(const Tensor& x) {
  Node& node = detail::node_of("retain_grad", x);
  if (!node.is_leaf()) detail::HookList::of(node)->keep_gradient();
}

// --- tools

class OpHooks::Watcher final : public detail::Watcher {
 public:
  explicit Watcher(Functions functions) : functions_(std::move(functions)) {}

  void computed(const char* op, const Tensor& y, std::span<const Tensor* const> inputs,
                const Location& where) override {
    if (functions_.computed) functions_.computed({op, y, inputs, where});
    detail::Watcher::computed(op, y, inputs, where);
  }
  void playing(const Node& node, const Tensor& dy) override {
    if (functions_.before_backward) functions_.before_backward(node, dy);
    detail::Watcher::playing(node, dy);
  }
  void sent(const Node& to, const Tensor& gradient) override {
    if (functions_.sent) functions_.sent(to, gradient);
    detail::Watcher::sent(to, gradient);
  }
  void played(const Node& node) override {
    if (functions_.after_backward) functions_.after_backward(node);
    detail::Watcher::played(node);
  }

 private:
  const Functions functions_;
};

OpHooks::OpHooks(Functions functions) : watcher_(make_handle<Watcher>(std::move(functions))) {}
OpHooks::~OpHooks() = default;

// --- packing

PackSaved::PackSaved(Pack pack)
    : pack_(std::move(pack)),
      outer_(static_cast<const Pack*>(std::exchange(detail::thread_modes.pack_saved, &pack_))) {}

PackSaved::~PackSaved() { detail::thread_modes.pack_saved = outer_; }

namespace {

/// How to get a tensor back, in the place of its own node.
class PackedNode final : public Node {
 public:
  PackedNode(const Tensor& x, Unpack how)
      : Node(detail::kPacked, x.shape(), x.dtype(), CallSite::current()), unpack(std::move(how)), node(x.impl().node) {}
  void backward(const Tensor&, Sweep&) override {}  // in no graph
  void release() noexcept override {}

  const Unpack unpack;
  const Ref<Node> node;  // of what was packed
};

}  // namespace

Tensor detail::unpacked(const Ref<Node>& node) {
  const auto& packed = static_cast<const PackedNode&>(*node);
  const Tensor back = no_grad([&] { return packed.unpack(); });
  if (!back.defined() || back.shape() != packed.shape || back.dtype() != packed.dtype) {
    throw_logic("PackSaved: unpacking must give back what was packed, {} {}; got {}", packed.dtype, packed.shape,
                back.defined() ? format_message("{} {}", back.dtype(), back.shape()) : "an undefined tensor");
  }
  Tensor x = without_history(back);
  x.impl().node = packed.node;
  return x;
}

void Saved::pack() {
  const auto& pack = *static_cast<const PackSaved::Pack*>(detail::thread_modes.pack_saved);
  // What the hook computes is none of the op's business: not recorded, and what it saves is not packed again.
  const detail::KeptModes modes;
  const CallSite site(Here(nullptr, 0), nullptr);  // nor does it count as kept by the op
  detail::thread_modes = {.grad_enabled = false};
  const Unpack unpack = pack(tensor_);
  if (!unpack) return;
  Tensor hollow = empty({0}, tensor_.dtype());
  hollow.impl().node = Ref<Node>::adopt(new PackedNode(tensor_, unpack));
  tensor_ = std::move(hollow);
  remember();
  ++version_;  // so that whoever asks for it comes to unpack_or_throw()
}

}  // namespace tapestry
