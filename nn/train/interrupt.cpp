#include <tapestry/nn/train/interrupt.h>

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace tapestry::nn::train {
namespace {

constexpr int kSignalStatus = 128;               // what shells add to a signal's number
constexpr std::int64_t kOneTouch = 500'000'000;  // ns: signals closer together are one
constexpr std::array kNoted = {SIGINT, SIGTERM, SIGHUP};
constexpr std::string_view kMessage = "\nstopping after this step; once more ends the program at once\n";

std::atomic<int> noted_signal = 0;
std::atomic<std::int64_t> noted_at = 0;  // ns; 0: none has come
// Else a signal handler must not touch them.
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

// The two below are called by a signal handler: nothing but what POSIX allows there.

std::int64_t now() {
  timespec time = {};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void note(int signal) {
  const int before = errno;
  std::int64_t none = 0;
  if (noted_at.compare_exchange_strong(none, now())) {
    noted_signal = signal;
    // Where it cannot be said, it is not said.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
  } else if (now() - noted_at >= kOneTouch) {
    std::signal(signal, SIG_DFL);
    ::raise(signal);  // delivered when this handler returns
  }
  errno = before;
}

}  // namespace

struct Interrupt::Handlers {
  std::array<struct sigaction, kNoted.size()> noted{};
  struct sigaction pipe {};
};

Interrupt::Interrupt() : before_(make_handle<Handlers>()) {
  noted_signal = 0;
  noted_at = 0;
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;  // reads and writes under way go on
  for (const int signal : kNoted) sigaddset(&action.sa_mask, signal);
  for (std::size_t i = 0; i < kNoted.size(); ++i) {
    struct sigaction& before = before_->noted[i];
    sigaction(kNoted[i], &action, &before);
    if (kNoted[i] == SIGHUP && before.sa_handler == SIG_IGN) sigaction(SIGHUP, &before, nullptr);  // nohup
  }
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &before_->pipe);
}

Interrupt::~Interrupt() {
  for (std::size_t i = 0; i < kNoted.size(); ++i) sigaction(kNoted[i], &before_->noted[i], nullptr);
  sigaction(SIGPIPE, &before_->pipe, nullptr);
}

int Interrupt::signal() const noexcept { return noted_signal; }

int Interrupt::exit_status() const noexcept { return signal() == 0 ? 0 : kSignalStatus + signal(); }

}  // namespace tapestry::nn::train
