#include <tapestry/datasets/detail/input_file.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tapestry/datasets/dataset.h>

namespace tapestry::datasets {
namespace {

constexpr std::size_t kLargestRead = 1U << 30;  // bytes; Linux moves at most 2^31 - 4096 per call

std::string system_text(int code) { return std::generic_category().message(code); }

std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

/// A name with a zero byte inside would reach the system cut short: another file than the one asked for.
bool holds_zero(const std::filesystem::path& path) { return path.native().find('\0') != std::string::npos; }

}  // namespace

InputFile::InputFile(std::filesystem::path path, std::string advice)
    : path_(std::move(path)), advice_(std::move(advice)) {
  if (holds_zero(path_)) fail(0, "a file name without a zero byte", "one with");
  do {
    descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) fail(0, "a readable file", system_text(errno));
  struct stat status {};
  const int stat_error = ::fstat(descriptor_, &status) == 0 ? 0 : errno;
  if (stat_error != 0 || !S_ISREG(status.st_mode)) {
    ::close(std::exchange(descriptor_, -1));
    fail(0, "a regular file", stat_error != 0 ? system_text(stat_error) : kind_of(status.st_mode));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  read_some_ = [descriptor = descriptor_](std::uint8_t* to, std::size_t bytes) -> std::int64_t {
    return ::read(descriptor, to, bytes);
  };
}

InputFile::InputFile(std::filesystem::path path, std::uint64_t size, ReadSome read_some, std::string advice)
    : path_(std::move(path)), advice_(std::move(advice)), size_(size), read_some_(std::move(read_some)) {}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      advice_(std::move(other.advice_)),
      size_(other.size_),
      offset_(other.offset_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      read_some_(std::move(other.read_some_)) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(std::span<std::uint8_t> to) {
  while (!to.empty()) {
    const std::int64_t got = read_some_(to.data(), std::min(to.size(), kLargestRead));
    if (got < 0) {
      if (errno == EINTR) continue;
      fail(offset_, "readable bytes", system_text(errno));
    }
    if (got == 0) fail(offset_, std::to_string(to.size()) + " more bytes", "the end of the file");
    offset_ += static_cast<std::uint64_t>(got);
    to = to.subspan(static_cast<std::size_t>(got));
  }
}

void InputFile::fail(std::uint64_t offset, const std::string& expected, const std::string& got) const {
  throw DataError(path_, offset, expected, got, advice_);
}

std::string recognize(std::span<const std::uint8_t> head) {
  using namespace std::string_view_literals;
  struct Kind {
    std::size_t offset;
    std::string_view magic;
    const char* name;
  };
  constexpr std::array kinds{
      Kind{0, "\x1F\x8B"sv, "a gzip file, which must be unpacked first"},
      Kind{0,
           "\xFD"
           "7zXZ"sv,
           "an xz file, which must be unpacked first"},
      Kind{0, "BZh"sv, "a bzip2 file, which must be unpacked first"},
      Kind{0, "PK\x03\x04"sv, "a zip file, which must be unpacked first"},
      Kind{257, "ustar"sv, "a tar archive, which must be unpacked first"},
      Kind{0, "\x80\x02"sv, "a pickle of the Python version of the data; the binary version is needed"},
      Kind{0, "\x80\x03"sv, "a pickle of the Python version of the data; the binary version is needed"},
      Kind{0, "\x80\x04"sv, "a pickle of the Python version of the data; the binary version is needed"},
      Kind{0, "\x80\x05"sv, "a pickle of the Python version of the data; the binary version is needed"},
      Kind{0, "GIF8"sv, "a GIF picture"},
      Kind{0, "BM"sv, "a BMP picture"},
      Kind{0, "8BPS"sv, "a PSD picture"},
      Kind{0, "RIFF"sv, "a RIFF file (WebP?)"},
      Kind{0, "P6"sv, "a PNM picture"},
      Kind{0, "P5"sv, "a PNM picture"},
      Kind{0, "\x89PNG\r\n\x1A\n"sv, "a PNG picture"},
      Kind{0, "\xFF\xD8\xFF"sv, "a JPEG picture"},
      Kind{0, "<"sv, "text that begins with '<' (a web page?)"},
  };
  for (const Kind& kind : kinds) {
    if (head.size() < kind.offset + kind.magic.size()) continue;
    const auto here = head.subspan(kind.offset, kind.magic.size());
    const auto same = [](std::uint8_t byte, char c) { return byte == static_cast<std::uint8_t>(c); };
    if (std::equal(here.begin(), here.end(), kind.magic.begin(), same)) return kind.name;
  }
  return {};
}

namespace {

/// The temporary of write_file: gone when it goes out of scope, unless renamed.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& target) : target_(target) {
    static std::atomic<unsigned> count = 0;
    do {
      path_ = target.native() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
      descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (descriptor_ < 0 && (errno == EINTR || errno == EEXIST));
    if (descriptor_ < 0) fail("a file that can be written", errno);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!renamed_) ::unlink(path_.c_str());
  }

  void append(std::span<const std::uint8_t> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kLargestRead));
      if (written < 0) {
        if (errno == EINTR) continue;
        fail("room for the file", errno);
      }
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void finish() {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("a complete write", errno);
    if (::rename(path_.c_str(), target_.c_str()) != 0) fail("a file that can be replaced", errno);
    renamed_ = true;
  }

 private:
  [[noreturn]] void fail(const std::string& expected, int code) const {
    throw DataError(target_, 0, expected, system_text(code));
  }

  std::filesystem::path target_;
  std::string path_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

}  // namespace

void write_file(const std::filesystem::path& path, const std::function<void(const Append&)>& write) {
  if (holds_zero(path)) throw DataError(path, 0, "a file name without a zero byte", "one with");
  Temporary file(path);
  write([&](std::span<const std::uint8_t> bytes) { file.append(bytes); });
  file.finish();
}

}  // namespace tapestry::datasets
