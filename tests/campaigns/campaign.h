#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tapestry/nn/train/progress.h>

/// A campaign is a long test that counts: it attacks the library many times and prints a table of what it tried and
/// what failed. Each .cpp here is one program:
///
///     campaign_NAME             in full
///     campaign_NAME --short     the part that every run of the tests takes
///     campaign_NAME --seed 7    another attack of the same kind; a failure prints the seed that repeats it
///     campaign_NAME --json      a line of JSON per row instead of the table
///
/// Exit status 0: nothing failed, and every control did; 1 otherwise; 2 for flags that are wrong.
namespace tapestry::campaign {

class Campaign {
 public:
  /// Reads the flags; leaves the program when they are wrong or ask for help.
  Campaign(std::string name, const std::string& what_it_does, int argc, char** argv);

  [[nodiscard]] bool brief() const noexcept { return short_; }
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  /// The one for the gate or the one for a whole campaign.
  [[nodiscard]] std::int64_t count(std::int64_t in_short, std::int64_t in_full) const noexcept {
    return short_ ? in_short : in_full;
  }

  /// Work that takes a while: a bar on standard error with the time left. step() after each of `steps`.
  void begin(const std::string& label, std::int64_t steps);
  void step() { progress_.step(); }
  void end() { progress_.end(); }

  /// Something went wrong: a line on standard error at once, with what repeats it.
  void failure(const std::string& text);

  /// A row of the table: so many runs of `what`, of which so many failed; `figures` says what else was measured.
  void row(std::string what, std::int64_t runs, std::int64_t failures, std::string figures = {});
  /// A planted fault, which must be noticed in every run.
  void control(std::string what, std::int64_t runs, std::int64_t noticed, std::string figures = {});
  /// Something that cannot be run here, and how it could.
  void skipped(std::string what, std::string why);

  /// Prints the table; the program's exit status.
  [[nodiscard]] int finish();

 private:
  struct Row {
    std::string what, kind;  // "test", "control", "skipped"
    std::int64_t runs, failures;
    std::string figures;
  };

  std::string name_;
  bool short_ = false, json_ = false;
  std::uint64_t seed_ = 1;
  std::vector<Row> rows_;
  nn::train::Progress progress_;
};

}  // namespace tapestry::campaign
