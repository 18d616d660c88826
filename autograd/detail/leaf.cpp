#include <tapestry/autograd/detail/leaf.h>

#include <cstring>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/sweep.h>

namespace tapestry {

void Leaf::backward(const Tensor& dy, Sweep& sweep) {
  if (!sweep.options().deposit) return;
  const bool create_graph = sweep.options().create_graph;
  const std::scoped_lock lock(mutex_);
  if (retired_) {
    throw_logic(
        "backward: a leaf that requires grad was given other elements by set_data or Module::to since this was "
        "recorded; its gradient belongs to none that is left");
  }
  received_ = true;
  if (grad_.defined()) {
    accumulate(grad_, dy, create_graph);
  } else if (create_graph || is_exclusive(dy)) {
    grad_ = dy;
  } else {  // somebody else holds dy: leaves never share storage
    grad_ = empty(shape, dtype);
    std::memcpy(grad_.impl().bytes(), dy.impl().bytes(), static_cast<std::size_t>(dy.numel() * item_bytes(dtype)));
  }
}

void Leaf::retire() noexcept {
  Tensor last;  // ends after the lock
  const std::scoped_lock lock(mutex_);
  std::swap(grad_, last);
  retired_ = true;
}

Tensor Leaf::grad() const {
  const std::scoped_lock lock(mutex_);
  return grad_;
}

bool Leaf::has_received() const {
  const std::scoped_lock lock(mutex_);
  return received_;
}

void Leaf::set_grad(Tensor grad) {
  const std::scoped_lock lock(mutex_);
  received_ = received_ || grad.defined();
  std::swap(grad_, grad);  // the old one ends after the lock
}

}  // namespace tapestry
