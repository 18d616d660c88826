// bench_peaks: what this machine can do at best, on one thread and on --threads: multiply-adds per second in f32, f64
// and bf16, and bytes per second from each level of the memory. What other programs print fractions of.
//   bench_peaks [--threads N] [--json]

#include "bench.h"

namespace {

using namespace tapestry;

std::string megabytes(double bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes < 1e6 ? "%.0f KiB" : "%.1f MiB", bytes / (bytes < 1e6 ? 1024 : 1048576));
  return text;
}

void rates(bench::Report& report, int threads) {
  const auto row = [&](const char* what, double flops) {
    report.row({{"multiply-adds", what}}, {{"rate", flops * 1e-9, "GFLOP/s"}});
  };
  row("f32", bench::fma_peak_flops(threads));
  row("f64", bench::fma_peak_flops_f64(threads));
  if (const double flops = bench::bf16_peak_flops(threads); flops > 0) row("bf16 (VDPBF16PS)", flops);
  else report.note("no AVX512-BF16");
  report.note(bench::has_amx_bf16() ? "AMX is there and not measured" : "no AMX");
}

struct Level {
  const char* name;
  double bytes_per_thread;  ///< of all arrays of one thread
};

/// L1 and L2 are each core's own; half of them leaves room for what else lies there. The L3 is shared and often told
/// for a whole socket, so its size says little: eight times the L2 does not fit there and fits in the L3 of any server.
/// DRAM gets four times the L3, at least 256 MiB and at most 1 GiB, which is above what one core can fill.
std::vector<Level> levels(int threads) {
  constexpr double kMiB = 1048576;
  const auto size = [](int level) { return static_cast<double>(bench::cache_size(level).bytes); };
  return {{"L1", size(1) / 2},
          {"L2", size(2) / 2},
          {"L3", std::max(2 * size(2), std::min(8 * size(2), size(3) / 2) / threads)},
          {"DRAM", std::clamp(4 * size(3), 256 * kMiB, 1024 * kMiB) / threads}};
}

void bandwidths(bench::Report& report, int threads) {
  using bench::Traffic;
  for (const Level& level : levels(threads)) {
    const auto rate = [&](const char* name, Traffic traffic) {
      return bench::Report::Value{name, bench::bandwidth(traffic, level.bytes_per_thread, threads) * 1e-9, "GB/s"};
    };
    std::vector<bench::Report::Value> values{rate("read", Traffic::read), rate("copy", Traffic::copy),
                                             rate("triad", Traffic::triad)};
    if (level.name == std::string_view("DRAM")) {
      values.push_back(rate("streaming copy", Traffic::streaming_copy));
      values.push_back(rate("streaming triad", Traffic::streaming_triad));
    }
    report.row({{"memory", level.name}, {"bytes per thread", megabytes(level.bytes_per_thread)}}, values);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Options options = bench::parse_options(argc, argv);
  bench::expect_no_more(options);
  for (int level = 1; level <= 3; ++level) {
    const bench::CacheSize cache = bench::cache_size(level);
    bench::Report(options).note("L" + std::to_string(level) + " " + megabytes(static_cast<double>(cache.bytes)) + " (" +
                                cache.source + ")");
  }
  for (const int threads : {1, options.threads}) {
    bench::Options these = options;
    these.threads = threads;
    bench::Report report(these);
    report.note("\n" + std::to_string(threads) + (threads == 1 ? " thread" : " threads"));
    rates(report, threads);
    bandwidths(report, threads);
    if (options.threads == 1) break;
  }
}
