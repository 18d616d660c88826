#include <common/train_options.h>

#include <algorithm>

#include <common/flags.h>
#include <fmt/format.h>
#include <tapestry/nn/models/models.h>

namespace tapestry::examples {

namespace {

constexpr std::int64_t kPatternsTrain = 50'000, kPatternsTest = 10'000;

Flags flags_of(TrainOptions& o) {
  Flags flags("train_cifar100",
              "Trains a convolutional network on CIFAR-100, or on an embedded data set of the same form that needs no "
              "download, and\nwrites curves, pictures of wrong predictions, and the weights. Ctrl-C stops cleanly.");
  flags.section("Data");
  flags.text("data", o.data, "DIR", "folder of CIFAR-100's binary files (default: the embedded data set)");
  flags.choice("labels", o.labels, {"fine", "coarse"}, "KIND", "100 fine or 20 coarse classes");
  flags.choice("augment", o.augment, {"on", "off"}, "WHETHER", "random crops and flips (default: on with --data)");
  flags.integer("train-size", o.train_size, {1, 10'000'000}, "N",
                "training images of the embedded data set (default 50000)");
  flags.integer("test-size", o.test_size, {1, 10'000'000}, "N", "its test images (default 10000)");

  flags.section("Model and training");
  flags.choice("model", o.model, nn::models::names(), "NAME", "the network to train");
  flags.integer("epochs", o.epochs, {1, 100'000}, "N",
                "how often every training image is seen (default 2; with a recipe 200)");
  flags.integer("batch", o.batch, {1, 65'536}, "N", "images per step (default 128)");
  flags.choice("optimizer", o.optimizer, {"sgd", "adamw"}, "NAME", "with Nesterov momentum, or decoupled decay");
  flags.number(
      "lr", o.lr, {0, 100, true, false}, "RATE",
      "learning rate at its peak (default: 0.2 for lecture_cnn_bn, 0.05 for lecture_cnn, else 0.1; 0.001 for adamw)");
  flags.number("momentum", o.momentum, {0, 1, false, true}, "M", "of sgd (default 0.9)");
  flags.number("weight-decay", o.weight_decay, {0, 10, false, false}, "W",
               "pull of weights towards 0 (default 0.0005; 0.05 for adamw)");
  flags.number("label-smoothing", o.label_smoothing, {0, 1, false, true}, "S", "of the loss");
  flags.choice("schedule", o.schedule, {"linear", "cosine", "step", "constant"}, "NAME",
               "how the rate falls after warming up, step by x 0.2 at 30, 60 and 80 % of all (default linear)");
  flags.number("warmup", o.warmup, {0, 100'000, false, false}, "EPOCHS",
               "in which the rate rises from 0 (default: a fifth of all for linear, else 0)");
  flags.integer("schedule-epochs", o.schedule_epochs, {1, 100'000}, "N",
                "length of the schedule, to run the first --epochs of a longer one (default: --epochs)");
  flags.choice(
      "recipe", o.recipe, {"a"}, "NAME",
      "a known set of these, which other flags still change: chenyaofo's for ResNets, batch 256, rate 0.1, cosine over "
      "200 epochs");
  flags.choice(
      "precision", o.precision, {"highest", "high", "medium"}, "LEVEL",
      "of matrix products: high takes large 3x3 convolutions by Winograd, medium rounds operands to bf16 where "
      "the CPU is faster with it");
  flags.flag("autocast", o.autocast, "convolutions and linear layers give bf16, half the memory; weights stay f32");
  flags.integer("seed", o.seed, {0, 1'000'000'000'000}, "N", "of weights, order and augmentation");
  flags.integer("threads", o.threads, {1, 1024}, "N",
                "changes the speed only, no bit of the result (default: all CPUs)");

  flags.section("Output");
  flags.text("out", o.out, "DIR", "folder for the results (default runs/MODEL)");
  flags.text("resume", o.resume, "FILE",
             "goes on from this checkpoint (checkpoint.safetensors; from model.safetensors with momentum anew)");
  flags.flag("json", o.json, "one JSON object per epoch on standard output, everything else on standard error");
  flags.flag("quiet", o.quiet, "neither progress nor explanations");
  flags.flag("summary", o.summary, "lists every layer of the model");
  return flags;
}

}  // namespace

bool TrainOptions::parse(int argc, const char* const* argv) {
  Flags flags = flags_of(*this);
  if (!flags.parse(argc, argv)) return false;
  check();
  const TrainOptions untouched;
  default_run_ = !data && labels == untouched.labels && !train_size && !test_size && !augment && !recipe && !epochs &&
                 !schedule_epochs && !batch && !lr && !momentum && !weight_decay && !schedule && !warmup && !resume &&
                 model == untouched.model && optimizer == untouched.optimizer && label_smoothing == 0 &&
                 precision == untouched.precision && !autocast;
  settle();
  if (*warmup >= static_cast<double>(*schedule_epochs)) {
    throw UsageError(
        fmt::format("--warmup must be shorter than the schedule of {} epochs; got {:g}", *schedule_epochs, *warmup));
  }
  if (*schedule_epochs < *epochs) {
    throw UsageError(fmt::format("--schedule-epochs must be at least --epochs, {}; got {}", *epochs, *schedule_epochs));
  }
  return true;
}

void TrainOptions::check() const {
  for (const auto& [name, given] :
       {std::pair{"--train-size", train_size.has_value()}, {"--test-size", test_size.has_value()}}) {
    if (data && given)
      throw UsageError(fmt::format("{} is for the embedded data set, and --data names another one", name));
  }
  if (autocast && precision != TrainOptions().precision) {
    throw UsageError(
        fmt::format("--precision is for products of f32, and with --autocast there are none; got both --autocast and "
                    "--precision {}",
                    precision));
  }
  if (optimizer == "adamw" && momentum) throw UsageError("--momentum is for --optimizer sgd; adamw has none");
}

void TrainOptions::settle() {
  const bool recipe_a = recipe == "a";
  const bool adamw = optimizer == "adamw";
  const auto fill = [](auto& target, auto value) {
    if (!target) target = value;
  };
  double rate = .1;
  if (adamw) rate = .001;
  else if (!recipe_a && model == "lecture_cnn_bn") rate = .2;
  else if (!recipe_a && model == "lecture_cnn") rate = .05;
  fill(lr, rate);
  fill(epochs, recipe_a ? 200 : 2);
  fill(schedule_epochs, recipe_a ? std::max<std::int64_t>(200, *epochs) : *epochs);
  fill(batch, recipe_a ? 256 : 128);
  fill(momentum, .9);
  fill(weight_decay, adamw ? .05 : 5e-4);
  fill(schedule, recipe_a ? "cosine" : "linear");
  fill(warmup, schedule == "linear" ? .2 * static_cast<double>(*schedule_epochs) : 0.);
  fill(augment, data ? "on" : "off");
  fill(train_size, kPatternsTrain);
  fill(test_size, kPatternsTest);
  fill(out, "runs/" + model);
}

}  // namespace tapestry::examples
