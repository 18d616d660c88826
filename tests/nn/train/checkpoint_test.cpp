#include <support/expect.h>
#include <support/temporary_folder.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/safetensors.h>
#include <tapestry/nn/serialize.h>
#include <tapestry/ops/cast.h>

#include "run.h"

/// What a checkpoint refuses, and that it changes nothing then. That it restores everything is the subject of
/// resume_test.
using namespace tapestry;
using namespace tapestry::test;
using train::Checkpoint;

BOOST_AUTO_TEST_SUITE(checkpoint_test)

namespace {

/// Everything behind "differences:" of what f throws.
template <class F>
std::string differences(const F& f) {
  try {
    f();
  } catch (const std::exception& e) {
    const std::string text = without_place(e.what());
    const auto at = text.find("differences:");
    return at == text.npos ? "no list: " + text : text.substr(at + 12);
  }
  return "no error";
}

bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  bool all = a.size() == b.size();
  for (std::size_t i = 0; all && i < a.size(); ++i) all = same_bits(a[i], b[i]);
  return all;
}

std::string path_in(const TemporaryFolder& folder, const char* name) { return (folder / name).string(); }

/// Changes a checkpoint's file, which gets the checksums of what it is then.
void rewrite(const std::string& path, const std::function<void(nn::TensorFile&)>& change) {
  nn::TensorFile file = nn::load_tensors(path);
  change(file);
  nn::save_tensors(file.tensors, path, file.metadata);
}

/// Offers its own loader and a number: the least that has a position.
struct Small {
  explicit Small(const std::string& folder, train::CheckpointOptions options = {})
      : checkpoint(folder, std::move(options)) {
    checkpoint.add("loader", loader).add("number", number);
  }
  datasets::Loader loader{Corners(), {.batch = kBatch, .shuffle = true, .seed = 1}};
  double number = 1;
  Checkpoint checkpoint;
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_difference_is_listed_and_nothing_changes) {
  const TemporaryFolder folder;
  Run(folder.path()).train(7);
  Run other(folder.path(), {.adamw = true, .seed = 5});
  Index extra = 0;
  other.checkpoint.add("extra", extra);
  const auto before = other.everything();
  const std::string text = differences([&] { other.checkpoint.resume(); });
  for (const char* line : {"\n  seed: 3 there, 5 here", "\n  optimizer: missing: conv.weight.exp_avg",
                           "\n  optimizer: unexpected: conv.weight.momentum_buffer",
                           "\n  loader: seed: 3 there, 5 here", "\n  extra: nothing there, a number here"}) {
    BOOST_TEST(text.find(line) != text.npos, line << " is not in" << text);
  }
  BOOST_TEST(same(other.everything(), before));
  BOOST_TEST(other.loader.epoch() == 0U);
}

BOOST_AUTO_TEST_CASE(parts_that_this_run_lacks_are_differences_too) {
  const TemporaryFolder folder;
  Small first(folder.path().string());
  Index steps = 3;
  first.checkpoint.add("steps", steps);
  first.checkpoint.save({});
  Small second(folder.path().string());
  double steps_of_another_kind = 0;
  BOOST_TEST(differences([&] { second.checkpoint.resume(); }) == "\n  steps: a number there, nothing here");
  second.checkpoint.add("steps", steps_of_another_kind);
  BOOST_TEST(differences([&] { second.checkpoint.resume(); }) == "\n  steps: value: i64 [1] there, f64 [1] here");
}

BOOST_AUTO_TEST_CASE(settings_differ_also_by_being_there) {
  const TemporaryFolder folder;
  Small(folder.path().string(), {.settings = {{"a", "1"}, {"b", "2"}}}).checkpoint.save({});
  Small other(folder.path().string(), {.settings = {{"b", "3"}, {"c", "4"}}, .notes = {{"d", "5"}}});
  BOOST_TEST(differences([&] { other.checkpoint.resume(); }) ==
             "\n  b: 2 there, 3 here\n  c: nothing there, 4 here\n  a: 1 there, nothing here");
}

BOOST_AUTO_TEST_CASE(a_position_must_lie_in_an_epoch) {
  const TemporaryFolder folder;
  Small run(folder.path().string());
  BOOST_TEST(error<std::invalid_argument>([&] {
               run.checkpoint.save({1, kSteps});
             }) ==
             "checkpoint: a step must be below the 5 steps of an epoch, whose end is step 0 of the next one; got 5");
  BOOST_TEST(error<std::invalid_argument>([&] {
               run.checkpoint.save({0, -1});
             }) == "checkpoint: a position must be at least 0; got epoch 0, step -1");
  BOOST_TEST(!run.checkpoint.exists());
  // A file that says so all the same: written by a run without a loader.
  for (const Index step : {kSteps, kSteps + 100}) {
    double number = 2;
    {
      Checkpoint loose(folder.path().string());
      loose.add("number", number);
      loose.save({2, step});
    }
    const std::string text = differences([&] { run.checkpoint.resume(); });
    BOOST_TEST(text.starts_with("\n  step: " + std::to_string(step) + " there, an epoch has 5 steps here"), text);
    BOOST_TEST(run.number == 1);
  }
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_and_every_cut_is_refused) {
  const TemporaryFolder folder;
  Small run(folder.path().string(), {.settings = {{"model", "none"}}});
  run.number = .1;
  run.checkpoint.save({0, 2}, .5);
  const std::string good = read_text_file(run.checkpoint.last_path());
  BOOST_TEST_MESSAGE(good.size() << " bytes");
  run.number = 7;
  const std::string path = path_in(folder, "damaged.safetensors");
  const auto refused = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    try {
      run.checkpoint.resume(path);
    } catch (const std::exception&) {
      return run.number == 7;
    }
    return false;
  };
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    if (!refused(bad)) BOOST_ERROR("bit " << bit % 8 << " of byte " << bit / 8 << " was missed");
  }
  for (std::size_t size = 0; size < good.size(); size += 7) {
    if (!refused(good.substr(0, size))) BOOST_ERROR("a file cut to " << size << " bytes was taken");
  }
  BOOST_TEST(!refused(good));
  BOOST_TEST(run.number == .1);
}

BOOST_AUTO_TEST_CASE(what_is_no_checkpoint_is_told_so) {
  const TemporaryFolder folder;
  Run run(folder.path());
  run.checkpoint.save({});
  const auto text = [&](const char* name) {
    try {
      run.checkpoint.resume(path_in(folder, name));
    } catch (const std::exception& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  BOOST_TEST(text("model.safetensors")
                     .find("expected a checkpoint, as train::Checkpoint writes it; got tensors without "
                           "a run's state") != std::string::npos,
             text("model.safetensors"));
  BOOST_TEST(text("missing.safetensors").find("missing.safetensors") != std::string::npos);
  rewrite(run.checkpoint.last_path(), [](nn::TensorFile& file) { file.metadata["tapestry.version"] = "9"; });
  BOOST_TEST(text("checkpoint.safetensors").find("expected a checkpoint of form 2; got 9") != std::string::npos);
}

// Another program that opens the file and writes it again keeps the metadata that it knows nothing of, or it does not.
BOOST_AUTO_TEST_CASE(a_checkpoint_without_checksums_is_refused_though_its_weights_can_be_loaded) {
  const TemporaryFolder folder;
  Run run(folder.path());
  run.train(3);
  const std::string path = run.checkpoint.last_path();
  std::string text = read_text_file(path);
  for (const char* key : {"\"tapestry.crc32c\"", "\"tapestry.crc32c.tensors\""}) text[text.find(key) + 1] = 'T';
  std::ofstream(path, std::ios::binary) << text;
  BOOST_TEST(error<FileError>([&] { run.checkpoint.resume(); }) ==
             path + ": expected a checkpoint with checksums; got one without");
  Net other;
  train::load_weights(other, path);
  BOOST_TEST(same_bits(other.parameters()[0], run.model.parameters()[0]));
}

BOOST_AUTO_TEST_CASE(every_field_of_a_file_is_checked_before_anything_changes) {
  const TemporaryFolder folder;
  Run first(folder.path(), {.adamw = true});
  first.train(7);
  const std::string path = first.checkpoint.last_path(), good = read_text_file(path);
  const auto number = [](double x) { return tensor({x}, {.dtype = f64}); };
  const auto whole = [](std::int64_t x) { return tensor({x}); };
  using Change = std::function<void(nn::TensorFile&)>;
  const auto metadata = [](const char* key, const char* value) -> Change {
    return [=](nn::TensorFile& file) { file.metadata[key] = value; };
  };
  const auto value = [](const char* key, Tensor x) -> Change {
    return [=](nn::TensorFile& file) { file.tensors[key] = x; };
  };
  const auto spoilt = [](const char* key, double to) -> Change {
    return [=](nn::TensorFile& file) {
      Tensor x = file.tensors.at(key);
      x.mutable_data<float>()[1] = static_cast<float>(to);
    };
  };
  const std::vector<std::pair<std::string, Change>> faults = {
      {"step: 5 there, an epoch has 5 steps here", metadata("tapestry.step", "5")},
      {"step: 9223372036854775807 there, an epoch has 5 steps", metadata("tapestry.step", "9223372036854775807")},
      {"step: must be a whole number of at least 0; got -1", metadata("tapestry.step", "-1")},
      {"epoch: must be a whole number of at least 0; got 1x", metadata("tapestry.epoch", "1x")},
      {"epoch: 4611686018427387904 there, at most 2147483647 here", metadata("tapestry.epoch", "4611686018427387904")},
      {"best: must be a number; got x", metadata("tapestry.best", "x")},
      {"best: must be a number; got nan", metadata("tapestry.best", "nan")},
      {"model: nothing there, net here", [](nn::TensorFile& file) { file.metadata.erase("setting.model"); }},
      {"model: conv.weight: 1 of 72 values are not finite", spoilt("model.conv.weight", std::nan(""))},
      {"model: norm.running_var: 1 of 8 values are negative", spoilt("model.norm.running_var", -1)},
      {"optimizer: conv.weight.exp_avg: 1 of 72 values are not finite",
       spoilt("optimizer.conv.weight.exp_avg", std::numeric_limits<double>::infinity())},
      {"optimizer: conv.weight.exp_avg_sq: 1 of 72 values are negative",
       spoilt("optimizer.conv.weight.exp_avg_sq", -1)},
      {"optimizer: lr: must be finite and at least 0; got nan", value("optimizer.lr", number(std::nan("")))},
      {"optimizer: lr: must be finite and at least 0; got inf", value("optimizer.lr", number(1 / 0.))},
      {"optimizer: 2 tensors there, 17 when it was saved",
       [](nn::TensorFile& file) {
         std::erase_if(file.tensors, [](const auto& x) {
           return x.first.starts_with("optimizer.") && x.first != "optimizer.lr" && x.first != "optimizer.momentum";
         });
       }},
      {"rate: t: must be at least 0; got -1", value("rate.t", whole(-1))},
      {"random: state: i64 [2] there, i64 [3] here", value("random.state", tensor({std::int64_t{1}, std::int64_t{2}}))},
      {"metrics: counts: must be at most 32, all images; got 9223372036854775807",
       [](nn::TensorFile& file) { file.tensors.at("metrics.labels").mutable_data<std::int64_t>()[0] = INT64_MAX; }},
      {"metrics: counts: must be of at most",
       [](nn::TensorFile& file) { file.tensors.at("metrics.counts").mutable_data<std::int64_t>()[0] = INT64_MAX; }},
      {"log: rows: ", value("log.rows", zeros({1, 2}, {.dtype = f64}))},
      {"curves: 0.panel: missing", [](nn::TensorFile& file) { file.metadata.erase("curves.0.panel"); }},
      {"mean: value: i64 [1] there, f64 [1] here", value("mean.value", whole(1))}};
  Run run(folder.path(), {.adamw = true});
  const auto before = run.everything();
  for (const auto& [text, change] : faults) {
    write_file(path, good);
    rewrite(path, change);
    const std::string all = differences([&] { run.checkpoint.resume(); });
    BOOST_TEST(all.find("\n  " + text) != all.npos, text << " is not in" << all);
    BOOST_TEST(same(run.everything(), before), text);
  }
  // And all at once, in one error.
  write_file(path, good);
  for (const auto& [text, change] : faults) {
    if (text.find("metrics") == text.npos) rewrite(path, change);
  }
  const std::string all = differences([&] { run.checkpoint.resume(); });
  for (const char* name : {"model: nothing there", "model: conv.weight", "norm.running_var", "optimizer: lr",
                           "tensors there", "rate: t", "log: rows", "curves: ", "mean: "}) {
    BOOST_TEST(all.find(name) != all.npos, name << " is not in" << all);
  }
  write_file(path, good);
  BOOST_TEST((run.checkpoint.resume() == train::Position{1, 2}));
}

BOOST_AUTO_TEST_CASE(what_an_optimizer_and_a_schedule_were_made_with_must_be_the_same_unless_it_may_differ) {
  struct Made {
    optim::SGDOptions sgd = {.lr = .5, .momentum = .9, .weight_decay = .01};
    Index warmup = 4;
    std::vector<std::string> may_differ = {};
  };
  const TemporaryFolder folder;
  nn::Linear model(2, 3);
  const auto text = [&](const Made& made, Index steps, bool save) {
    optim::SGD sgd(model.named_parameters(), made.sgd);
    optim::WarmupCosineLR rate(sgd, {.warmup = made.warmup, .total = 20, .start_factor = .25});
    Checkpoint checkpoint(folder.path(), {.may_differ = made.may_differ});
    checkpoint.add("sgd", sgd).add("rate", rate);
    for (Index i = 0; i < steps; ++i) rate.step();
    if (save) checkpoint.save({});
    else checkpoint.resume();
    return std::to_string(sgd.lr()) + ' ' + std::to_string(sgd.momentum());
  };
  const std::string saved = text({}, 3, true);
  BOOST_TEST(text({}, 0, false) == saved);
  const std::vector<std::pair<std::string, Made>> others = {
      {"\n  sgd: lr: 0.5 there, 0.25 here", {.sgd = {.lr = .25, .momentum = .9, .weight_decay = .01}}},
      {"\n  sgd: momentum: 0.9 there, 0.8 here", {.sgd = {.lr = .5, .momentum = .8, .weight_decay = .01}}},
      {"\n  sgd: weight_decay: 0.01 there, 0 here", {.sgd = {.lr = .5, .momentum = .9}}},
      {"\n  sgd: nesterov: no there, yes here",
       {.sgd = {.lr = .5, .momentum = .9, .weight_decay = .01, .nesterov = true}}},
      {"\n  rate: rate after 1 of 3 steps, for 1 at first: 0.4375 there, 0.625 here", {.warmup = 2}}};
  for (const auto& [expected, made] : others) {
    BOOST_TEST(differences([&, &other = made] { (void)text(other, 0, false); }) == expected);
  }
  Made changed{.sgd = {.lr = .25, .momentum = .8}, .may_differ = {"sgd"}};
  BOOST_TEST(text(changed, 0, false) == "0.203125 0.800000");  // this run's, where the schedule has come to
  changed.warmup = 2;
  BOOST_TEST(differences([&] { (void)text(changed, 0, false); }).starts_with("\n  rate: rate after 1"));
  changed.may_differ.emplace_back("rate");
  (void)text(changed, 0, false);
}

BOOST_AUTO_TEST_CASE(settings_that_may_differ_do) {
  const TemporaryFolder folder;
  Small(folder.path().string(), {.settings = {{"a", "1"}, {"b", "2"}}}).checkpoint.save({});
  Small other(folder.path().string(), {.settings = {{"a", "1"}, {"b", "3"}, {"c", "4"}}, .may_differ = {"b", "c"}});
  other.number = 5;
  other.checkpoint.resume();
  BOOST_TEST(other.number == 1);
  Small strict(folder.path().string(), {.settings = {{"a", "2"}, {"b", "3"}}, .may_differ = {"b"}});
  BOOST_TEST(differences([&] { strict.checkpoint.resume(); }) == "\n  a: 1 there, 2 here");
}

BOOST_AUTO_TEST_CASE(the_folder_is_made_again_when_it_was_removed) {
  const TemporaryFolder folder;
  const std::filesystem::path place = folder.path() / "deep" / "run";
  Small run(place.string());
  run.checkpoint.save({0, 1});
  std::filesystem::remove_all(folder.path() / "deep");
  run.checkpoint.save({0, 2});
  BOOST_TEST((run.checkpoint.resume() == train::Position{0, 2}));
}

BOOST_AUTO_TEST_CASE(what_a_killed_run_left_is_removed_at_the_start) {
  const TemporaryFolder folder;
  std::ofstream(folder / ".tapestry-1-0.tmp") << "half a checkpoint";
  std::ofstream(folder / "mine.tmp") << "mine";
  const Checkpoint checkpoint(folder.path());
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_CASE(names_of_parts_are_checked) {
  const TemporaryFolder folder;
  Checkpoint checkpoint(folder.path().string());
  double x = 0;
  checkpoint.add("x", x);
  BOOST_TEST(error<std::invalid_argument>([&] { checkpoint.add("x", x); }) ==
             "checkpoint: names of parts must differ; got x twice");
  for (const char* name : {"", "a.b", "a/b", "\xC3\xA4"}) {
    BOOST_TEST(error<std::invalid_argument>([&] { checkpoint.add(name, x); }) ==
               "checkpoint: a part's name must be of letters, digits, _ and -; got '" + std::string(name) + "'");
  }
  for (const char* name : {"tapestry", "setting", "note", "checkpoint", "best"}) {
    BOOST_TEST(error<std::invalid_argument>([&] { checkpoint.add(name, x); }) ==
               "checkpoint: a part must not be named " + std::string(name) + ", which names something else");
  }
  Small small(folder.path().string());
  datasets::Loader second(Corners(), {});
  BOOST_TEST(error<std::logic_error>([&] { small.checkpoint.add("second", second); }) ==
             "checkpoint: there must be one loader, whose position is the run's; got a second one");
}

BOOST_AUTO_TEST_CASE(a_folder_is_made_and_one_that_cannot_be_is_named) {
  const TemporaryFolder folder;
  const Checkpoint deep((folder.path() / "a" / "b").string());
  BOOST_TEST(std::filesystem::is_directory(folder.path() / "a" / "b"));
  std::ofstream(folder / "file") << "x";
  BOOST_CHECK_THROW(Checkpoint((folder / "file").string()), FileError);
  BOOST_CHECK_THROW(Checkpoint((folder.path() / "file" / "below").string()), FileError);
}

BOOST_AUTO_TEST_CASE(the_best_is_the_largest_or_the_smallest_and_never_a_nan) {
  for (const bool lower : {false, true}) {
    const TemporaryFolder folder;
    Small run(folder.path().string(), {.lower_is_better = lower});
    BOOST_TEST(!run.checkpoint.save({}, std::nan("")));
    BOOST_TEST(!std::filesystem::exists(run.checkpoint.best_path()));
    BOOST_TEST(run.checkpoint.save({}, 2.));
    BOOST_TEST(!run.checkpoint.save({}, 2.));
    BOOST_TEST(run.checkpoint.save({}, 3.) == !lower);
    BOOST_TEST(run.checkpoint.save({}, 1.) == lower);
    BOOST_TEST(!run.checkpoint.save({}));
    const double best = lower ? 1 : 3;
    BOOST_TEST(run.checkpoint.best().value() == best);
    Small second(folder.path().string(), {.lower_is_better = lower});
    second.checkpoint.resume();
    BOOST_TEST(second.checkpoint.best().value() == best);
  }
}

BOOST_AUTO_TEST_CASE(weights_alone_are_the_models_file_and_a_run_can_begin_with_them) {
  const TemporaryFolder folder;
  Run run(folder.path());
  run.train(7);
  Net model;
  nn::load(model, path_in(folder, "model.safetensors"));
  const auto weights = [](const nn::Module& m) {
    std::vector<Tensor> out;
    for (const auto& x : m.named_parameters()) out.push_back(x.tensor);
    for (const auto& x : m.named_buffers()) out.push_back(x.tensor);
    return out;
  };
  BOOST_TEST(same(weights(model), weights(run.model)));
  for (const char* name : {"checkpoint.safetensors", "model.safetensors"}) {
    Net other;
    train::load_weights(other, path_in(folder, name));
    BOOST_TEST(same(weights(other), weights(run.model)), name);
    Run second(folder.path());
    BOOST_TEST((second.checkpoint.resume_weights(path_in(folder, name)) == train::Position{1, 2}), name);
    BOOST_TEST(same(weights(second.model), weights(run.model)), name);
    BOOST_TEST(second.optimizer->state().empty(), name);
    BOOST_TEST(second.metrics.images() == 0, name);
  }
  // Weights of another program say nothing of a position: the run begins.
  nn::save(run.model, path_in(folder, "foreign.safetensors"));
  Run third(folder.path());
  BOOST_TEST((third.checkpoint.resume_weights(path_in(folder, "foreign.safetensors")) == train::Position{}));
  Run other_seed(folder.path(), {.seed = 9});
  BOOST_TEST(differences([&] { other_seed.checkpoint.resume_weights(path_in(folder, "model.safetensors")); }) ==
             "\n  seed: 3 there, 9 here");
}

BOOST_AUTO_TEST_CASE(a_file_tells_what_it_is) {
  const TemporaryFolder folder;
  Run run(folder.path());
  run.train(6);
  const train::CheckpointInfo info = Checkpoint::info(run.checkpoint.last_path());
  BOOST_TEST((info.position == train::Position{1, 1}));
  BOOST_TEST(info.complete);
  BOOST_TEST(info.best.value() == run.log.at(0, "top1"));
  BOOST_TEST((info.settings == train::Settings{{"model", "net"}, {"seed", "3"}}));
  BOOST_TEST((info.notes == train::Settings{{"lr", "0.1"}}));
  const train::CheckpointInfo weights = Checkpoint::info(path_in(folder, "model.safetensors"));
  BOOST_TEST(!weights.complete);
  BOOST_TEST((weights.position == train::Position{1, 1}));
  BOOST_TEST((weights.settings == info.settings));
  BOOST_TEST(weights.notes.empty());  // which may name folders: they are not for others
}

BOOST_AUTO_TEST_CASE(several_optimizers_generators_and_modules_are_kept_apart) {
  const TemporaryFolder folder;
  manual_seed(1);
  nn::Linear a(2, 3), b(3, 2);
  optim::SGD sgd(a.named_parameters(), {.lr = .5, .momentum = .9});
  optim::AdamW adamw(b.named_parameters());
  Generator noise(8), order(8, 1);
  const auto checkpoint_of = [&] {
    Checkpoint checkpoint(folder.path().string());
    checkpoint.add("a", a).add("b", b).add("sgd", sgd).add("adamw", adamw).add("noise", noise).add("order", order);
    return checkpoint;
  };
  (void)noise.next_u64();
  for (int i = 0; i < 2; ++i) {
    const Tensor loss = mse_loss(b(a(ones({4, 2}))), zeros({4, 2}));
    loss.backward();
    sgd.step();
    adamw.step();
  }
  sgd.set_lr(.25);  // by hand, without a schedule
  checkpoint_of().save({3, 0});
  BOOST_TEST(std::filesystem::exists(folder / "a.safetensors"));
  BOOST_TEST(std::filesystem::exists(folder / "b.safetensors"));
  const auto state = [&] {
    std::vector<Tensor> out;
    for (const auto& module : {static_cast<const nn::Module&>(a), static_cast<const nn::Module&>(b)}) {
      for (const auto& x : module.named_parameters()) out.push_back(clone(x.tensor.detach()));
    }
    for (const optim::Optimizer* optimizer :
         {static_cast<optim::Optimizer*>(&sgd), static_cast<optim::Optimizer*>(&adamw)}) {
      for (const auto& [name, x] : optimizer->state()) out.push_back(x);
      out.push_back(tensor({optimizer->lr()}, {.dtype = f64}));
    }
    for (const Generator* generator : {&noise, &order}) {
      out.push_back(tensor({static_cast<std::int64_t>(generator->state().offset)}));
    }
    return out;
  };
  const auto saved = state();
  mse_loss(b(a(ones({4, 2}))), zeros({4, 2})).backward();
  sgd.step();
  adamw.step();
  sgd.set_lr(.1);
  (void)order.next_u64();
  BOOST_TEST(!same(state(), saved));
  BOOST_TEST((checkpoint_of().resume() == train::Position{3, 0}));
  BOOST_TEST(same(state(), saved));
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_leaves_the_old_one) {
  const TemporaryFolder folder;
  Small run(folder.path().string());
  run.checkpoint.save({0, 1}, 1.);
  const std::string before = read_text_file(run.checkpoint.last_path());
  std::filesystem::remove(run.checkpoint.best_path());
  std::filesystem::create_directory(run.checkpoint.best_path());  // where the file should go
  run.number = 5;
  BOOST_CHECK_THROW(run.checkpoint.save({0, 2}, 2.), std::exception);
  BOOST_TEST(read_text_file(run.checkpoint.last_path()) == before);
  BOOST_TEST(run.checkpoint.best().value() == 1.);
}

BOOST_AUTO_TEST_SUITE_END()
