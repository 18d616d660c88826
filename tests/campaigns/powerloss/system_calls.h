#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// The system calls about files that this program makes pass through functions of its own, which write them down and
/// fail them on demand. What the C library calls for itself (std::FILE) does not.
namespace tapestry::system_calls {

enum class Kind { make, write, truncate, sync, sync_folder, rename, remove, other };

/// A call that changed something, in the order in which they were made.
struct Call {
  Kind kind;
  std::string path;                 ///< what it is about
  std::string to;                   ///< of a rename
  std::int64_t offset = 0;          ///< of a write
  std::vector<std::uint8_t> bytes;  ///< of a write
};

/// Begins to write down; ends it and returns what was written.
void begin_log();
[[nodiscard]] std::vector<Call> end_log();

/// How a call fails.
struct Fault {
  std::int64_t at = 0;    ///< the number of the call, from 1; 0: none fails
  int error = 0;          ///< errno; 0: only one byte is read or written
  bool for_ever = false;  ///< and every call after it
};

/// Counts calls from here on, and fails those that the fault says.
void arm(const Fault& fault);
/// No more faults. The number of calls since arm(), and whether one of them failed.
struct Counted {
  std::int64_t calls, failed;
};
[[nodiscard]] Counted disarm();

}  // namespace tapestry::system_calls
