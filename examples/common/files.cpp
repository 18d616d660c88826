#include <common/files.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

namespace tapestry::examples {

namespace fs = std::filesystem;

namespace {

/// A name beside `path` that no other process uses.
fs::path beside(const fs::path& path) {
  return path.parent_path() / fmt::format(".{}.{}", path.filename().string(), getpid());
}

std::error_code write_plainly(const fs::path& path, std::string_view bytes) {
  const auto reason = [] { return std::error_code(errno, std::generic_category()); };
  const auto close = [](std::FILE* file) { std::fclose(file); };
  std::unique_ptr<std::FILE, decltype(close)> file(std::fopen(path.c_str(), "wb"), close);
  if (!file) return reason();
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) return reason();
  return std::fclose(file.release()) == 0 ? std::error_code() : reason();
}

}  // namespace

OutputFolder::OutputFolder(fs::path path) : path_(std::move(path)) {
  std::error_code error;
  fs::path missing = path_;
  while (!missing.empty() && !fs::exists(missing, error) && !error) {
    outermost_made_ = missing;
    if (missing == missing.parent_path()) break;
    missing = missing.parent_path();
  }
  fs::create_directories(path_, error);
  if (!error && !fs::is_directory(path_)) error = std::make_error_code(std::errc::not_a_directory);
  if (error)
    throw std::runtime_error(fmt::format("cannot make the output folder {}: {}", path_.string(), error.message()));
  const fs::path probe = beside(path_ / "probe");
  const std::error_code refusal = write_plainly(probe, "can this folder be written to?");
  fs::remove(probe, error);
  if (refusal) {
    throw std::runtime_error(
        fmt::format("cannot write into the output folder {}: {}", path_.string(), refusal.message()));
  }
}

OutputFolder::~OutputFolder() {
  if (outermost_made_.empty()) return;
  std::error_code error;
  // remove() takes an empty folder only.
  for (fs::path folder = path_; fs::remove(folder, error) && folder != outermost_made_; folder = folder.parent_path()) {
  }
}

void write_file(const fs::path& path, std::string_view bytes) {
  const fs::path fresh = beside(path);
  std::error_code refusal = write_plainly(fresh, bytes);
  if (!refusal) fs::rename(fresh, path, refusal);
  if (!refusal) return;
  std::error_code ignored;
  fs::remove(fresh, ignored);
  throw std::runtime_error(fmt::format("cannot write {}: {}", path.string(), refusal.message()));
}

std::string read_file_if_any(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace tapestry::examples
