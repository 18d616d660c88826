#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace tapestry::examples {

/// The folder a program writes its results to. Made, with its parents, and tried out at once, so that a long run does
/// not find out at its end that it cannot write. Folders that were made and stayed empty are removed again.
class OutputFolder {
 public:
  /// Throws std::runtime_error when the folder cannot be made or written to.
  explicit OutputFolder(std::filesystem::path path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path outermost_made_;  ///< empty: it was there before
};

/// Writes a file in one step: readers see the old file or the new one, never half of it. Throws std::runtime_error when
/// it cannot be written; the old file is unchanged then.
void write_file(const std::filesystem::path& path, std::string_view bytes);

/// A file's bytes; empty when it is not there.
[[nodiscard]] std::string read_file_if_any(const std::filesystem::path& path);

}  // namespace tapestry::examples
