// Compiled with flags of its own and sealed, as microkernel_avx512_bf16.cpp is, and for the same reasons.
#include <tapestry/ops/kernels/gemm/microkernel_amx.h>
#include <tapestry/ops/kernels/gemm/microkernel_avx512_bf16.h>

#if defined(__AMX_BF16__) || defined(__AMXBF16__)  // g++, clang
#include <tapestry/ops/kernels/gemm/microkernel_amx-inl.h>

namespace tapestry::kernels {
namespace {

/// The instructions. Inline assembly, since g++'s intrinsics want the tile's number as text, no template parameter, and
/// do not say that a load reads memory.
struct Amx {
  static void configure(int rows, int pairs) {
    const int wanted = rows * 32 + pairs;
    if (configured == wanted) return;
    configured = wanted;
    Config config{};
    config.palette = 1;
    for (int t = 0; t < 8; ++t) {
      config.rows[t] = static_cast<unsigned char>(rows);
      config.row_bytes[t] = 64;
    }
    config.rows[kTileB] = kUnitLanes;
    config.rows[kRestB] = static_cast<unsigned char>(pairs);
    config.row_bytes[kRestA] = static_cast<unsigned short>(pairs * 4);
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  /// Tiles left in use would be saved and restored whenever the thread is; and other code may configure them.
  static void release() {
    if (configured == 0) return;
    configured = 0;
    asm volatile("tilerelease" ::);
  }
  template <int kTile>
  static void clear() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  static void load(const void* from, std::int64_t row_bytes) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(kTile) : "memory");
  }
  template <int kTile>
  static void store(void* to, std::int64_t row_bytes) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(kTile) : "memory");
  }
  template <int kSum, int kA, int kB>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
  }
  static const Microkernels<Pair>& vectors() { return *avx512_bf16_table(); }

 private:
  /// As the processor reads it.
  struct alignas(64) Config {
    unsigned char palette, start_row, reserved[14];
    unsigned short row_bytes[16];
    unsigned char rows[16];
  };
  static_assert(sizeof(Config) == 64);

  static constinit inline thread_local int configured = 0;
};

constexpr Microkernels<Pair> kTable = make_amx_table<Amx>();

}  // namespace

const Microkernels<Pair>* amx_table() { return avx512_bf16_table() != nullptr ? &kTable : nullptr; }

}  // namespace tapestry::kernels
#else
namespace tapestry::kernels {
const Microkernels<Pair>* amx_table() { return nullptr; }
}  // namespace tapestry::kernels
#endif
