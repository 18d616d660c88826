#pragma once

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "support/process_memory.h"

/// Work that may crash, hang or eat memory, in a process of its own.
namespace tapestry::test {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TAPESTRY_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TAPESTRY_ADDRESS_SANITIZER 1
#endif
#if defined(TAPESTRY_ADDRESS_SANITIZER)
inline constexpr bool kAddressSanitizer = true;  // needs terabytes of addresses, and memory of its own
#else
inline constexpr bool kAddressSanitizer = false;
#endif

struct ChildOptions {
  std::int64_t more_addresses = 0;  ///< bytes that it may map beyond what the parent has; 0: any
  double seconds = 10;              ///< then it is killed
};

struct ChildResult {
  bool hung = false;
  int signal = 0;  ///< that ended it; 0: none
  int exit_status = 0;
  double seconds = 0;
  std::string output;  ///< what the work returned

  [[nodiscard]] bool ended_well() const { return !hung && signal == 0 && exit_status == 0; }
};

/// Runs `work` in a fork and returns its text. Call it while this process has one thread.
inline ChildResult in_child(const std::function<std::string()>& work, const ChildOptions& options = {}) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::runtime_error("no pipe");
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("no child");
  if (child == 0) {
    ::close(ends[0]);
    if (options.more_addresses > 0 && !kAddressSanitizer) {
      const auto most = static_cast<rlim_t>(process_bytes("VmSize") + options.more_addresses);
      const rlimit limit{most, most};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    int status = 0;
    try {
      const std::string text = work();
      for (std::size_t sent = 0; sent < text.size();) {
        const auto n = ::write(ends[1], text.data() + sent, text.size() - sent);
        if (n <= 0) break;
        sent += static_cast<std::size_t>(n);
      }
    } catch (...) {
      status = 99;
    }
    ::_exit(status);
  }
  ::close(ends[1]);
  ChildResult result;
  std::array<char, 65536> buffer{};
  for (;;) {
    pollfd waiting{ends[0], POLLIN, 0};
    const double left = options.seconds - result.seconds;
    const int ready = left > 0 ? ::poll(&waiting, 1, static_cast<int>(left * 1000) + 1) : 0;
    result.seconds = elapsed();
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) {
      result.hung = true;
      ::kill(child, SIGKILL);
      break;
    }
    const auto n = ::read(ends[0], buffer.data(), buffer.size());
    if (n <= 0) break;
    result.output.append(buffer.data(), static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  return result;
}

}  // namespace tapestry::test
