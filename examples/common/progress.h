#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

/// Tells how far a long run has come: a bar that redraws itself on a terminal, a plain line every few seconds anywhere
/// else (a file of carriage returns helps nobody), nothing when quiet.
namespace tapestry::examples {

class Progress {
 public:
  /// `total_work` is that of the whole run, in the unit of the `work` given to step(); it makes the time left.
  Progress(std::FILE* stream, bool quiet, double total_work);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A part of the run of so many steps begins: "epoch 1/2", "testing".
  void begin(std::string label, std::int64_t steps);

  /// So much of the part, and of the whole run, was done before this program began.
  void skip(std::int64_t steps, double work);

  /// The run ends earlier than it was to: only so much work is left.
  void shorten(double work_left) { total_work_ = work_ + work_left; }

  /// A step has ended, with `images` images, `correct` of them right, and a mean loss.
  void step(std::int64_t images, double loss, std::int64_t correct, double work);

  /// The part has ended; its bar is wiped off.
  void end();

  /// Prints a line; the bar moves below it.
  void say(std::string_view line);

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] std::string line(std::size_t width) const;
  void draw();
  void wipe();

  std::FILE* stream_;
  bool quiet_, terminal_, unicode_;
  double total_work_, work_ = 0;
  std::string label_;
  std::int64_t steps_ = 0, steps_done_ = 0, images_ = 0;
  double smoothing_ = 0, loss_ = 0, accuracy_ = 0;  // exponential means and the weight they have collected
  Clock::time_point run_began_, part_began_, last_drawn_;
  bool drawn_ = false;
};

/// "1:02" or "2:05:09" for a number of seconds.
[[nodiscard]] std::string clock_text(double seconds);

/// "12,345".
[[nodiscard]] std::string grouped(double number);

}  // namespace tapestry::examples
