#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tapestry {

/// Where in the source an op was called: the last parameter of every op, never written by the caller.
/// (std::source_location would do, but clang 14 cannot compile it.)
struct Here {
  const char* file;
  int line;

  Here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) noexcept : file(f), line(l) {}
};

/// What errors and the tape say about a recorded op: source line and path of the module that called it.
struct Location {
  const char* file = nullptr;  ///< null: unknown
  int line = 0;
  const char* module = nullptr;   ///< "layer2.0.conv1", or null outside modules; never freed
  const char* rule_of = nullptr;  ///< while a gradient rule runs: the op whose rule it is
};

namespace detail {
inline constinit thread_local Location current_location{};

/// Bytes that the op which is running has said it keeps for backward; see saved() in record.h.
inline constinit thread_local std::int64_t bytes_saved = 0;
}  // namespace detail

/// The first line of every op: for the time of the call, this thread is at `here` - unless an op further out, which the
/// user called, has already said where. What the op saves is counted from nothing, and what an op further out had saved
/// so far is counted on behind it, also when this one throws.
class CallSite {
 public:
  explicit CallSite(const Here& here) noexcept : saved_further_out_(std::exchange(detail::bytes_saved, 0)) {
    Location& now = detail::current_location;
    if (now.file) return;
    now.file = here.file;
    now.line = here.line;
    outermost_ = true;
  }
  ~CallSite() {
    detail::bytes_saved = saved_further_out_;
    if (outermost_) detail::current_location.file = nullptr;
  }
  CallSite(const CallSite&) = delete;
  CallSite& operator=(const CallSite&) = delete;

  [[nodiscard]] static const Location& current() noexcept { return detail::current_location; }

 private:
  std::int64_t saved_further_out_;
  bool outermost_ = false;
};

/// For the time of a scope, ops belong to the module of this path. `path` comes from intern().
class ModuleScope {
 public:
  explicit ModuleScope(const char* path) noexcept : outer_(detail::current_location.module) {
    if (path) detail::current_location.module = path;
  }
  ~ModuleScope() { detail::current_location.module = outer_; }
  ModuleScope(const ModuleScope&) = delete;
  ModuleScope& operator=(const ModuleScope&) = delete;

 private:
  const char* outer_;
};

/// A copy of the text that lives as long as the program, one per distinct text.
[[nodiscard]] const char* intern(std::string_view text);

/// "model.cpp:42 in layer2.0.conv1", without folders; empty when unknown.
[[nodiscard]] std::string to_string(const Location& location);

}  // namespace tapestry
