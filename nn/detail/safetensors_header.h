#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/nn/safetensors.h>

/// The JSON at the beginning of a safetensors file: the one place that reads and writes JSON.
namespace tapestry::nn::detail {

inline constexpr std::int64_t kPrefix = 8;                    // bytes: the length of the header
inline constexpr std::int64_t kMaxHeader = 16 * 1024 * 1024;  // bytes; a tensor takes about 100
inline constexpr std::size_t kMaxEntries = 65'536;            // as many as such a header has room for, with long names
inline constexpr std::size_t kMaxName = 1024;                 // bytes
inline constexpr std::string_view kMetadata = "__metadata__";

// Keys of the metadata, which only this pair of files and safetensors.cpp see.
inline constexpr std::string_view kHeaderSum = "tapestry.crc32c", kTensorSums = "tapestry.crc32c.tensors";

/// Description of one tensor.
struct Entry {
  std::string name;
  Dtype dtype = f32;
  Shape shape;
  std::int64_t begin = 0, end = 0;  ///< bytes in the data
  std::int64_t offset = 0;          ///< of this description in the file
};

struct Header {
  std::vector<Entry> entries;
  Metadata metadata;                     ///< without the checksums
  bool checked = false;                  ///< there are checksums, and the header's own is right
  std::vector<std::uint32_t> sums = {};  ///< of the tensors, in order of their places; one each if checked
};

/// "F32" and so on: the format's name of a dtype.
[[nodiscard]] std::string_view code_of(Dtype dtype);

/// What a tensor's name must be and is not; empty when it is fine.
[[nodiscard]] std::string name_fault(std::string_view name);

[[nodiscard]] bool is_utf8(std::string_view text);

/// Reads a header that stands behind its length: exactly the fields of the format, every name once, every number an
/// integer in [0, 2^63), checksums both or none, the header's right. Whether the places fit the data is not looked at.
/// Throws FileError.
[[nodiscard]] Header parse_header(std::string_view text, const std::string& path);

/// The JSON for these tensors, in this order, and their sums, filled up with spaces to a multiple of 8 bytes. All text
/// must be UTF-8.
[[nodiscard]] std::string header_text(const Header& header);

}  // namespace tapestry::nn::detail
