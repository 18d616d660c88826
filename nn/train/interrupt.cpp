#include <tapestry/nn/train/interrupt.h>

#include <atomic>
#include <csignal>

namespace tapestry::nn::train {
namespace {

constexpr int kSignalStatus = 128;  // what shells add to a signal's number

std::atomic<int> noted_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free);  // else a signal handler must not touch it

void note(int signal) { noted_signal = signal; }

}  // namespace

struct Interrupt::Handlers {
  struct sigaction interrupt {
  }, terminate{};
};

Interrupt::Interrupt() : before_(make_handle<Handlers>()) {
  noted_signal = 0;
  struct sigaction action {};
  action.sa_handler = note;
  // Reset: the second one ends the program. Restart: reads and writes under way go on.
  action.sa_flags = static_cast<int>(SA_RESETHAND | static_cast<unsigned>(SA_RESTART));
  sigaction(SIGINT, &action, &before_->interrupt);
  sigaction(SIGTERM, &action, &before_->terminate);
}

Interrupt::~Interrupt() {
  sigaction(SIGINT, &before_->interrupt, nullptr);
  sigaction(SIGTERM, &before_->terminate, nullptr);
}

int Interrupt::signal() const noexcept { return noted_signal; }

int Interrupt::exit_status() const noexcept { return signal() == 0 ? 0 : kSignalStatus + signal(); }

}  // namespace tapestry::nn::train
