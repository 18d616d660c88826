#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace tapestry::nn {

/// A file that cannot be read, written, or believed: "PATH: what must hold; got ... (byte OFFSET)".
class FileError : public std::runtime_error {
 public:
  /// `offset` is the byte where the trouble is, -1 when it is nowhere in particular.
  FileError(std::filesystem::path path, std::int64_t offset, const std::string& expected, const std::string& got);

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::int64_t offset() const noexcept { return offset_; }

 private:
  std::filesystem::path path_;
  std::int64_t offset_;
};

/// Writes a file in one step: readers, and whoever comes after a crash, find the old file or the new one, whole. The
/// bytes go to a temporary file in the same folder, which is synchronised and renamed. An existing file keeps its mode,
/// a link its place: what it points to is replaced. Throws FileError; the old file is intact then and no temporary
/// left.
void write_file_atomically(const std::filesystem::path& path, const std::vector<std::span<const std::byte>>& pieces);

/// All bytes of a regular file. Throws FileError.
[[nodiscard]] std::vector<std::byte> read_file(const std::filesystem::path& path);

}  // namespace tapestry::nn
