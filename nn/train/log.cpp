#include <tapestry/nn/train/log.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>

namespace tapestry::nn::train {
namespace {

constexpr double kWholeBelow = 9007199254740992;  // 2^53: from here on doubles skip whole numbers

/// Neither CSV nor JSON has to quote or escape anything in such a name.
bool is_plain(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F && c != ',' && c != '"' && c != '\\';
  });
}

std::string text_of(double value) {
  if (std::trunc(value) == value && std::abs(value) < kWholeBelow) return fmt::format("{:.0f}", value + 0.);
  return fmt::format("{:.7g}", value);
}

}  // namespace

void Log::add(std::initializer_list<LogEntry> row, Here here) {
  const CallSite site(here);
  const bool first = columns_.empty();
  std::vector<std::string> names;
  for (const LogEntry& entry : row) {
    if (!is_plain(entry.name)) {
      throw_invalid(
          "log: a column's name must be without commas, quotation marks, backslashes and control characters, "
          "and not empty; got '{}'",
          entry.name);
    }
    if (std::find(names.begin(), names.end(), entry.name) != names.end()) {
      throw_invalid("log: each column must be named once; got {} twice", entry.name);
    }
    names.emplace_back(entry.name);
  }
  if (names.empty()) throw_invalid("log: a row must have at least one number; got none");
  if (!first && names != columns_) {
    throw_invalid("log: a row must have the columns of the first one, {}; got {}",
                  fmt::format("{}", fmt::join(columns_, ", ")), fmt::format("{}", fmt::join(names, ", ")));
  }
  std::vector<double> numbers = numbers_;  // the row is added whole or not at all
  for (const LogEntry& entry : row) numbers.push_back(entry.value);
  columns_ = std::move(names);
  numbers_ = std::move(numbers);
}

void Log::check_row(std::size_t row) const {
  if (row >= rows()) throw_out_of_range("log: a row must be in [0, {}); got {}", rows(), row);
}

double Log::at(std::size_t row, std::string_view column, Here here) const {
  const CallSite site(here);
  check_row(row);
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end()) {
    throw_out_of_range("log: a column must be one of {}; got {}", fmt::format("{}", fmt::join(columns_, ", ")), column);
  }
  return numbers_[row * columns_.size() + static_cast<std::size_t>(found - columns_.begin())];
}

std::string Log::csv() const {
  if (columns_.empty()) return {};
  std::string out = fmt::format("{}\n", fmt::join(columns_, ","));
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    out += text_of(numbers_[i]);
    out += (i + 1) % columns_.size() == 0 ? '\n' : ',';
  }
  return out;
}

std::string Log::json(std::size_t row, Here here) const {
  const CallSite site(here);
  check_row(row);
  std::string out;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const double value = numbers_[row * columns_.size() + c];
    out +=
        fmt::format("{}\"{}\": {}", c == 0 ? "{" : ", ", columns_[c], std::isfinite(value) ? text_of(value) : "null");
  }
  return out + "}";
}

std::string Log::json_lines() const {
  std::string out;
  for (std::size_t row = 0; row < rows(); ++row) out += json(row) + "\n";
  return out;
}

void Log::write_csv(const std::string& path, Here here) const {
  const CallSite site(here);
  write_file(path, csv());
}
void Log::write_json_lines(const std::string& path, Here here) const {
  const CallSite site(here);
  write_file(path, json_lines());
}

State Log::state() const {
  const auto width = static_cast<Index>(columns_.size());
  State state{{{"rows", tensor(numbers_, {static_cast<Index>(rows()), width}, {.dtype = f64})}}, {}};
  state.texts.emplace_back("columns", fmt::format("{}", fmt::join(columns_, ",")));
  return state;
}

void Log::load_state(const State& state, Here here) {
  const CallSite site(here);
  std::vector<std::string> columns;
  std::string_view rest = state.text("columns");
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    columns.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (!columns_.empty() && !columns.empty() && columns != columns_) {
    throw_invalid("columns: {} there, {} here", state.text("columns"), fmt::format("{}", fmt::join(columns_, ",")));
  }
  const Tensor& rows = state.tensor("rows");
  if (rows.dtype() != f64 || rows.dim() != 2 || rows.size(1) != static_cast<Index>(columns.size())) {
    throw_invalid("rows: {} {} there, f64 [N, {}] here", rows.dtype(), rows.shape(), columns.size());
  }
  std::vector<double> numbers(rows.span<double>().begin(), rows.span<double>().end());
  columns_ = std::move(columns);
  numbers_ = std::move(numbers);
}

}  // namespace tapestry::nn::train
