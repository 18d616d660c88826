#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What a training run has measured, as CSV, JSON and a picture. Numbers are written the same way in every locale.
namespace tapestry::examples {

/// Part of an epoch: means over the steps since the point before.
struct StepPoint {
  double epoch = 0;  ///< at its end, counted from the start of the run: 0.5 is half-way through the first
  std::int64_t step = 0;
  double learning_rate = 0;
  double train_loss = 0;
  double train_top1 = 0;  ///< part of all, 0 to 1; so below
};

struct EpochPoint {
  int epoch = 0;  ///< finished ones: the first has number 1
  std::int64_t step = 0;
  double learning_rate = 0;  ///< of its last step
  double train_loss = 0;
  double train_top1 = 0;
  double test_loss = 0;
  double test_top1 = 0;
  double test_top5 = 0;
  double images_per_second = 0;  ///< while training
  double seconds = 0;            ///< training and testing
};

/// One row per epoch, resp. per point; names of the columns are those of the members.
[[nodiscard]] std::string to_csv(std::span<const EpochPoint> epochs);
[[nodiscard]] std::string to_csv(std::span<const StepPoint> steps);

/// Back from such text, to go on with an earlier run's curves. Ends at the first line that is not as to_csv() writes
/// it.
[[nodiscard]] std::vector<EpochPoint> epochs_from_csv(std::string_view text);
[[nodiscard]] std::vector<StepPoint> steps_from_csv(std::string_view text);

/// One line.
[[nodiscard]] std::string to_json(const EpochPoint& epoch);

/// Two panels, loss and accuracy over epochs: training as a line through `steps`, testing as dots at the ends of
/// epochs.
[[nodiscard]] std::string curves_svg(const std::string& title, std::span<const StepPoint> steps,
                                     std::span<const EpochPoint> epochs);

}  // namespace tapestry::examples
