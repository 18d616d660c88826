#include <tapestry/nn/train/curves.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>

namespace tapestry::nn::train {
namespace {

struct Place {
  double x, y;  // pixels, y downwards
};

struct Rectangle {
  double left, top, width, height;  // pixels
};

constexpr double kPanelWidth = 520, kPanelHeight = 390;  // pixels, with labels
constexpr double kPlotWidth = 390, kPlotHeight = 270;    // the area of the curves in it
constexpr double kPlotLeft = 56, kPlotTop = 66;
constexpr double kTitleHeight = 40;
constexpr std::size_t kPanelsPerRow = 2;
constexpr double kDotSpacing = 12;   // pixels between points, on average, from which on they get dots
constexpr double kLetterWidth = 7;   // pixels, about, in the legend's size
constexpr double kLabelHeight = 15;  // pixels between the numbers at the ends of curves
constexpr int kTicks = 5;            // about so many per axis

// Told apart by people with any kind of colour vision, and in grey.
constexpr std::array kColours = {"#2f6fbb", "#d9730d", "#2a9d6f", "#8e44ad", "#b03a5b", "#6b7280"};
constexpr const char* kInk = "#24292f";
constexpr const char* kSoftInk = "#6e7781";
constexpr const char* kGrid = "#e7eaee";

const char* colour_of(std::size_t series) { return kColours[series % kColours.size()]; }

/// 1, 2 or 5 times a power of ten, so that about `count` of them cover `range`.
double nice_step(double range, int count) {
  const double rough = range / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1., 2., 5.}) {
    if (rough <= factor * power * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else if (static_cast<unsigned char>(c) >= 0x20)  // XML has no control characters
      out += c;
  }
  return out;
}

std::string text_at(double x, double y, const char* anchor, const char* colour, double size, std::string_view text,
                    const char* weight = "normal") {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\" font-size=\"{:g}\" "
      "font-weight=\"{}\">{}</text>\n",
      x, y, anchor, colour, size, weight, escaped(text));
}

std::string line_between(Place a, Place b, const char* colour) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", a.x, a.y, b.x,
                     b.y, colour);
}

/// The shortest stretch of an axis around numbers of this size: far longer than their rounding, or ticks would
/// coincide.
double shortest(double low, double high) { return 1e-9 * std::max({1.0, std::abs(low), std::abs(high)}); }

/// The range of an axis: begin and end are ticks.
struct Axis {
  double begin = 0, end = 1, tick = 1;

  static Axis covering(double low, double high, double highest) {
    Axis axis;
    if (low >= 0 && low < .6 * high) low = 0;
    axis.tick = nice_step(std::max(high - low, shortest(low, high)), kTicks);
    axis.begin = std::floor(low / axis.tick + 1e-9) * axis.tick;
    axis.end = std::min(std::ceil(high / axis.tick - 1e-9) * axis.tick, highest);
    if (axis.end <= axis.begin) axis.end = axis.begin + axis.tick;
    return axis;
  }
  [[nodiscard]] double part(double value) const { return (value - begin) / (end - begin); }
  /// Number of ticks behind the first.
  [[nodiscard]] int ticks() const { return static_cast<int>(std::min((end - begin) / tick + 1e-6, 10.0 * kTicks)); }
};

/// Moves the labels beside the ends of curves apart, keeping their order.
void spread(std::vector<double*> heights, double gap) {
  std::sort(heights.begin(), heights.end(), [](const double* a, const double* b) { return *a < *b; });
  for (int pass = 0; pass < 20; ++pass) {
    for (std::size_t i = 1; i < heights.size(); ++i) {
      const double overlap = gap - (*heights[i] - *heights[i - 1]);
      if (overlap <= 0) continue;
      *heights[i - 1] -= overlap / 2;
      *heights[i] += overlap / 2;
    }
  }
}

int decimals_of(double tick) { return std::max(0, static_cast<int>(std::ceil(-std::log10(tick) - 1e-9))); }

std::string number(double value, int decimals) {
  return fmt::format("{:.{}f}", std::abs(value) < 1e-12 ? 0 : value, decimals);
}

}  // namespace

/// Draws what Curves holds.
class CurvesPicture {
 public:
  explicit CurvesPicture(const Curves& curves) : curves_(curves) {
    double last = 0, first = 0;
    for (const Curves::Panel& panel : curves.panels_) {
      for (const Curves::Series& series : panel.series) {
        for (const Curves::Point& point : series.points) {
          if (!std::isfinite(point.x)) continue;
          last = std::max(last, point.x);
          first = std::min(first, point.x);
        }
      }
    }
    x_.begin = first;
    x_.end = last > first ? last : first + std::max(1.0, shortest(first, last));
    x_.tick = nice_step(x_.end - x_.begin, kTicks + 1);
  }

  [[nodiscard]] std::string svg() const {
    const std::size_t columns = std::clamp<std::size_t>(curves_.panels_.size(), 1, kPanelsPerRow);
    const std::size_t rows = (curves_.panels_.size() + kPanelsPerRow - 1) / kPanelsPerRow;
    const double width = kPanelWidth * static_cast<double>(columns);
    const double height = kTitleHeight + kPanelHeight * static_cast<double>(rows) + 10;
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
        "font-family=\"'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n<rect width=\"{0:g}\" "
        "height=\"{1:g}\" fill=\"#ffffff\"/>\n",
        width, height);
    out += text_at(kPlotLeft, 34, "start", kSoftInk, 13, curves_.title_);
    for (std::size_t i = 0; i < curves_.panels_.size(); ++i) {
      const Rectangle area{kPanelWidth * static_cast<double>(i % kPanelsPerRow) + kPlotLeft,
                           kTitleHeight + kPanelHeight * static_cast<double>(i / kPanelsPerRow) + kPlotTop, kPlotWidth,
                           kPlotHeight};
      const Curves::Panel& panel = curves_.panels_[i];
      const Axis y = value_axis(panel);
      out += axes(panel.name, area, y) + legend(panel, area) + lines(panel, area, y);
    }
    return out + "</svg>\n";
  }

 private:
  static Axis value_axis(const Curves::Panel& panel) {
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (const Curves::Series& series : panel.series) {
      for (const Curves::Point& point : series.points) {
        if (!std::isfinite(point.y)) continue;
        low = std::min(low, point.y);
        high = std::max(high, point.y);
      }
    }
    return low <= high ? Axis::covering(low, high, panel.options.highest) : Axis{};
  }

  [[nodiscard]] Place place(const Curves::Point& point, const Rectangle& area, const Axis& y) const {
    return {area.left + x_.part(point.x) * area.width, area.top + (1 - y.part(point.y)) * area.height};
  }

  [[nodiscard]] std::string axes(std::string_view name, const Rectangle& area, const Axis& y) const {
    std::string out = text_at(area.left, area.top - 40, "start", kInk, 15, name, "600");
    const double right = area.left + area.width, bottom = area.top + area.height;
    for (int i = 0; i <= y.ticks(); ++i) {
      const double value = y.begin + i * y.tick;
      const double height = area.top + (1 - y.part(value)) * area.height;
      out += line_between({area.left, height}, {right, height}, kGrid);
      out += text_at(area.left - 8, height + 4, "end", kSoftInk, 12, number(value, decimals_of(y.tick)));
    }
    for (int i = 0; i <= x_.ticks(); ++i) {
      const double value = x_.begin + i * x_.tick;
      const double across = area.left + x_.part(value) * area.width;
      out += line_between({across, bottom}, {across, bottom + 5}, kSoftInk);
      out += text_at(across, bottom + 20, "middle", kSoftInk, 12, number(value, decimals_of(x_.tick)));
    }
    out += line_between({area.left, bottom}, {right, bottom}, kSoftInk);
    return out + text_at(area.left + area.width / 2, bottom + 40, "middle", kSoftInk, 12, curves_.x_);
  }

  /// Whether a series' points are far enough apart to be told from each other.
  [[nodiscard]] static bool has_dots(const Curves::Series& series) {
    return static_cast<double>(series.points.size()) * kDotSpacing <= kPlotWidth;
  }

  [[nodiscard]] static std::string legend(const Curves::Panel& panel, const Rectangle& area) {
    std::string out;
    double across = area.left;
    const double height = area.top - 18;
    for (std::size_t i = 0; i < panel.series.size(); ++i) {
      const Curves::Series& series = panel.series[i];
      out += fmt::format(
          "<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\" stroke=\"{3}\" stroke-width=\"2.5\"/>\n",
          across, height, across + 20, colour_of(i));
      if (has_dots(series)) out += dot({across + 10, height}, 3.5, colour_of(i));
      out += text_at(across + 26, height + 4, "start", kInk, 12, series.name);
      across += 26 + kLetterWidth * static_cast<double>(series.name.size()) + 18;
    }
    return out;
  }

  static std::string dot(const Place& at, double radius, const char* colour) {
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:g}\" fill=\"{}\" stroke=\"#ffffff\"/>\n", at.x, at.y,
                       radius, colour);
  }

  static std::string polyline(const std::string& points, const char* colour) {
    if (points.empty()) return {};
    return fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>\n", points,
        colour);
  }

  [[nodiscard]] std::string lines(const Curves::Panel& panel, const Rectangle& area, const Axis& y) const {
    struct End {
      Place at;
      double value;
      const char* colour;
    };
    std::string out;
    std::vector<End> ends;
    for (std::size_t i = 0; i < panel.series.size(); ++i) {
      const char* const colour = colour_of(i);
      std::string path, dots;
      bool any = false;
      End end{{}, 0, colour};
      for (const Curves::Point& point : panel.series[i].points) {
        if (!std::isfinite(point.x) || !std::isfinite(point.y)) {
          out += polyline(std::exchange(path, {}), colour);
          continue;
        }
        any = true;
        end.at = place(point, area, y);
        end.value = point.y;
        path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", end.at.x, end.at.y);
        if (has_dots(panel.series[i])) dots += dot(end.at, 4, colour);
      }
      out += polyline(path, colour) + dots;
      if (any) ends.push_back(end);
    }
    std::vector<double*> heights;
    for (End& end : ends) heights.push_back(&end.at.y);
    spread(heights, kLabelHeight);
    for (const End& end : ends) {
      out += text_at(end.at.x + 9, end.at.y + 4, "start", end.colour, 12, number(end.value, panel.options.decimals),
                     "600");
    }
    return out;
  }

  const Curves& curves_;
  Axis x_;
};

Curves::Panel& Curves::panel_named(std::string_view name) {
  const auto found =
      std::find_if(panels_.begin(), panels_.end(), [&](const Panel& panel) { return panel.name == name; });
  if (found != panels_.end()) return *found;
  panels_.push_back({std::string(name), {}, {}});
  return panels_.back();
}

void Curves::panel(std::string_view name, const PanelOptions& options, Here here) {
  const CallSite site(here);
  constexpr int kMostDecimals = 9;
  if (options.decimals < 0 || options.decimals > kMostDecimals) {
    throw_invalid("curves: decimals must be in [0, {}]; got {}", kMostDecimals, options.decimals);
  }
  if (std::isnan(options.highest)) throw_invalid("curves: the highest value must be a number; got NaN");
  panel_named(name).options = options;
}

void Curves::add(std::string_view panel, std::string_view series, double x, double y, Here here) {
  const CallSite site(here);
  std::vector<Series>& all = panel_named(panel).series;
  auto found = std::find_if(all.begin(), all.end(), [&](const Series& one) { return one.name == series; });
  if (found == all.end()) found = all.insert(all.end(), {std::string(series), {}});
  found->points.push_back({x, y});
}

std::string Curves::svg() const { return CurvesPicture(*this).svg(); }

void Curves::write(const std::string& path, Here here) const {
  const CallSite site(here);
  write_file(path, svg());
}

State Curves::state() const {
  State state;
  std::size_t number = 0;
  for (const Panel& panel : panels_) {
    for (const Series& series : panel.series) {
      const std::string key = std::to_string(number++);
      std::vector<double> numbers;
      for (const Point& point : series.points) numbers.insert(numbers.end(), {point.x, point.y});
      state.tensors.push_back({key, tensor(numbers, {static_cast<Index>(series.points.size()), 2}, {.dtype = f64})});
      state.texts.emplace_back(key + ".panel", panel.name);
      state.texts.emplace_back(key + ".series", series.name);
    }
  }
  return state;
}

void Curves::load_state(const State& state, Here here) {
  const CallSite site(here);
  Curves loaded(title_, x_);
  for (const Panel& panel : panels_) loaded.panel_named(panel.name).options = panel.options;
  for (std::size_t i = 0; i < state.tensors.size(); ++i) {
    const std::string key = std::to_string(i);
    const Tensor& points = state.tensor(key);
    if (points.dtype() != f64 || points.dim() != 2 || points.size(1) != 2) {
      throw_invalid("{}: {} {} there, f64 [N, 2] here", key, points.dtype(), points.shape());
    }
    const std::string &panel = state.text(key + ".panel"), &series = state.text(key + ".series");
    const auto numbers = points.span<double>();
    for (std::size_t p = 0; p + 1 < numbers.size(); p += 2) loaded.add(panel, series, numbers[p], numbers[p + 1]);
  }
  *this = std::move(loaded);
}

}  // namespace tapestry::nn::train
