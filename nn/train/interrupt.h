#pragma once

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/nn/train/state.h>

namespace tapestry::nn::train {

/// While one lives, Ctrl-C (SIGINT), SIGTERM and SIGHUP (the terminal is gone; not under nohup) are noted instead of
/// ending the program, and standard error says at once that it will stop. Within the next half second further ones
/// change nothing: fingers bounce, and shells send a signal twice. After it the next one ends the program at once.
/// SIGPIPE is ignored: a reader of the output that has gone must not end a training. A loop asks at the top of each
/// step, where everything is whole:
///
///     if (interrupt) { checkpoint.save(position); return interrupt.exit_status(); }
///
/// The destructor puts back what handled these signals before. One at a time: a second one forgets the signal that the
/// first has noted.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// The signal that came, or 0.
  [[nodiscard]] int signal() const noexcept;
  [[nodiscard]] explicit operator bool() const noexcept { return signal() != 0; }

  /// 128 + signal(), as shells report it; 0 when none came.
  [[nodiscard]] int exit_status() const noexcept;

 private:
  struct Handlers;
  Handle<Handlers> before_;
};

}  // namespace tapestry::nn::train
