#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include "options.h"

namespace tapestry::examples {

/// A point of a published run, to be compared with ours.
struct ReferencePoint {
  int epoch;
  double train_loss;
  double train_top1, test_top1;  ///< percent
};

/// ResNet-20 on CIFAR-100 under recipe a: one run of chenyaofo/pytorch-cifar-models in fp32. train_loss is the mean
/// over the steps of the epoch.
inline constexpr std::array<ReferencePoint, 10> kResnet20RecipeA{{{1, 3.9303, 9.42, 9.82},
                                                                  {2, 3.2711, 19.32, 17.28},
                                                                  {3, 2.8244, 27.40, 25.47},
                                                                  {5, 2.2787, 38.68, 25.93},
                                                                  {10, 1.7759, 50.50, 36.41},
                                                                  {20, 1.4838, 57.93, 48.26},
                                                                  {50, 1.2296, 64.49, 47.91},
                                                                  {100, .9790, 71.04, 55.32},
                                                                  {150, .6206, 81.15, 63.61},
                                                                  {200, .3067, 91.88, 68.48}}};

/// How far from that loss another seed may end: an epoch's mean still holds the first steps' spread at epoch 1.
[[nodiscard]] constexpr double loss_tolerance(int epoch) { return epoch == 1 ? .05 : .03; }

/// The published numbers for this epoch, where they can be compared: same model, recipe and data.
[[nodiscard]] inline std::optional<ReferencePoint> reference_for(const TrainOptions& options, int epoch) {
  if (options.model != "resnet20" || options.recipe != "a" || !options.data || options.labels != "fine")
    return std::nullopt;
  const auto* const found = std::find_if(kResnet20RecipeA.begin(), kResnet20RecipeA.end(),
                                         [&](const ReferencePoint& point) { return point.epoch == epoch; });
  if (found == kResnet20RecipeA.end()) return std::nullopt;
  return *found;
}

}  // namespace tapestry::examples
