#pragma once

#include <vector>

#include <tapestry/autograd/deferred.h>

/// How batch_norm, add and relu become one pass over memory where they follow each other, forward and backward, without
/// knowing of each other on the tape: each returns its result as a computation that waits (see deferred.h), and asks
/// whether its operand is one. Private to ops/.
namespace tapestry {

/// batch_norm: y = (x - mean[c]) * scale[c] + shift[c], and + residual after an add.
class ChannelAffine final : public Deferred {
 public:
  ChannelAffine(const Tensor& x, const Tensor& mean, const Tensor& scale, const Tensor& shift,
                const Tensor& residual = {});

  /// As compute(), with relu applied.
  static void apply(const std::vector<Tensor>& inputs, bool relu, std::byte* y);

 private:
  void compute(const std::vector<Tensor>& inputs, std::byte* y) const override { apply(inputs, false, y); }
};

/// a + b where one of them is a batch_norm that waits; undefined otherwise.
[[nodiscard]] Tensor add_to_batch_norm(const Tensor& a, const Tensor& b);

/// A relu whose operand is a batch_norm, or a sum with one, that waits. y is undefined otherwise. mean tells
/// ReluGrad from which batch_norm x comes directly; undefined for a sum.
struct ReluOfBatchNorm {
  Tensor y, mean;
};
[[nodiscard]] ReluOfBatchNorm relu_of_batch_norm(const Tensor& x);

/// relu's gradient: dy where y > 0 or NaN, else 0.
class ReluGrad final : public Deferred {
 public:
  ReluGrad(const Tensor& dy, const Tensor& y, const Tensor& mean);

  /// What it is computed from; dy is undefined when it has been done. mean as in ReluOfBatchNorm.
  struct Parts {
    Tensor dy, y, mean;
  };
  [[nodiscard]] Parts parts() const;

 private:
  void compute(const std::vector<Tensor>& inputs, std::byte* dx) const override;
};

}  // namespace tapestry
