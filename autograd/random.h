#pragma once

#include <cstdint>
#include <optional>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// A handle on a position in a random stream: (seed, stream, offset). Element i that a call draws is a function of
/// seed, stream, offset and i alone, so the number of threads changes nothing; a call advances the offset by an amount
/// that depends on shape and dtype only. Copies share the position. Safe, but unordered, on several threads.
class Generator {
 public:
  struct State {
    std::uint64_t seed = 0;
    std::uint64_t stream = 0;
    std::uint64_t offset = 0;  ///< in blocks of four 32-bit words
    friend bool operator==(const State&, const State&) = default;
  };

  explicit Generator(std::uint64_t seed = 0, std::uint64_t stream = 0);

  [[nodiscard]] State state() const;
  void set_state(const State& state);

  /// An independent generator with the same seed, at the start of another stream.
  [[nodiscard]] Generator fork(std::uint64_t stream) const;

  /// The state before the call, having moved on by `blocks`: for kernels that draw their own numbers.
  State advance(std::uint64_t blocks);

  // Single draws; each moves on by one block.
  [[nodiscard]] std::uint64_t next_u64();
  [[nodiscard]] double uniform(double low = 0, double high = 1);                            ///< [low, high), 53 bits
  [[nodiscard]] std::int64_t randint(std::int64_t low, std::int64_t high, Here here = {});  ///< [low, high)
  [[nodiscard]] double normal();  ///< mean 0, deviation 1 (Box and Muller)

 private:
  struct Shared;
  Handle<Shared> shared_;
};

/// What drawing ops use when no generator is given. Seeded with 0 at start, never by the clock.
[[nodiscard]] Generator& default_generator();
void manual_seed(std::uint64_t seed);

struct RandomOptions {
  std::optional<Dtype> dtype = {};  ///< default_dtype(), f32; i64 for randint and randperm
  bool requires_grad = false;
  Generator* generator = nullptr;  ///< null: default_generator()
};

[[nodiscard]] Tensor rand(const Shape& shape, const RandomOptions& options = {}, Here here = {});  ///< [0, 1)
[[nodiscard]] Tensor randn(const Shape& shape, const RandomOptions& options = {},
                           Here here = {});  ///< mean 0, deviation 1
[[nodiscard]] Tensor uniform(const Shape& shape, double low, double high, const RandomOptions& options = {},
                             Here here = {});
[[nodiscard]] Tensor normal(const Shape& shape, double mean, double std, const RandomOptions& options = {},
                            Here here = {});

/// Integers in [low, high). Throws std::invalid_argument unless low < high.
[[nodiscard]] Tensor randint(Index low, Index high, const Shape& shape, const RandomOptions& options = {},
                             Here here = {});

/// A random order of 0 ... n - 1 (Fisher and Yates).
[[nodiscard]] Tensor randperm(Index n, const RandomOptions& options = {}, Here here = {});

/// bool, true with probability p. Throws std::invalid_argument for p outside [0, 1].
[[nodiscard]] Tensor bernoulli(const Shape& shape, double p, const RandomOptions& options = {}, Here here = {});

}  // namespace tapestry
