#pragma once

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
  [[nodiscard]] std::size_t size() const override { return static_cast<std::size_t>(kSamples); }
  [[nodiscard]] datasets::Sample get(std::size_t index, const datasets::SampleKey& key) const override {
    Generator noise = key.generator();
    const auto label = static_cast<std::int64_t>(index) % kClasses;
    Tensor image = normal({6, 6, 1}, 0, 1, {.generator = &noise});
    image.mutable_data<float>()[label % 2 * 5 + label / 2 * 30] += 3;
    return {image, label};
  }
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
        schedule(*optimizer, {.warmup = 4, .total = kEpochs * kSteps, .start_factor = .25}),
        loader(Corners(), {.batch = kBatch, .shuffle = true, .seed = options.seed, .prefetch = options.prefetch}),
        checkpoint(folder,
                   {.settings = {{"model", "net"}, {"seed", std::to_string(options.seed)}}, .notes = {{"lr", "0.1"}}}) {
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
  void train(Index until = kEpochs * kSteps) {
    while (at.epoch < kEpochs) {
      for (auto [images, labels] : loader) {
        if (at.epoch * kSteps + at.step >= until) {
          checkpoint.save(at);
          return;
        }
        const Tensor logits = model(images);
        const Tensor loss = cross_entropy(logits, labels);
        optimizer->zero_grad();
        loss.backward();
        optimizer->step();
        losses.push_back(loss.item());
        mean += .1 * (loss.item() - mean);
        metrics.add(logits, labels, loss.item());
        curves.add("Loss", "training", static_cast<double>(at.epoch * kSteps + at.step), loss.item());
        schedule.step();
        ++at.step;
      }
      at = {at.epoch + 1, 0};
      log.add({{"epoch", at.epoch}, {"lr", optimizer->lr()}, {"loss", metrics.loss()}, {"top1", metrics.top1()}});
      metrics.reset();
      checkpoint.save(at, log.at(log.rows() - 1, "top1"));
    }
  }

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

  bool seeded;  // before the model draws its weights
  Net model;
  std::unique_ptr<optim::Optimizer> optimizer;
  optim::WarmupCosineLR schedule;
  datasets::Loader loader;
  train::Metrics metrics{kClasses};
  train::Log log;
  train::Curves curves;
  double mean = 0;
  train::Checkpoint checkpoint;
  train::Position at;
  std::vector<double> losses;  // of the steps that this object has done
};

}  // namespace tapestry::test
