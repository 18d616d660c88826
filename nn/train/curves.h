#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/nn/train/state.h>

namespace tapestry::nn::train {

struct PanelOptions {
  int decimals = 2;                                          ///< of the number beside the end of a curve
  double highest = std::numeric_limits<double>::infinity();  ///< no axis goes beyond: 100 for percent
};

/// Curves over the course of a run, as a picture (SVG) that a browser shows: panels side by side, each with series of
/// points joined by lines, the latest value beside the end of each.
///
///     train::Curves curves("ResNet-20, seed 1");
///     curves.add("Loss", "training", epoch, metrics.loss());
///     curves.add("Loss", "test", epoch, test.loss());
///     curves.write("runs/first/curves.svg");
///
/// Panels and series stand in the order in which they were first named. Points that are far enough apart get dots. A
/// point that is not finite leaves a gap.
class Curves {
 public:
  /// `title` stands above all panels, `x` below each axis.
  explicit Curves(std::string title = {}, std::string x = "epoch") : title_(std::move(title)), x_(std::move(x)) {}

  /// What else is to be known of a panel, which need not have points yet. Throws std::invalid_argument for decimals
  /// outside [0, 9] and a NaN as the highest value.
  void panel(std::string_view name, const PanelOptions& options, Here here = {});

  /// Adds a point to a series. Points of a series come in order of x.
  void add(std::string_view panel, std::string_view series, double x, double y, Here here = {});

  /// Replaces the title.
  void title(std::string text) { title_ = std::move(text); }

  [[nodiscard]] std::string svg() const;
  /// Replaces the file in one step. Throws FileError when it cannot be written; the old one is whole then.
  void write(const std::string& path, Here here = {}) const;

  /// Names and points; titles and panel options belong to the program.
  [[nodiscard]] State state() const;
  void load_state(const State& state, Here here = {});

 private:
  struct Point {
    double x, y;
  };
  struct Series {
    std::string name;
    std::vector<Point> points;
  };
  struct Panel {
    std::string name;
    PanelOptions options;
    std::vector<Series> series;
  };
  friend class CurvesPicture;

  Panel& panel_named(std::string_view name);

  std::string title_, x_;
  std::vector<Panel> panels_;
};

}  // namespace tapestry::nn::train
