#pragma once

#include <vector>

#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/memory/ref.h>
#include <tapestry/autograd/node.h>

/// What a check borrows from its caller, and how it gives it back. Private to the gradient checks.
namespace tapestry::detail {

[[nodiscard]] Tensor copy_of(const Tensor& x);
[[nodiscard]] bool same_bytes(const Tensor& a, const Tensor& b);

/// Inputs that f may read without being given them: f64 leaves that require grad. They are changed in place, as leaves
/// of the check's own; at the end they have their elements, their node and the gradient in it again.
class OwnLeaves {
 public:
  explicit OwnLeaves(const std::vector<Tensor>& inputs);
  ~OwnLeaves();
  OwnLeaves(const OwnLeaves&) = delete;
  OwnLeaves& operator=(const OwnLeaves&) = delete;

  /// One per input: the caller's tensor, or undefined where a copy serves.
  [[nodiscard]] const std::vector<Tensor>& tensors() const noexcept { return tensors_; }

 private:
  std::vector<Tensor> tensors_;
  std::vector<Ref<Node>> nodes_;
  std::vector<Tensor> values_;
};

/// Recording of `leaf` on, as a leaf of its own in the same module, or off.
void set_recorded(Tensor& leaf, bool wanted, const char* module);

/// Generators and buffers as they were at the beginning: before each call, and at the end.
class State {
 public:
  State(const std::vector<Tensor>& buffers, const std::vector<Generator>& generators);
  ~State() { restore(); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void restore() const noexcept;

 private:
  std::vector<Tensor> buffers_, values_;
  std::vector<Generator> generators_;
  std::vector<Generator::State> positions_;
};

/// Inference mode keeps what it makes of weights until their version changes, and a check writes through pointers.
class NoInference {
 public:
  NoInference() noexcept;
  ~NoInference();
  NoInference(const NoInference&) = delete;
  NoInference& operator=(const NoInference&) = delete;

 private:
  bool outer_;
};

/// All of this for the time of one check.
class Borrowed {
 public:
  Borrowed(const CheckedFunction& checked, const std::vector<Generator>& generators);

  /// The subject, which finds its state as at the beginning each time. Lives no longer than this.
  [[nodiscard]] TensorFunction function() const;
  [[nodiscard]] const OwnLeaves& leaves() const noexcept { return leaves_; }

 private:
  const CheckedFunction& checked_;
  NoInference mode_;
  State state_;
  OwnLeaves leaves_;
};

}  // namespace tapestry::detail
