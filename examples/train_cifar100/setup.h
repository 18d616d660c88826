#pragma once

#include <memory>

#include <tapestry/datasets/labelled_images.h>
#include <tapestry/nn/optim/optimizer.h>
#include <tapestry/nn/optim/schedules.h>

#include "options.h"

/// From what train_cifar100 was asked for to the objects it works with.
namespace tapestry::examples {

struct TrainData {
  datasets::LabelledImages train, test;
};

/// CIFAR-100 from files, or the embedded data set drawn now, with normalised images. Throws FileError.
[[nodiscard]] TrainData load_data(const TrainOptions& options);

[[nodiscard]] std::unique_ptr<optim::Optimizer> make_optimizer(const TrainOptions& options, const nn::Module& model);

/// The rate of every step, counted from the first one of the first epoch.
[[nodiscard]] optim::Schedule make_schedule(const TrainOptions& options, optim::Optimizer& optimizer,
                                            Index steps_per_epoch);

}  // namespace tapestry::examples
