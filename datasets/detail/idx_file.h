#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/tensor.h>

/// IDX, the format of MNIST: two zeros, a byte for the type of the elements, one for the number of sides, the sides as
/// numbers of 32 bits with the most significant byte first, then the elements.
namespace tapestry::datasets::detail {

/// An IDX file of unsigned bytes, as it is or in gzip's frame, known by its first bytes.
class IdxFile {
 public:
  /// Reads and checks the header, and that the file, or what it unpacks to, is as long as the header says. Nothing is
  /// allocated but room for the file's compressed bytes. Throws FileError, also for contents of more than `limit`
  /// bytes.
  IdxFile(FileReader file, std::int64_t limit);

  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }

  /// The elements, u8. Once.
  [[nodiscard]] Tensor read();

  /// Throws a FileError about byte `offset` of the contents.
  [[noreturn]] void fail(std::int64_t offset, const std::string& expected, const std::string& got) const;

  [[nodiscard]] std::int64_t header_bytes() const noexcept { return 4 + 4 * shape_.rank(); }

 private:
  static constexpr std::size_t kLongestHeader = 20;  // bytes

  void read_packed(std::int64_t limit);
  void read_header(std::int64_t limit);

  FileReader file_;
  std::array<std::uint8_t, kLongestHeader> beginning_{};  // of the contents
  std::size_t known_ = 0;                                 // how many of those bytes there are
  std::int64_t contents_ = 0;                             // bytes, header included
  bool is_packed_ = false;
  CountedVector<std::uint8_t> packed_;  // all of a gzip file until it is unpacked
  Shape shape_;
};

}  // namespace tapestry::datasets::detail
