#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "report.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/// What this machine can do at best: multiply-adds and bytes per second, measured by loops that do nothing else. Clock
/// rates and neighbours wander, so measure a peak close to whatever is divided by it.
namespace tapestry::bench {

namespace detail {

/// Seconds that `threads` threads take for f(0), f(1), ...: from the moment all are ready to the end of the last.
template <class F>
double seconds_together(int threads, const F& f) {
  using Clock = std::chrono::steady_clock;
  std::barrier ready(threads);
  std::vector<Clock::time_point> begin(static_cast<std::size_t>(threads)), end(begin);
  const auto work = [&](int i) {
    ready.arrive_and_wait();
    begin[static_cast<std::size_t>(i)] = Clock::now();
    f(i);
    end[static_cast<std::size_t>(i)] = Clock::now();
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work, i);
    work(0);
  }
  return std::chrono::duration<double>(*std::max_element(end.begin(), end.end()) -
                                       *std::min_element(begin.begin(), begin.end()))
      .count();
}

#if defined(__x86_64__)

/// The few instructions that differ between element types.
template <class T>
struct Avx512;
template <>
struct Avx512<float> {
  using Vector = __m512;
  __attribute__((target("avx512f"), always_inline)) static Vector set(float x) { return _mm512_set1_ps(x); }
  __attribute__((target("avx512f"), always_inline)) static Vector fma(Vector a, Vector b, Vector c) {
    return _mm512_fmadd_ps(a, b, c);
  }
};
template <>
struct Avx512<double> {
  using Vector = __m512d;
  __attribute__((target("avx512f"), always_inline)) static Vector set(double x) { return _mm512_set1_pd(x); }
  __attribute__((target("avx512f"), always_inline)) static Vector fma(Vector a, Vector b, Vector c) {
    return _mm512_fmadd_pd(a, b, c);
  }
};

template <class T>
struct Avx2;
template <>
struct Avx2<float> {
  using Vector = __m256;
  __attribute__((target("avx2,fma"), always_inline)) static Vector set(float x) { return _mm256_set1_ps(x); }
  __attribute__((target("avx2,fma"), always_inline)) static Vector fma(Vector a, Vector b, Vector c) {
    return _mm256_fmadd_ps(a, b, c);
  }
};
template <>
struct Avx2<double> {
  using Vector = __m256d;
  __attribute__((target("avx2,fma"), always_inline)) static Vector set(double x) { return _mm256_set1_pd(x); }
  __attribute__((target("avx2,fma"), always_inline)) static Vector fma(Vector a, Vector b, Vector c) {
    return _mm256_fmadd_pd(a, b, c);
  }
};

// In all loops there are enough independent chains for two units of latency 4 to 6, and few enough for the registers.
// Chains begin with different numbers, or they would be merged; the sum is kept, not the array, because an array whose
// address is taken would live in memory all along.

template <class T>
__attribute__((target("avx512f"))) double fma_flops_avx512(long rounds) {
  constexpr int kChains = 16;
  using Lanes = Avx512<T>;
  typename Lanes::Vector sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = Lanes::set(static_cast<T>(i));
  const auto a = Lanes::set(T{0.5});
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = Lanes::fma(sum[i], a, a);
  }
  for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
  const auto total = sum[0];
  keep(total);
  return 2.0 * kChains * (64 / sizeof(T)) * static_cast<double>(rounds);
}

template <class T>
__attribute__((target("avx2,fma"))) double fma_flops_avx2(long rounds) {
  constexpr int kChains = 12;
  using Lanes = Avx2<T>;
  typename Lanes::Vector sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = Lanes::set(static_cast<T>(i));
  const auto a = Lanes::set(T{0.5});
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = Lanes::fma(sum[i], a, a);
  }
  for (int i = 1; i < kChains; ++i) sum[0] += sum[i];
  const auto total = sum[0];
  keep(total);
  return 2.0 * kChains * (32 / sizeof(T)) * static_cast<double>(rounds);
}

/// VDPBF16PS: 16 times the products of two pairs, added up in f32.
__attribute__((target("avx512f,avx512bf16"))) inline double bf16_flops_avx512(long rounds) {
  constexpr int kChains = 16;
  __m512 sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512i half = _mm512_set1_epi16(0x3f00);  // 0.5
  const __m512bh a = reinterpret_cast<const __m512bh&>(half);
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, a);
  }
  for (int i = 1; i < kChains; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  const __m512 total = sum[0];
  keep(total);
  return 2.0 * kChains * 32 * static_cast<double>(rounds);
}

#endif

/// Runs a loop of nothing but multiply-adds of T; returns how many floating-point operations that were.
template <class T>
double fma_flops(long rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return fma_flops_avx512<T>(rounds);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return fma_flops_avx2<T>(rounds);
#endif
  T sum[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  for (long i = 0; i < rounds; ++i) {
    for (T& s : sum) s = s * T{0.5} + T{0.5};
    keep(sum);
  }
  return 2.0 * 8 * static_cast<double>(rounds);
}

/// The best of some runs of a few milliseconds of loop(rounds), which returns its floating-point operations.
template <class Loop>
double best_flops(int threads, const Loop& loop) {
  constexpr long kRounds = 2000000;  // about 5 ms at 3.3 GHz
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<double> flops(static_cast<std::size_t>(threads));
    const double time = seconds_together(threads, [&](int i) { flops[static_cast<std::size_t>(i)] = loop(kRounds); });
    double sum = 0;
    for (const double f : flops) sum += f;
    best = std::max(best, sum / time);
  }
  return best;
}

}  // namespace detail

/// f32 FLOP/s of `threads` threads that do nothing but fused multiply-adds.
inline double fma_peak_flops(int threads) { return detail::best_flops(threads, detail::fma_flops<float>); }
inline double fma_peak_flops_f64(int threads) { return detail::best_flops(threads, detail::fma_flops<double>); }

/// Of dot products of bf16 pairs (VDPBF16PS); 0 where the processor has no such instruction.
inline double bf16_peak_flops([[maybe_unused]] int threads) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return detail::best_flops(threads, detail::bf16_flops_avx512);
#endif
  return 0;
}

/// Whether the processor multiplies bf16 tiles (AMX).
inline bool has_amx_bf16() {
#if defined(__x86_64__)
  constexpr unsigned kAmxBf16 = 1U << 22, kAmxTile = 1U << 24;  // of CPUID leaf 7, EDX
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) return (d & kAmxBf16) != 0 && (d & kAmxTile) != 0;
#endif
  return false;
}

struct CacheSize {
  long bytes;
  const char* source;  ///< "sysconf", "/sys" or "assumed"
};

/// Data cache of this level, 1 to 3, as a core sees it or as the system tells it: a virtual machine often names the L3
/// of a whole socket, of which a core can fill its own part only.
inline CacheSize cache_size(int level) {
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  constexpr int kNames[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  if (const long bytes = sysconf(kNames[level - 1]); bytes > 0) return {bytes, "sysconf"};
#endif
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + '/';
    int its_level = 0;
    long kilobytes = 0;
    std::string type;
    if (std::ifstream(folder + "level") >> its_level && its_level == level && std::ifstream(folder + "type") >> type &&
        type != "Instruction" && std::ifstream(folder + "size") >> kilobytes) {
      return {kilobytes * 1024, "/sys"};
    }
  }
  constexpr long kUsual[] = {32L << 10, 1L << 20, 32L << 20};
  return {kUsual[level - 1], "assumed"};
}

enum class Traffic {
  read,             ///< sum of x: one array read
  copy,             ///< y = x: one read, one written
  triad,            ///< y = x + 3 z: two read, one written
  streaming_copy,   ///< the same two with stores that pass the caches by, which saves reading the lines of y first
  streaming_triad,  ///< (only worth while where y does not fit in a cache)
};

constexpr int arrays_of(Traffic traffic) {
  return traffic == Traffic::read ? 1 : traffic == Traffic::copy || traffic == Traffic::streaming_copy ? 2 : 3;
}

namespace detail {

/// 16 floats; compiled for narrower registers where the processor has no wide ones.
typedef float Wide __attribute__((vector_size(64), aligned(64), may_alias));
constexpr long kWideFloats = 16;
constexpr long kUnroll = 8;  // independent sums: hides the latency of additions at two loads per cycle

/// `passes` passes over n floats, a multiple of kUnroll * kWideFloats, with stores that stay in the caches.
template <Traffic traffic>
__attribute__((always_inline)) inline void move_body(const float* x_floats, const float* z_floats, float* y_floats,
                                                     long n, long passes) {
  const auto* x = reinterpret_cast<const Wide*>(x_floats);
  const long wides = n / kWideFloats;
  if constexpr (traffic == Traffic::read) {
    constexpr long kStreams = 4;  // read side by side: prefetchers look only so far ahead in each
    constexpr long kStep = kUnroll / kStreams;
    const long stream = wides / kStreams;
    Wide sum[kUnroll] = {};
    for (long p = 0; p < passes; ++p) {
      for (long i = 0; i < stream; i += kStep) {
#pragma GCC unroll 8
        for (long u = 0; u < kUnroll; ++u) sum[u] += x[i + u % kStep + u / kStep * stream];
      }
    }
    for (long u = 1; u < kUnroll; ++u) sum[0] += sum[u];
    const Wide total = sum[0];
    keep(total);
  } else {
    const auto* z = reinterpret_cast<const Wide*>(z_floats);
    auto* y = reinterpret_cast<Wide*>(y_floats);
    for (long p = 0; p < passes; ++p) {
      for (long i = 0; i < wides; i += kUnroll) {
#pragma GCC unroll 8
        for (long u = 0; u < kUnroll; ++u) {
          if constexpr (traffic == Traffic::copy) y[i + u] = x[i + u];
          else y[i + u] = x[i + u] + 3.0F * z[i + u];
        }
        asm volatile("" : : : "memory");  // or a copy would become a call of memmove
      }
    }
  }
}

#if defined(__x86_64__)
template <Traffic traffic>
__attribute__((target("avx512f"))) void move_avx512(const float* x, const float* z, float* y, long n, long passes) {
  if constexpr (traffic == Traffic::streaming_copy) {
    for (long p = 0; p < passes; ++p) {
      for (long i = 0; i < n; i += kWideFloats) _mm512_stream_ps(y + i, _mm512_load_ps(x + i));
    }
    _mm_sfence();
  } else if constexpr (traffic == Traffic::streaming_triad) {
    const __m512 three = _mm512_set1_ps(3);
    for (long p = 0; p < passes; ++p) {
      for (long i = 0; i < n; i += kWideFloats) {
        _mm512_stream_ps(y + i, _mm512_fmadd_ps(three, _mm512_load_ps(z + i), _mm512_load_ps(x + i)));
      }
    }
    _mm_sfence();
  } else {
    move_body<traffic>(x, z, y, n, passes);
  }
}

template <Traffic traffic>
__attribute__((target("avx2,fma"))) void move_avx2(const float* x, const float* z, float* y, long n, long passes) {
  constexpr long kFloats = 8;
  if constexpr (traffic == Traffic::streaming_copy) {
    for (long p = 0; p < passes; ++p) {
      for (long i = 0; i < n; i += kFloats) _mm256_stream_ps(y + i, _mm256_load_ps(x + i));
    }
    _mm_sfence();
  } else if constexpr (traffic == Traffic::streaming_triad) {
    const __m256 three = _mm256_set1_ps(3);
    for (long p = 0; p < passes; ++p) {
      for (long i = 0; i < n; i += kFloats) {
        _mm256_stream_ps(y + i, _mm256_fmadd_ps(three, _mm256_load_ps(z + i), _mm256_load_ps(x + i)));
      }
    }
    _mm_sfence();
  } else {
    move_body<traffic>(x, z, y, n, passes);
  }
}
#endif

template <Traffic traffic>
void move_plain(const float* x, const float* z, float* y, long n, long passes) {
  if constexpr (traffic == Traffic::streaming_copy) move_body<Traffic::copy>(x, z, y, n, passes);
  else if constexpr (traffic == Traffic::streaming_triad) move_body<Traffic::triad>(x, z, y, n, passes);
  else move_body<traffic>(x, z, y, n, passes);
}

template <Traffic traffic>
void move(const float* x, const float* z, float* y, long n, long passes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return move_avx512<traffic>(x, z, y, n, passes);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return move_avx2<traffic>(x, z, y, n, passes);
#endif
  move_plain<traffic>(x, z, y, n, passes);
}

inline void move(Traffic traffic, const float* x, const float* z, float* y, long n, long passes) {
  switch (traffic) {
    case Traffic::read: return move<Traffic::read>(x, z, y, n, passes);
    case Traffic::copy: return move<Traffic::copy>(x, z, y, n, passes);
    case Traffic::triad: return move<Traffic::triad>(x, z, y, n, passes);
    case Traffic::streaming_copy: return move<Traffic::streaming_copy>(x, z, y, n, passes);
    case Traffic::streaming_triad: return move<Traffic::streaming_triad>(x, z, y, n, passes);
  }
}

/// The arrays of one thread, in huge pages if the system gives them: small pages would measure the TLB as well.
class Arrays {
 public:
  Arrays(int count, long floats) : floats_(floats) {
    // An odd number of lines between arrays: equal offsets in a page make loads wait for stores to other arrays.
    stride_ = floats + 5 * kWideFloats;
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    const std::size_t bytes = static_cast<std::size_t>(count * stride_) * sizeof(float);
    bytes_ = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    memory_.reset(static_cast<float*>(std::aligned_alloc(kHugePage, bytes_)));
    if (!memory_) {
      std::fprintf(stderr, "no memory for %zu bytes\n", bytes_);
      std::exit(1);
    }
#if defined(MADV_HUGEPAGE)
    madvise(memory_.get(), bytes_, MADV_HUGEPAGE);
#endif
  }
  void fill() { std::fill_n(memory_.get(), bytes_ / sizeof(float), 1.0F); }
  [[nodiscard]] float* array(int i) { return memory_.get() + i * stride_; }
  [[nodiscard]] long floats() const { return floats_; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> memory_;
  long floats_, stride_;
  std::size_t bytes_;
};

}  // namespace detail

/// Bytes per second that `threads` threads move, each in arrays of its own that take `bytes_per_thread` together. What
/// counts is what the loop asks for: reads and writes, without the reads of lines that are about to be overwritten.
inline double bandwidth(Traffic traffic, double bytes_per_thread, int threads) {
  constexpr double kRun = 0.01;  // seconds of one run, of which the best counts
  constexpr int kRuns = 5;
  constexpr long kBlock = detail::kUnroll * detail::kWideFloats;
  const int count = arrays_of(traffic);
  const long floats = std::max(1L, static_cast<long>(bytes_per_thread) / count / (4 * kBlock)) * kBlock;
  std::vector<detail::Arrays> arrays;
  for (int i = 0; i < threads; ++i) arrays.emplace_back(count, floats);
  const auto run = [&](long passes) {
    return detail::seconds_together(threads, [&](int i) {
      detail::Arrays& mine = arrays[static_cast<std::size_t>(i)];
      float* const y = mine.array(count - 1);  // of a read, which writes nothing, x itself
      detail::move(traffic, mine.array(0), mine.array(count / 2), y, floats, passes);
    });
  };
  // First touched by threads of their own, which puts pages near them where memory is not the same for all.
  detail::seconds_together(threads, [&](int i) { arrays[static_cast<std::size_t>(i)].fill(); });
  long passes = 1;
  while (run(passes) < kRun && passes < 1L << 40) passes *= 2;
  double best = run(passes);
  for (int i = 1; i < kRuns; ++i) best = std::min(best, run(passes));
  return 4.0 * static_cast<double>(floats) * count * static_cast<double>(passes) * threads / best;
}

}  // namespace tapestry::bench
