#include <support/expect.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <tapestry/nn/train/interrupt.h>

using namespace tapestry;

BOOST_AUTO_TEST_SUITE(interrupt_test)

namespace {

int caught = 0;
void catch_it(int signal) { caught = signal; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_signal_is_noted_and_the_program_goes_on) {
  for (const int signal : {SIGINT, SIGTERM}) {
    const train::Interrupt interrupt;
    BOOST_TEST(!interrupt);
    BOOST_TEST(interrupt.exit_status() == 0);
    ::raise(signal);
    BOOST_TEST(static_cast<bool>(interrupt));
    BOOST_TEST(interrupt.signal() == signal);
    BOOST_TEST(interrupt.exit_status() == 128 + signal);
  }
}

BOOST_AUTO_TEST_CASE(what_handled_the_signal_before_does_so_again) {
  const auto before = std::signal(SIGINT, catch_it);
  { const train::Interrupt interrupt; }
  ::raise(SIGINT);
  std::signal(SIGINT, before);
  BOOST_TEST(caught == SIGINT);
}

BOOST_AUTO_TEST_CASE(the_second_one_ends_the_program) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGINT, SIG_DFL);
    const train::Interrupt interrupt;
    ::raise(SIGINT);
    if (!interrupt) ::_exit(1);
    ::raise(SIGINT);
    ::_exit(2);  // not reached
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  BOOST_TEST(WIFSIGNALED(status));
  BOOST_TEST(WTERMSIG(status) == SIGINT);
}

BOOST_AUTO_TEST_SUITE_END()
