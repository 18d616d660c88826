#include <tapestry/datasets/dataset.h>

#include <tapestry/autograd/philox.h>

namespace tapestry::datasets {
namespace {

// Counters no other user of the same seed has: what draws under a key must not repeat, say, an initialiser's numbers.
constexpr std::uint64_t kSampleDomain = 0x53414D504C450000U;  // "SAMPLE"
constexpr std::uint64_t kPartDomain = 0x5041525400000000U;    // "PART"

std::uint64_t hash(std::uint64_t key, std::uint64_t low, std::uint64_t high) {
  const auto words = philox(key, low, high);
  return (static_cast<std::uint64_t>(words[1]) << 32) | words[0];
}

}  // namespace

Generator SampleKey::generator(std::uint64_t purpose) const {
  const std::uint64_t pass = hash(seed, epoch, kSampleDomain);
  return Generator(hash(pass, index, path), purpose);
}

SampleKey SampleKey::child(std::uint64_t part) const { return {seed, epoch, index, hash(path, part, kPartDomain)}; }

}  // namespace tapestry::datasets
