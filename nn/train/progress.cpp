#include <tapestry/nn/train/progress.h>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

namespace tapestry::nn::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kTerminalSeconds = .1;  // smooth to the eye, nothing to the training
constexpr double kPlainSeconds = 5;      // a file or a pipe
constexpr double kKeep = .95;            // of the shown loss and accuracy at each step: a mean of about 20 steps
constexpr std::size_t kUsualWidth = 80;  // columns, where the terminal does not tell
constexpr std::size_t kShortestBar = 6, kLongestBar = 40;
constexpr double kLongestTime = 1e9;  // seconds: what a clock can be asked to show

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

bool terminal_shows_unicode() {
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* const value = std::getenv(name);
    if (!value || !*value) continue;
    const std::string_view locale = value;
    return locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

std::size_t terminal_width(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return kUsualWidth;
}

std::string bar(std::size_t width, double part, bool unicode) {
  const auto filled = static_cast<std::size_t>(std::lround(part * static_cast<double>(width)));
  std::string text;
  for (std::size_t i = 0; i < width; ++i) {
    if (unicode) text += i < filled ? "\u2501" : "\u2500";
    else text += i < filled ? "=" : "-";
  }
  return text;
}

/// A mean that forgets: recent values count most.
class Recent {
 public:
  void add(double value) {
    weight_ = kKeep * weight_ + (1 - kKeep);
    sum_ = kKeep * sum_ + (1 - kKeep) * value;
  }
  [[nodiscard]] double mean() const { return weight_ > 0 ? sum_ / weight_ : 0; }

 private:
  double sum_ = 0, weight_ = 0;
};

}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::clamp(seconds, 0., kLongestTime)));
  const std::int64_t hours = whole / 3600;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string grouped(double number) {
  std::string digits = std::to_string(std::llround(number));
  const std::ptrdiff_t first = digits.starts_with('-') ? 1 : 0;
  for (auto i = static_cast<std::ptrdiff_t>(digits.size()) - 3; i > first; i -= 3)
    digits.insert(static_cast<std::size_t>(i), ",");
  return digits;
}

struct Progress::Impl {
  explicit Impl(const ProgressOptions& options)
      : stream(options.stream ? options.stream : stdout),
        quiet(options.quiet),
        terminal(isatty(fileno(stream)) == 1),
        unicode(terminal_shows_unicode()),
        interval(options.seconds >= 0 ? options.seconds
                 : terminal           ? kTerminalSeconds
                                      : kPlainSeconds),
        total(options.images) {}

  [[nodiscard]] std::string line(std::size_t width) const {
    const Clock::time_point now = Clock::now();
    const double part = steps > 0 ? std::min(1., static_cast<double>(steps_done) / static_cast<double>(steps)) : 1;
    const double part_seconds = seconds_between(part_began, now);
    std::string right = fmt::format("{:3.0f} %", std::floor(100 * part));
    if (!scored) {
      right += fmt::format("  {} of {}", grouped(static_cast<double>(steps_done)), grouped(static_cast<double>(steps)));
      if (part > 0) right += fmt::format("  {} left", clock_text(part_seconds / part * (1 - part)));
      return framed(right, part, width);
    }
    right += fmt::format("  loss {:.3f}", loss.mean());
    if (has_accuracy) right += fmt::format("  top-1 {:4.1f} %", 100 * accuracy.mean());
    if (part_seconds > 0) right += fmt::format("  {} images/s", grouped(static_cast<double>(images) / part_seconds));
    if (work > 0 && total >= work) {
      right += fmt::format("  {} left", clock_text(seconds_between(run_began, now) / work * (total - work)));
    }
    return framed(right, part, width);
  }

  /// The label, a bar where there is room for one, and the figures.
  [[nodiscard]] std::string framed(const std::string& right, double part, std::size_t width) const {
    const std::string text = label + "  ";
    if (!terminal) return text + right;
    const std::size_t taken = text.size() + right.size() + 1;
    const std::size_t room = width > taken ? width - taken : 0;
    if (room > kShortestBar) return text + bar(std::min(room - 1, kLongestBar), part, unicode) + " " + right;
    return (text + right).substr(0, width > 0 ? width - 1 : 0);
  }

  void draw() {
    last_drawn = Clock::now();
    put(terminal ? "\r\x1b[K" + line(terminal_width(stream)) : line(0) + "\n");
    drawn = terminal;
  }

  void wipe() {
    if (std::exchange(drawn, false)) put("\r\x1b[K");
  }

  void put(const std::string& text) const {
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
  }

  std::FILE* stream;
  bool quiet, terminal, unicode;
  double interval;  // seconds
  double total, work = 0, weight = 1;
  std::string label;
  Index steps = 0, steps_done = 0, images = 0;
  Recent loss, accuracy;
  bool scored = false, has_accuracy = false;
  Clock::time_point run_began = Clock::now(), part_began = run_began, last_drawn = run_began;
  bool drawn = false;  // there is a bar to wipe off
};

Progress::Progress(const ProgressOptions& options) : impl_(make_handle<Impl>(options)) {}

Progress::~Progress() { impl_->wipe(); }

void Progress::begin(std::string label, Index steps, double weight) {
  impl_->label = std::move(label);
  impl_->steps = steps;
  impl_->weight = weight;
  impl_->steps_done = impl_->images = 0;
  impl_->loss = impl_->accuracy = {};
  impl_->scored = impl_->has_accuracy = false;
  impl_->part_began = Clock::now();
}

void Progress::skip(Index steps, double images) {
  impl_->steps_done += steps;
  impl_->total -= images;
}

void Progress::shorten(double images_left) { impl_->total = impl_->work + images_left; }

void Progress::step(const BatchScore& score) {
  impl_->scored = true;
  impl_->images += score.images;
  impl_->work += impl_->weight * static_cast<double>(score.images);
  impl_->loss.add(score.loss);
  if (score.right >= 0 && score.images > 0) {
    impl_->has_accuracy = true;
    impl_->accuracy.add(static_cast<double>(score.right) / static_cast<double>(score.images));
  }
  step();
}

void Progress::step() {
  ++impl_->steps_done;
  if (!impl_->quiet && seconds_between(impl_->last_drawn, Clock::now()) >= impl_->interval) impl_->draw();
}

void Progress::end() { impl_->wipe(); }

void Progress::say(std::string_view line) {
  if (impl_->quiet) return;
  impl_->wipe();
  impl_->put(std::string(line) + "\n");
}

}  // namespace tapestry::nn::train
