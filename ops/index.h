#pragma once

#include <optional>
#include <vector>

#include <tapestry/ops/operand.h>

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

/// gather with broadcasting: index and x have one rank, and extents that broadcast but along dim.
[[nodiscard]] Tensor take_along_dim(const Tensor& x, const Tensor& index, const GatherOptions& options = {},
                                    Here here = {});

/// x with src [index's shape], or a number, written at [i][index[i][j][k]][k] for dim 1; index as for gather. Of
/// several that name a place the last in row-major order is written, and only it receives the gradient. Of every dtype.
/// Keeps where each element comes from.
[[nodiscard]] Tensor scatter(const Tensor& x, const Tensor& index, const Operand& src,
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

/// Elements of x by their positions in row-major order: y has index's shape. Keeps index.
[[nodiscard]] Tensor take(const Tensor& x, const Tensor& index, Here here = {});

struct IndexPutOptions {
  bool accumulate = false;  ///< values are added to what is there, all of them; float only
};
/// x with values at the places that the indices name together: [i0[m], i1[m], ...] for the first dimensions of x. The
/// indices broadcast to one shape; the values broadcast to that shape and the dimensions of x that are left. Of several
/// for a place the last is written, and only it receives the gradient. Of every dtype. Keeps where each element comes
/// from, or the places.
[[nodiscard]] Tensor index_put(const Tensor& x, const std::vector<Tensor>& indices, const Tensor& values,
                               const IndexPutOptions& options = {}, Here here = {});

/// The elements of x where mask is true, in row-major order: [number of them]. mask is bool; both broadcast. Keeps
/// their positions.
[[nodiscard]] Tensor masked_select(const Tensor& x, const Tensor& mask, Here here = {});

/// Where x is not 0, a place per row, in row-major order: i64 [number of them, x's rank]. Of every dtype; NaN counts.
[[nodiscard]] Tensor nonzero(const Tensor& x, Here here = {});

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
