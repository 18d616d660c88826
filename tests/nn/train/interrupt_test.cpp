#include <support/expect.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>

#include <tapestry/nn/train/interrupt.h>

using namespace tapestry;

BOOST_AUTO_TEST_SUITE(interrupt_test)

namespace {

int caught = 0;
void catch_it(int signal) { caught = signal; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_signal_is_noted_and_the_program_goes_on) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
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

BOOST_AUTO_TEST_CASE(a_second_one_at_once_changes_nothing_and_a_later_one_ends_the_program) {
  for (const int second : {SIGINT, SIGTERM}) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
      const train::Interrupt interrupt;
      ::raise(SIGINT);
      if (interrupt.signal() != SIGINT) ::_exit(1);
      ::raise(second);
      ::raise(second);
      if (interrupt.signal() != SIGINT) ::_exit(2);
      ::usleep(600'000);
      ::raise(second);
      ::_exit(3);  // not reached
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    BOOST_TEST(WIFSIGNALED(status));
    BOOST_TEST(WTERMSIG(status) == second);
  }
}

BOOST_AUTO_TEST_CASE(standard_error_says_at_once_that_it_will_stop) {
  int ends[2] = {};
  BOOST_REQUIRE(::pipe(ends) == 0);
  const int before = ::dup(STDERR_FILENO);
  ::dup2(ends[1], STDERR_FILENO);
  {
    const train::Interrupt interrupt;
    ::raise(SIGINT);
    ::raise(SIGINT);
  }
  ::dup2(before, STDERR_FILENO);
  ::close(before);
  ::close(ends[1]);
  std::string said(200, ' ');
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(ends[0], said.data(), said.size()))));
  ::close(ends[0]);
  BOOST_TEST(said == "\nstopping after this step; once more ends the program at once\n");
}

BOOST_AUTO_TEST_CASE(a_reader_of_the_output_that_has_gone_ends_nothing) {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  {
    const train::Interrupt interrupt;
    int ends[2] = {};
    BOOST_REQUIRE(::pipe(ends) == 0);
    ::close(ends[0]);
    BOOST_TEST(::write(ends[1], "x", 1) == -1);  // and no signal
    ::close(ends[1]);
  }
  BOOST_TEST((std::signal(SIGPIPE, before) == SIG_DFL));
}

BOOST_AUTO_TEST_CASE(under_nohup_a_terminal_that_goes_is_of_no_concern) {
  const auto before = std::signal(SIGHUP, SIG_IGN);
  {
    const train::Interrupt interrupt;
    ::raise(SIGHUP);
    BOOST_TEST(!interrupt);
  }
  BOOST_TEST((std::signal(SIGHUP, before) == SIG_IGN));
}

BOOST_AUTO_TEST_SUITE_END()
