// A training loop of one's own, with the pieces of train:: around it: a checkpoint from which it goes on bit for bit,
// metrics, a progress bar, a log, curves, and a sheet of the surest mistakes. Ctrl-C stops it in good order.
//
//   04_training_loop [FOLDER [EPOCHS]]     goes on from what lies in the folder
#include <cstdio>
#include <exception>
#include <string>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr Index kImages = 2048, kBatch = 64;

/// Bytes to numbers around 0; for training, shifted and mirrored at random before.
datasets::ImageTransform transform(bool augment) {
  const datasets::Compose numbers{datasets::ToFloat(), datasets::Normalize({.4, .4, .4}, {.2, .2, .2})};
  if (!augment) return numbers;
  return datasets::Compose{datasets::RandomCrop{.padding = 2}, datasets::RandomHorizontalFlip(), numbers};
}

/// Loss, accuracies and mistakes on pictures that the model was not trained on.
train::Metrics test(nn::AnyModule& model, const datasets::Patterns& data, train::ContactSheet& mistakes) {
  const NoGradGuard guard;
  model.eval();
  train::Metrics metrics(std::ssize(data.classes()));
  for (auto [images, labels] : datasets::Loader(data, {.batch = 250})) {
    const Tensor logits = model(images);
    metrics.add(logits, labels, cross_entropy(logits, labels).item());
    mistakes.add(logits, labels);
  }
  model.train();
  return metrics;
}

int run(const std::string& folder, Index epochs) {
  manual_seed(1);
  const datasets::Patterns training(
      {.size = kImages, .labels = datasets::Labels::coarse, .transform = transform(true)});
  const datasets::Patterns testing(
      {.train = false, .size = 500, .labels = datasets::Labels::coarse, .transform = transform(false)});

  nn::AnyModule model = nn::models::make("lecture_cnn_bn", std::ssize(training.classes()));
  optim::SGD sgd(model.parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  datasets::Loader loader(training, {.batch = kBatch, .shuffle = true, .seed = 7});
  optim::CosineAnnealingLR rate(sgd, {.T_max = epochs * loader.batches()});

  train::Metrics metrics(std::ssize(training.classes()));
  train::Log log;
  train::Curves curves("lecture_cnn_bn on coarse patterns");

  // What is added is written by save() and put back by resume(), random state and half an epoch included.
  train::Checkpoint checkpoint(folder, {.settings = {{"epochs", std::to_string(epochs)}}});
  checkpoint.add("model", model).add("sgd", sgd).add("rate", rate).add("random", default_generator());
  checkpoint.add("loader", loader).add("metrics", metrics).add("log", log).add("curves", curves);
  train::Position at = checkpoint.resume_if_any();
  if (at != train::Position{}) std::printf("going on at epoch %d, step %d\n", int(at.epoch + 1), int(at.step));

  train::Progress progress({.images = static_cast<double>(epochs * kImages)});
  progress.skip(0, static_cast<double>(at.epoch * kImages));
  const train::Interrupt interrupt;
  for (; at.epoch < epochs; at = {at.epoch + 1, 0}) {
    progress.begin("epoch " + std::to_string(at.epoch + 1) + "/" + std::to_string(epochs), loader.batches());
    progress.skip(at.step, static_cast<double>(at.step * kBatch));
    for (auto [images, labels] : loader) {
      if (interrupt) {
        checkpoint.save(at);
        std::printf("stopped; the same command goes on\n");
        return interrupt.exit_status();
      }
      const Tensor logits = model(images);
      const Tensor loss = cross_entropy(logits, labels);
      sgd.zero_grad();
      loss.backward();
      sgd.step();
      rate.step();
      ++at.step;
      progress.step(metrics.add(logits, labels, loss.item()));
    }
    progress.end();

    train::ContactSheet mistakes;
    const train::Metrics tested = test(model, testing, mistakes);
    const auto epoch = static_cast<double>(at.epoch + 1);
    std::printf("epoch %d   loss %.4f, %.1f %% right   test: loss %.4f, %.1f %% right, %.1f %% among the best five\n",
                int(epoch), metrics.loss(), 100 * metrics.top1(), tested.loss(), 100 * tested.top1(),
                100 * tested.top5());
    log.add({{"epoch", epoch}, {"lr", sgd.lr()}, {"train_loss", metrics.loss()}, {"test_top1", tested.top1()}});
    curves.add("Loss", "training", epoch, metrics.loss());
    curves.add("Loss", "test", epoch, tested.loss());
    curves.add("Right, %", "training", epoch, 100 * metrics.top1());
    curves.add("Right, %", "test", epoch, 100 * tested.top1());
    metrics.reset();

    log.write_csv(folder + "/metrics.csv");
    curves.write(folder + "/curves.svg");
    mistakes.write(folder + "/wrong_predictions.png", "The surest mistakes", testing);
    checkpoint.save({at.epoch + 1, 0}, tested.top1());
  }
  std::printf("best %.1f %%; the results are in %s/\n", 100 * checkpoint.best().value_or(0), folder.c_str());
  return 0;
}

int main(int argc, char** argv) try {
  return run(argc > 1 ? argv[1] : "training", argc > 2 ? std::stoi(argv[2]) : 2);
} catch (const std::exception& error) {
  std::fprintf(stderr, "04_training_loop: %s\n", error.what());
  return 1;
}
