#pragma once

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>
#include <tapestry/ops/kernels/gemm/microkernel_amx-inl.h>
#include <tapestry/ops/kernels/gemm/testing.h>

#include <cmath>
#include <cstring>
#include <stdexcept>

/// The matrix unit in plain C++, as Intel's manual describes it, for CPUs without one. Strict: what would fault there
/// throws here, and bytes beyond a tile's configured size are never touched.
namespace tapestry::test {

struct TileRegister {
  int rows = 0, words = 0;  // of 4 bytes
  unsigned char bytes[16][64] = {};
};

struct EmulatedAmx {
  static void configure(int rows, int pairs) {
    require(rows >= 1 && rows <= 16 && pairs >= 1 && pairs <= 16, "a tile has 1 to 16 rows of 4 to 64 bytes");
    for (TileRegister& tile : tiles) tile = {rows, 16, {}};
    tiles[kernels::kTileB].rows = 16;
    tiles[kernels::kRestB].rows = pairs;
    tiles[kernels::kRestA].words = pairs;
    ++configurations;
  }
  static void release() {
    for (TileRegister& tile : tiles) tile = {};
  }
  template <int kTile>
  static void clear() {
    require(tiles[kTile].rows > 0, "a tile is configured before it is cleared");
    std::memset(tiles[kTile].bytes, 0, sizeof(tiles[kTile].bytes));
  }
  template <int kTile>
  static void load(const void* from, std::int64_t row_bytes) {
    TileRegister& tile = tiles[kTile];
    require(tile.rows > 0, "a tile is configured before it is loaded");
    std::memset(tile.bytes, 0, sizeof(tile.bytes));
    for (int i = 0; i < tile.rows; ++i) {
      std::memcpy(tile.bytes[i], static_cast<const char*>(from) + i * row_bytes,
                  4 * static_cast<std::size_t>(tile.words));
    }
  }
  template <int kTile>
  static void store(void* to, std::int64_t row_bytes) {
    const TileRegister& tile = tiles[kTile];
    require(tile.rows > 0, "a tile is configured before it is stored");
    for (int i = 0; i < tile.rows; ++i) {
      std::memcpy(static_cast<char*>(to) + i * row_bytes, tile.bytes[i], 4 * static_cast<std::size_t>(tile.words));
    }
  }
  /// Products with even and with odd k run in two chains of fused multiply-adds from zero; their sum is added to C.
  template <int kSum, int kA, int kB>
  static void multiply() {
    TileRegister& sum = tiles[kSum];
    const TileRegister &a = tiles[kA], &b = tiles[kB];
    require(a.rows == sum.rows && b.words == sum.words && a.words == b.rows, "the extents of a product's tiles match");
    for (int i = 0; i < sum.rows; ++i) {
      for (int j = 0; j < sum.words; ++j) {
        float even = 0, odd = 0;
        for (int k = 0; k < a.words; ++k) {
          even = std::fma(number(a, i, k, 0), number(b, k, j, 0), even);
          odd = std::fma(number(a, i, k, 1), number(b, k, j, 1), odd);
        }
        float c;
        std::memcpy(&c, sum.bytes[i] + 4 * j, 4);
        c += even + odd;
        std::memcpy(sum.bytes[i] + 4 * j, &c, 4);
      }
    }
    ++products;
  }
  /// Whatever this CPU multiplies pairs with, in vectors of 16.
  static const kernels::Microkernels<kernels::Pair>& vectors() { return *helper; }

  static inline thread_local int configurations = 0, products = 0;
  static inline const kernels::Microkernels<kernels::Pair>* helper = nullptr;

 private:
  static void require(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
  }
  static float number(const TileRegister& tile, int i, int word, int half) {
    BFloat16 x{};
    std::memcpy(&x.bits, tile.bytes[i] + 4 * word + 2 * half, 2);
    return static_cast<float>(x);
  }

  static inline thread_local TileRegister tiles[8];
};

/// Multiplies pairs on the emulator for as long as it lives.
class OnEmulatedAmx {
 public:
  OnEmulatedAmx() {
    EmulatedAmx::helper = &kernels::microkernels<kernels::Pair>();
    kernels::replace_pair_kernels(&kTable);
  }
  ~OnEmulatedAmx() { kernels::replace_pair_kernels(nullptr); }
  OnEmulatedAmx(const OnEmulatedAmx&) = delete;
  OnEmulatedAmx& operator=(const OnEmulatedAmx&) = delete;

  /// Its tiles are 16 columns wide, and so must be those of the vectors that help.
  [[nodiscard]] static bool is_possible() {
    return kernels::microkernels<kernels::Pair>().lanes == kernels::kUnitLanes;
  }

 private:
  static constexpr kernels::Microkernels<kernels::Pair> kTable = kernels::make_amx_table<EmulatedAmx>();
};

}  // namespace tapestry::test
