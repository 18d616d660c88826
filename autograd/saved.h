#pragma once

#include <cstdint>

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/thread_modes.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/tensor.h>

/// What gradient rules keep.
namespace tapestry {

/// A tensor kept for backward, with the elements it had. Using it after they were modified, or others were put in their
/// place (Tensor::set_data), throws std::logic_error.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& x) : tensor_(x) {
    if (!x.defined()) return;
    remember();
    if (detail::thread_modes.pack_saved) [[unlikely]]
      pack();
  }

  const Tensor& operator()() const {
    if (tensor_.defined()) {
      const detail::TensorImpl& now = tensor_.impl();
      if (now.storage->version() != version_ || now.generation != generation_) unpack_or_throw();
    }
    return tensor_;
  }

 private:
  [[gnu::cold]] void pack();
  void remember() const noexcept {
    const detail::TensorImpl& now = tensor_.impl();
    version_ = now.storage->version();
    generation_ = now.generation;
  }
  [[gnu::cold]] void unpack_or_throw() const;

  // What PackSaved has packed is an empty tensor with another version than this: finding that out costs nothing.
  mutable Tensor tensor_;
  mutable std::uint32_t version_ = 0, generation_ = 0;
};

namespace detail {
[[nodiscard]] inline std::int64_t bytes_of(const Tensor& x) {
  return x.defined() ? x.numel() * item_bytes(x.dtype()) : 0;
}
}  // namespace detail

/// Keeps x for a rule. An undefined x stays undefined. While nothing is recorded there will be no rule to keep it for.
/// The next wrt() of the op takes what has been saved as what its rule keeps: how the tape knows without looking into
/// the rule. The op's CallSite forgets what was saved before it threw.
[[nodiscard]] inline Saved saved(const Tensor& x) {
  if (!is_grad_enabled()) return {};
  detail::call_state.bytes_saved += detail::bytes_of(x);
  return Saved(x);
}

}  // namespace tapestry
