#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tapestry::examples {

/// What train_cifar100 is asked to do. Members that depend on others are empty until settle() has filled them in.
struct TrainOptions {
  std::optional<std::string> data;  ///< folder of CIFAR-100; the embedded data set without
  std::string labels = "fine";
  std::optional<std::int64_t> train_size, test_size;
  std::optional<std::string> augment;

  std::string model = "lecture_cnn_bn";
  std::optional<std::string> recipe;
  std::optional<std::int64_t> epochs, schedule_epochs, batch;
  std::string optimizer = "sgd";
  std::optional<double> lr, momentum, weight_decay;
  double label_smoothing = 0;
  std::optional<std::string> schedule;
  std::optional<double> warmup;       ///< epochs
  std::string precision = "highest";  ///< of f32 products
  bool autocast = false;
  std::uint64_t seed = 1;
  std::optional<std::int64_t> threads;

  std::optional<std::string> out, resume;
  double save_minutes = 10;  ///< between saves within an epoch
  bool change = false;       ///< the resumed run may have another rate and so on
  bool json = false, quiet = false, summary = false;

  /// What was asked for and changes the result: flags and their values, empty for those that take none. Given again,
  /// they ask for the same.
  std::vector<std::pair<std::string, std::string>> given;

  /// Reads the command line; what it leaves open is taken from the checkpoint that --resume names. Nothing when --help
  /// was asked for and has been printed. Throws UsageError, CLI::ParseError, FileError.
  [[nodiscard]] static std::optional<TrainOptions> parse(const std::vector<std::string>& words);

  [[nodiscard]] bool augments() const { return augment == "on"; }
  [[nodiscard]] std::string data_name() const { return data ? "CIFAR-100" : "Patterns"; }
  /// Whether nothing was asked for that changes the result, but perhaps the seed.
  [[nodiscard]] bool is_default_run() const;

  /// What must be the same in a run that goes on, as names of flags and their values.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> identity() const;
  /// Names among them, and parts of the checkpoint, in which it may differ all the same: what was changed on purpose,
  /// by --change or by asking for more epochs.
  [[nodiscard]] std::vector<std::string> may_differ() const;

 private:
  [[nodiscard]] bool is_given(const std::string& flag) const;
  void check() const;
  void settle();
};

}  // namespace tapestry::examples
