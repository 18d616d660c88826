#pragma once

#include <string>
#include <vector>

#include "datasets/files.h"

/// Pictures that must be refused, one for each way in which we know that a file can be wrong.
namespace tapestry::test {

struct NamedFile {
  std::string name;  ///< begins with its row
  ByteVector bytes;
};

inline ByteVector with_byte(ByteVector bytes, std::size_t at, std::uint8_t value) {
  bytes.at(at) = value;
  return bytes;
}

[[nodiscard]] std::vector<NamedFile> malformed_pngs();
[[nodiscard]] std::vector<NamedFile> malformed_jpegs();

}  // namespace tapestry::test
