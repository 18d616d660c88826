#include <common/progress.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace tapestry::examples {

namespace {

constexpr double kRedrawSeconds = .1;  // a terminal: smooth to the eye, nothing to the training
constexpr double kPlainSeconds = 5;    // a file or a pipe
constexpr double kKeep = .95;          // of the shown loss and accuracy at each step: a mean of about 20 steps

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
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
  return 80;
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

}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::clamp(seconds, 0., 1e9)));
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

Progress::Progress(std::FILE* stream, bool quiet, double total_work)
    : stream_(stream),
      quiet_(quiet),
      terminal_(isatty(fileno(stream)) == 1),
      unicode_(terminal_shows_unicode()),
      total_work_(total_work),
      run_began_(Clock::now()),
      part_began_(run_began_),
      last_drawn_(run_began_) {}

Progress::~Progress() { wipe(); }

void Progress::begin(std::string label, std::int64_t steps) {
  label_ = std::move(label);
  steps_ = steps;
  steps_done_ = images_ = 0;
  smoothing_ = loss_ = accuracy_ = 0;
  part_began_ = Clock::now();
}

void Progress::skip(std::int64_t steps, double work) {
  steps_done_ += steps;
  total_work_ -= work;
}

void Progress::step(std::int64_t images, double loss, std::int64_t correct, double work) {
  ++steps_done_;
  images_ += images;
  work_ += work;
  smoothing_ = kKeep * smoothing_ + (1 - kKeep);
  loss_ = kKeep * loss_ + (1 - kKeep) * loss;
  accuracy_ = kKeep * accuracy_ +
              (1 - kKeep) * static_cast<double>(correct) / static_cast<double>(std::max<std::int64_t>(images, 1));
  if (quiet_) return;
  if (seconds_between(last_drawn_, Clock::now()) >= (terminal_ ? kRedrawSeconds : kPlainSeconds)) draw();
}

std::string Progress::line(std::size_t width) const {
  const Clock::time_point now = Clock::now();
  const double part = steps_ > 0 ? static_cast<double>(steps_done_) / static_cast<double>(steps_) : 1;
  std::string right = fmt::format("{:3.0f} %  loss {:.3f}  top-1 {:4.1f} %", std::floor(100 * part), loss_ / smoothing_,
                                  100 * accuracy_ / smoothing_);
  const double part_seconds = seconds_between(part_began_, now);
  if (part_seconds > 0) right += fmt::format("  {} images/s", grouped(static_cast<double>(images_) / part_seconds));
  if (work_ > 0 && total_work_ >= work_) {
    right += fmt::format("  {} left", clock_text(seconds_between(run_began_, now) / work_ * (total_work_ - work_)));
  }
  std::string text = label_ + "  ";
  if (terminal_) {
    const std::size_t taken = text.size() + right.size() + 1;
    const std::size_t room = width > taken ? width - taken : 0;
    if (room >= 6) text += bar(std::min<std::size_t>(room - 1, 40), part, unicode_) + " ";
    else if (text.size() + right.size() >= width && width > 0)
      right.resize(width > text.size() + 1 ? width - text.size() - 1 : 0);
  }
  return text + right;
}

void Progress::draw() {
  last_drawn_ = Clock::now();
  if (terminal_) {
    fmt::print(stream_, "\r\x1b[K{}", line(terminal_width(stream_)));
    drawn_ = true;
  } else {
    fmt::print(stream_, "{}\n", line(0));
  }
  std::fflush(stream_);
}

void Progress::wipe() {
  if (!drawn_) return;
  std::fputs("\r\x1b[K", stream_);
  std::fflush(stream_);
  drawn_ = false;
}

void Progress::end() { wipe(); }

void Progress::say(std::string_view line) {
  wipe();
  fmt::print(stream_, "{}\n", line);
  std::fflush(stream_);
}

}  // namespace tapestry::examples
