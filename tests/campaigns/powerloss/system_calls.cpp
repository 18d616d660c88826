// With it, the C library defines checked copies of what is defined here.
#undef _FORTIFY_SOURCE

#include "campaigns/powerloss/system_calls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdarg>
#include <filesystem>
#include <map>
#include <utility>

namespace tapestry::system_calls {
namespace {

// Of one thread: campaigns save from the main thread alone.
bool logging = false;
std::vector<Call> calls;
std::map<int, std::string> path_of;      // of open descriptors, while logging
std::map<int, std::int64_t> written_of;  // where the next write goes
Fault fault;
Counted counted{};
bool armed = false;

/// Counts a call. True when it is to fail, with errno set; `shortened` asks for a transfer of one byte instead.
bool fails(bool* shortened = nullptr) {
  if (!armed) return false;
  ++counted.calls;
  if (fault.at == 0 || counted.calls < fault.at || (counted.calls > fault.at && !fault.for_ever)) return false;
  if (fault.error == 0) {
    if (shortened) {
      ++counted.failed;
      *shortened = true;
    }
    return false;
  }
  ++counted.failed;
  errno = fault.error;
  return true;
}

std::string absolute(int folder, const char* name) {
  char place[PATH_MAX] = ".";
  if (folder == AT_FDCWD) {
    if (!::getcwd(place, sizeof place)) return name;
  } else {
    const std::string link = "/proc/self/fd/" + std::to_string(folder);
    const ssize_t length = ::readlink(link.c_str(), place, sizeof place - 1);
    place[length > 0 ? length : 0] = '\0';
  }
  return (std::filesystem::path(place) / name).lexically_normal().string();
}

void note(Kind kind, std::string path, std::string to = {}) {
  if (logging) calls.push_back({kind, std::move(path), std::move(to), 0, {}});
}

}  // namespace

void begin_log() {
  calls.clear();
  path_of.clear();
  logging = true;
}

std::vector<Call> end_log() {
  logging = false;
  return std::exchange(calls, {});
}

void arm(const Fault& wanted) {
  fault = wanted;
  counted = {};
  armed = true;
}

Counted disarm() {
  armed = false;
  return counted;
}

namespace {

int open_through(int folder, const char* name, int flags, unsigned mode) {
  if (fails()) return -1;
  const auto number = static_cast<int>(::syscall(SYS_openat, folder, name, flags, mode));
  if (number >= 0 && logging) {
    const std::string path = absolute(folder, name);
    path_of[number] = path;
    written_of[number] = 0;
    if ((flags & O_CREAT) != 0) note(Kind::make, path);
    if ((flags & O_TRUNC) != 0) note(Kind::truncate, path);
  }
  return number;
}

int rename_through(int from_folder, const char* from, int to_folder, const char* to) {
  if (fails()) return -1;
  const auto result = static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, 0U));
  if (result == 0) note(Kind::rename, absolute(from_folder, from), absolute(to_folder, to));
  return result;
}

int unlink_through(int folder, const char* name, int flags) {
  if (fails()) return -1;
  const auto result = static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
  if (result == 0) note(Kind::remove, absolute(folder, name));
  return result;
}

}  // namespace
}  // namespace tapestry::system_calls

namespace calls = tapestry::system_calls;

// These take the places of the C library's.
extern "C" {

int openat(int folder, const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return calls::open_through(folder, name, flags, mode);
}
int openat64(int folder, const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return calls::open_through(folder, name, flags, mode);
}
int open(const char* name, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, unsigned) : 0;
  va_end(rest);
  return calls::open_through(AT_FDCWD, name, flags, mode);
}

ssize_t write(int file, const void* from, size_t bytes) {
  bool shortened = false;
  if (calls::fails(&shortened)) return -1;
  const ssize_t done = ::syscall(SYS_write, file, from, shortened && bytes > 1 ? 1 : bytes);
  if (done > 0 && calls::logging && calls::path_of.contains(file)) {
    const auto* const first = static_cast<const std::uint8_t*>(from);
    calls::calls.push_back({calls::Kind::write,
                            calls::path_of[file],
                            {},
                            calls::written_of[file],
                            std::vector<std::uint8_t>(first, first + done)});
    calls::written_of[file] += done;
  }
  return done;
}

ssize_t read(int file, void* to, size_t bytes) {
  bool shortened = false;
  if (calls::fails(&shortened)) return -1;
  return ::syscall(SYS_read, file, to, shortened && bytes > 1 ? 1 : bytes);
}

int fsync(int file) {
  if (calls::fails()) return -1;
  // Nobody takes the plug out here: waiting for the disk would be nearly all of a campaign's time.
  constexpr int result = 0;
  if (calls::logging && calls::path_of.contains(file)) {
    struct stat status = {};
    const bool folder = ::fstat(file, &status) == 0 && S_ISDIR(status.st_mode);
    calls::note(folder ? calls::Kind::sync_folder : calls::Kind::sync, calls::path_of[file]);
  }
  return result;
}

int close(int file) {
  const bool refused = calls::fails();  // closed all the same, as Linux does
  const int error = errno;
  const auto result = static_cast<int>(::syscall(SYS_close, file));
  if (calls::logging) calls::path_of.erase(file);
  if (!refused) return result;
  errno = error;
  return -1;
}

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
  return calls::rename_through(from_folder, from, to_folder, to);
}
int rename(const char* from, const char* to) noexcept { return calls::rename_through(AT_FDCWD, from, AT_FDCWD, to); }
int unlinkat(int folder, const char* name, int flags) noexcept { return calls::unlink_through(folder, name, flags); }
int unlink(const char* name) noexcept { return calls::unlink_through(AT_FDCWD, name, 0); }
int fchmod(int file, mode_t mode) noexcept {
  if (calls::fails()) return -1;
  return static_cast<int>(::syscall(SYS_fchmod, file, mode));
}

}  // extern "C"
