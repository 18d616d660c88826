#pragma once

#include <cstdint>
#include <string>

#include <tapestry/autograd/tensor.h>

namespace tapestry::datasets {

struct ReadIdxOptions {
  std::int64_t limit = std::int64_t{1} << 30;  ///< bytes of the contents; a file with more is refused
};

/// An IDX file of unsigned bytes with one to four sides, the format of MNIST, as u8 of the shape that its header says:
/// images [n, height, width], labels [n]. A file in gzip's frame is unpacked on the way, whatever its name.
///
/// Throws FileError for a file that cannot be read, holds another type of elements, has a side of 0, is not exactly as
/// long as its header says - that is known before anything is allocated - or, with gzip, is damaged: length and CRC-32
/// are checked. Throws std::invalid_argument for a negative limit.
[[nodiscard]] Tensor read_idx(const std::string& path, ReadIdxOptions options = {}, Here here = {});

}  // namespace tapestry::datasets
