#include <tapestry/autograd/gradcheck/detail/subject.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include <tapestry/autograd/base/thread_modes.h>

namespace tapestry::detail {
namespace {

std::size_t bytes(const Tensor& x) { return static_cast<std::size_t>(x.numel() * item_bytes(x.dtype())); }

}  // namespace

Tensor copy_of(const Tensor& x) {
  Tensor y = empty_like(x);
  std::memcpy(y.impl().bytes(), x.impl().bytes(), bytes(x));
  return y;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.impl().bytes(), b.impl().bytes(), bytes(a)) == 0;
}

OwnLeaves::OwnLeaves(const std::vector<Tensor>& inputs) : tensors_(inputs.size()) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = inputs[i];
    if (!x.defined() || x.dtype() != f64 || !x.requires_grad() || !x.is_leaf()) continue;
    const bool again =
        std::any_of(tensors_.begin(), tensors_.end(), [&](const Tensor& t) { return t.defined() && t.is_same(x); });
    if (again) continue;  // a second time it is an argument like any other
    tensors_[i] = x;
    nodes_.push_back(x.impl().node);
    values_.push_back(copy_of(x));
    x.impl().node = {};
    set_recorded(tensors_[i], true, nodes_.back()->where().module);
  }
}

OwnLeaves::~OwnLeaves() {
  std::size_t at = 0;
  for (const Tensor& x : tensors_) {
    if (!x.defined()) continue;
    std::memcpy(x.impl().bytes(), values_[at].impl().bytes(), bytes(x));
    x.impl().node = std::move(nodes_[at++]);
  }
}

void set_recorded(Tensor& leaf, bool wanted, const char* module) {
  leaf.requires_grad(wanted);
  if (wanted && module != nullptr) set_module(leaf, module);
}

State::State(const std::vector<Tensor>& buffers, const std::vector<Generator>& generators)
    : buffers_(buffers), generators_(generators) {
  generators_.push_back(default_generator());
  for (const Tensor& b : buffers_) values_.push_back(copy_of(b));
  for (const Generator& g : generators_) positions_.push_back(g.state());
}

void State::restore() const noexcept {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    std::memcpy(buffers_[i].impl().bytes(), values_[i].impl().bytes(), bytes(buffers_[i]));
  }
  for (std::size_t i = 0; i < generators_.size(); ++i) {
    Generator g = generators_[i];
    g.set_state(positions_[i]);
  }
}

NoInference::NoInference() noexcept : outer_(std::exchange(thread_modes.inference_mode, false)) {}
NoInference::~NoInference() { thread_modes.inference_mode = outer_; }

Borrowed::Borrowed(const CheckedFunction& checked, const std::vector<Generator>& generators)
    : checked_(checked), state_(checked.buffers, generators), leaves_(checked.inputs) {}

TensorFunction Borrowed::function() const {
  return [this](const std::vector<Tensor>& xs) {
    state_.restore();
    return checked_.f(xs);
  };
}

}  // namespace tapestry::detail
