#pragma once

#include <mutex>

#include <tapestry/autograd/node.h>

namespace tapestry {

/// The node of a tensor whose gradient is wanted. It collects what reaches it.
class Leaf final : public Node {
 public:
  Leaf(const Shape& shape_of, Dtype dtype_of, const Location& where_at = CallSite::current()) noexcept
      : Node("leaf", shape_of, dtype_of, where_at) {}
  void backward(const Tensor& dy, Sweep& sweep) override;
  void release() noexcept override {}
  [[nodiscard]] bool is_leaf() const noexcept override { return true; }

  [[nodiscard]] Tensor grad() const;
  void set_grad(Tensor grad);
  /// Whether a gradient has ever come here, be it gone again.
  [[nodiscard]] bool has_received() const;

  /// The tensor has got other elements, and another leaf with them. What still plays into this one throws.
  void retire() noexcept;

 private:
  mutable std::mutex mutex_;  // threads may play graphs that share leaves
  Tensor grad_;
  bool retired_ = false;
  bool received_ = false;
};

}  // namespace tapestry
