#include <tapestry/autograd/gradcheck/detail/report.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace tapestry::detail {

std::string position_text(const Shape& shape, Index element) {
  std::vector<Index> index(static_cast<std::size_t>(shape.rank()));
  for (Index d = shape.rank(); d-- > 0; element /= shape[d]) index[static_cast<std::size_t>(d)] = element % shape[d];
  return fmt::format("[{}]", fmt::join(index, ", "));
}

namespace {

constexpr Index kWorst = 5;       // entries listed
constexpr Index kMatrixSide = 8;  // matrices up to this size are printed whole

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
                  b.input_name, to_string(b.input_shape), b.bad.size(), b.rows * b.columns);
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
