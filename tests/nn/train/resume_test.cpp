#include <support/expect.h>
#include <support/temporary_folder.h>

#include <functional>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/grad_mode.h>

#include "run.h"

/// A run that was stopped and goes on ends where the whole one ends, to the last bit.
using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(resume_test)

namespace {

constexpr Index kAll = kEpochs * kSteps;

bool same(const Run& a, const Run& b) {
  const auto x = a.everything(), y = b.everything();
  bool all = x.size() == y.size();
  for (std::size_t i = 0; all && i < x.size(); ++i) all = same_bits(x[i], y[i]);
  return all;
}

/// Stops after `steps` of all, goes on in another Run, to which `spoil` may do something first. True when it ends where
/// `whole` does and takes the same steps.
bool goes_on(const Run& whole, Index steps, const RunOptions& options, const std::function<void(Run&)>& spoil = {}) {
  const TemporaryFolder folder;
  Run(folder.path(), options).train(steps);
  manual_seed(99);  // what another process would begin with
  Run second(folder.path(), options);
  second.at = second.checkpoint.resume();
  BOOST_TEST((second.at == train::Position{steps / kSteps, steps % kSteps}));
  if (spoil) spoil(second);
  second.train();
  const std::vector<double> rest(whole.losses.begin() + steps, whole.losses.end());
  return second.losses == rest && same(second, whole);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_run_goes_on_bit_for_bit_wherever_it_was_stopped) {
  for (const bool adamw : {false, true}) {
    for (const Index prefetch : {0, 2}) {
      const RunOptions options{.adamw = adamw, .prefetch = prefetch};
      const TemporaryFolder folder;
      Run whole(folder.path(), options);
      whole.train();
      // At the start, after one step, in the warm-up, before a batch that is not full, at an epoch's edge, and later.
      for (const Index steps : {0, 1, 3, 4, 5, 7, 10, 14}) {
        BOOST_TEST(goes_on(whole, steps, options),
                   "stopped after " << steps << ", AdamW " << adamw << ", prefetch " << prefetch);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(no_part_can_be_left_out) {
  // Each control undoes what resume() has restored of one part. The run must then end elsewhere.
  const TemporaryFolder folder;
  const RunOptions options;
  Run whole(folder.path(), options);
  whole.train();
  constexpr Index kStop = 7;  // in the second epoch
  BOOST_TEST(goes_on(whole, kStop, options));

  const auto first = [](Run& run) { return run.model.named_parameters().front().tensor; };
  const std::vector<std::pair<const char*, std::function<void(Run&)>>> controls = {
      {"parameters",
       [&](Run& run) {
         const NoGradGuard guard;
         first(run).mutable_data<float>()[0] += 1e-3F;
       }},
      {"running statistics",
       [](Run& run) { run.model.named_buffers().front().tensor.mutable_data<float>()[0] += 1e-3F; }},
      {"momenta", [](Run& run) { run.optimizer->load_state({}); }},
      {"schedule", [](Run& run) { run.schedule.set_t(0); }},
      {"dropout's generator", [](Run&) { manual_seed(3); }},
      {"step", [](Run& run) { run.loader.set_position(1, 0); }},
      {"epoch", [](Run& run) { run.loader.set_position(0, kStop % kSteps); }},
      {"metrics", [](Run& run) { run.metrics.reset(); }},
      {"log", [](Run& run) { run.log = {}; }},
      {"curves", [](Run& run) { run.curves = train::Curves(); }},
      {"a number of the loop's own", [](Run& run) { run.mean = 0; }}};
  for (const auto& [what, spoil] : controls) BOOST_TEST(!goes_on(whole, kStop, options, spoil), what);
}

BOOST_AUTO_TEST_CASE(stopping_again_and_again_changes_nothing) {
  const TemporaryFolder whole_folder, folder;
  Run whole(whole_folder.path());
  whole.train();
  for (Index steps = 1; steps <= kAll; steps += 2) {
    Run part(folder.path());
    part.at = part.checkpoint.resume_if_any();
    part.train(steps);
    if (steps == kAll) BOOST_TEST(same(part, whole));
  }
  // The files are equal, too: nothing in them tells when or how often a run was stopped.
  for (const char* name : {"checkpoint.safetensors", "best.safetensors", "model.safetensors"}) {
    BOOST_TEST((read_file((folder / name).string()) == read_file((whole_folder / name).string())), name);
  }
}

BOOST_AUTO_TEST_CASE(the_epochs_row_is_that_of_the_whole_run) {
  const TemporaryFolder whole_folder, folder;
  Run whole(whole_folder.path());
  whole.train();
  Run(folder.path()).train(7);
  Run second(folder.path());
  second.at = second.checkpoint.resume();
  BOOST_TEST(second.metrics.images() == 2 * kBatch);  // of the epoch under way
  second.train();
  BOOST_TEST(second.log.csv() == whole.log.csv());
  BOOST_TEST(second.curves.svg() == whole.curves.svg());
}

BOOST_AUTO_TEST_CASE(the_best_state_is_kept_and_can_be_gone_on_from) {
  const TemporaryFolder folder;
  Run run(folder.path());
  BOOST_TEST(!run.checkpoint.best().has_value());
  run.train();
  double best = 0;
  for (std::size_t row = 0; row < run.log.rows(); ++row) best = std::max(best, run.log.at(row, "top1"));
  BOOST_TEST(run.checkpoint.best().value() == best);
  Run second(folder.path());
  second.at = second.checkpoint.resume(second.checkpoint.best_path());
  BOOST_TEST(second.log.at(second.log.rows() - 1, "top1") == best);
  BOOST_TEST(second.checkpoint.best().value() == best);
}

BOOST_AUTO_TEST_SUITE_END()
