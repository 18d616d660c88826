// Kills a training again and again, at moments that nobody chose, and goes on from what it has left: every checkpoint
// must load, none may be older than the last save that was acknowledged, and the end must be that of the run that was
// never killed, to the last bit.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <random>
#include <string>

#include <tapestry/nn/safetensors.h>
#include <tapestry/nn/train/checkpoint.h>

#include "campaigns/campaign.h"
#include "support/temporary_folder.h"

using namespace tapestry;
namespace fs = std::filesystem;

namespace {

constexpr int kLongest = 60'000;  // ms of a run that is not killed: then it hangs

/// What a child has said, and how it ended.
struct Outcome {
  long last_saved = -1;       // step of the last save that it acknowledged in this life
  std::string hash, refusal;  // when it came to the end, when it could not begin
  bool killed = false;
  double seconds = 0;
};

/// Lets the child run, and kills it after so many milliseconds.
Outcome run_child(const fs::path& folder, const char* how, int milliseconds) {
  using Clock = std::chrono::steady_clock;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const auto began = Clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl(TAPESTRY_BIN_DIR "/campaign_kills_child", "campaign_kills_child", folder.c_str(), how, nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  Outcome out;
  int status = 0;
  const auto until = began + std::chrono::milliseconds(milliseconds);
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() >= until) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    ::usleep(200);
  }
  out.killed = WIFSIGNALED(status);
  out.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  std::string said;
  std::array<char, 4096> piece{};
  for (ssize_t got = 0; (got = ::read(ends[0], piece.data(), piece.size())) > 0;)
    said.append(piece.data(), static_cast<std::size_t>(got));
  ::close(ends[0]);
  for (std::size_t at = 0; at < said.size();) {
    const std::size_t end = std::min(said.find('\n', at), said.size());
    const std::string line = said.substr(at, end - at);
    if (line.starts_with("SAVED ")) out.last_saved = std::stol(line.substr(6));
    if (line.starts_with("DONE ")) out.hash = line.substr(5);
    if (line.starts_with("REFUSED ")) out.refusal = line.substr(8);
    at = end + 1;
  }
  return out;
}

std::int64_t temporaries_in(const fs::path& folder) {
  std::int64_t count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".tmp") ++count;
  }
  return count;
}

struct Tally {
  std::int64_t kills = 0, runs = 0, unloadable = 0, older = 0, temporaries = 0, other_end = 0;
};

/// So many kills, in as many trainings as that takes.
Tally attack(campaign::Campaign& campaign, std::int64_t kills, const char* how, const std::string& whole,
             double seconds_of_a_run, std::mt19937_64& random) {
  Tally tally;
  const bool control = std::string(how) != "atomic";
  std::uniform_real_distribution<double> moment(0, 1000 * seconds_of_a_run);
  while (tally.kills < kills) {
    const test::TemporaryFolder folder;
    long acknowledged = -1;
    ++tally.runs;
    for (bool ended = false; !ended;) {
      // When there are enough kills, this training comes to its end.
      const Outcome out =
          run_child(folder.path(), how, tally.kills < kills ? static_cast<int>(moment(random)) : kLongest);
      acknowledged = std::max(acknowledged, out.last_saved);
      if (out.killed) {
        ++tally.kills;
        campaign.step();
        // A temporary of each life that was killed would be one too many: the next removes those before it.
        if (temporaries_in(folder.path()) > 1) ++tally.temporaries;
        try {
          const fs::path last = folder / "checkpoint.safetensors";
          if (!fs::exists(last)) {
            if (acknowledged >= 0) ++tally.older;
          } else {
            const nn::TensorFile file = nn::load_tensors(last.string());  // every byte of it
            const train::Position at = train::Checkpoint::info(last.string()).position;
            if (at.epoch * 5 + at.step < acknowledged) ++tally.older;
          }
        } catch (const std::exception& e) {
          ++tally.unloadable;
          if (!control) campaign.failure(e.what());
          ended = true;
        }
        if (tally.kills >= kills && control) ended = true;
        continue;
      }
      ended = true;
      if (!out.refusal.empty()) {
        ++tally.unloadable;
        if (!control) campaign.failure(out.refusal);
      } else if (out.hash != whole) {
        ++tally.other_end;
        if (!control) campaign.failure(fmt::format("a run ended with {}, the whole one with {}", out.hash, whole));
      }
    }
  }
  return tally;
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("kills", "Kills a training and goes on from what it has left", argc, argv);
  std::mt19937_64 random(campaign.seed());
  const test::TemporaryFolder folder;
  const Outcome whole = run_child(folder.path(), "atomic", kLongest);
  if (whole.hash.empty()) {
    campaign.failure("the run that is not killed did not end: " + whole.refusal);
    campaign.row("the whole run", 1, 1);
    return campaign.finish();
  }
  const std::int64_t kills = campaign.count(20, 2'000), in_place = campaign.count(10, 50);
  campaign.begin("kills", kills + in_place);
  const Tally t = attack(campaign, kills, "atomic", whole.hash, whole.seconds, random);
  const double bound = 100 * (1 - std::pow(.05, 1 / static_cast<double>(t.kills)));
  campaign.row("checkpoint loads", t.kills, t.unloadable, fmt::format("at most {:.2g} % at 95 %", bound));
  campaign.row("as new as the last acknowledged save", t.kills, t.older);
  campaign.row("at most one stale temporary", t.kills, t.temporaries);
  campaign.row("ends as the whole run, bit for bit", t.runs, t.other_end, "hash " + whole.hash);
  const Tally c = attack(campaign, in_place, "in_place", whole.hash, whole.seconds, random);
  campaign.control("a save in place is found out", 1, c.unloadable + c.older > 0 ? 1 : 0,
                   fmt::format("{} of {} kills left no checkpoint", c.unloadable + c.older, c.kills));
  campaign.end();
  return campaign.finish();
}
