#pragma once

#include <string>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/tensor.h>

/// Single pictures as files.
namespace tapestry::datasets {

struct ReadImageOptions {
  Index channels =
      3;  ///< 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha: converted where the file has others; 0: the file's
};

/// A PNG or JPEG file as u8 [H, W, C]: a JPEG upright, as its EXIF entry says. Values of 16 bits keep their upper 8;
/// CMYK becomes RGB; grey is (77 R + 150 G + 29 B) / 256.
///
/// Throws FileError for a file that cannot be read, is neither PNG nor JPEG, has a side of 0 or more than 16,384
/// pixels, claims more pixels than its bytes could hold, is cut or damaged, or has something behind its end (zeros may
/// follow a JPEG). A JPEG carries no checksum: damage inside that can still be decoded gives other pixels. Throws
/// std::invalid_argument for channels outside [0, 4].
[[nodiscard]] Tensor read_image(const std::string& path, ReadImageOptions options = {}, Here here = {});

/// Writes u8 [H, W, C] with 1 to 4 channels (meaning as above) as PNG, whole or not at all. Throws
/// std::invalid_argument for another shape or dtype or an empty image, FileError when the file
/// cannot be written.
void write_png(const std::string& path, const Tensor& image, Here here = {});

}  // namespace tapestry::datasets
