// The loop is Training::train_epoch; around it stands what makes a long run pleasant: progress with the time left,
// curves, a checkpoint after every epoch, and a clean stop on Ctrl-C.
#include "training.h"

#include <cmath>
#include <thread>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/base/version.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/instruction_set.h>
#include <tapestry/ops/loss.h>

#include "command_line.h"
#include "reference.h"

namespace tapestry::examples {

namespace {

using train::clock_text;
using train::grouped;

constexpr Index kTestBatch = 250;
constexpr std::size_t kMistakesShown = 32;      // four rows of pictures
constexpr Index kImagesAfterInterrupt = 2'000;  // enough for the pictures: who pressed Ctrl-C does not want to wait
constexpr Index kCurvePointsPerEpoch = 20;
constexpr double kTestWork = 1. / 3;  // of an image, where training on it is 1: forward only

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Training::Training(const TrainOptions& options, nn::AnyModule model, TrainData data, const OutputFolder& folder,
                   std::string program)
    : options_(options),
      model_(std::move(model)),
      data_(std::move(data)),
      folder_(folder),
      program_(std::move(program)),
      optimizer_(make_optimizer(options, model_)),
      loader_(data_.train, {.batch = *options.batch, .shuffle = true, .seed = options.seed}),
      steps_per_epoch_(loader_.batches()),
      schedule_(make_schedule(options, *optimizer_, steps_per_epoch_)),
      text_(options.json ? stderr : stdout),
      progress_(
          {.images = static_cast<double>(*options.epochs) * work_per_epoch(), .quiet = options.quiet, .stream = text_}),
      epoch_(static_cast<Index>(data_.train.classes().size())),
      point_(epoch_),
      curves_(fmt::format("{} on {} ({}), {} epochs of {} images, batch {}, seed {}", options.model,
                          options.data_name(), options.labels, *options.epochs,
                          grouped(static_cast<double>(data_.train.size())), *options.batch, options.seed)),
      sheet_(kMistakesShown),
      checkpoint_(folder.path(),
                  {.settings = options.identity(), .notes = options.given, .may_differ = options.may_differ()}) {
  curves_.panel("Loss", {.decimals = 2});
  curves_.panel("Accuracy, %", {.decimals = 1, .highest = 100});
  checkpoint_.add("model", model_)
      .add("optimizer-state", *optimizer_)  // "optimizer" and "schedule" are settings
      .add("rates", schedule_)
      .add("random", default_generator())
      .add("loader", loader_)
      .add("epoch", epoch_)
      .add("point", point_)
      .add("epochs", epochs_)
      .add("steps", steps_)
      .add("curves", curves_)
      .add("seconds", seconds_);
}

/// The loop. False when it was interrupted; at_ tells where.
bool Training::train_epoch() {
  const Index points = std::min(steps_per_epoch_, kCurvePointsPerEpoch);
  Clock::time_point began = Clock::now();
  model_.train();
  progress_.begin(fmt::format("epoch {}/{}", at_.epoch + 1, *options_.epochs), steps_per_epoch_);
  progress_.skip(at_.step, static_cast<double>(at_.step * *options_.batch));
  for (auto [images, labels] : loader_) {
    const bool due = seconds_since(saved_) >= 60 * options_.save_minutes;
    if (interrupt_ || due) {
      seconds_ += seconds_since(std::exchange(began, Clock::now()));
      if (interrupt_) {
        progress_.end();
        return false;
      }
      save();
      began = Clock::now();
    }
    const Tensor logits = logits_of(images);
    const Tensor loss = cross_entropy(logits, labels, {.label_smoothing = options_.label_smoothing});
    const double loss_value = loss.item();
    if (!std::isfinite(loss_value)) {
      throw std::runtime_error(fmt::format("the loss is {} at step {} of epoch {}; a lower --lr than {:g} may help",
                                           std::isnan(loss_value) ? "not a number" : "infinite", at_.step + 1,
                                           at_.epoch + 1, *options_.lr));
    }
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step();

    ++at_.step;
    point_.add(logits, labels, loss_value);
    progress_.step(epoch_.add(logits, labels, loss_value));
    // Points of about equally many steps, the last of them at the epoch's end.
    if (at_.step * points / steps_per_epoch_ > (at_.step - 1) * points / steps_per_epoch_) note_point();
    schedule_.step();
  }
  progress_.end();
  seconds_ += seconds_since(began);
  return true;
}

/// The checkpoint, and what shows how the run went until there.
void Training::save(std::optional<double> value) {
  checkpoint_.save(at_, value);
  write_curves();
  saved_ = Clock::now();
}

/// A point of the curves: means over the steps since the one before.
void Training::note_point() {
  const double epochs = static_cast<double>(steps_done()) / static_cast<double>(steps_per_epoch_);
  steps_.add({{"epoch", epochs},
              {"step", steps_done()},
              {"learning_rate", optimizer_->lr()},
              {"train_loss", point_.loss()},
              {"train_top1", point_.top1()}});
  curves_.add("Loss", "training", epochs, point_.loss());
  curves_.add("Accuracy, %", "training top-1", epochs, 100 * point_.top1());
  point_.reset();
}

/// The end of an epoch, after its test.
void Training::note_epoch(const train::Metrics& test, double test_seconds) {
  at_ = {at_.epoch + 1, 0};
  epochs_.add({{"epoch", at_.epoch},
               {"step", steps_done()},
               {"learning_rate", steps_.at(steps_.rows() - 1, "learning_rate")},
               {"train_loss", epoch_.loss()},
               {"train_top1", epoch_.top1()},
               {"test_loss", test.loss()},
               {"test_top1", test.top1()},
               {"test_top5", test.top5()},
               {"images_per_second", std::round(static_cast<double>(epoch_.images()) / seconds_)},
               {"seconds", seconds_ + test_seconds}});
  const auto end = static_cast<double>(at_.epoch);
  curves_.add("Loss", "test", end, test.loss());
  curves_.add("Accuracy, %", "test top-1", end, 100 * test.top1());
  curves_.add("Accuracy, %", "test top-5", end, 100 * test.top5());
  epoch_.reset();
  seconds_ = 0;
}

/// What the model says, in f32 whatever it computes in.
Tensor Training::logits_of(const Tensor& images) const {
  const Autocast scope(options_.autocast ? bf16 : f32);
  return to(model_(images), f32);
}

/// Tests on the first `images` test images, and collects the mistakes.
train::Metrics Training::test(Index images) {
  const NoGradGuard no_grad;
  train::Metrics metrics(epoch_.classes());
  sheet_ = train::ContactSheet(kMistakesShown);
  model_.eval();
  progress_.begin("testing", (images + kTestBatch - 1) / kTestBatch, kTestWork);
  for (auto [batch, labels] : datasets::Loader(data_.test, {.batch = kTestBatch})) {
    const Tensor logits = logits_of(batch);
    sheet_.add(logits, labels);
    progress_.step(metrics.add(logits, labels, cross_entropy(logits, labels).item()));
    if (metrics.images() >= images) break;
  }
  progress_.end();
  return metrics;
}

/// Goes back to where a checkpoint was written, with the curves until there.
void Training::resume() {
  const std::string& file = *options_.resume;
  at_ = train::Checkpoint::info(file).complete ? checkpoint_.resume(file) : checkpoint_.resume_weights(file);
  if (at_.epoch > *options_.epochs || (at_.epoch == *options_.epochs && at_.step > 0)) {
    throw std::runtime_error(
        fmt::format("{} was written after epoch {}; --epochs {} asks for fewer", file, at_.epoch, *options_.epochs));
  }
  schedule_.set_t(steps_done());  // weights alone do not tell
  write_curves();                 // a kill may have come between the checkpoint and these
  progress_.skip(0, static_cast<double>(at_.epoch) * work_per_epoch());
}

int Training::run() {
  if (options_.resume) resume();
  tell_start();
  saved_ = Clock::now();
  if (at_.epoch == *options_.epochs) {
    // The run before ended, or was killed, behind its last checkpoint.
    const train::Metrics result = test(static_cast<Index>(data_.test.size()));
    if (epochs_.rows() > 0) tell_epoch();
    return finish(result);
  }
  while (true) {
    if (!train_epoch()) return stop();
    const Clock::time_point began = Clock::now();
    const train::Metrics result = test(static_cast<Index>(data_.test.size()));
    note_epoch(result, seconds_since(began));
    save(result.top1());
    tell_epoch();
    if (at_.epoch == *options_.epochs) return finish(result);
    if (interrupt_) return stop();
  }
}

int Training::finish(const train::Metrics& result) {
  write_mistakes();
  tell_end(result);
  return 0;
}

/// After Ctrl-C: keeps what there is, and says how to go on.
int Training::stop() {
  if (at_.step > 0 || at_.epoch == 0) save();
  if (at_.step > 0) {
    tell("Stopped in epoch {}, after step {} of {}; the weights are saved, now the pictures\n", at_.epoch + 1, at_.step,
         steps_per_epoch_);
  } else {
    tell("Stopped after epoch {}\n", at_.epoch);
  }
  if (at_.step > 0 || sheet_.images() == 0) {
    const Index images = std::min<Index>(kImagesAfterInterrupt, static_cast<Index>(data_.test.size()));
    progress_.shorten(kTestWork * static_cast<double>(images));
    test(images);
  }
  write_mistakes();
  tell("Go on with:\n  {}\n", resume_command());
  return interrupt_.exit_status();
}

void Training::write_curves() {
  write_into_folder(folder_.path(), [this] {
    epochs_.write_csv(folder_ / "metrics.csv");
    steps_.write_csv(folder_ / "steps.csv");
    curves_.write(folder_ / "curves.svg");
  });
}

void Training::write_mistakes() const {
  const auto all = static_cast<double>(sheet_.images()), wrong = static_cast<double>(sheet_.wrong());
  const std::string title =
      fmt::format("{}: the {} surest of {} wrong predictions on {} test images ({:.1f}% right)", options_.model,
                  sheet_.mistakes().size(), grouped(wrong), grouped(all), 100 * (1 - wrong / all));
  write_into_folder(folder_.path(), [&] { sheet_.write(folder_ / "wrong_predictions.png", title, data_.test); });
}

std::string Training::resume_command(const std::string& more) const {
  return shell_command({program_, "--resume", checkpoint_.last_path()}) + more;
}

double Training::work_per_epoch() const {
  return static_cast<double>(data_.train.size()) + kTestWork * static_cast<double>(data_.test.size());
}

void Training::tell_start() const {
  tell("tapestry {}, {} vectors, {} thread{}\n", version(), instruction_set(), num_threads(),
       num_threads() == 1 ? "" : "s");
  const auto cpus = static_cast<int>(std::thread::hardware_concurrency());
  if (num_threads() < cpus) tell("  (this machine has {} CPUs)\n", cpus);
  tell("data     {}, {} labels: {} training and {} test images{}\n", options_.data_name(), options_.labels,
       grouped(static_cast<double>(data_.train.size())), grouped(static_cast<double>(data_.test.size())),
       options_.augments() ? ", random crops and flips" : "");
  tell("model    {}, {} parameters\n", options_.model, grouped(static_cast<double>(model_.count_parameters())));
  if (options_.summary) tell("\n{}\n", model_.summary());
  std::string numbers;
  if (options_.autocast) numbers = ", autocast to bf16";
  else if (options_.precision != TrainOptions().precision) numbers = fmt::format(", {} precision", options_.precision);
  tell("training {} epochs of {} steps of {} images, {}, rate {:g}, {} over {} epochs, seed {}{}\n", *options_.epochs,
       steps_per_epoch_, *options_.batch, options_.optimizer, *options_.lr, *options_.schedule,
       *options_.schedule_epochs, options_.seed, numbers);
  tell("results  {}\n", folder_.path());
  if (options_.resume) {
    tell("going on after epoch {}{}\n", at_.epoch,
         at_.step > 0 ? fmt::format(" and {} steps", at_.step) : std::string());
  }
  tell("\n{:>11}{:>17}{:>27}\n{:>9}{:>10}{:>9}{:>10}{:>9}{:>9}{:>11}{:>9}\n", "", "training", "test", "epoch", "loss",
       "top-1", "loss", "top-1", "top-5", "images/s", "time");
}

void Training::tell_epoch() {
  const std::size_t row = epochs_.rows() - 1;
  if (options_.json) std::fputs((epochs_.json(row) + "\n").c_str(), stdout);
  std::fflush(stdout);
  const auto last = [&](std::string_view column) { return epochs_.at(row, column); };
  progress_.say(fmt::format("{:>5}/{:<5} {:7.4f} {:6.2f} %   {:7.4f} {:6.2f} % {:6.2f} %  {:>9}  {:>7}", at_.epoch,
                            *options_.epochs, last("train_loss"), 100 * last("train_top1"), last("test_loss"),
                            100 * last("test_top1"), 100 * last("test_top5"), grouped(last("images_per_second")),
                            clock_text(last("seconds"))));
  const auto epoch = static_cast<int>(at_.epoch);
  if (const auto reference = reference_for(options_, epoch)) {
    const double difference = last("train_loss") - reference->train_loss;
    progress_.say(fmt::format(
        "  published {:7.4f} {:6.2f} %   {:7} {:6.2f} %   our training loss {:+.4f}, {} the tolerance of {}",
        reference->train_loss, reference->train_top1, "", reference->test_top1, difference,
        std::abs(difference) <= loss_tolerance(epoch) ? "within" : "OUTSIDE", loss_tolerance(epoch)));
  }
}

void Training::tell_end(const train::Metrics& test) const {
  if (options_.quiet && !options_.json) {
    std::fputs(fmt::format("top-1 {:.2f} %, top-5 {:.2f} %\n", 100 * test.top1(), 100 * test.top5()).c_str(), stdout);
  }
  tell("\nTest accuracy after {} epochs: top-1 {:.2f} %, top-5 {:.2f} % (guessing: {:g} and {:g} %)\n", at_.epoch,
       100 * test.top1(), 100 * test.top5(), 100. / static_cast<double>(data_.test.classes().size()),
       500. / static_cast<double>(data_.test.classes().size()));
  if (options_.is_default_run())
    tell("About 76 % is usual for this network after two epochs on the embedded data set\n");
  const auto file = [&](const char* name, const char* what) { tell("  {:<45} {}\n", folder_ / name, what); };
  file("curves.svg", "loss and accuracy, to look at");
  file("wrong_predictions.png", "the surest mistakes");
  file("metrics.csv", "a row per epoch; steps.csv has more of them");
  file("model.safetensors", "the weights, with PyTorch's keys and layout");
  file("best.safetensors", "all there is of the best epoch; checkpoint.safetensors of the last");
  tell("\nWhat to try next\n");
  if (!options_.data) {
    tell(
        "  --epochs 5            longer: about 92 % with lecture_cnn_bn\n"
        "  --model resnet20      another network; --summary lists its layers\n"
        "  --data DIR            CIFAR-100's photographs instead (./run.sh --download fetches them)\n");
  } else {
    tell(
        "  --epochs 20           longer\n"
        "  --model resnet20 --recipe a --epochs 5   a published recipe, its numbers beside ours\n"
        "  --label-smoothing 0.1 --model resnet18   a larger network, against overconfidence\n");
  }
  tell("To go on from here\n  {}\n", resume_command(fmt::format(" --epochs {}", 2 * *options_.epochs)));
}

}  // namespace tapestry::examples
