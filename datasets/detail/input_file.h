#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

/// How data files are read and written: plain reads (a mapped file that shrinks would kill the process), every failure
/// a DataError.
namespace tapestry::datasets {

/// As POSIX read(2): up to `bytes` bytes to `to`; how many came, 0 at the end, -1 with errno set.
using ReadSome = std::function<std::int64_t(std::uint8_t* to, std::size_t bytes)>;

/// A regular file opened for reading. Opening and reading throw DataError with the system's text.
class InputFile {
 public:
  /// Refuses anything that is not a regular file, without blocking on a pipe. `advice` ends every message of this file.
  explicit InputFile(std::filesystem::path path, std::string advice = {});

  /// The same over any source of bytes: how tests inject short reads and errors.
  InputFile(std::filesystem::path path, std::uint64_t size, ReadSome read_some, std::string advice = {});

  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }      ///< bytes, when opened
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }  ///< of the next byte to be read

  /// Fills `to`: goes on after short reads and interrupts; throws when the file ends early.
  void read(std::span<std::uint8_t> to);

  /// Throws a DataError about this file.
  [[noreturn]] void fail(std::uint64_t offset, const std::string& expected, const std::string& got) const;

 private:
  std::filesystem::path path_;
  std::string advice_;
  std::uint64_t size_ = 0;
  std::uint64_t offset_ = 0;
  int descriptor_ = -1;
  ReadSome read_some_;
};

/// What the first bytes of a file of another kind say about it: "a gzip file", "a pickle", ...; empty when unknown.
[[nodiscard]] std::string recognize(std::span<const std::uint8_t> head);

/// Writes a file whole or not at all: into a temporary beside it, renamed when complete. `write` is given a function
/// that appends bytes; whatever it throws leaves no temporary behind. Throws DataError with the system's text.
using Append = std::function<void(std::span<const std::uint8_t>)>;
void write_file(const std::filesystem::path& path, const std::function<void(const Append&)>& write);

}  // namespace tapestry::datasets
