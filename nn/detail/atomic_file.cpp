#include <tapestry/nn/detail/atomic_file.h>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace tapestry::nn {
namespace {

std::string message(const std::filesystem::path& path, std::int64_t offset, const std::string& expected,
                    const std::string& got) {
  const std::string text = fmt::format("{}: {}; got {}", path.string(), expected, got);
  return offset < 0 ? text : fmt::format("{} (byte {})", text, offset);
}

[[noreturn]] void throw_system(const std::filesystem::path& path, const char* expected, int error) {
  throw FileError(path, -1, expected, std::generic_category().message(error));
}

/// An open file; closes it unless that has been done.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int close() noexcept { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

int open_retrying(const std::filesystem::path& path, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

/// A file of a new name beside `target`, removed again unless it was moved to its place.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& target) : path_(target) {
    static std::atomic<unsigned> counter{0};
    int fd = -1;
    do {  // another process may have left a file of this name
      path_ = target.parent_path() / fmt::format(".{}.{}-{}.tmp", target.filename().string(), ::getpid(), counter++);
      fd = open_retrying(path_, O_WRONLY | O_CREAT | O_EXCL, 0666);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0) throw_system(target, "a file in its folder must be writable", errno);
    fd_ = fd;
  }
  ~Temporary() {
    if (!moved_) ::unlink(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  [[nodiscard]] int fd() const noexcept { return fd_; }

  void move_to(const std::filesystem::path& target) {
    if (std::rename(path_.c_str(), target.c_str()) != 0) throw_system(target, "it must be replaceable", errno);
    moved_ = true;
  }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  bool moved_ = false;
};

void write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& target) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
    else if (written == 0 || errno != EINTR)
      throw_system(target, "all bytes must be written", written == 0 ? EIO : errno);
  }
}

/// Makes the rename itself outlive a power cut.
void synchronize_folder(const std::filesystem::path& folder, const std::filesystem::path& target) {
  const Descriptor directory(open_retrying(folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY));
  if (directory.get() < 0 || (::fsync(directory.get()) != 0 && errno != EINVAL)) {
    throw_system(target, "its folder must be synchronised", errno);
  }
}

}  // namespace

FileError::FileError(std::filesystem::path path, std::int64_t offset, const std::string& expected,
                     const std::string& got)
    : std::runtime_error(message(path, offset, expected, got)), path_(std::move(path)), offset_(offset) {}

void write_file_atomically(const std::filesystem::path& path, const std::vector<std::span<const std::byte>>& pieces) {
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::weakly_canonical(path, error);
  const std::filesystem::path& target = error ? path : resolved;
  struct stat old = {};
  const bool exists = ::stat(target.c_str(), &old) == 0;
  if (exists && !S_ISREG(old.st_mode)) throw FileError(path, -1, "it must be a regular file", "something else");

  Temporary temporary(target);
  Descriptor file(temporary.fd());
  for (const auto& piece : pieces) write_all(file.get(), piece, path);
  if (exists && ::fchmod(file.get(), old.st_mode & 07777) != 0) throw_system(path, "its mode must be kept", errno);
  if (::fsync(file.get()) != 0) throw_system(path, "it must be synchronised", errno);
  if (file.close() != 0) throw_system(path, "it must be closed", errno);
  temporary.move_to(target);
  synchronize_folder(target.parent_path(), path);
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  const Descriptor file(open_retrying(path, O_RDONLY | O_NONBLOCK));  // a pipe must not make us wait
  if (file.get() < 0) throw_system(path, "it must be readable", errno);
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) throw_system(path, "it must be readable", errno);
  if (!S_ISREG(status.st_mode)) {
    throw FileError(path, -1, "it must be a regular file", S_ISDIR(status.st_mode) ? "a folder" : "something else");
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
  std::size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + at, bytes.size() - at);
    if (got > 0) at += static_cast<std::size_t>(got);
    else if (got == 0)
      throw FileError(path, static_cast<std::int64_t>(at), "it must not shrink while being read", "its end");
    else if (errno != EINTR) throw_system(path, "it must be readable", errno);
  }
  return bytes;
}

}  // namespace tapestry::nn
