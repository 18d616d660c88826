#pragma once

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <tapestry/datasets/loader.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/train/checkpoint.h>
#include <tapestry/nn/train/contact_sheet.h>
#include <tapestry/nn/train/curves.h>
#include <tapestry/nn/train/interrupt.h>
#include <tapestry/nn/train/log.h>
#include <tapestry/nn/train/metrics.h>
#include <tapestry/nn/train/progress.h>

#include "options.h"
#include "output_folder.h"
#include "setup.h"

namespace tapestry::examples {

/// A training run: the loop, and what it shows, measures and keeps.
class Training {
 public:
  /// `program` is what the commands that are printed begin with.
  Training(const TrainOptions& options, nn::AnyModule model, TrainData data, const OutputFolder& folder,
           std::string program);

  /// Trains; returns the program's exit status.
  int run();

 private:
  void resume();
  bool train_epoch();
  void save(std::optional<double> value = {});
  int finish(const train::Metrics& result);
  void note_point();
  void note_epoch(const train::Metrics& test, double test_seconds);
  train::Metrics test(Index images);
  [[nodiscard]] Tensor logits_of(const Tensor& images) const;
  void write_curves();
  void write_mistakes() const;
  int stop();

  // What people read.
  void tell_start() const;
  void tell_epoch();
  void tell_end(const train::Metrics& test) const;
  [[nodiscard]] std::string resume_command(const std::string& more = {}) const;
  template <class... Args>
  void tell(fmt::format_string<Args...> format, Args&&... args) const {
    if (!options_.quiet) std::fputs(fmt::format(format, std::forward<Args>(args)...).c_str(), text_);
  }

  [[nodiscard]] double work_per_epoch() const;
  [[nodiscard]] Index steps_done() const { return at_.epoch * steps_per_epoch_ + at_.step; }

  const TrainOptions& options_;
  nn::AnyModule model_;
  TrainData data_;
  const OutputFolder& folder_;
  std::string program_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  datasets::Loader loader_;
  Index steps_per_epoch_;
  optim::Schedule schedule_;
  std::FILE* text_;  // standard output, or error where --json has the other for itself
  train::Progress progress_;
  train::Interrupt interrupt_;

  train::Position at_;
  train::Metrics epoch_, point_;  // since the epoch began, since the last point of the curves
  double seconds_ = 0;            // of this epoch, training alone
  std::chrono::steady_clock::time_point saved_;
  train::Log epochs_, steps_;
  train::Curves curves_;
  train::ContactSheet sheet_;  // of the last test
  train::Checkpoint checkpoint_;
};

}  // namespace tapestry::examples
