#pragma once

#include <cstdint>
#include <type_traits>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/simd/bf16.h>

/// Operands and results in the element type that a loop wants, converted if need be. Private to ops/kernels.
namespace tapestry::kernels {

/// n numbers as floats.
template <class S>
class AsFloats {
 public:
  AsFloats(const S* from, Index n) : copy_(std::is_same_v<S, float> ? 0 : n) {
    if constexpr (std::is_same_v<S, float>) {
      data_ = from;
    } else {
      widen(from, copy_.data(), n);
      data_ = copy_.data();
    }
  }
  [[nodiscard]] const float* data() const noexcept { return data_; }

 private:
  Scratch<float> copy_;
  const float* data_;
};

/// Room for n floats that finish() rounds to where they belong.
template <class S>
class FromFloats {
 public:
  FromFloats(S* to, Index n) : copy_(std::is_same_v<S, float> ? 0 : n), to_(to), n_(n) {}
  [[nodiscard]] float* data() const noexcept {
    if constexpr (std::is_same_v<S, float>) return to_;
    else return copy_.data();
  }
  void finish() const {
    if constexpr (!std::is_same_v<S, float>) narrow(copy_.data(), to_, n_);
  }

 private:
  Scratch<float> copy_;
  S* to_;
  Index n_;
};

/// Rows [rows, columns] as pairs of neighbouring columns: in place if they are, converted otherwise.
template <class S>
class AsPairs {
 public:
  AsPairs(const S* from, Index rows, Index columns)
      : copy_(in_place(from, columns) ? 0 : rows * ((columns + 1) / 2)), data_(copy_.data()) {
    if (in_place(from, columns)) data_ = reinterpret_cast<const Pair*>(from);
    else pair_columns(from, rows, columns, copy_.data());
  }
  [[nodiscard]] const Pair* data() const noexcept { return data_; }

 private:
  /// A slice of a tensor may begin in the middle of a pair.
  static bool in_place(const S* from, Index columns) {
    return std::is_same_v<S, BFloat16> && columns % 2 == 0 &&
           reinterpret_cast<std::uintptr_t>(from) % sizeof(Pair) == 0;
  }

  Scratch<Pair> copy_;
  const Pair* data_;
};

}  // namespace tapestry::kernels
