#include <tapestry/autograd/base/file.h>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/detail/transfer.h>

namespace tapestry {

struct FileError::Text {
  std::string what, expected, got;
};

namespace {

/// The system's words for an errno, so that they can stand inside a sentence: "no such file or directory".
std::string words_of(int error_number) {
  std::string text = std::generic_category().message(error_number);
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (text.size() > 1 && upper(text[0]) && !upper(text[1])) text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

std::string place_of(const std::string& path, std::int64_t offset) {
  return offset == FileError::nowhere ? path : fmt::format("{}, byte {}", path, offset);
}

std::string with_advice(std::string text, const std::string& advice) {
  return advice.empty() ? text : std::move(text) + "\n  " + advice;
}

/// An open file; closed when it goes out of scope.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) noexcept : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Descriptor old(std::exchange(number_, std::exchange(other.number_, -1)));
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  [[nodiscard]] int get() const noexcept { return number_; }
  [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }
  /// Closes it now; errno of a failure, else 0. An interrupt is none: the descriptor is gone all the same.
  [[nodiscard]] int close() noexcept { return ::close(std::exchange(number_, -1)) == 0 || errno == EINTR ? 0 : errno; }

 private:
  int number_;
};

/// What a system call returns that a signal does not interrupt. File systems in the network let signals into calls of
/// which others never hear any.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

Descriptor open_at(int folder, const std::string& name, int flags, mode_t mode = 0) {
  return Descriptor(uninterrupted([&] { return ::openat(folder, name.c_str(), flags | O_CLOEXEC | O_NOCTTY, mode); }));
}

/// 0, or errno. A file system that cannot synchronise (EINVAL) has nothing to wait for.
int synchronise(int descriptor) {
  const int result = uninterrupted([=] { return ::fsync(descriptor); });
  return result == 0 || errno == EINVAL ? 0 : errno;
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISLNK(mode)) return "a link";
  return "a device";
}

/// A name with a zero byte inside would reach the system cut short: another file than the one asked for.
void check_path(const std::string& path, const std::string& advice = {}) {
  if (path.find('\0') == std::string::npos) return;
  throw FileError(std::string(path.c_str()), FileError::nowhere, "a path without a zero byte", "one with", advice);
}

}  // namespace

FileError::FileError(const std::string& path, std::int64_t offset, Text text, int error_number)
    : std::runtime_error(text.what + place_lines()),
      path_(path),
      offset_(offset),
      expected_(std::move(text.expected)),
      got_(std::move(text.got)),
      error_number_(error_number) {}

FileError::FileError(const std::string& path, std::int64_t offset, const std::string& expected, const std::string& got,
                     const std::string& advice)
    : FileError(path, offset,
                Text{with_advice(fmt::format("{}: expected {}; got {}", place_of(path, offset), expected, got), advice),
                     expected, got},
                0) {}

FileError FileError::refused(const std::string& path, const std::string& action, int error_number, std::int64_t offset,
                             const std::string& advice) {
  const std::string reason = words_of(error_number);
  return {
      path, offset,
      Text{with_advice(fmt::format("{}: cannot {}: {}", place_of(path, offset), action, reason), advice), {}, reason},
      error_number};
}

// --- reading

FileReader::FileReader(const std::string& path, const std::string& advice) : path_(path), advice_(advice) {
  check_path(path, advice);
  // Without O_NONBLOCK, opening a pipe would wait for its writer.
  Descriptor file = open_at(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  const int error = errno;
  struct stat status = {};
  const bool found = (file.get() >= 0 ? ::fstat(file.get(), &status) : ::stat(path.c_str(), &status)) == 0;
  // A socket cannot even be opened; the system's reason would be "no such device".
  if (found && !S_ISREG(status.st_mode)) fail(FileError::nowhere, "a regular file", kind_of(status.st_mode));
  if (file.get() < 0) throw FileError::refused(path, "be read", error, FileError::nowhere, advice);
  if (!found) throw FileError::refused(path, "be read", errno, FileError::nowhere, advice);
  size_ = status.st_size;
  descriptor_ = file.release();
}

FileReader::FileReader(const std::string& name, std::int64_t size, ByteSource& source, const std::string& advice)
    : path_(name), advice_(advice), size_(size), source_(&source) {}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)),
      advice_(std::move(other.advice_)),
      size_(other.size_),
      offset_(other.offset_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      source_(other.source_) {}

FileReader::~FileReader() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::size_t FileReader::read_what_comes(std::span<std::byte> to) {
  const auto done = detail::read_fully(to, [this](std::byte* at, std::size_t bytes) {
    return source_ ? source_->read_some(at, bytes) : ::read(descriptor_, at, bytes);
  });
  offset_ += static_cast<std::int64_t>(done.bytes);
  if (done.error != 0) throw FileError::refused(path_, "be read", done.error, offset_, advice_);
  return done.bytes;
}

void FileReader::read(std::span<std::byte> to) {
  const std::size_t got = read_what_comes(to);
  if (got < to.size()) fail(offset_, fmt::format("{} more bytes", to.size() - got), "the end of the file");
}

void FileReader::expect_end() {
  const std::int64_t end = offset_;
  std::byte more[1];
  if (read_what_comes(more) > 0) fail(end, "the end of the file", "more bytes");
}

void FileReader::fail(std::int64_t offset, const std::string& expected, const std::string& got) const {
  throw FileError(path_, offset, expected, got, advice_);
}

namespace {

/// Reads a file into a vector or string.
template <class Bytes>
Bytes read_whole(const std::string& path, const ReadFileOptions& options) {
  FileReader file(path, options.advice);
  if (file.size() > options.limit) {
    file.fail(FileError::nowhere, fmt::format("at most {} bytes", options.limit), fmt::format("{}", file.size()));
  }
  Bytes bytes(static_cast<std::size_t>(file.size()), typename Bytes::value_type{});
  file.read(std::as_writable_bytes(std::span(bytes)));
  file.expect_end();
  return bytes;
}

}  // namespace

std::vector<std::byte> read_file(const std::string& path, const ReadFileOptions& options, Here here) {
  const CallSite site(here);
  return read_whole<std::vector<std::byte>>(path, options);
}

std::string read_text_file(const std::string& path, const ReadFileOptions& options, Here here) {
  const CallSite site(here);
  return read_whole<std::string>(path, options);
}

// --- writing

namespace {

constexpr std::string_view kTemporaryBegins = ".tapestry-", kTemporaryEnds = ".tmp";

/// Splits "a/b/c" into "a/b/" and "c".
std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

/// The place that a link at the end of the path names, whether or not something is there.
std::string follow_links(const std::string& path) {
  constexpr int kMostLinks = 40;  // as Linux follows
  std::string place = path;
  for (int links = 0; links < kMostLinks; ++links) {
    char target[PATH_MAX];
    const ssize_t length = ::readlink(place.c_str(), target, sizeof target);
    if (length < 0) return place;  // no link, or nothing
    const std::string_view next(target, static_cast<std::size_t>(length));
    place = next.starts_with('/') ? std::string(next) : split(place).first.append(next);
  }
  throw FileError::refused(path, "be written", ELOOP);
}

}  // namespace

namespace {

/// Whether nobody else has the file locked, and this descriptor has now.
bool lock_now(int descriptor) {
  return uninterrupted([=] { return ::flock(descriptor, LOCK_EX | LOCK_NB); }) == 0;
}

}  // namespace

struct AtomicFile::State {
  std::string path;       ///< as the caller says it
  std::string name;       ///< in the folder
  std::string temporary;  ///< in the folder; empty when there is none (any more)
  Descriptor folder, file;
  Descriptor lock;  ///< the same file once more: what it locks stays locked when `file` is closed

  explicit State(const std::string& asked) : path(asked) {}
  ~State() { give_up(); }
  void give_up() noexcept {
    if (!temporary.empty()) ::unlinkat(folder.get(), temporary.c_str(), 0);
    temporary.clear();
    file = Descriptor();
    lock = Descriptor();
  }
  [[noreturn]] void refuse(int error_number) const { throw FileError::refused(path, "be written", error_number); }

  void open() {
    const auto [place, last] = split(follow_links(path));
    if (last.empty() || last == "." || last == "..") {
      throw FileError(path, FileError::nowhere, "a path that ends with a file's name", "one that does not");
    }
    name = last;
    folder = open_at(AT_FDCWD, place.empty() ? "." : place, O_RDONLY | O_DIRECTORY);
    if (folder.get() < 0) throw FileError::refused(path, "open its folder", errno);
    struct stat old = {};
    const bool exists = ::fstatat(folder.get(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
    if (!exists && errno != ENOENT) refuse(errno);
    if (exists && !S_ISREG(old.st_mode)) {
      throw FileError(path, FileError::nowhere, "a regular file to replace, or none", kind_of(old.st_mode));
    }
    if (exists && ::faccessat(folder.get(), name.c_str(), W_OK, AT_EACCESS) != 0) refuse(errno);
    make_temporary();
    constexpr mode_t kPermissions = 0777;  // not set-user-id and the like: the new file may have another owner
    const auto set_mode = [&] { return ::fchmod(file.get(), old.st_mode & kPermissions); };
    if (exists && uninterrupted(set_mode) != 0) refuse(errno);
  }

  void make_temporary() {
    static std::atomic<unsigned> counter{0};
    do {  // a process that was killed, or one on another machine, may have left a file of this name
      const std::string fresh = fmt::format("{}{}-{}{}", kTemporaryBegins, ::getpid(), counter++, kTemporaryEnds);
      file = open_at(folder.get(), fresh, O_WRONLY | O_CREAT | O_EXCL, 0666);
      if (file.get() >= 0) {
        temporary = fresh;
        if (!take_lock()) file = Descriptor(), errno = EEXIST;
      }
    } while (file.get() < 0 && errno == EEXIST);
    if (file.get() < 0) throw FileError::refused(path, "make a file in its folder", errno);
  }

  /// False when remove_stale_temporaries() was there first, between making the file and locking it. Where there are no
  /// locks, there is nothing that removes.
  [[nodiscard]] bool take_lock() {
    if (!lock_now(file.get()) && errno == EWOULDBLOCK) return false;
    struct stat status = {};
    if (::fstat(file.get(), &status) == 0 && status.st_nlink == 0) return false;
    lock = Descriptor(::fcntl(file.get(), F_DUPFD_CLOEXEC, 0));
    if (lock.get() < 0) refuse(errno);
    return true;
  }
};

AtomicFile::AtomicFile(const std::string& path) {
  check_path(path);
  auto state = std::make_unique<State>(path);
  state->open();
  state_ = state.release();
}

AtomicFile::~AtomicFile() { delete state_; }

void AtomicFile::write(std::span<const std::byte> bytes) {
  const int file = state_->file.get();
  if (file < 0) throw_logic("AtomicFile: write must come before commit and after no failure; {}", state_->path);
  const auto done =
      detail::write_fully(bytes, [=](const std::byte* from, std::size_t count) { return ::write(file, from, count); });
  if (done.error == 0) return;
  state_->give_up();  // a commit all the same would put half a file in place
  state_->refuse(done.error);
}

void AtomicFile::commit() {
  State& s = *state_;
  if (s.file.get() < 0) throw_logic("AtomicFile: commit must be called once and after no failure; {}", s.path);
  if (const int error = synchronise(s.file.get())) s.refuse(error);
  if (const int error = s.file.close()) s.refuse(error);
  const auto put_in_place = [&] {
    return ::renameat(s.folder.get(), s.temporary.c_str(), s.folder.get(), s.name.c_str());
  };
  if (uninterrupted(put_in_place) != 0) s.refuse(errno);
  s.temporary.clear();
  s.lock = Descriptor();
  if (const int error = synchronise(s.folder.get())) s.refuse(error);  // the rename, too, outlives a power cut
}

std::size_t remove_stale_temporaries(const std::string& folder) {
  const Descriptor place = open_at(AT_FDCWD, folder.empty() ? "." : folder, O_RDONLY | O_DIRECTORY);
  if (place.get() < 0) return 0;
  Descriptor to_read = open_at(place.get(), ".", O_RDONLY | O_DIRECTORY);
  const auto close = [](DIR* all) { ::closedir(all); };
  const std::unique_ptr<DIR, decltype(close)> all(::fdopendir(to_read.get()), close);
  if (!all) return 0;
  static_cast<void>(to_read.release());  // which is the DIR's now
  std::size_t removed = 0;
  while (const dirent* const entry = ::readdir(all.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with(kTemporaryBegins) || !name.ends_with(kTemporaryEnds)) continue;
    const Descriptor file = open_at(place.get(), entry->d_name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
    struct stat status = {};
    const bool regular = file.get() >= 0 && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode);
    if (regular && lock_now(file.get()) && ::unlinkat(place.get(), entry->d_name, 0) == 0) ++removed;
  }
  return removed;
}

void make_folder(const std::string& path, Here here) {
  const CallSite site(here);
  namespace fs = std::filesystem;
  check_path(path);
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path, error) && !error) error = std::make_error_code(std::errc::not_a_directory);
  if (error) throw FileError::refused(path, "be made", error.value());
}

bool detail::was_taken_away(const FileError& refusal) noexcept { return refusal.error_number() == ENOENT; }

void write_file(const std::string& path, std::span<const std::byte> bytes, Here here) {
  const CallSite site(here);
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file(const std::string& path, std::string_view text, Here here) {
  const CallSite site(here);
  write_file(path, std::as_bytes(std::span(text)));
}

}  // namespace tapestry
