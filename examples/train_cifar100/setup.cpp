#include "setup.h"

#include <algorithm>
#include <cmath>

#include <tapestry/datasets/cifar.h>
#include <tapestry/datasets/patterns.h>
#include <tapestry/datasets/transforms.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/sgd.h>

namespace tapestry::examples {

TrainData load_data(const TrainOptions& options) {
  using namespace datasets;
  const Labels labels = options.labels == "fine" ? Labels::fine : Labels::coarse;
  // Mean and deviation of the training images; those of the embedded ones were measured on all 50,000 of seed 1.
  const Normalize normalize =
      options.data ? Normalize{cifar100_mean, cifar100_std} : Normalize{{.4028, .3935, .3944}, {.2083, .2052, .2075}};
  const ImageTransform plain = Compose{ToFloat{}, normalize};
  const ImageTransform augmented = Compose{RandomCrop{.padding = 4}, RandomHorizontalFlip{}, ToFloat{}, normalize};
  const ImageTransform& for_training = options.augments() ? augmented : plain;
  if (options.data) {
    return {CIFAR100(*options.data, {.train = true, .labels = labels, .transform = for_training}),
            CIFAR100(*options.data, {.train = false, .labels = labels, .transform = plain})};
  }
  return {Patterns({.train = true,
                    .size = static_cast<std::size_t>(*options.train_size),
                    .labels = labels,
                    .transform = for_training}),
          Patterns({.train = false,
                    .size = static_cast<std::size_t>(*options.test_size),
                    .labels = labels,
                    .transform = plain})};
}

std::unique_ptr<optim::Optimizer> make_optimizer(const TrainOptions& options, const nn::Module& model) {
  if (options.optimizer == "adamw") {
    return std::make_unique<optim::AdamW>(
        model.named_parameters(), optim::AdamWOptions{.lr = *options.lr, .weight_decay = *options.weight_decay});
  }
  return std::make_unique<optim::SGD>(model.named_parameters(), optim::SGDOptions{.lr = *options.lr,
                                                                                  .momentum = *options.momentum,
                                                                                  .weight_decay = *options.weight_decay,
                                                                                  .nesterov = *options.momentum > 0});
}

optim::Schedule make_schedule(const TrainOptions& options, optim::Optimizer& optimizer, Index steps_per_epoch) {
  const Index total = *options.schedule_epochs * steps_per_epoch;
  const auto asked = static_cast<Index>(std::llround(*options.warmup * static_cast<double>(steps_per_epoch)));
  const Index warmup = std::min(asked, total - 1);
  // The first step of a warm-up has a rate too, else it would be wasted.
  const double first = warmup > 0 ? 1 / static_cast<double>(warmup) : 1;
  if (options.schedule == "linear") {
    std::vector<std::pair<Index, double>> points = {{0, first}, {total, 0}};
    if (warmup > 1) points.insert(points.begin() + 1, {warmup - 1, 1});
    return optim::PiecewiseLinearLR(optimizer, points);
  }
  if (options.schedule == "cosine") {
    return optim::WarmupCosineLR(optimizer, {.warmup = warmup, .total = total, .start_factor = first});
  }
  const optim::LinearLR rise(optimizer, {.start_factor = first, .total_iters = std::max<Index>(warmup, 1)});
  if (options.schedule == "constant") return rise;
  const auto at = [&](double part) { return static_cast<Index>(part * static_cast<double>(total)) - warmup; };
  const optim::MultiStepLR fall(optimizer, {.milestones = {at(.3), at(.6), at(.8)}, .gamma = .2});
  return optim::SequentialLR(optimizer, {rise, fall}, {warmup});
}

}  // namespace tapestry::examples
