#include "options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <iterator>

#include <tapestry/nn/models/models.h>
#include <tapestry/nn/train/checkpoint.h>

#include "command_line.h"

namespace tapestry::examples {

namespace {

constexpr std::int64_t kPatternsTrain = 50'000, kPatternsTest = 10'000;
constexpr std::size_t kFlagColumns = 27;  // of --help

/// Declares flags with CLI11, each with its place in TrainOptions.
class Declaration {
 public:
  explicit Declaration(CLI::App& app) : app_(app) {}

  void section(const std::string& title) { section_ = title; }

  template <class Target>
  void whole(const std::string& flag, Target& target, WholeRange range, const char* value, std::string_view help) {
    declare(flag, value, with_default(help, target),
            [=, &target](const std::string& token) { target = whole_number(flag, token, range); });
  }
  template <class Target>
  void number(const std::string& flag, Target& target, NumberRange range, const char* value, std::string_view help) {
    declare(flag, value, with_default(help, target),
            [=, &target](const std::string& token) { target = examples::number(flag, token, range); });
  }
  template <class Target>
  void choice(const std::string& flag, Target& target, const std::vector<std::string>& choices, const char* value,
              const std::string& help) {
    declare(flag, value, with_default(fmt::format("{}: {}", fmt::join(choices, ", "), help), target),
            [=, &target](const std::string& token) { target = examples::choice(flag, token, choices); });
  }
  void text(const std::string& flag, std::optional<std::string>& target, const char* value, std::string_view help) {
    declare(flag, value, help, [=, &target](const std::string& token) { target = examples::text(flag, token); });
  }
  void flag(const std::string& flag, bool& target, std::string_view help) {
    app_.add_flag(flag, target, wrapped(help))->disable_flag_override()->group(section_);
  }

 private:
  template <class T>
  static std::string with_default(std::string_view help, const T& value) {
    return fmt::format("{} (default {})", help, value);
  }
  template <class T>
  static std::string with_default(std::string_view help, const std::optional<T>&) {
    return std::string(help);  // it depends on others, and the text says how
  }
  template <class Read>
  void declare(const std::string& flag, const char* value, std::string_view help, const Read& read) {
    app_.add_option_function<std::string>(flag, read, wrapped(help))->type_name(value)->group(section_);
  }

  CLI::App& app_;
  std::string section_;
};

void declare(CLI::App& app, TrainOptions& o) {
  app.get_formatter()->column_width(kFlagColumns);
  app.set_help_flag("-h,--help", "prints this");
  Declaration flags(app);
  flags.section("Data");
  flags.text("--data", o.data, "DIR", "folder of CIFAR-100's binary files (default: the embedded data set)");
  flags.choice("--labels", o.labels, {"fine", "coarse"}, "KIND", "100 fine or 20 coarse classes");
  flags.choice("--augment", o.augment, {"on", "off"}, "WHETHER", "random crops and flips (default: on with --data)");
  flags.whole("--train-size", o.train_size, {1, 10'000'000}, "N",
              "training images of the embedded data set (default 50000)");
  flags.whole("--test-size", o.test_size, {1, 10'000'000}, "N", "its test images (default 10000)");

  flags.section("Model and training");
  flags.choice("--model", o.model, nn::models::names(), "NAME", "the network to train");
  flags.whole("--epochs", o.epochs, {1, 100'000}, "N",
              "how often every training image is seen (default 2; with a recipe 200)");
  flags.whole("--batch", o.batch, {1, 65'536}, "N", "images per step (default 128)");
  flags.choice("--optimizer", o.optimizer, {"sgd", "adamw"}, "NAME", "with Nesterov momentum, or decoupled decay");
  flags.number(
      "--lr", o.lr, {0, 100, true, false}, "RATE",
      "learning rate at its peak (default: 0.2 for lecture_cnn_bn, 0.05 for lecture_cnn, else 0.1; 0.001 for adamw)");
  flags.number("--momentum", o.momentum, {0, 1, false, true}, "M", "of sgd (default 0.9)");
  flags.number("--weight-decay", o.weight_decay, {0, 10, false, false}, "W",
               "pull of weights towards 0 (default 0.0005; 0.05 for adamw)");
  flags.number("--label-smoothing", o.label_smoothing, {0, 1, false, true}, "S", "of the loss");
  flags.choice("--schedule", o.schedule, {"linear", "cosine", "step", "constant"}, "NAME",
               "how the rate falls after warming up, step by x 0.2 at 30, 60 and 80 % of all (default linear)");
  flags.number("--warmup", o.warmup, {0, 100'000, false, false}, "EPOCHS",
               "in which the rate rises from 0 (default: a fifth of all for linear, else 0)");
  flags.whole("--schedule-epochs", o.schedule_epochs, {1, 100'000}, "N",
              "length of the schedule, to run the first --epochs of a longer one (default: --epochs)");
  flags.choice(
      "--recipe", o.recipe, {"a"}, "NAME",
      "a known set of these, which other flags still change: chenyaofo's for ResNets, batch 256, rate 0.1, cosine over "
      "200 epochs");
  flags.choice(
      "--precision", o.precision, {"highest", "high", "medium"}, "LEVEL",
      "of matrix products: high takes large 3x3 convolutions by Winograd, medium rounds operands to bf16 where "
      "the CPU is faster with it");
  flags.flag("--autocast", o.autocast, "convolutions and linear layers give bf16, half the memory; weights stay f32");
  flags.whole("--seed", o.seed, {0, 1'000'000'000'000}, "N", "of weights, order and augmentation");
  flags.whole("--threads", o.threads, {1, 1024}, "N",
              "changes the speed only, no bit of the result (default: all CPUs)");

  flags.section("Output");
  flags.text("--out", o.out, "DIR", "folder for the results (default runs/MODEL, or that of the file to resume)");
  flags.text("--resume", o.resume, "FILE",
             "goes on from this checkpoint, and takes from it what is not given again (checkpoint.safetensors or "
             "best.safetensors; from weights alone with momentum anew)");
  flags.flag(
      "--change", o.change,
      "with --resume: goes on with the rate, momentum, decay, smoothing, schedule and precision given now, though "
      "the run before had others");
  flags.number("--save-minutes", o.save_minutes, {0, 1'000'000, true, false}, "N",
               "saves within an epoch, too, when so many have passed");
  flags.flag("--json", o.json, "one JSON object per epoch on standard output, everything else on standard error");
  flags.flag("--quiet", o.quiet, "neither progress nor explanations");
  flags.flag("--summary", o.summary, "lists every layer of the model");
}

constexpr const char* kPurpose =
    "Trains a convolutional network on CIFAR-100, or on an embedded data set of the same form that needs\n"
    "no download, and writes curves, pictures of wrong predictions, and the weights. Ctrl-C stops it in\n"
    "good order.";

/// Flags that say where and how, not what: a run that goes on may have others.
constexpr std::array kOfThisRunOnly = {"--help",         "--threads", "--out",   "--resume", "--change",
                                       "--save-minutes", "--json",    "--quiet", "--summary"};

/// Of a run's identity, what --change is for: no position in a run depends on it.
const std::vector<std::string> kChangeable = {"lr",       "momentum", "weight-decay",    "label-smoothing",
                                              "schedule", "warmup",   "schedule-epochs", "precision",
                                              "autocast"};
/// What follows from --epochs where it is not given.
const std::vector<std::string> kLengths = {"warmup", "schedule-epochs"};

bool is_among(const std::string& name, const std::vector<std::string>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// The options that the words ask for, before anything is filled in.
TrainOptions read(const std::vector<std::string>& words) {
  CLI::App app(kPurpose, "train_cifar100");
  TrainOptions options;
  declare(app, options);
  parse(app, words);
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || std::find(kOfThisRunOnly.begin(), kOfThisRunOnly.end(), name) != kOfThisRunOnly.end())
      continue;
    const bool has_value = option->get_items_expected_max() > 0;
    options.given.emplace_back(name.substr(2), has_value ? option->results().front() : "");
  }
  return options;
}

std::vector<std::string> as_words(const std::string& name, const std::string& value) {
  return value.empty() ? std::vector{"--" + name} : std::vector{"--" + name, value};
}

/// What the run before was asked for and `now` leaves open, as words.
std::vector<std::string> words_of_the_run_before(const TrainOptions& now) {
  const train::CheckpointInfo info = train::Checkpoint::info(*now.resume);
  std::vector<std::string> words;
  // Weights alone keep no notes, but what the run was.
  for (const auto& [name, value] : info.complete ? info.notes : info.settings) {
    const bool is_flag = info.complete || (name != "data" && value != "all" && name != "autocast" && value != "none" &&
                                           !is_among(name, kLengths));
    const auto same = [&wanted = name](const auto& entry) { return entry.first == wanted; };
    if (!is_flag || std::any_of(now.given.begin(), now.given.end(), same)) continue;
    for (std::string& word : as_words(name, value)) words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

std::optional<TrainOptions> TrainOptions::parse(const std::vector<std::string>& words) {
  // Asked for help, a program answers, whatever else is on the line.
  if (std::any_of(words.begin(), words.end(), [](const auto& word) { return word == "--help" || word == "-h"; })) {
    CLI::App app(kPurpose, "train_cifar100");
    TrainOptions ignored;
    declare(app, ignored);
    std::fputs(app.help().c_str(), stdout);
    return std::nullopt;
  }
  TrainOptions options = read(words);
  if (options.resume) {
    std::vector<std::string> all = words_of_the_run_before(options);
    all.insert(all.end(), words.begin(), words.end());
    options = read(all);
    if (!options.out) options.out = std::filesystem::path(*options.resume).parent_path().string();
    if (options.out->empty()) options.out = ".";
  }
  options.check();
  options.settle();
  if (*options.warmup >= static_cast<double>(*options.schedule_epochs)) {
    throw UsageError(fmt::format("--warmup must be shorter than the schedule of {} epochs; got {:g}",
                                 *options.schedule_epochs, *options.warmup));
  }
  if (*options.schedule_epochs < *options.epochs) {
    throw UsageError(fmt::format("--schedule-epochs must be at least --epochs, {}; got {}", *options.epochs,
                                 *options.schedule_epochs));
  }
  return options;
}

bool TrainOptions::is_default_run() const {
  return !resume && std::all_of(given.begin(), given.end(), [](const auto& entry) { return entry.first == "seed"; });
}

std::vector<std::pair<std::string, std::string>> TrainOptions::identity() const {
  const auto text = [](double number) { return fmt::format("{}", number); };
  return {{"model", model},
          {"labels", labels},
          {"data", data_name()},
          {"train-size", data ? "all" : std::to_string(*train_size)},
          {"augment", *augment},
          {"batch", std::to_string(*batch)},
          {"optimizer", optimizer},
          {"seed", std::to_string(seed)},
          {"lr", text(*lr)},
          {"momentum", optimizer == "sgd" ? text(*momentum) : "none"},
          {"weight-decay", text(*weight_decay)},
          {"label-smoothing", text(label_smoothing)},
          {"schedule", *schedule},
          {"warmup", text(*warmup)},
          {"schedule-epochs", std::to_string(*schedule_epochs)},
          {"precision", precision},
          {"autocast", autocast ? "on" : "off"}};
}

std::vector<std::string> TrainOptions::may_differ() const {
  std::vector<std::string> names;
  if (change) {
    names = kChangeable;
    names.emplace_back("optimizer-state");
  } else {
    // More epochs are a longer schedule, unless its length was given.
    std::copy_if(kLengths.begin(), kLengths.end(), std::back_inserter(names),
                 [&](const std::string& name) { return !is_given(name); });
  }
  if (!names.empty()) names.emplace_back("rates");
  return names;
}

bool TrainOptions::is_given(const std::string& flag) const {
  return std::any_of(given.begin(), given.end(), [&](const auto& entry) { return entry.first == flag; });
}

void TrainOptions::check() const {
  for (const auto& [flag, asked] :
       {std::pair{"--train-size", train_size.has_value()}, {"--test-size", test_size.has_value()}}) {
    if (data && asked)
      throw UsageError(fmt::format("{} is for the embedded data set, and --data names another one", flag));
  }
  if (autocast && precision != TrainOptions().precision) {
    throw UsageError(
        fmt::format("--precision is for products of f32, and with --autocast there are none; got both --autocast and "
                    "--precision {}",
                    precision));
  }
  if (change && !resume) throw UsageError("--change is for --resume, whose run it changes");
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
