#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/nn/train/metrics.h>

namespace tapestry::nn::train {

struct ProgressOptions {
  double images = 0;            ///< of the whole run, each times the weight of its part; 0: the time left is not shown
  bool quiet = false;           ///< shows nothing at all
  std::FILE* stream = nullptr;  ///< standard output without; must outlive this object
  double seconds = -1;          ///< between two pictures of the bar; below 0: 0.1 on a terminal, 5 elsewhere
};

/// Tells how far a long run has come: a bar with loss, accuracy, images per second and the time left that redraws
/// itself on a terminal, a plain line now and then anywhere else (a file full of carriage returns helps nobody). What
/// is shown of loss and accuracy is a mean over about the last 20 steps. A stream that cannot be written to is passed
/// over: a training must not end because of its picture.
///
///     train::Progress progress({.images = epochs * 50000.});
///     progress.begin("epoch 1/2", loader.batches());
///     for (...) { ...; progress.step(metrics.add(logits, labels, loss.item())); }
///     progress.end();
class Progress {
 public:
  explicit Progress(const ProgressOptions& options = {});
  ~Progress();  ///< wipes the bar off
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A part of the run begins: so many steps under this label ("epoch 1/2", "testing"). An image of this part takes
  /// `weight` times the work of one with weight 1.
  void begin(std::string label, Index steps, double weight = 1);

  /// So many steps of the part under way, and images of the whole run, were done before this program began.
  void skip(Index steps, double images);

  /// The run ends earlier than it was to: only so many images are left.
  void shorten(double images_left);

  /// A step has ended: `progress.step({.images = 64, .loss = 0.7})`.
  void step(const BatchScore& score);
  /// A step of work that is no training has ended: the bar tells steps and the time left of this part.
  void step();

  /// The part has ended; its bar is wiped off.
  void end();

  /// Prints a line; the bar moves on below it.
  void say(std::string_view line);

 private:
  struct Impl;
  Handle<Impl> impl_;
};

/// "1:02" or "2:05:09" for a number of seconds, rounded to whole ones.
[[nodiscard]] std::string clock_text(double seconds);

/// "12,345" for a number, rounded to a whole one.
[[nodiscard]] std::string grouped(double number);

}  // namespace tapestry::nn::train
