#pragma once

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// What benchmark programs share, ours and LibTorch's twins: flags, timing, page faults, memory of the process, the
/// table and JSON lines. C++17 and free of tapestry, because twins are: whatever is measured, both sides measure it
/// with these lines.
namespace tapestry::bench {

/// "bench_conv" for "build/release/bin/bench_conv".
inline std::string& program_name() {
  static std::string name;
  return name;
}

/// Says what is wrong with the command line and ends the program with status 2.
[[noreturn]] inline void usage_error(const std::string& message) {
  std::fprintf(stderr, "%s: %s\n", program_name().c_str(), message.c_str());
  std::exit(2);
}

/// The number that a flag was given.
template <class T>
T number_of(const std::string& flag, const std::string& text, T low, T high) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value >= low && value <= high)) {
    char range[64];
    std::snprintf(range, sizeof range, "[%g, %g]", static_cast<double>(low), static_cast<double>(high));
    usage_error(flag + ": must be " + (std::is_integral_v<T> ? "an integer" : "a number") + " in " + range + "; got " +
                text);
  }
  return value;
}

/// Takes flags and words off a command line one by one.
class Arguments {
 public:
  explicit Arguments(std::vector<std::string> list) : list_(std::move(list)) {}

  /// Goes to the next one; false at the end.
  bool next() {
    if (at_ + 1 > list_.size()) return false;
    current_ = list_[at_++];
    return true;
  }
  [[nodiscard]] const std::string& text() const { return current_; }
  [[nodiscard]] bool is(std::string_view flag) const { return current_ == flag; }
  [[nodiscard]] bool is_flag() const { return current_.rfind('-', 0) == 0; }

  /// What stands behind the current flag.
  std::string value() {
    if (at_ >= list_.size()) usage_error(current_ + ": needs a value");
    return list_[at_++];
  }
  template <class T>
  T value(T low, T high) {
    const std::string flag = current_;
    return number_of<T>(flag, value(), low, high);
  }

 private:
  std::vector<std::string> list_;
  std::size_t at_ = 0;
  std::string current_;
};

/// Flags of every benchmark program.
struct Options {
  int threads = 1;                ///< all that this process may use unless --threads says otherwise
  bool json = false;              ///< one JSON object per line instead of the table
  double budget = 0;              ///< seconds of repetitions per measured number
  std::vector<std::string> rest;  ///< arguments that are not common flags, in order
};

constexpr const char* kCommonFlags = "--threads N, --json, --budget SECONDS";

/// CPUs that this process may use.
inline int available_cpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
}

/// Reads the common flags; nonsense ends the program with status 2.
inline Options parse_common(int argc, char** argv, double budget) {
  const std::string path = argc > 0 ? argv[0] : "bench";
  program_name() = path.substr(path.rfind('/') + 1);
  Options options;
  options.threads = available_cpus();
  options.budget = budget;
  Arguments arguments(std::vector<std::string>(argv + std::min(1, argc), argv + argc));
  while (arguments.next()) {
    if (arguments.is("--json")) options.json = true;
    else if (arguments.is("--threads")) options.threads = arguments.value<int>(1, 1024);
    else if (arguments.is("--budget")) options.budget = arguments.value<double>(0, 3600);
    else options.rest.push_back(arguments.text());
  }
  return options;
}

/// Whether a flag without value was given, which is then taken off the rest.
inline bool take_flag(Options& options, const std::string& flag) {
  const auto at = std::find(options.rest.begin(), options.rest.end(), flag);
  if (at == options.rest.end()) return false;
  options.rest.erase(at);
  return true;
}

/// For programs without arguments of their own.
inline void expect_no_more(const Options& options) {
  if (!options.rest.empty()) usage_error(std::string("takes ") + kCommonFlags + "; got " + options.rest.front());
}

/// For programs that take part of a case's name as their only argument: --only TEXT.
inline std::string parse_only(const Options& options) {
  std::string only;
  Arguments arguments(options.rest);
  while (arguments.next()) {
    if (!arguments.is("--only"))
      usage_error(std::string("takes ") + kCommonFlags + ", --only TEXT; got " + arguments.text());
    only = arguments.value();
  }
  return only;
}

/// Arguments of the programs that measure convolutions.
struct ConvChoice {
  long batch = 128;  ///< of cases that do not have their own
  std::string only;  ///< part of a case's name
};

inline ConvChoice parse_conv_choice(const Options& options) {
  ConvChoice choice;
  Arguments arguments(options.rest);
  while (arguments.next()) {
    if (arguments.is("--batch")) choice.batch = arguments.value<long>(1, 100000);
    else if (arguments.is("--only")) choice.only = arguments.value();
    else usage_error(std::string("takes ") + kCommonFlags + ", --batch N, --only TEXT; got " + arguments.text());
  }
  return choice;
}

/// Arguments of the programs that measure models.
struct ModelChoice {
  long batch = 128;
  std::vector<std::string> models;
};

/// Words are models, of which `known` are all there are; `usual` ones where none is named.
inline ModelChoice parse_model_choice(const Options& options, const std::vector<std::string>& known,
                                      const std::vector<std::string>& usual) {
  ModelChoice choice;
  Arguments arguments(options.rest);
  while (arguments.next()) {
    if (arguments.is("--batch")) {
      choice.batch = arguments.value<long>(1, 100000);
    } else if (arguments.is_flag()) {
      usage_error(std::string("takes ") + kCommonFlags + ", --batch N, MODEL...; got " + arguments.text());
    } else if (std::find(known.begin(), known.end(), arguments.text()) == known.end()) {
      std::string names;
      for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
      usage_error("the model must be one of " + names + "; got " + arguments.text());
    } else {
      choice.models.push_back(arguments.text());
    }
  }
  if (choice.models.empty()) choice.models = usual;
  return choice;
}

/// Seconds f() takes once.
template <class F>
double seconds(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Page faults of this process so far that needed no disk: pages of fresh memory that were touched for the first time.
inline long minor_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

struct Measured {
  double seconds;  ///< median, per call
  double faults;   ///< minor page faults, average per call
};

/// Times repeated calls of f after `warm_up` calls. Calls shorter than 200 us are timed in groups, so that the clock
/// does not count; runs go on for `budget` seconds and at least 5 times.
template <class F>
Measured measure(const F& f, double budget, int warm_up = 2) {
  constexpr double kShortest = 200e-6;  // seconds; some thousand times what reading the clock takes
  double once = seconds(f);
  for (int i = 1; i < warm_up; ++i) once = std::min(once, seconds(f));
  const int group = once >= kShortest ? 1 : static_cast<int>(kShortest / std::max(once, 1e-9)) + 1;
  std::vector<double> runs(1 << 16);  // 13 seconds of the shortest: filled once, so that its pages are not counted
  runs.clear();
  const long faults = minor_faults();
  for (double spent = 0; spent < budget || runs.size() < 5;) {
    const double run = seconds([&] {
      for (int i = 0; i < group; ++i) f();
    });
    spent += run;
    runs.push_back(run / group);
  }
  const double calls = static_cast<double>(runs.size()) * group;
  const double faults_per_call = static_cast<double>(minor_faults() - faults) / calls;
  std::nth_element(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2), runs.end());
  return {runs[runs.size() / 2], faults_per_call};
}

/// Median seconds per call; see measure().
template <class F>
double median_seconds(const F& f, double budget = 0.3) {
  return measure(f, budget).seconds;
}

/// Keeps the compiler from dropping a computation whose result nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

/// Memory of this process that lies in RAM, in bytes: now ("VmRSS"), or at most since reset_process_peak() ("VmHWM").
/// 0 where the system does not say.
inline double process_bytes(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(what + ":", 0) == 0) return 1024 * std::atof(line.c_str() + what.size() + 1);  // in kB
  }
  return 0;
}

/// Lets VmHWM begin anew. Where the system refuses, it goes on from the largest so far.
inline void reset_process_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

/// A table on stdout, or one JSON object per line. A row is a case, described by text fields, and one or more values;
/// the JSON form has one line per value: name, value, unit, threads, and the case's fields.
class Report {
 public:
  using Field = std::pair<std::string, std::string>;
  struct Value {
    std::string name;
    double value;
    std::string unit;  ///< "" for ratios
  };

  /// `of_all` stands in every JSON object, and in no table.
  explicit Report(Options options, int field_width = 24, std::vector<Field> of_all = {})
      : options_(std::move(options)), field_width_(field_width), of_all_(std::move(of_all)) {}

  /// Prints one row; the header is printed whenever the names of the columns change.
  void row(const std::vector<Field>& fields, const std::vector<Value>& values) {
    options_.json ? print_json(fields, values) : print_line(fields, values);
    std::fflush(stdout);
  }

  /// A line above or below the table; not printed with --json.
  void note(const std::string& text) const {
    if (!options_.json) std::printf("%s\n", text.c_str());
  }

 private:
  static constexpr int kValueWidth = 13;

  void print_line(const std::vector<Field>& fields, const std::vector<Value>& values) {
    std::string header, line;
    for (const auto& [key, text] : fields) {
      header += padded(key, field_width_, false);
      line += padded(text, field_width_, false);
    }
    for (const Value& v : values) {
      const std::string title = v.unit.empty() ? v.name : v.name + " " + v.unit;
      const int width = std::max(kValueWidth, static_cast<int>(title.size()) + 2);
      header += padded(title, width, true);
      char number[32];
      std::snprintf(number, sizeof number, "%.4g", v.value);
      line += padded(number, width, true);
    }
    if (header != header_) std::printf("%s\n", (header_ = header).c_str());
    std::printf("%s\n", line.c_str());
  }

  void print_json(const std::vector<Field>& fields, const std::vector<Value>& values) const {
    for (const Value& v : values) {
      std::printf("{\"name\": \"%s\", \"value\": %.9g, \"unit\": \"%s\", \"threads\": %d", v.name.c_str(), v.value,
                  v.unit.c_str(), options_.threads);
      for (const auto* list : {&fields, &of_all_}) {
        for (const auto& [key, text] : *list) std::printf(", \"%s\": \"%s\"", key.c_str(), text.c_str());
      }
      std::printf("}\n");
    }
  }

  static std::string padded(std::string text, int width, bool right) {
    const std::size_t missing = static_cast<std::size_t>(std::max(1, width - static_cast<int>(text.size())));
    return right ? std::string(missing, ' ') + text : text + std::string(missing, ' ');
  }

  Options options_;
  int field_width_;
  std::vector<Field> of_all_;
  std::string header_;
};

}  // namespace tapestry::bench
