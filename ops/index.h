#pragma once

#include <optional>

#include <tapestry/autograd/tensor.h>

/// Indices are i64 or i32 tensors with values in [0, extent): anything else, negative ones too, throws
/// std::out_of_range that names value, position and range. Where an index occurs several times its gradients add up, in
/// the order of the positions.
namespace tapestry {

struct GatherOptions {
  Index dim = -1;
};

/// y[i][j][k] = x[i][index[i][j][k]][k] for dim 1: index has x's rank, and no larger extents but along dim; y has its
/// shape. Keeps index. The gradient is scatter_add.
[[nodiscard]] Tensor gather(const Tensor& x, const Tensor& index, const GatherOptions& options = {}, Here here = {});

/// The transpose of gather: zeros of `shape`, plus x[i][j][k] added at [i][index[i][j][k]][k] for dim 1. x has index's
/// shape; float only, and bf16 is added up in f32 and rounded once. Keeps index.
[[nodiscard]] Tensor scatter_add(const Tensor& x, const Tensor& index, const Shape& shape,
                                 const GatherOptions& options = {}, Here here = {});

struct IndexOptions {
  Index dim = 0;
};

/// Slices of x along dim in the order that index [M] gives: y has extent M there. Keeps index.
[[nodiscard]] Tensor index_select(const Tensor& x, const Tensor& index, const IndexOptions& options = {},
                                  Here here = {});

/// The transpose of index_select: zeros with extent `size` along dim, plus slice m of x added at index[m]. Float only,
/// and bf16 is added up in f32 and rounded once.
[[nodiscard]] Tensor index_add(const Tensor& x, const Tensor& index, Index size, const IndexOptions& options = {},
                               Here here = {});

struct EmbeddingOptions {
  std::optional<Index> padding_idx = {};  ///< this row is looked up, but gets no gradient
};
/// Rows of weight [V, D] chosen by index of any shape: y [index..., D]. Keeps index.
[[nodiscard]] Tensor embedding(const Tensor& weight, const Tensor& index, const EmbeddingOptions& options = {},
                               Here here = {});

struct OneHotOptions {
  Dtype dtype = i64;
};
/// y [index..., num_classes], 1 at the index and 0 elsewhere.
[[nodiscard]] Tensor one_hot(const Tensor& index, Index num_classes, const OneHotOptions& options = {}, Here here = {});

struct SortOptions {
  Index dim = -1;
  bool descending = false;
};
struct TopkOptions {
  Index dim = -1;
  bool largest = true;
};
/// Elements along dim and where they stood.
struct Sorted {
  Tensor values;   ///< x's dtype; differentiable, by gather
  Tensor indices;  ///< i64, positions along dim in x
};

/// Elements in order along dim. Equal ones keep their order; NaN counts as the largest. Keeps the indices.
[[nodiscard]] Sorted sort(const Tensor& x, const SortOptions& options = {}, Here here = {});
/// The indices of sort, without a gradient.
[[nodiscard]] Tensor argsort(const Tensor& x, const SortOptions& options = {}, Here here = {});
/// The k largest (or smallest) along dim, in order: the first k of sort. Throws std::invalid_argument unless
/// 0 <= k <= extent.
[[nodiscard]] Sorted topk(const Tensor& x, Index k, const TopkOptions& options = {}, Here here = {});

}  // namespace tapestry
