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

  constexpr Here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) noexcept : file(f), line(l) {}
};

/// What errors and the tape say about a recorded op: source line and path of the module that called it.
struct Location {
  const char* file = nullptr;  ///< null: unknown
  int line = 0;
  const char* module = nullptr;   ///< "layer2.0.conv1", or null outside modules; never freed
  const char* rule_of = nullptr;  ///< while a gradient rule runs: the op whose rule it is
};

namespace detail {
/// Looks on while this thread calls ops (autograd/detail/watcher.h). Called for what the user called, not for ops
/// within.
class CallWatcher {
 public:
  virtual void call_began(const char* call) noexcept = 0;
  virtual void call_ended() noexcept = 0;

 protected:
  ~CallWatcher() = default;
};

/// What every op reads and writes of this thread: in one place, which is found once.
struct CallState {
  Location location{};
  const char* call = nullptr;  ///< what the user called, by its name in the source ("conv2d"); null outside of calls
  CallWatcher* watcher = nullptr;  ///< null: nobody
  std::int64_t bytes_saved = 0;    ///< that the op which is running has said it keeps for backward; see saved()
};
inline constinit thread_local CallState call_state{};

/// The line to name where no op has said its own, and the one that plays the tape; see OuterSite and PlayingSite.
inline constinit thread_local Here outer_site{nullptr, 0};
inline constinit thread_local Here playing_site{nullptr, 0};
}  // namespace detail

/// The first line of every op: for the time of the call, this thread is at `here` - unless an op further out, which the
/// user called, has already said where. What the op saves is counted from nothing, and what an op further out had saved
/// so far is counted on behind it, also when this one throws. `call` is never written: the name of the function that
/// says so; null where a call within it has the better name.
class CallSite {
 public:
  explicit CallSite(const Here& here, const char* call = __builtin_FUNCTION()) noexcept {
    detail::CallState& now = detail::call_state;
    saved_further_out_ = std::exchange(now.bytes_saved, 0);
    if (!now.location.file) {
      now.location.file = here.file;
      now.location.line = here.line;
      outermost_ = true;
    }
    if (now.call || !call) return;
    now.call = call;
    names_call_ = true;
    if (now.watcher) [[unlikely]]
      now.watcher->call_began(call);
  }
  ~CallSite() {
    detail::CallState& now = detail::call_state;
    now.bytes_saved = saved_further_out_;
    if (names_call_) {
      if (now.watcher) [[unlikely]]
        now.watcher->call_ended();
      now.call = nullptr;
    }
    if (outermost_) now.location.file = nullptr;
  }
  CallSite(const CallSite&) = delete;
  CallSite& operator=(const CallSite&) = delete;

  [[nodiscard]] static const Location& current() noexcept { return detail::call_state.location; }

 private:
  std::int64_t saved_further_out_;
  bool outermost_ = false;
  bool names_call_ = false;
};

/// For functions that call the user's: for the time of a scope, errors outside of ops name this line. Ops inside tell
/// their own lines, as always.
class OuterSite {
 public:
  explicit OuterSite(const Here& here) noexcept : outer_(std::exchange(detail::outer_site, here)) {
    if (outer_.file) detail::outer_site = outer_;  // what the user called further out
  }
  ~OuterSite() { detail::outer_site = outer_; }
  OuterSite(const OuterSite&) = delete;
  OuterSite& operator=(const OuterSite&) = delete;

 private:
  Here outer_;
};

/// For the time of a sweep, errors in gradient rules name the line that plays the tape beside the line that recorded.
class PlayingSite {
 public:
  PlayingSite() noexcept
      : outer_(std::exchange(detail::playing_site,
                             {detail::call_state.location.file, detail::call_state.location.line})) {}
  ~PlayingSite() { detail::playing_site = outer_; }
  PlayingSite(const PlayingSite&) = delete;
  PlayingSite& operator=(const PlayingSite&) = delete;

 private:
  Here outer_;
};

/// For the time of a scope, ops belong to the module of this path. `path` comes from intern().
class ModuleScope {
 public:
  explicit ModuleScope(const char* path) noexcept : outer_(detail::call_state.location.module) {
    if (path) detail::call_state.location.module = path;
  }
  ~ModuleScope() { detail::call_state.location.module = outer_; }
  ModuleScope(const ModuleScope&) = delete;
  ModuleScope& operator=(const ModuleScope&) = delete;

 private:
  const char* outer_;
};

/// A copy of the text that lives as long as the program, one per distinct text.
[[nodiscard]] const char* intern(std::string_view text);

/// "model.cpp:42 in layer2.0.conv1", without folders; empty when unknown.
[[nodiscard]] std::string to_string(const Location& location);

/// The lines that end every message, each with its line break in front: where the op that runs was called and, in a
/// gradient rule, where the tape is played from. Empty when nothing is known.
[[nodiscard]] std::string place_lines();

/// A message without these lines, to stand inside another one.
[[nodiscard]] std::string without_place(std::string_view message);

}  // namespace tapestry
