#pragma once

#include <tapestry/autograd/parallel.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/// What the benchmark programs share: flags, timing, the table, JSON lines, and the peak that rates are divided by.
namespace tapestry::bench {

/// Flags of every benchmark program.
struct Options {
  int threads = num_threads();
  bool json = false;              ///< one JSON object per line instead of the table
  std::vector<std::string> rest;  ///< arguments that are not common flags, in order
};

/// Reads --threads N and --json and sets the number of threads; prints a line and exits with status 2 on nonsense.
inline Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--json") {
      options.json = true;
    } else if (flag == "--threads") {
      const std::string_view value = i + 1 < argc ? argv[++i] : "nothing";
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.threads);
      if (error != std::errc{} || end != value.data() + value.size() || options.threads < 1 || options.threads > 1024) {
        std::fprintf(stderr, "--threads: must be an integer in [1, 1024]; got %s\n", argv[i < argc ? i : argc - 1]);
        std::exit(2);
      }
    } else {
      options.rest.emplace_back(flag);
    }
  }
  set_num_threads(options.threads);
  return options;
}

/// Seconds f() takes once.
template <class F>
double seconds(const F& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Median over repeated runs of seconds per call of f, after a warm-up call. Calls shorter than 200 us are timed in
/// groups, so that the clock does not count; runs go on for `budget` seconds and at least 5 times.
template <class F>
double median_seconds(const F& f, double budget = 0.3) {
  constexpr double kShortest = 200e-6;  // seconds; some thousand times what reading the clock takes
  double once = seconds(f);
  once = std::min(once, seconds(f));
  const int group = once >= kShortest ? 1 : static_cast<int>(kShortest / std::max(once, 1e-9)) + 1;
  std::vector<double> runs;
  for (double spent = 0; spent < budget || runs.size() < 5;) {
    const double run = seconds([&] {
      for (int i = 0; i < group; ++i) f();
    });
    spent += run;
    runs.push_back(run / group);
  }
  std::nth_element(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2), runs.end());
  return runs[runs.size() / 2];
}

/// Keeps the compiler from dropping a computation whose result nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

namespace detail {

#if defined(__x86_64__)
/// 16 independent chains of multiply-adds: enough for two units of latency 4, few enough for the registers.
__attribute__((target("avx512f"))) inline double fma_flops_avx512(long rounds) {
  __m512 sum[16];
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));  // different, or they would be merged
  const __m512 a = _mm512_set1_ps(0.5F);
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_fmadd_ps(sum[i], a, a);
  }
  __m512 total = sum[0];
  for (int i = 1; i < 16; ++i) total = _mm512_add_ps(total, sum[i]);
  keep(total);  // the sum, not the array: an array whose address is taken would live in memory all along
  return 2.0 * 16 * 16 * static_cast<double>(rounds);
}

__attribute__((target("avx2,fma"))) inline double fma_flops_avx2(long rounds) {
  __m256 sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm256_set1_ps(static_cast<float>(i));  // different, or they would be merged
  const __m256 a = _mm256_set1_ps(0.5F);
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < 12; ++i) sum[i] = _mm256_fmadd_ps(sum[i], a, a);
  }
  __m256 total = sum[0];
  for (int i = 1; i < 12; ++i) total = _mm256_add_ps(total, sum[i]);
  keep(total);  // the sum, not the array: an array whose address is taken would live in memory all along
  return 2.0 * 12 * 8 * static_cast<double>(rounds);
}
#endif

/// Runs a loop of nothing but f32 multiply-adds; returns how many floating-point operations that were.
inline double fma_flops(long rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return fma_flops_avx512(rounds);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return fma_flops_avx2(rounds);
#endif
  float sum[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (long i = 0; i < rounds; ++i) {
    for (float& s : sum) s = s * 0.5F + 0.5F;
    keep(sum);
  }
  return 2.0 * 8 * static_cast<double>(rounds);
}

}  // namespace detail

/// f32 FLOP/s of `threads` threads that do nothing but fused multiply-adds: the best of some runs of a few
/// milliseconds. Clock rates wander, so measure it close to whatever is divided by it.
inline double fma_peak_flops(int threads) {
  constexpr long kRounds = 2000000;  // about 5 ms at 3.3 GHz
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<double> flops(static_cast<std::size_t>(threads));
    const double time = seconds([&] {
      std::vector<std::jthread> others;
      for (std::size_t i = 1; i < flops.size(); ++i) {
        others.emplace_back([&flops, i] { flops[i] = detail::fma_flops(kRounds); });
      }
      flops[0] = detail::fma_flops(kRounds);
    });
    double sum = 0;
    for (const double f : flops) sum += f;
    best = std::max(best, sum / time);
  }
  return best;
}

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

  explicit Report(Options options) : options_(std::move(options)) {}

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
  static constexpr int kFieldWidth = 24, kValueWidth = 14;

  void print_line(const std::vector<Field>& fields, const std::vector<Value>& values) {
    std::string header, line;
    for (const auto& [key, text] : fields) {
      header += padded(key, kFieldWidth, false);
      line += padded(text, kFieldWidth, false);
    }
    for (const Value& v : values) {
      header += padded(v.unit.empty() ? v.name : v.name + " " + v.unit, kValueWidth, true);
      char number[32];
      std::snprintf(number, sizeof number, "%.4g", v.value);
      line += padded(number, kValueWidth, true);
    }
    if (header != header_) std::printf("%s\n", (header_ = header).c_str());
    std::printf("%s\n", line.c_str());
  }

  void print_json(const std::vector<Field>& fields, const std::vector<Value>& values) const {
    for (const Value& v : values) {
      std::printf("{\"name\": \"%s\", \"value\": %.9g, \"unit\": \"%s\", \"threads\": %d", v.name.c_str(), v.value,
                  v.unit.c_str(), options_.threads);
      for (const auto& [key, text] : fields) std::printf(", \"%s\": \"%s\"", key.c_str(), text.c_str());
      std::printf("}\n");
    }
  }

  static std::string padded(std::string text, int width, bool right) {
    const std::size_t missing = static_cast<std::size_t>(std::max(1, width - static_cast<int>(text.size())));
    return right ? std::string(missing, ' ') + text : text + std::string(missing, ' ');
  }

  Options options_;
  std::string header_;
};

}  // namespace tapestry::bench
