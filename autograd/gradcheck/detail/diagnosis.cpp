// What kind of mistake a pattern of wrong derivatives looks like.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include <tapestry/autograd/gradcheck/detail/report.h>

namespace tapestry::detail {
namespace {

bool near(double a, double b) { return std::abs(a - b) <= 1e-6 + 1e-4 * std::max(std::abs(a), std::abs(b)); }

/// Whether the element lies at an end of a dimension with more than two elements.
bool on_border(const Shape& shape, Index element) {
  for (Index d = shape.rank(); d-- > 0; element /= shape[d]) {
    const Index i = element % shape[d];
    if (shape[d] > 2 && (i == 0 || i == shape[d] - 1)) return true;
  }
  return false;
}

using Map = std::function<std::size_t(Index row, Index column)>;

/// Whether the right value at map(r, c) explains what stands at (r, c), everywhere.
bool explained_by(const JacobianBlock& b, const Map& map) {
  for (Index r = 0; r < b.rows; ++r) {
    for (Index c = 0; c < b.columns; ++c) {
      if (!near(b.analytic[b.at(r, c)], b.numeric[map(r, c)])) return false;
    }
  }
  return true;
}

/// Where element e of [..., m, n] stands in the buffer of its transpose, [..., n, m].
Index transposed(const Shape& s, Index e) {
  const Index m = s[s.rank() - 2], n = s[s.rank() - 1], within = e % (m * n);
  return e - within + (within % m) * n + within / m;
}

bool is_matrix(const Shape& s) { return s.rank() >= 2 && s[s.rank() - 2] > 1 && s[s.rank() - 1] > 1; }

std::string transposition(const JacobianBlock& b) {
  if (b.projected) return {};
  const Shape &x = b.input_shape, &y = b.output_shape;
  if (is_matrix(x) && explained_by(b, [&](Index r, Index c) { return b.at(r, transposed(x, c)); })) {
    return "the gradient is transposed";
  }
  if (is_matrix(y) && explained_by(b, [&](Index r, Index c) { return b.at(transposed(y, r), c); })) {
    return "the gradient is transposed before it is used: dy is taken in the other order";
  }
  const bool both = is_matrix(x) && is_matrix(y) &&
                    explained_by(b, [&](Index r, Index c) { return b.at(transposed(y, r), transposed(x, c)); });
  if (both || (b.rows == b.columns && explained_by(b, [&](Index r, Index c) { return b.at(c, r); }))) {
    return "a factor of the gradient is transposed: what was saved, or an operand";
  }
  return {};
}

/// The right values, in other places.
bool is_permuted(const JacobianBlock& b) {
  if (b.bad.size() < 2) return false;
  std::vector<double> analytic = b.analytic, numeric = b.numeric;
  std::sort(analytic.begin(), analytic.end());
  std::sort(numeric.begin(), numeric.end());
  return std::equal(analytic.begin(), analytic.end(), numeric.begin(), near);
}

/// All bad entries are the same multiple of what they should be; empty otherwise.
std::string factor(const JacobianBlock& b) {
  const auto ratio_of = [&](const JacobianBlock::Bad& bad) {
    return b.analytic[b.at(bad.row, bad.column)] / b.numeric[b.at(bad.row, bad.column)];
  };
  const double ratio = ratio_of(b.bad.front());
  const auto same = [](double x, double y) { return std::abs(x - y) <= 1e-4 * std::abs(y); };
  if (!std::isfinite(ratio) || ratio == 0) return {};
  for (const auto& bad : b.bad) {
    if (!same(ratio_of(bad), ratio)) return {};
  }
  if (std::abs(ratio - 1) < 1e-2) return fmt::format("a factor of 1 {:+.3g}", ratio - 1);
  if (same(ratio, -1)) return "the sign is wrong";
  if (same(ratio, 2)) return "a factor of 2 too much";
  if (same(ratio, 0.5)) return "a factor of 2 is lost";
  // Counts that a mean divides by: extents, and products of neighbouring ones.
  for (const Shape* shape : {&b.input_shape, &b.output_shape}) {
    for (Index begin = 0; begin < shape->rank(); ++begin) {
      for (Index end = begin + 1; end <= shape->rank(); ++end) {
        const auto n = static_cast<double>(shape->numel(begin, end));
        if (n < 3) continue;
        if (same(ratio, n)) return fmt::format("a factor of {} too much: 1/N is lost, as of a mean", n);
        if (same(ratio, 1 / n)) return fmt::format("a factor of {} is lost: 1/N too much, as of a mean", n);
        if (same(ratio, n / (n - 1))) return fmt::format("divided by {} where {} is right: a wrong count", n - 1, n);
        if (same(ratio, (n - 1) / n)) return fmt::format("divided by {} where {} is right: a wrong count", n, n - 1);
      }
    }
  }
  return fmt::format("all are {:.6g} times what they should be", ratio);
}

/// What it means that all bad entries are zero.
std::string zeros(const JacobianBlock& b) {
  if (std::all_of(b.analytic.begin(), b.analytic.end(), [](double v) { return v == 0; })) {
    return "a missing path: the gradient is zero everywhere, as if the output did not depend on the input";
  }
  std::vector<char> column_alive(static_cast<std::size_t>(b.columns)), row_alive(static_cast<std::size_t>(b.rows));
  std::vector<Index> column_needs(static_cast<std::size_t>(b.columns));
  for (Index r = 0; r < b.rows; ++r) {
    for (Index c = 0; c < b.columns; ++c) {
      if (b.analytic[b.at(r, c)] != 0)
        column_alive[static_cast<std::size_t>(c)] = row_alive[static_cast<std::size_t>(r)] = 1;
      if (b.numeric[b.at(r, c)] != 0) ++column_needs[static_cast<std::size_t>(c)];
    }
  }
  const auto all = [&](const auto& holds) { return std::all_of(b.bad.begin(), b.bad.end(), holds); };
  if (all([&](const auto& bad) { return !column_alive[static_cast<std::size_t>(bad.column)]; })) {
    const auto alive = std::count(column_alive.begin(), column_alive.end(), 1);
    return fmt::format(
        "only {} of {} input elements get a gradient, from {} on", alive, b.columns,
        position_text(b.input_shape, std::find(column_alive.begin(), column_alive.end(), 1) - column_alive.begin()));
  }
  if (all([&](const auto& bad) { return !row_alive[static_cast<std::size_t>(bad.row)]; })) {
    return "a missing broadcast sum: some outputs that depend on the input add nothing to its gradient";
  }
  if (all([&](const auto& bad) { return column_needs[static_cast<std::size_t>(bad.column)] > 1; })) {
    return "contributions overwrite each other where an input element is used more than once: assigned, not added "
           "(overlapping windows, or a missing broadcast sum)";
  }
  return {};
}

/// What kinks say, which are no mistakes of the gradient.
std::string kinks(const JacobianBlock& b, const std::vector<JacobianBlock::Bad>& bad) {
  const JacobianBlock::Bad& first = bad.front();
  const double a = b.analytic[b.at(first.row, first.column)];
  const auto [low, high] = std::minmax(first.left, first.right);
  std::string text = fmt::format(
      "not differentiable here: at input {} {} = {:.6g} the slope is {:.6g} to the left and {:.6g} to the "
      "right",
      b.input_name, position_text(b.input_shape, first.column), first.x, first.left, first.right);
  if (bad.size() > 1) text += fmt::format(", and {} more like it", bad.size() - 1);
  if (!(a >= low - 1e-6 && a <= high + 1e-6)) text += fmt::format("; the gradient, {:.6g}, lies outside of both", a);
  return text + "; move the sample away from there";
}

/// What rules do wrong.
std::string mistakes(const JacobianBlock& b) {
  if (b.unsteady) return "the gradient is not deterministic: computed again, it is another";
  const auto unsteady = [&](const JacobianBlock::Bad& bad) {
    return !(std::abs(bad.half - b.numeric[b.at(bad.row, bad.column)]) <= 10 * bad.tolerance);
  };
  if (std::all_of(b.bad.begin(), b.bad.end(),
                  [&](const auto& bad) { return !std::isfinite(b.numeric[b.at(bad.row, bad.column)]); })) {
    return "the function is not finite beside this sample: it lies at the edge of the domain";
  }
  if (std::all_of(b.bad.begin(), b.bad.end(), unsteady)) {
    return "the sample is ill-conditioned, or near a kink: difference quotients with h and h/2 disagree";
  }
  const bool all_zero = std::all_of(b.bad.begin(), b.bad.end(),
                                    [&](const auto& bad) { return b.analytic[b.at(bad.row, bad.column)] == 0; });
  if (all_zero) {
    if (std::string text = zeros(b); !text.empty()) return text;
  } else if (std::string text = factor(b); !text.empty()) {
    return text;
  }
  if (std::string text = transposition(b); !text.empty()) return text;
  if (is_permuted(b)) return "the values are right but in the wrong places: an axis or an offset";
  const auto border = [&](const JacobianBlock::Bad& bad) {
    return on_border(b.input_shape, bad.column) || (!b.projected && on_border(b.output_shape, bad.row));
  };
  const bool has_interior = std::any_of(b.bad.begin(), b.bad.end(), [&](const auto& bad) { return !border(bad); });
  if (!has_interior && static_cast<Index>(b.bad.size()) < b.rows * b.columns) {
    return "only entries at the border differ: padding, or the ends of a range";
  }
  return "no simple pattern";
}

}  // namespace

std::string diagnose(const JacobianBlock& b) {
  if (std::any_of(b.bad.begin(), b.bad.end(),
                  [&](const auto& bad) { return !std::isfinite(b.analytic[b.at(bad.row, bad.column)]); })) {
    return "the gradient is not finite";
  }
  std::vector<JacobianBlock::Bad> at_kinks;
  JacobianBlock elsewhere = b;
  elsewhere.bad.clear();
  for (const auto& bad : b.bad) (bad.kink ? at_kinks : elsewhere.bad).push_back(bad);
  if (at_kinks.empty()) return mistakes(elsewhere);
  if (elsewhere.bad.empty()) return kinks(b, at_kinks);
  return mistakes(elsewhere) + "; and " + kinks(b, at_kinks);
}

}  // namespace tapestry::detail
