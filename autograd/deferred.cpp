#include <tapestry/autograd/deferred.h>

#include <utility>

namespace tapestry {

Deferred::Deferred(std::vector<Tensor> inputs) : inputs_(std::move(inputs)) {
  for (const Tensor& x : inputs_) static_cast<void>(x.impl().bytes());
}

std::vector<Tensor> Deferred::inputs() const {
  const std::scoped_lock lock(mutex_);
  return inputs_;
}

void Deferred::cancel() noexcept {
  const std::scoped_lock lock(mutex_);
  if (target_) finish();
}

void Deferred::finish() noexcept {
  std::exchange(target_, nullptr)->set_ready();
  for (const Tensor& x : inputs_) x.impl().storage->unwatch(this);
  inputs_.clear();
}

Tensor defer(const Shape& shape, Dtype dtype, Ref<Deferred> computation) {
  Tensor y = empty(shape, dtype);
  Storage& target = *y.impl().storage;
  Deferred& waiting = *computation;
  for (const Tensor& x : waiting.inputs_) x.impl().storage->watch(computation);
  waiting.target_ = &target;
  target.set_pending(std::move(computation));
  return y;
}

}  // namespace tapestry
