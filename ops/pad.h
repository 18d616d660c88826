#pragma once

#include <utility>
#include <vector>

#include <tapestry/autograd/base/pad_mode.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

struct PadOptions {
  PadMode mode = PadMode::constant;
  Number value = 0;  ///< of constant mode
};
/// Elements added before and after each of the first dimensions, {{before, after}, ...}; negative ones crop. Of every
/// dtype. With a constant, the transpose of slice; reflect mirrors without repeating the border, and reaches one
/// element less than the extent; replicate repeats the border; circular goes on at the other side, by at most the
/// extent. Keeps nothing (of a constant) or an index per dimension. Throws std::invalid_argument for more pairs than
/// dimensions, a width that the mode does not reach, and where more is cropped than there is.
[[nodiscard]] Tensor pad(const Tensor& x, const std::vector<std::pair<Index, Index>>& widths,
                         const PadOptions& options = {}, Here here = {});

struct Pad2dOptions {
  Index top = 0, bottom = 0, left = 0, right = 0;
  PadMode mode = PadMode::constant;
  Number value = 0;
};
/// pad for the rows and columns of images x [N, H, W, C].
[[nodiscard]] Tensor pad2d(const Tensor& x, const Pad2dOptions& options, Here here = {});

}  // namespace tapestry
