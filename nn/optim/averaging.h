#pragma once

#include <concepts>
#include <optional>
#include <type_traits>
#include <vector>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/optim/optimizer.h>

/// Averages of parameters over time, which mostly generalise better than the last ones. Each is a module that holds a
/// copy of every tensor it averages, its shadow, under the model's keys: it can be saved, loaded, and added to a
/// checkpoint. swap() puts the averages into the model and the model's values aside; a second swap() restores them:
///
///     optim::ExponentialMovingAverage average(model, {.decay = 0.999});
///     ...
///     sgd.step();
///     average.update();
///     ...
///     average.swap();
///     evaluate(model);
///     average.swap();
namespace tapestry::nn::optim {

/// What both averages share. Tensors of f32 and f64 are averaged, parameters and buffers alike; those of integers are
/// copied. Copies are handles on the same shadows.
class Average : public Module {
 public:
  /// One more state of the model into the average. Throws std::logic_error between two swaps, where the model holds the
  /// averages.
  void update(Here here = {});
  /// The averages, and their state between swaps, change places with the model's values. Computations recorded before
  /// can then not be played backward.
  void swap(Here here = {});
  /// The averages change to what the model holds, and the count of updates to 0.
  void reset(Here here = {});

  [[nodiscard]] Index updates() const;    ///< how many there have been
  [[nodiscard]] bool is_swapped() const;  ///< the averages stand in the parameters' place

  /// The shadows as a module under the model's keys: nn::save(average.averages(), path) writes a file that the model
  /// can load.
  [[nodiscard]] const Module& averages() const noexcept { return averages_; }

 protected:
  /// How much of update number t, counted from 1, goes into the average.
  using Weight = Callable<double(Index t)>;
  Average(const char* name, const std::vector<NamedTensor>& parameters, const std::vector<NamedTensor>& buffers,
          Weight weight, const Here& here);

 private:
  class Shadows;
  struct Pair {
    Tensor value, shadow;
  };

  void check_not_swapped() const;

  const char* name_;
  Weight weight_;
  Module averages_;
  std::vector<Pair> pairs_;
  Tensor updates_;  ///< "n_averaged", i64
  Tensor swapped_;  ///< "swapped", i64: 1 between swaps
};

struct ExponentialMovingAverageOptions {
  double decay = 0.999;  ///< the part of a shadow that stays
  bool warmup = false;   ///< a smaller decay at first: min(decay, (1 + t) / (10 + t)) at update t, counted from 1
};

/// shadow = decay shadow + (1 - decay) value, beginning with the values that are there when it is made (Polyak and
/// Juditsky, 1992, for SGD). Throws std::invalid_argument for a decay outside [0, 1], an undefined tensor, one that is
/// neither f32, f64 nor of integers, an empty list, and a name that comes twice.
class ExponentialMovingAverage final : public Average {
 public:
  /// Of parameters and buffers.
  explicit ExponentialMovingAverage(const Module& model, const ExponentialMovingAverageOptions& options = {},
                                    Here here = {});
  /// Of these.
  explicit ExponentialMovingAverage(const Parameters& parameters, const ExponentialMovingAverageOptions& options = {},
                                    Here here = {});
};

/// Stochastic weight averaging (Izmailov et al., 2018), PyTorch's AveragedModel: the mean of the parameters at each
/// update(), of which the first replaces what was there. Buffers are left out: update_bn() makes those of batch
/// normalisation anew once the averages are in the model. Throws std::invalid_argument as ExponentialMovingAverage.
class StochasticWeightAverage final : public Average {
 public:
  explicit StochasticWeightAverage(const Module& model, Here here = {});
  explicit StochasticWeightAverage(const Parameters& parameters, Here here = {});
};

namespace detail {

/// For the time of a scope: statistics of batch normalisation begin anew and count all batches alike, the model is in
/// training mode, and nothing is recorded. What was training and what was not is put back at the end.
class Reestimation {
 public:
  explicit Reestimation(const Module& model);
  ~Reestimation();
  Reestimation(const Reestimation&) = delete;
  Reestimation& operator=(const Reestimation&) = delete;

 private:
  struct Mode {
    Module module;
    bool training;
  };
  NoGradGuard unrecorded_;
  CumulativeStatistics alike_;
  std::vector<Mode> modes_;
};

}  // namespace detail

/// Makes the running statistics of a model's batch normalisation anew: those of the batches, each counting the same,
/// for the weights that the model has now. A batch is a tensor, or has a member `images`: a datasets::Loader is a range
/// of them. Layers of this library (BatchNorm1d, BatchNorm2d) count alike whatever their momentum; buffers called
/// running_mean, running_var and num_batches_tracked of other modules begin anew too.
template <std::derived_from<Module> M, class Batches>
void update_bn(const M& model, Batches&& batches, Here here = {}) {
  const CallSite site(here);
  const detail::Reestimation scope(model);
  for (const auto& batch : batches) {
    if constexpr (std::convertible_to<decltype(batch), const Tensor&>) static_cast<void>(model(batch));
    else static_cast<void>(model(batch.images));
  }
}

}  // namespace tapestry::nn::optim
