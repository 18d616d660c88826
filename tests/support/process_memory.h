#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <tapestry/autograd/memory/allocator.h>

/// What the operating system says of this process's memory, to be compared with what the library says.
namespace tapestry::test {

/// A line of /proc/self/status in bytes: "VmRSS", the memory that is resident, or "VmHWM", the most that ever was.
inline std::int64_t process_bytes(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) != 0) continue;
    std::int64_t kib = 0;
    std::istringstream(line.substr(field.size() + 1)) >> kib;
    return kib * 1024;
  }
  throw std::runtime_error("no " + field + " in /proc/self/status");
}

/// Begins VmHWM anew. False where the system does not allow it.
inline bool reset_process_peak() {
  std::ofstream clear("/proc/self/clear_refs");
  return static_cast<bool>(clear << "5" << std::flush);
}

/// Takes the limit away again, whatever a test does.
struct Unlimited {
  Unlimited() = default;
  Unlimited(const Unlimited&) = delete;
  Unlimited& operator=(const Unlimited&) = delete;
  ~Unlimited() { set_memory_limit(kNoMemoryLimit); }
};

}  // namespace tapestry::test
