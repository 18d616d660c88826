#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <tapestry/datasets/loader.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/nn/train/checkpoint.h>
#include <tapestry/nn/train/curves.h>
#include <tapestry/nn/train/log.h>
#include <tapestry/nn/train/metrics.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/shape_ops.h>

/// A small training run with everything that a checkpoint has to keep: batch statistics, dropout, augmentation,
/// momenta, a schedule that warms up, a last batch that is not full.
namespace tapestry::test {

inline constexpr Index kSamples = 70, kBatch = 16, kClasses = 4, kEpochs = 3;
inline constexpr Index kSteps = 5;  // of an epoch: four full batches and one of 6

/// Images of noise with a bright corner that tells the class; each visit adds other noise.
class Corners final : public datasets::Dataset {
 public:
  explicit Corners(Index samples = kSamples) : samples_(samples) {}
  [[nodiscard]] std::size_t size() const override { return static_cast<std::size_t>(samples_); }
  [[nodiscard]] datasets::Sample get(std::size_t index, const datasets::SampleKey& key) const override {
    Generator noise = key.generator();
    const auto label = static_cast<std::int64_t>(index) % kClasses;
    Tensor image = normal({6, 6, 1}, 0, 1, {.generator = &noise});
    image.mutable_data<float>()[label % 2 * 5 + label / 2 * 30] += 3;
    return {image, label};
  }

 private:
  Index samples_;
};

class Net : public nn::Module {
 public:
  Net()
      : conv_{child("conv", nn::Conv2d{1, 8, {.kernel = 3, .padding = 1, .bias = false}})},
        norm_{child("norm", nn::BatchNorm2d{8})},
        dropout_{child("dropout", nn::Dropout{.2})},
        fc_{child("fc", nn::Linear{288, kClasses})} {}
  Tensor operator()(const Tensor& x) const { return fc_(flatten(dropout_(relu(norm_(conv_(x)))))); }

 private:
  nn::Conv2d conv_;
  nn::BatchNorm2d norm_;
  nn::Dropout dropout_;
  nn::Linear fc_;
};

struct RunOptions {
  bool adamw = false;
  Index prefetch = 2;
  std::uint64_t seed = 3;
  Index samples = kSamples, batch = kBatch;
  Index drop = 0;        ///< step at which the rate falls to a fifth; 0: along a cosine instead
  Index save_every = 0;  ///< steps; 0: at the end of epochs only
  Callable<void()> saved = [] {};
};

/// All that a run consists of, and its loop.
struct Run {
  explicit Run(const std::string& folder, const RunOptions& options = {})
      : seeded((manual_seed(options.seed), true)),
        optimizer(options.adamw
                      ? std::unique_ptr<optim::Optimizer>(
                            std::make_unique<optim::AdamW>(model.named_parameters(), optim::AdamWOptions{.lr = .01}))
                      : std::make_unique<optim::SGD>(model.named_parameters(),
                                                     optim::SGDOptions{.lr = .1, .momentum = .9, .nesterov = true})),
        loader(Corners(options.samples),
               {.batch = options.batch, .shuffle = true, .seed = options.seed, .prefetch = options.prefetch}),
        steps(loader.batches()),
        schedule(schedule_of(*optimizer, options, steps)),
        checkpoint(folder,
                   {.settings = {{"model", "net"}, {"seed", std::to_string(options.seed)}}, .notes = {{"lr", "0.1"}}}),
        save_every(options.save_every),
        saved(options.saved) {
    checkpoint.add("model", model)
        .add("optimizer", *optimizer)
        .add("rate", schedule)
        .add("random", default_generator())
        .add("loader", loader)
        .add("metrics", metrics)
        .add("log", log)
        .add("curves", curves)
        .add("mean", mean);
  }

  /// Trains until the end, or until that many steps of all have been done; saves where it stops.
  void train(Index until = INT64_MAX) {
    while (at.epoch < kEpochs) {
      for (auto [images, labels] : loader) {
        if (done() >= until) {
          checkpoint.save(at);
          return;
        }
        if (save_every > 0 && at.step > 0 && done() % save_every == 0) {
          checkpoint.save(at);
          saved();
        }
        const Tensor logits = model(images);
        const Tensor loss = cross_entropy(logits, labels);
        optimizer->zero_grad();
        loss.backward();
        optimizer->step();
        losses.push_back(loss.item());
        mean += .1 * (loss.item() - mean);
        metrics.add(logits, labels, loss.item());
        curves.add("Loss", "training", static_cast<double>(done()), loss.item());
        schedule.step();
        ++at.step;
      }
      at = {at.epoch + 1, 0};
      log.add({{"epoch", at.epoch}, {"lr", optimizer->lr()}, {"loss", metrics.loss()}, {"top1", metrics.top1()}});
      metrics.reset();
      checkpoint.save(at, log.at(log.rows() - 1, "top1"));
      saved();
    }
  }

  /// Steps of all.
  [[nodiscard]] Index done() const { return at.epoch * steps + at.step; }

  /// Everything that the run is, in one list of tensors.
  [[nodiscard]] std::vector<Tensor> everything() const {
    std::vector<Tensor> out;
    for (const auto& x : model.named_parameters()) out.push_back(x.tensor);
    for (const auto& x : model.named_buffers()) out.push_back(x.tensor);
    for (const auto& [name, x] : optimizer->state()) out.push_back(x);
    for (const train::State& state : {metrics.state(), log.state(), curves.state()}) {
      for (const auto& x : state.tensors) out.push_back(x.tensor);
    }
    const Generator::State random = default_generator().state();
    out.push_back(tensor({static_cast<std::int64_t>(random.seed), static_cast<std::int64_t>(random.offset)}));
    out.push_back(tensor({mean, optimizer->lr()}, {.dtype = f64}));
    return out;
  }

  [[nodiscard]] static optim::Schedule schedule_of(optim::Optimizer& optimizer, const RunOptions& options,
                                                   Index steps) {
    if (options.drop == 0)
      return optim::WarmupCosineLR(optimizer, {.warmup = 4, .total = kEpochs * steps, .start_factor = .25});
    const optim::LinearLR rise(optimizer, {.start_factor = .25, .total_iters = 4});
    const optim::MultiStepLR fall(optimizer, {.milestones = {options.drop - 4}, .gamma = .2});
    return optim::SequentialLR(optimizer, {rise, fall}, {4});
  }

  bool seeded;  // before the model draws its weights
  Net model;
  std::unique_ptr<optim::Optimizer> optimizer;
  datasets::Loader loader;
  Index steps;  // of an epoch
  optim::Schedule schedule;
  train::Metrics metrics{kClasses};
  train::Log log;
  train::Curves curves;
  double mean = 0;
  train::Checkpoint checkpoint;
  Index save_every;
  Callable<void()> saved;
  train::Position at;
  std::vector<double> losses;  // of the steps that this object has done
};

}  // namespace tapestry::test
