#pragma once

#include <optional>
#include <utility>
#include <vector>

#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/pad.h>

/// Ops that move elements and compute nothing. They work on every dtype. Throw std::invalid_argument for a dim outside
/// [-rank, rank) and for extents that do not fit.
namespace tapestry {

/// The same elements in row-major order under another shape; shares storage. One extent may be -1: what is left.
[[nodiscard]] Tensor reshape(const Tensor& x, std::initializer_list<Index> shape, Here here = {});
[[nodiscard]] Tensor reshape(const Tensor& x, const Shape& shape, Here here = {});

struct FlattenOptions {
  Index start_dim = 1;  ///< the batch dimension stays (PyTorch's function starts at 0, its module at 1)
  Index end_dim = -1;
};
/// Dimensions start_dim ... end_dim as one: [N, H, W, C] -> [N, H W C]. Shares storage.
[[nodiscard]] Tensor flatten(const Tensor& x, const FlattenOptions& options = {}, Here here = {});

/// Without dimension dim if its extent is 1, else x as it is; shares storage.
[[nodiscard]] Tensor squeeze(const Tensor& x, Index dim, Here here = {});
/// With a dimension of extent 1 before position dim, in [-rank - 1, rank]; shares storage.
[[nodiscard]] Tensor unsqueeze(const Tensor& x, Index dim, Here here = {});

/// y dimension i is x's dimension order[i]. Throws unless `order` names each dimension once.
[[nodiscard]] Tensor permute(const Tensor& x, const std::vector<Index>& order, Here here = {});
/// Two dimensions swapped.
[[nodiscard]] Tensor transpose(const Tensor& x, Index dim0, Index dim1, Here here = {});

/// Dimension `source` moved to position `destination`, or several at once; the others keep their order.
[[nodiscard]] Tensor movedim(const Tensor& x, Index source, Index destination, Here here = {});
[[nodiscard]] Tensor movedim(const Tensor& x, const std::vector<Index>& source, const std::vector<Index>& destination,
                             Here here = {});

/// Dimension dim as several, whose extents multiply to its own; one may be -1: what is left. Shares storage.
[[nodiscard]] Tensor unflatten(const Tensor& x, Index dim, const std::vector<Index>& extents, Here here = {});

struct CatOptions {
  Index dim = 0;
};
/// Tensors one behind another along dim; other extents and dtypes are equal. Throws for an empty list or a scalar.
[[nodiscard]] Tensor cat(const std::vector<Tensor>& tensors, const CatOptions& options = {}, Here here = {});
/// Tensors of equal shape along a new dimension before position dim.
[[nodiscard]] Tensor stack(const std::vector<Tensor>& tensors, const CatOptions& options = {}, Here here = {});

struct SliceOptions {
  Index dim = 0;
  Index begin = 0;                ///< negative counts from the end; clamped to the extent
  std::optional<Index> end = {};  ///< the extent when absent; negative and beyond as begin
  Index step = 1;                 ///< >= 1
};
/// Elements begin, begin + step, ... before end along dim. Shares storage for dim 0 and step 1.
[[nodiscard]] Tensor slice(const Tensor& x, const SliceOptions& options, Here here = {});

struct SelectOptions {
  Index dim = 0;
  Index index = 0;  ///< negative counts from the end
};
/// x at one index of dim, without that dimension. Throws std::out_of_range for the index.
[[nodiscard]] Tensor select(const Tensor& x, const SelectOptions& options, Here here = {});

struct NarrowOptions {
  Index dim = 0;
  Index start = 0;  ///< negative counts from the end
  Index length = 0;
};
/// `length` elements from start on along dim. Throws std::out_of_range where slice would clamp.
[[nodiscard]] Tensor narrow(const Tensor& x, const NarrowOptions& options, Here here = {});

struct SplitOptions {
  Index dim = 0;
};
/// Pieces of `size` along dim; the last may be smaller.
[[nodiscard]] std::vector<Tensor> split(const Tensor& x, Index size, const SplitOptions& options = {}, Here here = {});
/// Pieces of the sizes given, which add up to the extent.
[[nodiscard]] std::vector<Tensor> split(const Tensor& x, const std::vector<Index>& sizes,
                                        const SplitOptions& options = {}, Here here = {});
/// At most `chunks` pieces of equal size, the last may be smaller.
[[nodiscard]] std::vector<Tensor> chunk(const Tensor& x, Index chunks, const SplitOptions& options = {},
                                        Here here = {});

/// The slices along dim, without that dimension.
[[nodiscard]] std::vector<Tensor> unbind(const Tensor& x, const SplitOptions& options = {}, Here here = {});

/// x as a tile, counts[d] times along dimension d; more counts than dimensions add dimensions in front. A copy.
[[nodiscard]] Tensor repeat(const Tensor& x, const std::vector<Index>& counts, Here here = {});

/// repeat, where counts may be fewer than dimensions: those in front count 1.
[[nodiscard]] Tensor tile(const Tensor& x, const std::vector<Index>& counts, Here here = {});

/// broadcast_to in PyTorch's spelling: an extent of -1 stays what it is. A copy.
[[nodiscard]] Tensor expand(const Tensor& x, const std::vector<Index>& extents, Here here = {});

/// The order of elements reversed along dims.
[[nodiscard]] Tensor flip(const Tensor& x, const std::vector<Index>& dims, Here here = {});

/// y[i + shift] = x[i] along each of dims, what leaves at the end coming back at the beginning; without dims, of all
/// elements in row-major order by one shift. A negative shift rolls the other way.
[[nodiscard]] Tensor roll(const Tensor& x, const std::vector<Index>& shifts, const std::vector<Index>& dims = {},
                          Here here = {});

struct TriangleOptions {
  Index diagonal = 0;  ///< the last (tril) or first (triu) diagonal that stays: 0 the main one, above it positive
};
/// Matrices x [..., M, N] with zeros above (tril) or below (triu) a diagonal.
[[nodiscard]] Tensor tril(const Tensor& x, const TriangleOptions& options = {}, Here here = {});
[[nodiscard]] Tensor triu(const Tensor& x, const TriangleOptions& options = {}, Here here = {});

}  // namespace tapestry
