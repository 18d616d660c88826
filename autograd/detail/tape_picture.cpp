#include <tapestry/autograd/detail/tape_picture.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace tapestry::detail {
namespace {

using Number = std::size_t;

// Everything in pixels.
constexpr double kLine = 15, kTitle = 17;            // height of a line of text
constexpr double kLetter = 6.3, kTitleLetter = 7.4;  // width of a letter, on the safe side
constexpr double kPadding = 9;                       // between text and border
constexpr double kGap = 26;                          // between neighbours
constexpr double kLayerGap = 44;                     // between layers, for the lines
constexpr double kMargin = 20;
constexpr double kWire = 10;  // width of the place of a line that passes a layer
constexpr int kSweeps = 24;   // of ordering; few graphs change after a dozen

/// A box, or the place where a line passes a layer on its way to one further down.
struct Spot {
  Number box = 0;
  bool is_wire = false;
  bool is_light = false;  // a leaf: makes way for what is computed, so that a chain is drawn straight
  Number layer = 0;
  double width = kWire, height = 0, x = 0, y = 0;  // x, y: centre
  std::vector<Number> up = {}, down = {};          // neighbours in the layers above and below
};

struct Layout {
  std::vector<Spot> spots;
  std::vector<std::vector<Number>> layers;
};

double width_of(const TapeBox& box) {
  double width = 60;
  for (Number i = 0; i < box.lines.size(); ++i) {
    width = std::max(width, static_cast<double>(box.lines[i].size()) * (i == 0 ? kTitleLetter : kLetter));
  }
  return width + 2 * kPadding;
}

double height_of(const TapeBox& box) {
  return kTitle + kLine * static_cast<double>(box.lines.size() - 1) + 2 * kPadding - 4;
}

/// Every box below its inputs; what has none stands right above its first user.
std::vector<Number> layers_of(const std::vector<TapeBox>& boxes) {
  std::vector<Number> layer(boxes.size(), 0);
  for (Number b = 0; b < boxes.size(); ++b) {
    for (const Number input : boxes[b].inputs) layer[b] = std::max(layer[b], layer[input] + 1);
  }
  std::vector<Number> first(boxes.size(), std::numeric_limits<Number>::max());
  for (Number b = 0; b < boxes.size(); ++b) {
    for (const Number input : boxes[b].inputs) first[input] = std::min(first[input], layer[b]);
  }
  for (Number b = 0; b < boxes.size(); ++b) {
    if (boxes[b].inputs.empty() && first[b] != std::numeric_limits<Number>::max()) layer[b] = first[b] - 1;
  }
  return layer;
}

Layout spots_of(const std::vector<TapeBox>& boxes) {
  Layout out;
  const std::vector<Number> layer = layers_of(boxes);
  for (Number b = 0; b < boxes.size(); ++b) {
    out.spots.push_back({.box = b,
                         .is_light = boxes[b].kind == TapeBox::Kind::leaf,
                         .layer = layer[b],
                         .width = width_of(boxes[b]),
                         .height = height_of(boxes[b])});
  }
  const auto join = [&](Number above, Number below) {
    out.spots[above].down.push_back(below);
    out.spots[below].up.push_back(above);
  };
  for (Number b = 0; b < boxes.size(); ++b) {
    for (const Number input : boxes[b].inputs) {
      Number from = input;
      for (Number l = layer[input] + 1; l < layer[b]; ++l) {
        out.spots.push_back({.box = b, .is_wire = true, .layer = l});
        join(from, out.spots.size() - 1);
        from = out.spots.size() - 1;
      }
      join(from, b);
    }
  }
  for (Number s = 0; s < out.spots.size(); ++s) {
    if (out.spots[s].layer >= out.layers.size()) out.layers.resize(out.spots[s].layer + 1);
    out.layers[out.spots[s].layer].push_back(s);
  }
  return out;
}

double mean_of(const std::vector<Number>& spots, const std::vector<double>& value, double otherwise) {
  if (spots.empty()) return otherwise;
  double sum = 0;
  for (const Number s : spots) sum += value[s];
  return sum / static_cast<double>(spots.size());
}

Number crossings_between(const Layout& layout, const std::vector<Number>& above, const std::vector<double>& place) {
  std::vector<double> ends;
  for (const Number s : above) {
    std::vector<double> mine;
    for (const Number d : layout.spots[s].down) mine.push_back(place[d]);
    std::sort(mine.begin(), mine.end());
    ends.insert(ends.end(), mine.begin(), mine.end());
  }
  Number count = 0;
  for (Number i = 0; i < ends.size(); ++i) {
    for (Number j = i + 1; j < ends.size(); ++j) count += ends[i] > ends[j] ? 1 : 0;
  }
  return count;
}

/// Orders each layer by where its neighbours are, down and up in turn, and keeps the order with the fewest crossings.
void order(Layout& layout) {
  std::vector<double> place(layout.spots.size());
  const auto number = [&] {
    for (const auto& layer : layout.layers) {
      for (Number i = 0; i < layer.size(); ++i) place[layer[i]] = static_cast<double>(i);
    }
  };
  const auto crossings = [&] {
    Number sum = 0;
    for (Number l = 0; l + 1 < layout.layers.size(); ++l) sum += crossings_between(layout, layout.layers[l], place);
    return sum;
  };
  number();
  auto best = layout.layers;
  Number fewest = crossings();
  for (int sweep = 0; sweep < kSweeps && fewest > 0; ++sweep) {
    const bool downwards = sweep % 2 == 0;
    for (Number i = 0; i < layout.layers.size(); ++i) {
      auto& layer = layout.layers[downwards ? i : layout.layers.size() - 1 - i];
      std::vector<std::pair<double, Number>> keys;
      for (const Number s : layer) {
        const Spot& spot = layout.spots[s];
        keys.emplace_back(mean_of(downwards ? spot.up : spot.down, place, place[s]), s);
      }
      std::stable_sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (Number k = 0; k < keys.size(); ++k) {
        layer[k] = keys[k].second;
        place[layer[k]] = static_cast<double>(k);
      }
    }
    if (const Number now = crossings(); now < fewest) {
      fewest = now;
      best = layout.layers;
    }
  }
  layout.layers = std::move(best);
}

/// Draws every spot to the mean of its neighbours, as far as those beside it leave room.
void spread(Layout& layout) {
  std::vector<double> x(layout.spots.size());
  const auto half = [&](Number s) { return layout.spots[s].width / 2; };
  const auto between = [&](Number a, Number b) { return half(a) + half(b) + kGap; };
  for (const auto& layer : layout.layers) {
    double at = 0;
    for (Number i = 0; i < layer.size(); ++i) {
      if (i > 0) at += between(layer[i - 1], layer[i]);
      x[layer[i]] = at;
    }
    for (const Number s : layer) x[s] -= at / 2;  // all layers about one axis at first
  }
  for (int sweep = 0; sweep < 2 * kSweeps; ++sweep) {
    for (Number i = 0; i < layout.layers.size(); ++i) {
      const auto& layer = layout.layers[sweep % 2 == 0 ? i : layout.layers.size() - 1 - i];
      std::vector<double> wish(layer.size());
      for (Number k = 0; k < layer.size(); ++k) {
        const Spot& spot = layout.spots[layer[k]];
        std::vector<Number> around;
        for (const auto* const side : {&spot.up, &spot.down}) {
          std::copy_if(side->begin(), side->end(), std::back_inserter(around),
                       [&](Number s) { return spot.is_light || !layout.spots[s].is_light; });
        }
        wish[k] = mean_of(around, x, x[layer[k]]);
      }
      // From the left as far left as allowed, from the right as far right; the middle of both keeps every distance.
      std::vector<double> left = wish, right = wish;
      const bool all_light =
          std::all_of(layer.begin(), layer.end(), [&](Number s) { return layout.spots[s].is_light; });
      for (Number k = 0; k < layer.size() && !all_light; ++k) {
        if (!layout.spots[layer[k]].is_light) continue;
        left[k] = -std::numeric_limits<double>::infinity();
        right[k] = -left[k];
      }
      for (Number k = 1; k < layer.size(); ++k) {
        left[k] = std::max(left[k], left[k - 1] + between(layer[k - 1], layer[k]));
      }
      for (Number k = layer.size(); k-- > 1;) {
        right[k - 1] = std::min(right[k - 1], right[k] - between(layer[k - 1], layer[k]));
      }
      for (Number k = 0; k < layer.size(); ++k) {
        x[layer[k]] = std::isinf(left[k]) ? right[k] : std::isinf(right[k]) ? left[k] : (left[k] + right[k]) / 2;
      }
    }
  }
  for (Number s = 0; s < layout.spots.size(); ++s) layout.spots[s].x = x[s];
}

struct Frame {
  double width = 0, height = 0;
};

/// Moves the whole to the corner and gives every layer its height.
Frame stack(Layout& layout) {
  double left = std::numeric_limits<double>::max(), right = -left;
  for (const Spot& spot : layout.spots) {
    left = std::min(left, spot.x - spot.width / 2);
    right = std::max(right, spot.x + spot.width / 2);
  }
  double y = kMargin;
  for (const auto& layer : layout.layers) {
    double height = 0;
    for (const Number s : layer) height = std::max(height, layout.spots[s].height);
    for (const Number s : layer) {
      layout.spots[s].x += kMargin - left;
      layout.spots[s].y = y + height / 2;
      if (layout.spots[s].is_wire) layout.spots[s].height = height;
    }
    y += height + kLayerGap;
  }
  return {right - left + 2 * kMargin, y - kLayerGap + kMargin};
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out;
}

const char* class_of(TapeBox::Kind kind) {
  if (kind == TapeBox::Kind::leaf) return "leaf";
  if (kind == TapeBox::Kind::group) return "group";
  return kind == TapeBox::Kind::note ? "note" : "op";
}

std::string drawn(const Spot& spot, const TapeBox& box) {
  const double left = spot.x - spot.width / 2, top = spot.y - spot.height / 2;
  std::string out =
      fmt::format("<g class=\"{}\"><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\"/>\n",
                  class_of(box.kind), left, top, spot.width, spot.height, box.kind == TapeBox::Kind::leaf ? 2 : 9);
  double y = top + kPadding + 10;
  for (Number i = 0; i < box.lines.size(); ++i) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", spot.x, y, i == 0 ? " class=\"title\"" : "",
                       escaped(box.lines[i]));
    y += kLine;
  }
  return out + "</g>\n";
}

/// The line from a box to one that uses it, through the places where it passes layers.
std::string drawn(const Layout& layout, Number from, Number to) {
  const Spot& start = layout.spots[from];
  double x = start.x, y = start.y + start.height / 2;
  std::string path = fmt::format("M{:.1f} {:.1f}", x, y);
  const auto curve = [&](double to_x, double to_y) {
    const double middle = (y + to_y) / 2;
    path += fmt::format(" C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}", x, middle, to_x, middle, to_x, to_y);
    x = to_x;
    y = to_y;
  };
  for (Number s = to; true; s = layout.spots[s].down.front()) {
    const Spot& spot = layout.spots[s];
    curve(spot.x, spot.y - spot.height / 2 - (spot.is_wire ? 0 : 5));
    if (!spot.is_wire) break;
    y = spot.y + spot.height / 2;
    path += fmt::format(" L{:.1f} {:.1f}", x, y);
  }
  return fmt::format("<path d=\"{}\" marker-end=\"url(#arrow)\"/>\n", path);
}

}  // namespace

std::string picture_of(const std::vector<TapeBox>& boxes) {
  Layout layout = spots_of(boxes);
  order(layout);
  spread(layout);
  const Frame frame = boxes.empty() ? Frame{2 * kMargin, 2 * kMargin} : stack(layout);
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} "
      "{1:.0f}\">\n",
      std::ceil(frame.width), std::ceil(frame.height));
  out +=
      "<style>\n"
      "text { font: 11px Helvetica, Arial, sans-serif; text-anchor: middle; fill: #333 }\n"
      ".title { font-size: 13px; font-weight: bold; fill: #111 }\n"
      "rect { stroke-width: 1.2 }\n"
      ".op rect { fill: #fff; stroke: #555 }\n"
      ".leaf rect { fill: #dbe9f6; stroke: #4a7fb0 }\n"
      ".group rect { fill: #f3ecda; stroke: #a8894a }\n"
      ".note rect { fill: #f4f4f4; stroke: #999; stroke-dasharray: 4 3 }\n"
      "path { fill: none; stroke: #888; stroke-width: 1.3 }\n"
      "marker path { fill: #888; stroke: none }\n"
      "</style>\n"
      "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"3\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" "
      "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fcfcfb\"/>\n";
  for (const Spot& spot : layout.spots) {
    if (spot.is_wire) continue;
    for (const Number to : spot.down) out += drawn(layout, spot.box, to);
  }
  for (const Spot& spot : layout.spots) {
    if (!spot.is_wire) out += drawn(spot, boxes[spot.box]);
  }
  return out + "</svg>\n";
}

}  // namespace tapestry::detail
