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
  Deferred& waiting = *computation;
  waiting.target_ = y.impl().storage.get();
  waiting.target_->set_pending(computation);  // from now on y's end cancels it, whatever is thrown below
  for (const Tensor& x : waiting.inputs_) x.impl().storage->watch(computation);
  return y;
}

}  // namespace tapestry
