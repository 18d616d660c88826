#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include <tapestry/autograd/tensor.h>

/// Elements that are computed when somebody first looks at them. An op whose result mostly goes straight into one other
/// op (batch_norm's into relu, relu's gradient into batch_norm's) returns such a tensor; the other op finds the
/// computation behind it and does both in one pass over memory. For everybody else it is an ordinary tensor, and the
/// tape does not know: nodes are recorded as ever.
namespace tapestry {

/// A computation that waits, owned by the storage that it will fill.
class Deferred : public RefCounted {
 public:
  virtual ~Deferred() = default;
  static void destroy(Deferred* computation) noexcept { delete computation; }

  /// The tensors it reads; none once it has been done or is no longer wanted.
  [[nodiscard]] std::vector<Tensor> inputs() const;

  /// Does it now, unless it has been done. Threads that come at the same time wait for one of them.
  void settle() {
    settle_by([this](const std::vector<Tensor>& inputs, std::byte* y) { compute(inputs, y); });
  }

  /// The same by f(inputs, y), which writes the same bits to y and whatever else its caller wants from the pass. False
  /// when there was nothing left to do, and f was not called.
  template <class F>
  bool settle_by(const F& f) {
    const std::scoped_lock lock(mutex_);
    if (!target_) return false;
    f(inputs_, target_->data());
    finish();
    return true;
  }

  /// Its result is not wanted any more.
  void cancel() noexcept;

 protected:
  /// Inputs whose elements are themselves waiting are settled first: computations do not wait in chains.
  explicit Deferred(std::vector<Tensor> inputs);

 private:
  friend Tensor defer(const Shape& shape, Dtype dtype, Ref<Deferred> computation);

  /// Writes the elements. Must not touch a waiting tensor.
  virtual void compute(const std::vector<Tensor>& inputs, std::byte* y) const = 0;
  /// Lets go of everything; the mutex is held.
  void finish() noexcept;

  mutable std::mutex mutex_;
  std::vector<Tensor> inputs_;
  Storage* target_ = nullptr;  ///< null: done, or not wanted
};

/// A tensor whose elements wait for `computation`. Writing to one of its inputs settles it before.
[[nodiscard]] Tensor defer(const Shape& shape, Dtype dtype, Ref<Deferred> computation);

/// The computation that x waits for, if it is a C and x is the whole of its result; else null.
template <class C>
[[nodiscard]] Ref<C> deferred(const Tensor& x) {
  Storage& storage = *x.impl().storage;
  if (!storage.is_pending()) return {};
  auto* const computation = dynamic_cast<C*>(storage.computation());
  const bool whole = x.impl().address() == storage.data() && x.numel() * item_bytes(x.dtype()) == storage.bytes();
  return Ref<C>(whole ? computation : nullptr);
}

}  // namespace tapestry
