#include <support/expect.h>
#include <support/process_memory.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/norm.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/precision.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

/// What ops need beside their tensors: counted, limited and given back, by the library's figures and by the system's.
BOOST_AUTO_TEST_SUITE(memory_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr bool kCache = !detail::kUnderSanitizer;  // sanitizers keep freed memory to themselves
constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kSlack = 12 * kMiB;  // resident memory that is not ours: stacks of threads, halves of huge pages

struct Case {
  std::string name;
  std::function<Tensor()> op;
};

/// Ops whose kernels take scratch, by the caller and in tasks.
std::vector<Case> cases() {
  manual_seed(9);
  const Tensor image = randn({8, 12, 12, 64}), filters = randn({64, 3, 3, 64}), strided = randn({48, 5, 5, 64});
  const Tensor dy = randn({8, 4, 4, 48}), a = randn({200, 700}), few = randn({40, 700}), b = randn({500, 700});
  const Tensor rows = randn({3000, 96}), scale = ones({96}), labels = randint(0, 96, {3000});
  const Conv2dOptions by_two{.stride = 2};
  const auto gradient = [](const Tensor& of, const std::function<Tensor(const Tensor&)>& f) {
    const Tensor x = of.detach().requires_grad(true);
    return grad(sum(f(x)), x);
  };
  return {
      {"linear", [=] { return linear(a, b); }},
      {"linear of few rows", [=] { return linear(few, b); }},
      {"matmul, transposed", [=] { return matmul(a, a, {.transpose_a = true}); }},
      {"matmul in bf16", [=] { return matmul(to(a, bf16), to(b, bf16), {.transpose_b = true}); }},
      {"batched matmul",
       [=] {
         return matmul(reshape(rows, {3000, 8, 12}), reshape(rows, {3000, 12, 8}));
       }},
      {"conv2d", [=] { return conv2d(image, strided, {}, by_two); }},
      {"conv2d in bf16", [=] { return conv2d(to(image, bf16), to(strided, bf16), {}, by_two); }},
      {"conv2d_input_grad", [=] { return conv2d_input_grad(dy, strided, image.shape(), by_two); }},
      {"conv2d_weight_grad", [=] { return conv2d_weight_grad(image, dy, strided.shape(), by_two); }},
      {"conv2d by Winograd",
       [=] {
         const MatmulPrecisionGuard guard(MatmulPrecision::high);
         return conv2d(image, filters, {}, {.padding = 1});
       }},
      {"gradient of conv2d by Winograd",
       [=] {
         const MatmulPrecisionGuard guard(MatmulPrecision::high);
         return gradient(filters, [=](const Tensor& w) { return conv2d(image, w, {}, {.padding = 1}); });
       }},
      {"gradient of batch_norm",
       [=] {
         return gradient(rows, [=](const Tensor& x) { return batch_norm(x, {.weight = scale}, {.training = true}); });
       }},
      {"gradient of layer_norm",
       [=] { return gradient(scale, [=](const Tensor& w) { return layer_norm(rows, {96}, w); }); }},
      {"sum of columns", [=] { return sum(rows, {.dim = 0}); }},
      {"argsort", [=] { return argsort(rows, {.dim = 0}); }},
      {"cross_entropy", [=] { return cross_entropy(rows, labels); }},
      {"adaptive_max_pool2d",
       [=] {
         return adaptive_max_pool2d(image, {3000, 1});
       }},
  };
}

}  // namespace

BOOST_AUTO_TEST_CASE(under_any_limit_an_op_gives_its_result_or_is_refused_and_nothing_is_lost) {
  const Unlimited restore;
  for (const Case& c : cases()) {
    const Tensor expected = c.op();
    const std::int64_t live = memory_stats().live_bytes;
    int refused = 0;
    bool done = false;
    for (std::int64_t room = 2048; !done; room += room / 2) {
      BOOST_REQUIRE_MESSAGE(room < 256 * kMiB, c.name << " needs more than 256 MiB");
      set_memory_limit(live + room);
      reset_peak_bytes();
      try {
        const Tensor y = c.op();
        BOOST_TEST(same_bits(y, expected), c.name);
        done = true;
      } catch (const OutOfMemory&) {
        ++refused;
      }
      BOOST_TEST(memory_stats().peak_bytes <= live + room, c.name);
      BOOST_TEST(memory_stats().live_bytes == live, c.name << ": what a refused op had taken must be given back");
    }
    BOOST_TEST(refused > 0, c.name);
    set_memory_limit(kNoMemoryLimit);
    BOOST_TEST(same_bits(c.op(), expected), c.name << " when the limit is gone");
  }
}

BOOST_AUTO_TEST_CASE(what_linear_needs_beside_its_tensors_is_counted_limited_and_given_back) {
  if (!kCache) return;
  const Unlimited restore;
  constexpr Index kRows = 256, kSide = 3000;  // 34 MiB of weights, which are packed as a whole
  constexpr std::int64_t kWeight = kSide * kSide * 4;
  const Tensor x = randn({kRows, kSide}), w = randn({kSide, kSide});
  { const Tensor warm = linear(slice(x, {.end = 16}), w); }  // threads and their stacks
  empty_cache();
  const std::int64_t live = memory_stats().live_bytes, resident = process_bytes("VmRSS");
  BOOST_TEST_REQUIRE(reset_process_peak());
  reset_peak_bytes();
  const Tensor y = linear(x, w);
  const std::int64_t counted = memory_stats().peak_bytes - live;
  BOOST_TEST(counted >= kWeight);
  BOOST_TEST(process_bytes("VmHWM") - resident <= counted + kSlack);
  BOOST_TEST(process_bytes("VmHWM") - resident >= kWeight - kSlack);

  empty_cache();
  BOOST_TEST(process_bytes("VmRSS") <= resident + kSlack);

  // With room for the result, but not for all weights packed at once.
  set_memory_limit(memory_stats().live_bytes + 8 * kMiB);
  BOOST_TEST_REQUIRE(reset_process_peak());
  BOOST_TEST(same_bits(linear(x, w), y));
  BOOST_TEST(process_bytes("VmHWM") <= resident + 8 * kMiB + kSlack);
  // With room for less than the result.
  set_memory_limit(memory_stats().live_bytes + kMiB);
  BOOST_CHECK_THROW(static_cast<void>(linear(x, w)), OutOfMemory);
  set_memory_limit(kNoMemoryLimit);
  BOOST_TEST(same_bits(linear(x, w), y));
}

BOOST_AUTO_TEST_CASE(tables_of_windows_are_refused_before_they_are_filled) {
  const Unlimited restore;
  const Tensor x = rand({1, 5, 6, 3});
  empty_cache();
  set_memory_limit(memory_stats().live_bytes + 64 * kMiB);
  const std::int64_t live = memory_stats().live_bytes, resident = process_bytes("VmRSS");
  const bool peak_known = reset_process_peak();
  BOOST_CHECK_THROW(static_cast<void>(adaptive_max_pool2d(x, {1 << 25, 1})), OutOfMemory);
  BOOST_CHECK_THROW(static_cast<void>(adaptive_avg_pool2d(x, {1, 1 << 25})), OutOfMemory);
  BOOST_TEST(memory_stats().live_bytes == live);
  if (peak_known && kCache) BOOST_TEST(process_bytes("VmHWM") <= resident + kSlack);
}

BOOST_AUTO_TEST_CASE(tables_of_channels_are_counted) {
  const Unlimited restore;
  constexpr Index kChannels = 1 << 20;  // 16 MiB of moments, and what the kernels need
  const Tensor x = rand({2, kChannels});
  empty_cache();
  const std::int64_t live = memory_stats().live_bytes;
  reset_peak_bytes();
  { const Tensor y = batch_norm(x, {}, {.training = true}); }
  const std::int64_t result = 2 * kChannels * 4;
  BOOST_TEST(memory_stats().peak_bytes - live >= result + 40 * kMiB);
  set_memory_limit(memory_stats().live_bytes + result + 32 * kMiB);
  BOOST_CHECK_THROW(static_cast<void>(batch_norm(x, {}, {.training = true})), OutOfMemory);
}

BOOST_AUTO_TEST_SUITE_END()
