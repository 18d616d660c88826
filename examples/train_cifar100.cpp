// Trains a convolutional network on CIFAR-100, or on the embedded data set of the same form.
//
// The loop itself is Training::train_epoch; around it stands what makes a long run pleasant: progress with the time
// left, curves, a checkpoint after every epoch, and a clean stop on Ctrl-C. --help lists the flags.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <thread>

#include <common/checkpoint.h>
#include <common/contact_sheet.h>
#include <common/curves.h>
#include <common/files.h>
#include <common/flags.h>
#include <common/interrupt.h>
#include <common/progress.h>
#include <common/reference.h>
#include <common/score.h>
#include <common/train_options.h>
#include <common/train_setup.h>
#include <fmt/format.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/base/version.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/datasets/image_file.h>
#include <tapestry/datasets/loader.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/instruction_set.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/precision.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::examples;

namespace {

constexpr Index kTestBatch = 250;
constexpr std::size_t kMistakesShown = 32;      // four rows of pictures
constexpr Index kImagesAfterInterrupt = 2'000;  // enough for the pictures: who pressed Ctrl-C does not want to wait
constexpr Index kCurvePointsPerEpoch = 20;
constexpr double kTestWork = 1. / 3;  // of an image, where training on it is 1: forward only

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct TestResult {
  Score score;
  std::vector<Mistake> mistakes;
};

class Training {
 public:
  Training(const TrainOptions& options, nn::AnyModule model, TrainData data, const OutputFolder& folder)
      : options_(options),
        model_(std::move(model)),
        data_(std::move(data)),
        folder_(folder),
        optimizer_(make_optimizer(options, model_)),
        loader_(data_.train, {.batch = *options.batch, .shuffle = true, .seed = options.seed}),
        steps_per_epoch_(static_cast<Index>(loader_.batches())),
        schedule_(make_schedule(options, *optimizer_, steps_per_epoch_)),
        text_(options.json ? stderr : stdout),
        progress_(text_, options.quiet, static_cast<double>(*options.epochs) * work_per_epoch()) {}

  /// Trains; returns the program's exit status.
  int run(const std::vector<std::string>& command_line);

 private:
  void resume(const std::filesystem::path& checkpoint);
  bool train_epoch();
  [[nodiscard]] TestResult test(Index images);
  [[nodiscard]] Tensor logits_of(const Tensor& images) const;
  void save();
  void write_curves() const;
  void write_mistakes(const TestResult& result) const;
  void tell_start() const;
  void tell_epoch(const EpochPoint& point);
  void tell_end(const TestResult& result) const;
  int stop(const std::vector<std::string>& command_line);

  [[nodiscard]] double work_per_epoch() const {
    return static_cast<double>(data_.train.size()) + kTestWork * static_cast<double>(data_.test.size());
  }
  template <class... Args>
  void tell(fmt::format_string<Args...> format, Args&&... args) const {
    if (!options_.quiet) fmt::print(text_, format, std::forward<Args>(args)...);
  }

  const TrainOptions& options_;
  nn::AnyModule model_;
  TrainData data_;
  const OutputFolder& folder_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  datasets::Loader loader_;
  Index steps_per_epoch_;
  optim::Schedule schedule_;
  std::FILE* text_;  // what people read; --json has standard output for itself
  Progress progress_;
  InterruptGuard interrupt_;

  TrainPosition position_;
  Score epoch_score_;
  double train_seconds_ = 0;  // of this epoch
  std::vector<StepPoint> steps_;
  std::vector<EpochPoint> epochs_;
};

/// The loop. False when it was interrupted; position_ tells where.
bool Training::train_epoch() {
  const Index steps_per_point = std::max<Index>(steps_per_epoch_ / kCurvePointsPerEpoch, 1);
  const Clock::time_point began = Clock::now();
  Score point_score;
  epoch_score_ = {};
  train_seconds_ = 0;
  model_.train();
  progress_.begin(fmt::format("epoch {}/{}", position_.epoch + 1, *options_.epochs), steps_per_epoch_);
  progress_.skip(position_.step, static_cast<double>(position_.step * *options_.batch));
  loader_.set_epoch(static_cast<std::uint64_t>(position_.epoch));

  Index step = 0;
  for (auto [images, labels] : loader_) {
    if (step++ < position_.step) continue;  // done before the checkpoint that we go on from
    const Index step_of_all = position_.epoch * steps_per_epoch_ + position_.step;
    schedule_.set_t(step_of_all);
    const Tensor logits = logits_of(images);
    const Tensor loss = cross_entropy(logits, labels, {.label_smoothing = options_.label_smoothing});
    const double loss_value = loss.item();
    if (!std::isfinite(loss_value)) {
      throw std::runtime_error(fmt::format("the loss is {} at step {} of epoch {}; a lower --lr than {:g} may help",
                                           std::isnan(loss_value) ? "not a number" : "infinite", step,
                                           position_.epoch + 1, *options_.lr));
    }
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step();

    ++position_.step;
    const Index right_before = epoch_score_.right();
    epoch_score_.add(logits, labels, loss_value);
    point_score.add(logits, labels, loss_value);
    progress_.step(images.size(0), loss_value, epoch_score_.right() - right_before,
                   static_cast<double>(images.size(0)));
    if (step % steps_per_point == 0 || step == steps_per_epoch_) {
      steps_.push_back({static_cast<double>(step_of_all + 1) / static_cast<double>(steps_per_epoch_), step_of_all + 1,
                        optimizer_->lr(), point_score.loss(), point_score.top1()});
      point_score = {};
    }
    if (interrupt_.signal() && step < steps_per_epoch_) {
      progress_.end();
      return false;
    }
  }
  progress_.end();
  train_seconds_ = seconds_since(began);
  position_ = {position_.epoch + 1, 0};
  return true;
}

/// What the model says, in f32 whatever it computes in.
Tensor Training::logits_of(const Tensor& images) const {
  const Autocast scope(options_.autocast ? bf16 : f32);
  return to(model_(images), f32);
}

/// Loss and accuracy on the first `images` test images.
TestResult Training::test(Index images) {
  const NoGradGuard no_grad;
  TestResult result;
  model_.eval();
  progress_.begin("testing", (images + kTestBatch - 1) / kTestBatch);
  for (auto [batch, labels] : datasets::Loader(data_.test, {.batch = kTestBatch})) {
    const Tensor logits = logits_of(batch);
    const double loss = cross_entropy(logits, labels).item();
    const Index right_before = result.score.right();
    note_mistakes(logits, labels, result.score.images(), kMistakesShown, result.mistakes);
    result.score.add(logits, labels, loss);
    progress_.step(batch.size(0), loss, result.score.right() - right_before,
                   kTestWork * static_cast<double>(batch.size(0)));
    if (result.score.images() >= images) break;
  }
  progress_.end();
  return result;
}

/// Goes back to where a checkpoint was written, and takes over the curves that lie beside it.
void Training::resume(const std::filesystem::path& checkpoint) {
  position_ = load_checkpoint(checkpoint, options_, model_, *optimizer_);
  if (position_.epoch >= *options_.epochs) {
    throw std::runtime_error(fmt::format("{} was written after epoch {}; --epochs {} asks for no more",
                                         checkpoint.string(), position_.epoch, *options_.epochs));
  }
  epochs_ = epochs_from_csv(read_file_if_any(checkpoint.parent_path() / "metrics.csv"));
  steps_ = steps_from_csv(read_file_if_any(checkpoint.parent_path() / "steps.csv"));
  const Index done = position_.epoch * steps_per_epoch_ + position_.step;
  std::erase_if(epochs_, [&](const EpochPoint& point) { return point.epoch > position_.epoch; });
  std::erase_if(steps_, [&](const StepPoint& point) { return point.step > done; });
  progress_.skip(0, static_cast<double>(position_.epoch) * work_per_epoch());
}

int Training::run(const std::vector<std::string>& command_line) {
  if (options_.resume) resume(*options_.resume);
  tell_start();
  TestResult result;
  while (position_.epoch < *options_.epochs) {
    const Clock::time_point began = Clock::now();
    const bool finished = train_epoch();
    save();
    if (!finished) return stop(command_line);
    result = test(static_cast<Index>(data_.test.size()));
    epochs_.push_back({.epoch = static_cast<int>(position_.epoch),
                       .step = position_.epoch * steps_per_epoch_,
                       .learning_rate = steps_.back().learning_rate,
                       .train_loss = epoch_score_.loss(),
                       .train_top1 = epoch_score_.top1(),
                       .test_loss = result.score.loss(),
                       .test_top1 = result.score.top1(),
                       .test_top5 = result.score.top5(),
                       .images_per_second = static_cast<double>(epoch_score_.images()) / train_seconds_,
                       .seconds = seconds_since(began)});
    write_curves();
    tell_epoch(epochs_.back());
    if (interrupt_.signal() && position_.epoch < *options_.epochs) {
      write_mistakes(result);
      return stop(command_line);
    }
  }
  write_mistakes(result);
  tell_end(result);
  return 0;
}

/// After Ctrl-C: keeps what there is, and says how to go on.
int Training::stop(const std::vector<std::string>& command_line) {
  write_curves();
  if (position_.step > 0) {
    tell("Stopped in epoch {}, after step {} of {}; the weights are saved, now the pictures\n", position_.epoch + 1,
         position_.step, steps_per_epoch_);
    const Index images = std::min<Index>(kImagesAfterInterrupt, static_cast<Index>(data_.test.size()));
    progress_.shorten(kTestWork * static_cast<double>(images));
    write_mistakes(test(images));
  } else {
    tell("Stopped after epoch {}\n", position_.epoch);
  }
  tell("Go on with:\n  {}\n", resume_command(command_line, folder_ / "checkpoint.safetensors"));
  return 128 + interrupt_.signal();
}

void Training::save() { save_checkpoint(folder_.path(), options_, model_, *optimizer_, position_); }

void Training::write_curves() const {
  const std::string title = fmt::format(
      "{} on {} ({}), {} epochs of {} images, batch {}, seed {}", options_.model, options_.data_name(), options_.labels,
      *options_.epochs, grouped(static_cast<double>(data_.train.size())), *options_.batch, options_.seed);
  write_file(folder_ / "metrics.csv", to_csv(epochs_));
  write_file(folder_ / "steps.csv", to_csv(steps_));
  write_file(folder_ / "curves.svg", curves_svg(title, steps_, epochs_));
}

void Training::write_mistakes(const TestResult& result) const {
  std::vector<WrongPrediction> pictures;
  for (const Mistake& mistake : result.mistakes) {
    pictures.push_back({select(data_.test.data(), {.index = mistake.image}),
                        data_.test.classes()[static_cast<std::size_t>(mistake.predicted)],
                        data_.test.classes()[static_cast<std::size_t>(mistake.right)], mistake.probability});
  }
  const Index images = result.score.images();
  const std::string title =
      fmt::format("{}: the {} surest of {} wrong predictions on {} test images ({:.1f}% right)", options_.model,
                  pictures.size(), grouped(static_cast<double>(images - result.score.right())),
                  grouped(static_cast<double>(images)), 100 * result.score.top1());
  datasets::write_png(folder_ / "wrong_predictions.png", contact_sheet(title, pictures));
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
  tell("results  {}\n", folder_.path().string());
  if (options_.resume) {
    tell("going on after epoch {}{}\n", position_.epoch,
         position_.step > 0 ? fmt::format(" and {} steps", position_.step) : std::string());
  }
  tell("\n{:>11}{:>17}{:>27}\n{:>9}{:>10}{:>9}{:>10}{:>9}{:>9}{:>11}{:>9}\n", "", "training", "test", "epoch", "loss",
       "top-1", "loss", "top-1", "top-5", "images/s", "time");
}

void Training::tell_epoch(const EpochPoint& point) {
  if (options_.json) fmt::print("{}\n", to_json(point));
  std::fflush(stdout);
  if (options_.quiet) return;
  progress_.say(fmt::format("{:>5}/{:<5} {:7.4f} {:6.2f} %   {:7.4f} {:6.2f} % {:6.2f} %  {:>9}  {:>7}", point.epoch,
                            *options_.epochs, point.train_loss, 100 * point.train_top1, point.test_loss,
                            100 * point.test_top1, 100 * point.test_top5, grouped(point.images_per_second),
                            clock_text(point.seconds)));
  if (const auto reference = reference_for(options_, point.epoch)) {
    progress_.say(fmt::format(
        "  published {:7.4f} {:6.2f} %   {:7} {:6.2f} %   our training loss {:+.4f}, {} the tolerance of {}",
        reference->train_loss, reference->train_top1, "", reference->test_top1,
        point.train_loss - reference->train_loss,
        std::abs(point.train_loss - reference->train_loss) <= loss_tolerance(point.epoch) ? "within" : "OUTSIDE",
        loss_tolerance(point.epoch)));
  }
}

void Training::tell_end(const TestResult& result) const {
  if (options_.quiet && !options_.json) {
    fmt::print("top-1 {:.2f} %, top-5 {:.2f} %\n", 100 * result.score.top1(), 100 * result.score.top5());
  }
  tell("\nTest accuracy after {} epochs: top-1 {:.2f} %, top-5 {:.2f} % (guessing: {:g} and {:g} %)\n", position_.epoch,
       100 * result.score.top1(), 100 * result.score.top5(), 100. / static_cast<double>(data_.test.classes().size()),
       500. / static_cast<double>(data_.test.classes().size()));
  if (options_.is_default_run())
    tell("About 76 % is usual for this network after two epochs on the embedded data set\n");
  const auto file = [&](const char* name, const char* what) { tell("  {:<45} {}\n", (folder_ / name).string(), what); };
  file("curves.svg", "loss and accuracy, to look at");
  file("wrong_predictions.png", "the surest mistakes");
  file("metrics.csv", "a row per epoch; steps.csv has more of them");
  file("model.safetensors", "the weights, with PyTorch's keys and layout");
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
  tell("  --resume {} --epochs {}   goes on from here\n", (folder_ / "checkpoint.safetensors").string(),
       2 * *options_.epochs);
}

int run(int argc, char** argv) {
  TrainOptions options;
  if (!options.parse(argc, argv)) return 0;
  if (options.threads) set_num_threads(static_cast<int>(*options.threads));
  set_float32_matmul_precision(options.precision);
  manual_seed(options.seed);
  nn::AnyModule model = nn::models::make(options.model, options.labels == "fine" ? 100 : 20);
  const OutputFolder folder(*options.out);
  Training training(options, std::move(model), load_data(options), folder);
  return training.run({argv, argv + argc});
}

}  // namespace

int main(int argc, char** argv) {
  return run_main("train_cifar100", [&] { return run(argc, argv); });
}
