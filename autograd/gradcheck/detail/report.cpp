#include <tapestry/autograd/gradcheck/detail/report.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace tapestry::detail {
namespace {

constexpr Index kWorst = 5;       // entries listed
constexpr Index kMatrixSide = 8;  // matrices up to this size are printed whole

bool near(double a, double b) { return std::abs(a - b) <= 1e-6 + 1e-4 * std::max(std::abs(a), std::abs(b)); }

std::vector<Index> position(const Shape& shape, Index element) {
  std::vector<Index> index(static_cast<std::size_t>(shape.rank()));
  for (Index d = shape.rank(); d-- > 0; element /= shape[d]) index[static_cast<std::size_t>(d)] = element % shape[d];
  return index;
}

std::string position_text(const Shape& shape, Index element) {
  return fmt::format("[{}]", fmt::join(position(shape, element), ", "));
}

/// Whether the element lies at an end of a dimension with more than two elements.
bool on_border(const Shape& shape, Index element) {
  const std::vector<Index> index = position(shape, element);
  for (Index d = 0; d < shape.rank(); ++d) {
    const Index i = index[static_cast<std::size_t>(d)];
    if (shape[d] > 2 && (i == 0 || i == shape[d] - 1)) return true;
  }
  return false;
}

/// Whether numeric(r, map(c)) explains analytic(r, c) everywhere.
bool explained_by(const JacobianBlock& b, const std::function<Index(Index)>& map) {
  for (Index r = 0; r < b.rows; ++r) {
    for (Index c = 0; c < b.columns; ++c) {
      if (!near(b.analytic[b.at(r, c)], b.numeric[b.at(r, map(c))])) return false;
    }
  }
  return true;
}

bool is_transposed(const JacobianBlock& b) {
  const Shape& s = b.input_shape;
  if (s.rank() < 2) return false;
  const Index m = s[s.rank() - 2];
  const Index n = s[s.rank() - 1];
  if (m < 2 || n < 2) return false;
  return explained_by(b, [m, n](Index c) {  // the buffer holds [n, m] where [m, n] is meant
    const Index within = c % (m * n);
    return c - within + (within % m) * n + within / m;
  });
}

/// Every row has the right values, in other places.
bool is_permuted(const JacobianBlock& b) {
  for (Index r = 0; r < b.rows; ++r) {
    const auto row = [&](const std::vector<double>& m) {
      std::vector<double> values(m.begin() + r * b.columns, m.begin() + (r + 1) * b.columns);
      std::sort(values.begin(), values.end());
      return values;
    };
    const std::vector<double> analytic = row(b.analytic);
    const std::vector<double> numeric = row(b.numeric);
    if (!std::equal(analytic.begin(), analytic.end(), numeric.begin(), near)) return false;
  }
  return true;
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

}  // namespace

std::string diagnose(const JacobianBlock& b) {
  if (std::any_of(b.bad.begin(), b.bad.end(),
                  [&](const auto& bad) { return !std::isfinite(b.analytic[b.at(bad.row, bad.column)]); })) {
    return "the gradient is not finite";
  }
  const auto unsteady = [&](const JacobianBlock::Bad& bad) {
    return !(std::abs(bad.half - b.numeric[b.at(bad.row, bad.column)]) <= 10 * bad.tolerance);
  };
  if (std::all_of(b.bad.begin(), b.bad.end(), unsteady)) {
    return "the sample is ill-conditioned, or near a kink: difference quotients with h and h/2 disagree";
  }
  if (!b.projected && is_transposed(b)) return "the gradient is transposed";
  const bool all_zero = std::all_of(b.bad.begin(), b.bad.end(),
                                    [&](const auto& bad) { return b.analytic[b.at(bad.row, bad.column)] == 0; });
  if (all_zero) {
    if (std::string text = zeros(b); !text.empty()) return text;
  } else if (std::string text = factor(b); !text.empty()) {
    return text;
  }
  const auto border = [&](const JacobianBlock::Bad& bad) {
    return on_border(b.input_shape, bad.column) || (!b.projected && on_border(b.output_shape, bad.row));
  };
  const bool has_interior = std::any_of(b.bad.begin(), b.bad.end(), [&](const auto& bad) { return !border(bad); });
  if (!has_interior && static_cast<Index>(b.bad.size()) < b.rows * b.columns) {
    return "only entries at the border differ: padding, or the ends of a range";
  }
  if (!b.projected && is_permuted(b)) return "the values are right but in the wrong places: an axis or an offset";
  return "no simple pattern";
}

namespace {

std::string matrix(const char* title, const JacobianBlock& b, const std::vector<double>& m) {
  std::string text = fmt::format("    {}\n", title);
  for (Index r = 0; r < b.rows; ++r) {
    text += "     ";
    for (Index c = 0; c < b.columns; ++c) text += fmt::format(" {:>11.4g}", m[b.at(r, c)]);
    text += '\n';
  }
  return text;
}

}  // namespace

std::string describe(const JacobianBlock& b) {
  std::string text =
      fmt::format("  d output {} {} / d input {} {}: {} of {} derivatives differ", b.output, to_string(b.output_shape),
                  b.input, to_string(b.input_shape), b.bad.size(), b.rows * b.columns);
  text += b.projected ? " (of the output's product with a random seed)\n" : "\n";
  text += fmt::format("    {:<16} {:<16} {:>20} {:>20} {:>20} {:>12}\n", "output", "input", "analytic", "numeric(h)",
                      "numeric(h/2)", "ratio");
  std::vector<JacobianBlock::Bad> worst = b.bad;
  const auto error = [&](const JacobianBlock::Bad& bad) {
    const double e = std::abs(b.analytic[b.at(bad.row, bad.column)] - b.numeric[b.at(bad.row, bad.column)]);
    return std::isnan(e) ? INFINITY : e / bad.tolerance;
  };
  std::sort(worst.begin(), worst.end(), [&](const auto& x, const auto& y) { return error(x) > error(y); });
  if (static_cast<Index>(worst.size()) > kWorst) worst.resize(kWorst);
  for (const auto& bad : worst) {
    const double analytic = b.analytic[b.at(bad.row, bad.column)];
    const double numeric = b.numeric[b.at(bad.row, bad.column)];
    text += fmt::format("    {:<16} {:<16} {:>20.12g} {:>20.12g} {:>20.12g} {:>12.6g}\n",
                        b.projected ? "seeded" : position_text(b.output_shape, bad.row),
                        position_text(b.input_shape, bad.column), analytic, numeric, bad.half, analytic / numeric);
  }
  text += "    diagnosis: " + diagnose(b) + "\n";
  if (b.rows <= kMatrixSide && b.columns <= kMatrixSide) {
    text += matrix("analytic", b, b.analytic) + matrix("numeric", b, b.numeric);
  }
  return text;
}

}  // namespace tapestry::detail
