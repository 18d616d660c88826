#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

struct ProfileOptions {
  double peak_gflops = 0;  ///< of the machine, 10^9 operations per second; 0: not known. bench_peaks measures both
  double peak_gbytes = 0;  ///< what memory gives, 10^9 bytes per second; 0: not known
};

/// What the time of a scope went to, op by op, forward and backward:
///
///     Profile profile;
///     loss_of(model, batch).backward();
///     profile.stop();
///     std::cout << profile.table();
///     profile.write_trace("step.json");  // chrome://tracing, ui.perfetto.dev
///
/// Looks at the thread that made it. An op is what the program calls (an op within an op is part of it), or the
/// gradient rules of one. Costs nothing measurable while there is none, and two looks at the clock per op while there
/// is one.
class Profile {
 public:
  explicit Profile(const ProfileOptions& options = {});
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// Ends looking; what was seen stays. Profiles end in the reverse order of their beginnings. Not needed to read.
  void stop() noexcept;

  /// What an event is.
  enum class Pass : std::uint8_t {
    forward,   ///< what the program called
    backward,  ///< the gradient rules of an op
    whole      ///< a call of backward() or grad(), with all the rules in it
  };

  /// One call, or one play of a rule.
  struct Event {
    std::string op;                ///< "conv2d"; of a gradient rule the op whose it is
    std::string where;             ///< "model.cpp:42"
    std::string module;            ///< "layer2.0.conv1"
    Pass pass = Pass::forward;     ///< which kind of call it was
    Shape shape = {};              ///< of the result; of a rule, of dy
    std::int64_t begin_ns = 0;     ///< since the profile began
    std::int64_t nanoseconds = 0;  ///< how long it took
    double flops =
        0;  ///< 2 for each product added up in convolutions and matrix products, 1 per element of other results
    double macs = 0;   ///< products added up, in convolutions and matrix products alone
    double bytes = 0;  ///< of operands and results: what has to be moved at least
  };

  /// In the order in which they ended.
  [[nodiscard]] std::vector<Event> events() const;

  /// Events of one op, or one module, or one line, and one pass, added up.
  struct Row {
    std::string name;           ///< of the op, the module, or the line
    Pass pass = Pass::forward;  ///< which calls were added up
    Index calls = 0;            ///< how many
    double seconds = 0;         ///< all together
    double flops = 0;           ///< as Event::flops
    double bytes = 0;           ///< as Event::bytes
    /// The larger of its parts of the two peaks; 0 where none is known.
    double part_of_peak = 0;
  };
  /// What rows stand for.
  enum class By : std::uint8_t { op, module, line };

  /// Longest first. A whole backward() counts what is in none of its rules: adding up gradients, and the tape itself.
  [[nodiscard]] std::vector<Row> rows(By by = By::op) const;

  /// rows() for people: calls, time and its share, speed, part of the peak.
  [[nodiscard]] std::string table(By by = By::op) const;

  /// The events in Chrome's trace format (JSON).
  [[nodiscard]] std::string trace() const;
  /// Writes it in one step. Throws FileError.
  void write_trace(const std::string& path, Here here = {}) const;

 private:
  class Impl;
  Handle<Impl> impl_;
};

}  // namespace tapestry
