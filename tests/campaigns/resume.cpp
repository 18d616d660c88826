// Stops a training at the places where a resume could go wrong, goes on, and compares every later loss and everything
// that the run is at its end with the run that was never stopped: equal to the last bit.
#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>

#include "campaigns/campaign.h"
#include "nn/train/run.h"
#include "support/temporary_folder.h"

using namespace tapestry;
using namespace tapestry::test;

namespace {

// 13 full batches and one of 16; 14 steps an epoch, 42 in all.
constexpr Index kImages = 640, kImagesOfAStep = 48, kDrop = 20;

struct Stop {
  const char* where;
  Index steps;
};
constexpr Stop kStops[] = {{"before the first step", 0}, {"after one step", 1},
                           {"while the rate rises", 3},  {"before a batch that is not full", 13},
                           {"between two epochs", 14},   {"after the rate has dropped", 23},
                           {"within the last epoch", 33}};

bool same(const Run& a, const Run& b) {
  const auto x = a.everything(), y = b.everything();
  bool all = x.size() == y.size();
  for (std::size_t i = 0; all && i < x.size(); ++i) {
    all = x[i].dtype() == y[i].dtype() && x[i].shape() == y[i].shape() && visit(x[i].dtype(), [&, i]<class T>() {
            const auto p = std::as_bytes(x[i].span<T>()), q = std::as_bytes(y[i].span<T>());
            return std::equal(p.begin(), p.end(), q.begin(), q.end());
          });
  }
  return all;
}

/// A run that was stopped after so many steps of all and has been saved.
struct Stopped {
  Stopped(const RunOptions& how, Index steps) : options(how), at(steps) { Run(folder.path(), options).train(steps); }

  /// Goes on, after `spoil` has undone something that was restored. True when it ends where `whole` does and takes the
  /// same steps.
  [[nodiscard]] bool goes_on(const Run& whole, const std::function<void(Run&)>& spoil = {}) const {
    manual_seed(99);  // what another process would begin with
    Run second(folder.path(), options);
    second.at = second.checkpoint.resume(second.checkpoint.last_path());
    if (second.done() != at) return false;
    if (spoil) spoil(second);
    // Its own saves go elsewhere: the next one resumes from the same file.
    const TemporaryFolder elsewhere;
    second.checkpoint = train::Checkpoint(elsewhere.path());
    second.train();
    return second.losses == std::vector<double>(whole.losses.begin() + at, whole.losses.end()) && same(second, whole);
  }

  RunOptions options;
  Index at;
  TemporaryFolder folder;
};

void spoil_first(const Tensor& x) {
  const NoGradGuard guard;
  Tensor(x).mutable_data<float>()[0] += 1e-3F;
}

/// Without one kind of what the optimizer remembers.
void forget(Run& run, const std::string& kind) {
  auto state = run.optimizer->state();
  for (auto& [name, x] : state) {
    if (!name.ends_with(kind)) continue;
    x = kind == "step" ? full({}, 1, {.dtype = i64}) : zeros_like(x);
  }
  run.optimizer->load_state(state);
}

const std::vector<std::pair<const char*, std::function<void(Run&)>>> kControls = {
    {"parameters", [](Run& run) { spoil_first(run.model.named_parameters().front().tensor); }},
    {"running statistics", [](Run& run) { spoil_first(run.model.named_buffers().front().tensor); }},
    {"moments", [](Run& run) { forget(run, "exp_avg"); }},
    {"optimizer's step", [](Run& run) { forget(run, "step"); }},
    {"schedule", [](Run& run) { run.schedule.set_t(0); }},
    {"dropout's generator", [](Run&) { manual_seed(3); }},
    {"augmentation: the epoch that it is drawn for", [](Run& run) { run.loader.set_position(0, run.at.step); }},
    {"position in the shuffled order",
     [](Run& run) { run.loader.set_position(static_cast<std::uint64_t>(run.at.epoch), run.at.step - 1); }},
    {"moving mean of the loss", [](Run& run) { run.mean = 0; }}};

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("resume", "Stops a training, goes on, and compares every bit", argc, argv);
  const bool brief = campaign.brief();
  const int resumes = brief ? 1 : 3;
  const auto stops = static_cast<std::int64_t>(std::size(kStops));
  campaign.begin("cells", brief ? 8 : 8 * stops);
  std::size_t cell = 0;  // in the short form each of the eight ways has another place
  for (const bool adamw : {false, true}) {
    for (const int threads : {1, 4}) {
      for (const Index workers : {0, 2}) {
        set_num_threads(threads);
        const RunOptions options{.adamw = adamw,
                                 .prefetch = workers,
                                 .seed = campaign.seed() + 2,
                                 .samples = kImages,
                                 .batch = kImagesOfAStep,
                                 .drop = kDrop};
        const TemporaryFolder folder;
        Run whole(folder.path(), options);
        whole.train();
        std::int64_t runs = 0, failures = 0;
        for (std::size_t s = 0; s < std::size(kStops); ++s) {
          if (brief && s != cell % std::size(kStops)) continue;
          const Stopped stopped(options, kStops[s].steps);
          for (int i = 0; i < resumes; ++i) {
            ++runs;
            if (stopped.goes_on(whole)) continue;
            ++failures;
            campaign.failure(fmt::format("stopped {}: it ended elsewhere", kStops[s].where));
          }
          campaign.step();
        }
        campaign.row(fmt::format("{}, {} threads, {} workers", adamw ? "AdamW" : "SGD", threads, workers), runs,
                     failures, fmt::format("{} places", runs / resumes));
        ++cell;
      }
    }
  }
  const RunOptions options{
      .adamw = true, .seed = campaign.seed() + 2, .samples = kImages, .batch = kImagesOfAStep, .drop = kDrop};
  const TemporaryFolder folder;
  Run whole(folder.path(), options);
  whole.train();
  const Stopped stopped(options, 23);
  for (const auto& [what, spoil] : kControls) campaign.control(what, 1, stopped.goes_on(whole, spoil) ? 0 : 1);
  campaign.end();
  return campaign.finish();
}
