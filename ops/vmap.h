#pragma once

#include <optional>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

struct VmapOptions {
  /// The dimension of each input that is mapped over; none: every call gets the whole of it. 0 for all unless given.
  std::vector<std::optional<Index>> in_dims = {};
  Index out_dim = 0;      ///< where the mapped dimension stands in the result
  bool parallel = false;  ///< f is called from several threads at once, each call on one core: it must be made for that
};

/// f for each slice of the inputs along a dimension, with the results stacked: f is written for one sample and called
/// for a batch of them.
///
///     xs[k]  [..., N, ...] -> f's k-th argument, without that dimension
///     y      f's result with a dimension of N
///
/// Every function may be mapped, also one that contains ops without a form for batches, gradients, or another vmap;
/// derivatives of every order go through it. It is a loop, with an op's cost per slice: for ops that take leading
/// dimensions themselves, as most do, give them the batch. Throws std::invalid_argument for inputs whose mapped extents
/// differ, when there is none to map over, and for an empty batch, whose result would have no known shape.
[[nodiscard]] Tensor vmap(const Callable<Tensor(const std::vector<Tensor>&)>& f, const std::vector<Tensor>& xs,
                          const VmapOptions& options = {}, Here here = {});
[[nodiscard]] Tensor vmap(const Callable<Tensor(const Tensor&)>& f, const Tensor& x, const VmapOptions& options = {},
                          Here here = {});

}  // namespace tapestry
