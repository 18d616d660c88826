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

  [[nodiscard]] std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
  std::filesystem::path outermost_made_;  ///< empty: it was there before
};

}  // namespace tapestry::examples
