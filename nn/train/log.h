#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/nn/train/state.h>

namespace tapestry::nn::train {

/// A number under the name of its column.
struct LogEntry {
  template <class Number>
  requires std::is_arithmetic_v<Number> LogEntry(std::string_view column, Number number)
      : name(column), value(static_cast<double>(number)) {}

  std::string_view name;
  double value;
};

/// A table of numbers that grows by rows, as CSV and as JSON lines:
///
///     log.add({{"epoch", 3}, {"train_loss", metrics.loss()}, {"test_top1", test.top1()}});
///     log.write_csv("runs/first/metrics.csv");
///
/// Whole numbers are written as such, others with seven significant digits, the same in every locale; what is no finite
/// number is nan, inf or -inf in CSV and null in JSON. A Checkpoint keeps the numbers themselves, to the last bit.
class Log {
 public:
  /// The first row names the columns. Throws std::invalid_argument for a later row of other columns, another order
  /// included, for a column that is named twice, and for a name that is empty or has a comma, a quotation mark, a
  /// backslash or a control character.
  void add(std::initializer_list<LogEntry> row, Here here = {});

  [[nodiscard]] std::size_t rows() const noexcept { return columns_.empty() ? 0 : numbers_.size() / columns_.size(); }
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  /// Throws std::out_of_range for a row or column that is not there.
  [[nodiscard]] double at(std::size_t row, std::string_view column, Here here = {}) const;

  /// A line of names, then a line per row. Empty while there are no rows.
  [[nodiscard]] std::string csv() const;
  /// One object per row, a line each: {"epoch": 3, "train_loss": 0.25}.
  [[nodiscard]] std::string json_lines() const;
  /// One row of them, without the end of its line. Throws std::out_of_range for a row that is not there.
  [[nodiscard]] std::string json(std::size_t row, Here here = {}) const;

  /// Both replace the file in one step. Throw FileError when it cannot be written; the old one is whole then.
  void write_csv(const std::string& path, Here here = {}) const;
  void write_json_lines(const std::string& path, Here here = {}) const;

  [[nodiscard]] State state() const;
  /// Also throws std::invalid_argument when this log has columns already and they differ.
  void load_state(const State& state, Here here = {});

 private:
  void check_row(std::size_t row) const;

  std::vector<std::string> columns_;
  std::vector<double> numbers_;  // row-major
};

}  // namespace tapestry::nn::train
