#include <support/expect.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include <tapestry/nn/train/progress.h>

using namespace tapestry;
using train::Progress;

BOOST_AUTO_TEST_SUITE(progress_test)

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::string all_of(std::FILE* file) {
  std::fflush(file);
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  return text;
}

/// Both ends of a terminal of its own, 100 columns wide.
struct Terminal {
  Terminal() : master(::posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master < 0 || ::grantpt(master) != 0 || ::unlockpt(master) != 0) return;
    const int slave = ::open(::ptsname(master), O_RDWR | O_NOCTTY);
    if (slave >= 0) stream.reset(::fdopen(slave, "r+"));
    winsize size{};
    size.ws_row = 25;
    size.ws_col = 100;
    if (stream) ::ioctl(::fileno(stream.get()), TIOCSWINSZ, &size);
  }
  ~Terminal() {
    stream.reset();
    if (master >= 0) ::close(master);
  }
  /// What has been written and not been read yet.
  [[nodiscard]] std::string text() const {
    constexpr int kFirst = 5000, kNext = 50;  // milliseconds: what the system has still to pass on
    std::string out;
    for (pollfd ready{master, POLLIN, 0}; ::poll(&ready, 1, out.empty() ? kFirst : kNext) > 0;) {
      char buffer[512];
      const ssize_t got = ::read(master, buffer, sizeof buffer);
      if (got <= 0) break;
      out.append(buffer, static_cast<std::size_t>(got));
    }
    return out;
  }
  int master;
  File stream;
};

}  // namespace

BOOST_AUTO_TEST_CASE(off_a_terminal_there_are_plain_lines) {
  const File file(std::tmpfile());
  Progress progress({.images = 400, .stream = file.get(), .seconds = 0});
  progress.begin("epoch 1/2", 4);
  progress.step({.images = 50, .loss = 2, .right = 25});
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  progress.step({.images = 50, .loss = 2, .right = 25});
  progress.end();
  progress.say("a row");
  const std::string text = all_of(file.get());
  BOOST_TEST(text.find("epoch 1/2   25 %  loss 2.000  top-1 50.0 %") != text.npos, text);
  BOOST_TEST(text.find("epoch 1/2   50 %") != text.npos, text);
  BOOST_TEST(text.find(" images/s") != text.npos, text);
  BOOST_TEST(text.find(" left\n") != text.npos, text);
  BOOST_TEST(text.ends_with("a row\n"));
  BOOST_TEST(text.find('\r') == text.npos);
  BOOST_TEST(text.find('\x1b') == text.npos);
}

BOOST_AUTO_TEST_CASE(lines_come_now_and_then_only) {
  const File file(std::tmpfile());
  Progress progress({.stream = file.get()});  // every five seconds
  progress.begin("epoch", 1000);
  for (int i = 0; i < 1000; ++i) progress.step({.images = 1, .loss = 1});
  progress.end();
  BOOST_TEST(all_of(file.get()) == "");
}

BOOST_AUTO_TEST_CASE(quiet_says_nothing) {
  const File file(std::tmpfile());
  Progress progress({.quiet = true, .stream = file.get(), .seconds = 0});
  progress.begin("epoch", 2);
  progress.step({.images = 1, .loss = 1});
  progress.say("a row");
  BOOST_TEST(all_of(file.get()) == "");
}

BOOST_AUTO_TEST_CASE(what_is_neither_right_nor_wrong_shows_no_accuracy_and_no_total_no_time) {
  const File file(std::tmpfile());
  Progress progress({.stream = file.get(), .seconds = 0});
  progress.begin("fit", 2);
  progress.step({.images = 8, .loss = .5});
  const std::string text = all_of(file.get());
  BOOST_TEST(text.find("fit   50 %  loss 0.500") != text.npos, text);
  BOOST_TEST(text.find("top-1") == text.npos);
  BOOST_TEST(text.find("left") == text.npos);
}

BOOST_AUTO_TEST_CASE(work_that_is_no_training_shows_steps_and_the_time_left) {
  const File file(std::tmpfile());
  Progress progress({.stream = file.get(), .seconds = 0});
  progress.begin("kills", 2000);
  progress.step();
  const std::string text = all_of(file.get());
  BOOST_TEST(text.find("kills    0 %  1 of 2,000  ") != text.npos, text);
  BOOST_TEST(text.ends_with(" left\n"), text);
  BOOST_TEST(text.find("loss") == text.npos, text);
}

BOOST_AUTO_TEST_CASE(on_a_terminal_a_bar_redraws_itself_and_leaves_nothing) {
  const Terminal terminal;
  if (!terminal.stream) {
    BOOST_TEST_MESSAGE("there are no terminals to be had here");
    return;
  }
  ::setenv("LC_ALL", "C", 1);
  {
    Progress progress({.images = 100, .stream = terminal.stream.get(), .seconds = 0});
    progress.begin("epoch 1/1", 2);
    progress.step({.images = 50, .loss = 1, .right = 50});
    const std::string bar = terminal.text();
    BOOST_TEST(bar.starts_with("\r\x1b[Kepoch 1/1  ==="), bar);
    BOOST_TEST(bar.find("---") != bar.npos, bar);
    BOOST_TEST(bar.find(" 50 %  loss 1.000  top-1 100.0 %") != bar.npos, bar);
    BOOST_TEST(bar.size() <= 4 + 100U);
    progress.say("a row");
    BOOST_TEST(terminal.text() == "\r\x1b[Ka row\r\n");
    progress.step({.images = 50, .loss = 1, .right = 50});
    BOOST_TEST(terminal.text().find("====") != std::string::npos);
  }
  BOOST_TEST(terminal.text() == "\r\x1b[K");  // the destructor wipes it off
  ::unsetenv("LC_ALL");
}

BOOST_AUTO_TEST_CASE(a_stream_that_cannot_be_written_to_is_passed_over) {
  const File full(std::fopen("/dev/full", "w"));
  if (!full) return;
  Progress progress({.stream = full.get(), .seconds = 0});
  progress.begin("epoch", 2);
  progress.step({.images = 1, .loss = 1});
  progress.say("a row");
  BOOST_TEST(std::ferror(full.get()) != 0);  // it was tried
}

BOOST_AUTO_TEST_CASE(times_and_numbers_are_written_for_people) {
  BOOST_TEST(train::clock_text(0) == "0:00");
  BOOST_TEST(train::clock_text(62.4) == "1:02");
  BOOST_TEST(train::clock_text(7509) == "2:05:09");
  BOOST_TEST(train::clock_text(-5) == "0:00");
  BOOST_TEST(train::grouped(12345.4) == "12,345");
  BOOST_TEST(train::grouped(999) == "999");
  BOOST_TEST(train::grouped(-1234567) == "-1,234,567");
}

BOOST_AUTO_TEST_SUITE_END()
