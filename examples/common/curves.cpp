#include <common/curves.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace tapestry::examples {

namespace {

struct Point {
  double x, y;
};

struct Series {
  std::string name;
  const char* colour;
  bool dots;
  std::vector<Point> points;
};

struct Panel {
  std::string title;
  const char* value_format;  ///< of the number beside the end of a curve
  double highest;            ///< no value lies above; infinite when unknown
  std::vector<Series> series;
};

struct Rectangle {
  double left, top, width, height;
};

// Told apart by people with any kind of colour vision, and in grey.
constexpr const char* kBlue = "#2f6fbb";
constexpr const char* kOrange = "#d9730d";
constexpr const char* kGreen = "#2a9d6f";
constexpr const char* kInk = "#24292f";
constexpr const char* kSoftInk = "#6e7781";
constexpr const char* kGrid = "#e7eaee";

/// 1, 2 or 5 times a power of ten, so that about `count` of them cover `range`.
double nice_step(double range, int count) {
  const double rough = range / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1., 2., 5.}) {
    if (rough <= factor * power * (1 + 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '&') out += "&amp;";
    else out += c;
  }
  return out;
}

std::string text_at(double x, double y, const char* anchor, const char* colour, double size, const std::string& text,
                    const char* weight = "normal") {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\" font-size=\"{:g}\" "
      "font-weight=\"{}\">{}</text>\n",
      x, y, anchor, colour, size, weight, escaped(text));
}

std::string line_between(Point a, Point b, const char* colour) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", a.x, a.y, b.x,
                     b.y, colour);
}

/// The range of an axis: begin and end are ticks.
struct Axis {
  double begin = 0, end = 1, tick = 1;

  static Axis covering(double low, double high, double highest) {
    Axis axis;
    if (low >= 0 && low < .6 * high) low = 0;
    axis.tick = nice_step(std::max(high - low, 1e-9), 5);
    axis.begin = std::floor(low / axis.tick + 1e-9) * axis.tick;
    axis.end = std::min(std::ceil(high / axis.tick - 1e-9) * axis.tick, highest);
    if (axis.end <= axis.begin) axis.end = axis.begin + axis.tick;
    return axis;
  }
  [[nodiscard]] double part(double value) const { return (value - begin) / (end - begin); }
};

Axis value_axis(const Panel& panel) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const Series& series : panel.series) {
    for (const Point& point : series.points) {
      low = std::min(low, point.y);
      high = std::max(high, point.y);
    }
  }
  return low <= high ? Axis::covering(low, high, panel.highest) : Axis{};
}

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

std::string draw_axes(const Panel& panel, const Rectangle& area, const Axis& x, const Axis& y) {
  std::string out = text_at(area.left, area.top - 40, "start", kInk, 15, panel.title, "600");
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(y.tick) - 1e-9)));
  for (double value = y.begin; value <= y.end + y.tick / 2; value += y.tick) {
    const double height = area.top + (1 - y.part(value)) * area.height;
    out += line_between({area.left, height}, {area.left + area.width, height}, kGrid);
    out += text_at(area.left - 8, height + 4, "end", kSoftInk, 12,
                   fmt::format("{:.{}f}", std::abs(value) < 1e-12 ? 0 : value, decimals));
  }
  const double bottom = area.top + area.height;
  const int x_decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(x.tick) - 1e-9)));
  for (double value = x.begin; value <= x.end + x.tick * 1e-6; value += x.tick) {
    const double across = area.left + x.part(value) * area.width;
    out += line_between({across, bottom}, {across, bottom + 5}, kSoftInk);
    out += text_at(across, bottom + 20, "middle", kSoftInk, 12, fmt::format("{:.{}f}", value, x_decimals));
  }
  out += line_between({area.left, bottom}, {area.left + area.width, bottom}, kSoftInk);
  out += text_at(area.left + area.width / 2, bottom + 40, "middle", kSoftInk, 12, "epoch");
  return out;
}

std::string draw_legend(const Panel& panel, const Rectangle& area) {
  std::string out;
  double across = area.left;
  for (const Series& series : panel.series) {
    if (series.points.empty()) continue;
    const double height = area.top - 18;
    out += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\" stroke=\"{3}\" stroke-width=\"2.5\"/>\n",
        across, height, across + 20, series.colour);
    if (series.dots)
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", across + 10, height,
                         series.colour);
    out += text_at(across + 26, height + 4, "start", kInk, 12, series.name);
    across += 26 + 7.0 * static_cast<double>(series.name.size()) + 18;
  }
  return out;
}

std::string draw_series(const Panel& panel, const Rectangle& area, const Axis& x, const Axis& y) {
  std::string out;
  std::vector<double> label_heights(panel.series.size());
  std::vector<double*> shown;
  for (std::size_t i = 0; i < panel.series.size(); ++i) {
    const Series& series = panel.series[i];
    std::string path, dots;
    double across = 0, height = 0;
    for (const Point& point : series.points) {
      across = area.left + x.part(point.x) * area.width;
      height = area.top + (1 - y.part(point.y)) * area.height;
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", across, height);
      if (series.dots)
        dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\" stroke=\"#ffffff\"/>\n", across,
                            height, series.points.size() > 40 ? "2.5" : "4", series.colour);
    }
    if (series.points.empty()) continue;
    out += fmt::format(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>\n{}", path,
        series.colour, dots);
    label_heights[i] = height;
    shown.push_back(&label_heights[i]);
  }
  spread(shown, 15);
  for (std::size_t i = 0; i < panel.series.size(); ++i) {
    const Series& series = panel.series[i];
    if (series.points.empty()) continue;
    const Point& last = series.points.back();
    out += text_at(std::min(area.left + x.part(last.x) * area.width, area.left + area.width) + 9, label_heights[i] + 4,
                   "start", series.colour, 12, fmt::format(fmt::runtime(panel.value_format), last.y), "600");
  }
  return out;
}

std::string draw(const Panel& panel, const Rectangle& area, const Axis& x) {
  const Axis y = value_axis(panel);
  return draw_axes(panel, area, x, y) + draw_legend(panel, area) + draw_series(panel, area, x, y);
}

constexpr std::string_view kEpochColumns =
    "epoch,step,learning_rate,train_loss,train_top1,test_loss,test_top1,test_top5,images_per_second,seconds";
constexpr std::string_view kStepColumns = "epoch,step,learning_rate,train_loss,train_top1";

std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

/// The numbers of a line "1,0.5,..."; empty unless there are `count`, as whole as it must be.
std::vector<double> numbers_in(std::string_view line, std::size_t count) {
  std::vector<double> numbers;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (at < end) {
    double value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (next != end && *next != ',')) return {};
    numbers.push_back(value);
    at = next == end ? end : next + 1;
  }
  return numbers.size() == count ? numbers : std::vector<double>();
}

}  // namespace

std::vector<EpochPoint> epochs_from_csv(std::string_view text) {
  std::vector<EpochPoint> epochs;
  if (take_line(text) != kEpochColumns) return epochs;
  for (auto n = numbers_in(take_line(text), 10); !n.empty(); n = numbers_in(take_line(text), 10)) {
    epochs.push_back(
        {static_cast<int>(n[0]), static_cast<std::int64_t>(n[1]), n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9]});
  }
  return epochs;
}

std::vector<StepPoint> steps_from_csv(std::string_view text) {
  std::vector<StepPoint> steps;
  if (take_line(text) != kStepColumns) return steps;
  for (auto n = numbers_in(take_line(text), 5); !n.empty(); n = numbers_in(take_line(text), 5)) {
    steps.push_back({n[0], static_cast<std::int64_t>(n[1]), n[2], n[3], n[4]});
  }
  return steps;
}

std::string to_csv(std::span<const EpochPoint> epochs) {
  std::string out(kEpochColumns);
  out += '\n';
  for (const EpochPoint& e : epochs) {
    out +=
        fmt::format("{},{},{:.6g},{:.6f},{:.6f},{:.6f},{:.6f},{:.6f},{:.1f},{:.2f}\n", e.epoch, e.step, e.learning_rate,
                    e.train_loss, e.train_top1, e.test_loss, e.test_top1, e.test_top5, e.images_per_second, e.seconds);
  }
  return out;
}

std::string to_csv(std::span<const StepPoint> steps) {
  std::string out(kStepColumns);
  out += '\n';
  for (const StepPoint& s : steps) {
    out +=
        fmt::format("{:.4f},{},{:.6g},{:.6f},{:.6f}\n", s.epoch, s.step, s.learning_rate, s.train_loss, s.train_top1);
  }
  return out;
}

std::string to_json(const EpochPoint& e) {
  return fmt::format(
      "{{\"epoch\": {}, \"step\": {}, \"learning_rate\": {:.6g}, \"train_loss\": {:.6f}, \"train_top1\": {:.6f}, "
      "\"test_loss\": {:.6f}, \"test_top1\": {:.6f}, \"test_top5\": {:.6f}, \"images_per_second\": {:.1f}, "
      "\"seconds\": {:.2f}}}",
      e.epoch, e.step, e.learning_rate, e.train_loss, e.train_top1, e.test_loss, e.test_top1, e.test_top5,
      e.images_per_second, e.seconds);
}

std::string curves_svg(const std::string& title, std::span<const StepPoint> steps, std::span<const EpochPoint> epochs) {
  Series train_loss{"training", kBlue, false, {}}, train_top1{"training top-1", kBlue, false, {}};
  Series test_loss{"test", kOrange, true, {}}, test_top1{"test top-1", kOrange, true, {}};
  Series test_top5{"test top-5", kGreen, true, {}};
  double last_epoch = 0;
  for (const StepPoint& s : steps) {
    train_loss.points.push_back({s.epoch, s.train_loss});
    train_top1.points.push_back({s.epoch, 100 * s.train_top1});
    last_epoch = std::max(last_epoch, s.epoch);
  }
  for (const EpochPoint& e : epochs) {
    const double at = e.epoch;
    test_loss.points.push_back({at, e.test_loss});
    test_top1.points.push_back({at, 100 * e.test_top1});
    test_top5.points.push_back({at, 100 * e.test_top5});
    last_epoch = std::max(last_epoch, at);
  }
  Axis x;
  x.end = last_epoch > 0 ? last_epoch : 1;
  x.tick = nice_step(x.end, 6);

  constexpr double width = 1040, height = 440;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "font-family=\"'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n<rect width=\"{0:g}\" height=\"{1:g}\" "
      "fill=\"#ffffff\"/>\n",
      width, height);
  out += text_at(56, 34, "start", kSoftInk, 13, title);
  out += draw({"Loss", "{:.2f}", HUGE_VAL, {train_loss, test_loss}}, {56, 106, 390, 270}, x);
  out += draw({"Accuracy, %", "{:.1f}", 100, {train_top1, test_top1, test_top5}}, {576, 106, 390, 270}, x);
  return out + "</svg>\n";
}

}  // namespace tapestry::examples
