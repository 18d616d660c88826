#include "campaigns/campaign.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace tapestry::campaign {

Campaign::Campaign(std::string name, const std::string& what_it_does, int argc, char** argv)
    : name_(std::move(name)), progress_({.stream = stderr}) {
  CLI::App app(what_it_does, "campaign_" + name_);
  app.add_flag("--short", short_, "The part that every run of the tests takes");
  app.add_flag("--json", json_, "A line of JSON per row instead of the table");
  app.add_option("--seed", seed_, "Another attack of the same kind");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::exit(app.exit(e) == 0 ? 0 : 2);
  }
}

void Campaign::begin(const std::string& label, std::int64_t steps) { progress_.begin(label, steps); }

void Campaign::failure(const std::string& text) {
  progress_.say(fmt::format("FAILED: {} (campaign_{}{} --seed {})", text, name_, short_ ? " --short" : "", seed_));
}

void Campaign::row(std::string what, std::int64_t runs, std::int64_t failures, std::string figures) {
  rows_.push_back({std::move(what), "test", runs, failures, std::move(figures)});
}

void Campaign::control(std::string what, std::int64_t runs, std::int64_t noticed, std::string figures) {
  rows_.push_back({std::move(what), "control", runs, runs - noticed, std::move(figures)});
}

void Campaign::skipped(std::string what, std::string why) {
  rows_.push_back({std::move(what), "skipped", 0, 0, std::move(why)});
}

int Campaign::finish() {
  std::int64_t failures = 0;
  std::size_t widest = name_.size();
  for (const Row& row : rows_) {
    // A row that ran nothing proves nothing.
    failures += row.failures + (row.runs == 0 && row.kind != "skipped" ? 1 : 0);
    widest = std::max(widest, row.what.size() + (row.kind == "control" ? 9 : 0));
  }
  if (json_) {
    for (const Row& row : rows_) {
      const nlohmann::ordered_json line{{"campaign", name_},     {"seed", seed_},    {"what", row.what},
                                        {"kind", row.kind},      {"runs", row.runs}, {"failures", row.failures},
                                        {"figures", row.figures}};
      fmt::print("{}\n", line.dump());
    }
  } else {
    fmt::print("{:<{}}  {:>9}  {:>8}\n", name_, widest, "runs", "failures");
    for (const Row& row : rows_) {
      const std::string what = row.kind == "control" ? "control: " + row.what : row.what;
      if (row.kind == "skipped") fmt::print("{:<{}}  skipped: {}\n", what, widest, row.figures);
      else fmt::print("{:<{}}  {:>9}  {:>8}  {}\n", what, widest, row.runs, row.failures, row.figures);
    }
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace tapestry::campaign
