// Trains a convolutional network on CIFAR-100, or on the embedded data set of the same form; --help lists the flags.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/ops/precision.h>

#include "command_line.h"
#include "options.h"
#include "output_folder.h"
#include "setup.h"
#include "training.h"

using namespace tapestry;
using namespace tapestry::examples;

namespace {

constexpr int kFailure = 1, kUsage = 2;  // exit statuses

int run(const std::vector<std::string>& words, const std::string& program) {
  const std::optional<TrainOptions> options = TrainOptions::parse(words);
  if (!options) return 0;
  if (options->threads) set_num_threads(static_cast<int>(*options->threads));
  set_float32_matmul_precision(options->precision);
  manual_seed(options->seed);
  nn::AnyModule model = nn::models::make(options->model, options->labels == "fine" ? 100 : 20);
  const OutputFolder folder(*options->out);
  return Training(*options, std::move(model), load_data(*options), folder, program).run();
}

/// Says it on standard error, if that can be; nothing is to be done if it cannot.
int complain(const std::string& text, int status) {
  std::fputs(("train_cifar100: " + text + "\n").c_str(), stderr);
  return status;
}

/// A file that is opened where a standard stream was closed would get what is meant for that stream.
void keep_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // For reading only, so that writing is still seen to fail.
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDONLY));
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader that has gone is an output that cannot be written, and no more
}

}  // namespace

int main(int argc, char** argv) {
  keep_standard_streams();
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  int status = kFailure;
  try {
    status = run(words, argc > 0 ? argv[0] : "train_cifar100");
  } catch (const UsageError& error) {
    return complain(error.what(), kUsage);
  } catch (const CLI::ParseError& error) {
    return complain(error.what(), kUsage);
  } catch (const std::exception& error) {
    return complain(error.what(), kFailure);
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    complain("what it had to say could not be written to standard output", kFailure);
    return status == 0 ? kFailure : status;
  }
  return status;
}
