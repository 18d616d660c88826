#pragma once

#include <string>

#include <tapestry/autograd/base/file.h>
#include <tapestry/datasets/image_file.h>

#include "datasets/files.h"

namespace tapestry::test {

/// The picture in these bytes, with the channels that it has.
inline Tensor picture_of(const ByteVector& bytes) {
  static const TemporaryFolder folder;
  const auto path = folder / "x";
  put_file(path, bytes);
  return datasets::read_image(path, {.channels = 0});
}

/// The error for a file with these bytes, without its name; "accepted" when it is read.
inline std::string picture_error(const ByteVector& bytes) {
  try {
    (void)picture_of(bytes);
  } catch (const FileError& e) {
    return without_place(e.what()).substr(e.path().size());
  }
  return "accepted";
}

}  // namespace tapestry::test
