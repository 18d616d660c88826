// Seeds one fault after another into backward rules and runs the tests that can see it: each must be noticed. The
// tables in mutants/tables say which faults and which tests. First build the tests with the faults in them, once:
//
//     cmake --build --preset release --target mutated_tests
//
// A test counts as failed too when it crashes, or takes longer than a minute. The short form asks whether the tables
// still fit the sources. TAPESTRY_MUTANTS=ops/cast in the environment runs the mutants alone whose file and name
// contain that.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "campaigns/campaign.h"
#include "campaigns/mutants/table.h"

namespace {

using namespace tapestry;
using namespace tapestry::mutants;

constexpr std::size_t kWanted = 200;
constexpr std::chrono::seconds kPatience{60};

const std::string kTables = TAPESTRY_SOURCE_DIR "/tests/campaigns/mutants/tables";

// --- the tables against the sources

void check_tables(campaign::Campaign& campaign, const std::vector<File>& files) {
  std::int64_t mutants = 0, wrong = 0;
  for (const File& file : files) {
    mutants += static_cast<std::int64_t>(file.mutants.size());
    try {
      (void)with_mutants(file, read_text(TAPESTRY_SOURCE_DIR "/" + file.path));
    } catch (const std::runtime_error& e) {
      campaign.failure(e.what());
      ++wrong;
    }
  }
  if (mutants < static_cast<std::int64_t>(kWanted)) {
    campaign.failure(fmt::format("there must be {} mutants; got {}", kWanted, mutants));
    ++wrong;
  }
  campaign.row("tables fit the sources", static_cast<std::int64_t>(files.size()), wrong,
               fmt::format("{} mutants", mutants));
}

/// Tables that must be refused.
void check_controls(campaign::Campaign& campaign) {
  const std::string head = "file a.cpp\ntests ops/a_test\nmutant m\n", source = "int f() { return 1 + 1 * 2; }\n";
  const std::vector<std::string> bad{
      head + "- 3\n+ 4\n",                              // a text that is not there
      head + "- 1\n+ 2\n",                              // one that is there twice
      head + "@ f(x)\n- 2\n+ 3\n",                      // a context that is not there
      head + "- 1 * 2\n+ 2\nmutant n\n- 1 + 1\n+ 0\n",  // two that overlap
      head + "- 2\n",                                   // no replacement
      head + "- 2\n+ 2\n",                              // the same
      head + "- 2\n+ 3\nmutant m\n- f\n+ g\n",          // a name twice
      "file a.cpp\nmutant m\n- 2\n+ 3\n",               // no tests
      "mutant m\n- 2\n+ 3\n",                           // no file
  };
  std::int64_t refused = 0;
  for (const std::string& table : bad) {
    try {
      for (const File& file : parse("a table", table)) (void)with_mutants(file, source);
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  campaign.control("tables that do not fit", static_cast<std::int64_t>(bad.size()), refused);
  const std::string good = head + "- 1 + 1 * 2\n+ 0\nmutant n\n- 2\n+ 3\n";
  const File file = parse("a table", good).front();
  const std::string text = with_mutants(file, source);
  const bool nested = text.find(fmt::format("(tapestry_mutant({}) ? (0) : (1 + 1 * (tapestry_mutant({}) ? (3) : (2))))",
                                            file.mutants[0].number(), file.mutants[1].number())) != std::string::npos;
  if (!nested) campaign.failure("one mutant within another: got " + text);
  campaign.row("a mutant within another", 1, nested ? 0 : 1);
}

// --- running tests

/// A suite of a test program, of whose op table only some rows are walked.
struct Suite {
  std::string program, name, rows;

  [[nodiscard]] std::string path() const { return TAPESTRY_BIN_DIR "/mutated_test_" + program; }
  auto operator<=>(const Suite&) const = default;
};

/// What can see the faults of a file, in the order in which it is asked.
std::vector<Suite> suites_of(const File& file) {
  std::vector<Suite> suites;
  for (const std::string& test : file.tests) {
    const std::size_t slash = test.find('/');
    suites.push_back({test.substr(0, slash), test.substr(slash + 1), {}});
  }
  if (!file.rows.empty()) {
    suites.push_back({"ops",
                      "op_table_test/gradients_of_first_and_second_order_agree_with_differences,"
                      "f32_agrees_with_f64_forward_and_backward,every_number_of_threads_gives_the_same_bits",
                      file.rows});
  }
  return suites;
}

/// Whether the suite passes with this mutant, "" being none.
bool passes(const Suite& suite, const std::string& mutant) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
  if (!mutant.empty()) environment.push_back("TAPESTRY_MUTANT=" + mutant);
  if (!suite.rows.empty()) environment.push_back("TAPESTRY_OPS=" + suite.rows);
  std::vector<std::string> arguments{suite.path(), "--run_test=" + suite.name, "--catch_system_errors=no", "--random=1",
                                     "--log_level=nothing"};
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> out;
    for (std::string& s : strings) out.push_back(s.data());
    out.push_back(nullptr);
    return out;
  };
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
  }
  pid_t child = 0;
  const int failed = posix_spawn(&child, arguments[0].c_str(), &actions, nullptr, pointers(arguments).data(),
                                 pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error(arguments[0] + ": cannot be run; build the target mutated_tests first");
  const auto end = std::chrono::steady_clock::now() + kPatience;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 99) {
    throw std::runtime_error(arguments[0] + " does not know '" + mutant + "'; build the target mutated_tests again");
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// f(i) for all i below n, several at a time; the first exception is thrown again.
template <class F>
void side_by_side(std::size_t n, const F& f) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  std::mutex mutex;
  std::vector<std::thread> workers;
  for (unsigned w = 0; w < std::max(1U, std::thread::hardware_concurrency()); ++w) {
    workers.emplace_back([&] {
      try {
        for (std::size_t i = next++; i < n; i = next++) f(i);
      } catch (...) {
        next = n;
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  if (error) std::rethrow_exception(error);
}

// --- the campaign

void run_mutants(campaign::Campaign& campaign, const std::vector<File>& files) {
  const char* const only = std::getenv("TAPESTRY_MUTANTS");
  struct Run {
    const Mutant* mutant;
    const File* file;
    bool survived = false;
  };
  std::vector<Run> runs;
  std::set<Suite> used;
  for (const File& file : files) {
    for (const Mutant& mutant : file.mutants) {
      if (only != nullptr && mutant.key().find(only) == std::string::npos) continue;
      runs.push_back({&mutant, &file});
      for (const Suite& suite : suites_of(file)) used.insert(suite);
    }
  }
  std::mutex mutex;
  const std::vector<Suite> suites(used.begin(), used.end());
  std::int64_t broken = 0;
  campaign.begin("suites without a mutant", static_cast<std::int64_t>(suites.size()));
  side_by_side(suites.size(), [&](std::size_t i) {
    const bool passed = passes(suites[i], {});
    const std::lock_guard lock(mutex);
    campaign.step();
    if (passed) return;
    campaign.failure(fmt::format("{} {} fails without a mutant", suites[i].name, suites[i].rows));
    ++broken;
  });
  campaign.end();
  campaign.row("suites without a mutant pass", static_cast<std::int64_t>(suites.size()), broken);
  if (broken > 0) return;

  campaign.begin("mutants", static_cast<std::int64_t>(runs.size()));
  side_by_side(runs.size(), [&](std::size_t i) {
    Run& run = runs[i];
    const std::vector<Suite> of_file = suites_of(*run.file);
    run.survived = std::all_of(of_file.begin(), of_file.end(),
                               [&](const Suite& suite) { return passes(suite, run.mutant->key()); });
    const std::lock_guard lock(mutex);
    campaign.step();
    if (run.survived && run.mutant->equivalent.empty()) campaign.failure("survived: " + run.mutant->key());
    if (!run.survived && !run.mutant->equivalent.empty()) {
      campaign.failure("said to be equivalent, but killed: " + run.mutant->key());
    }
  });
  campaign.end();

  std::int64_t killed_of_all = 0, faults = 0, equivalent_of_all = 0;
  for (const File& file : files) {
    std::int64_t mutants = 0, killed = 0, killed_faults = 0, equivalent = 0, wrong = 0;
    for (const Run& run : runs) {
      if (run.file != &file) continue;
      ++mutants;
      killed += run.survived ? 0 : 1;
      killed_faults += !run.survived && run.mutant->equivalent.empty() ? 1 : 0;
      equivalent += run.mutant->equivalent.empty() ? 0 : 1;
      wrong += run.survived == run.mutant->equivalent.empty() ? 1 : 0;
    }
    if (mutants == 0) continue;
    campaign.row(file.path, mutants, wrong,
                 equivalent == 0 ? fmt::format("{} killed", killed)
                                 : fmt::format("{} killed, {} equivalent", killed, equivalent));
    killed_of_all += killed_faults;
    faults += mutants - equivalent;
    equivalent_of_all += equivalent;
  }
  campaign.row("all", faults, faults - killed_of_all,
               fmt::format("{} killed, {} more are equivalent", killed_of_all, equivalent_of_all));
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("mutants", "Seeds faults into backward rules, which the tests must notice", argc, argv);
  try {
    const std::vector<File> files = read_tables(kTables);
    check_tables(campaign, files);
    check_controls(campaign);
    if (!campaign.brief()) run_mutants(campaign, files);
  } catch (const std::exception& e) {
    campaign.failure(e.what());
    campaign.row("the campaign itself", 1, 1);
  }
  return campaign.finish();
}
