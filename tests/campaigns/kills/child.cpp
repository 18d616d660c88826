// The program that campaign_kills kills: trains a tiny network on made-up data, saves after every step, and says so on
// standard output only when the save has returned.
//
//     campaign_kills_child FOLDER HOW     HOW: atomic, or in_place, the control
//
// Each line is "SAVED step"; the last one is "DONE hash", of everything that the run is, or "REFUSED why".
#include <unistd.h>

#include <cstdio>
#include <string>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/nn/detail/crc32c.h>

#include "nn/train/run.h"

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// Of everything that the run is.
std::string hash(const Run& run) {
  std::uint32_t sum = 0;
  for (const Tensor& x : run.everything()) {
    visit(x.dtype(), [&]<class T>() { sum = nn::detail::crc32c(std::as_bytes(x.span<T>()), sum); });
  }
  return nn::detail::crc_text(sum);
}

void say(const std::string& line) {
  const auto put = ::write(STDOUT_FILENO, line.data(), line.size());
  if (put != static_cast<ssize_t>(line.size())) ::_exit(3);
}

/// The control: what was written whole is written once more over the old file, byte after byte.
void write_in_place(const std::string& path) {
  const std::string whole = read_text_file(path);
  std::FILE* const file = std::fopen(path.c_str(), "w");
  for (const char byte : whole) {
    std::fputc(byte, file);
    std::fflush(file);
  }
  std::fclose(file);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const bool in_place = std::string(argv[2]) == "in_place";
  try {
    set_num_threads(1);
    Run* running = nullptr;
    const auto saved = [&] {
      if (in_place) write_in_place(running->checkpoint.last_path());
      say("SAVED " + std::to_string(running->done()) + "\n");
    };
    Run run(argv[1], {.save_every = 1, .saved = saved});
    running = &run;
    run.at = run.checkpoint.resume_if_any();
    run.train();
    say("DONE " + hash(run) + "\n");
    return 0;
  } catch (const std::exception& e) {
    say(std::string("REFUSED ") + e.what() + "\n");
    return 1;
  }
}
