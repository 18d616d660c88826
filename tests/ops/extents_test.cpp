#include <support/expect.h>

#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <tapestry/autograd/base/extent.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

/// Extents, paddings, strides and dilations that no memory holds or no Index counts: every op that computes an extent
/// refuses them before it allocates, or takes them for what they mean. Worth most under UBSan.
BOOST_AUTO_TEST_SUITE(extents_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr Index kMax = std::numeric_limits<Index>::max(), kMin = std::numeric_limits<Index>::min();
constexpr Index k32 = Index{1} << 32, k40 = Index{1} << 40, k59 = Index{1} << 59, k62 = Index{1} << 62;
const std::vector<Index> kHostile{k32, k40, k59, k62, kMax - 1, kMax};

struct Call {
  std::string what;
  std::function<void()> call;
};

/// Adds a call per hostile number.
template <class F>
void add(std::vector<Call>& calls, const std::string& what, const F& f) {
  for (const Index n : kHostile)
    calls.push_back({what + " with " + std::to_string(n), [=] { static_cast<void>(f(n)); }});
}

std::vector<Call> calls_to_refuse() {
  const Tensor image = ones({1, 4, 5, 2}), weight = ones({3, 2, 2, 2}), x = ones({2, 3}), v = ones({3});
  const Tensor none = zeros({0, 3}), at = zeros({3}, {.dtype = i64});
  std::vector<Call> calls;
  add(calls, "empty", [](Index n) { return empty({n, 16}, f64); });
  add(calls, "empty, square", [](Index n) { return empty({n, n}); });
  add(calls, "full", [](Index n) { return full({4, n}, 1.0); });
  add(calls, "eye", [](Index n) { return eye(n); });
  add(calls, "arange", [](Index n) { return arange(n, {.dtype = f64}); });
  add(calls, "arange by halves", [](Index n) { return arange(0.0, static_cast<double>(n), 0.5); });
  add(calls, "arange to infinity", [](Index) { return arange(0.0, std::numeric_limits<double>::infinity()); });
  add(calls, "arange to nowhere", [](Index) { return arange(0.0, std::numeric_limits<double>::quiet_NaN()); });
  add(calls, "rand", [](Index n) { return rand({n, 3}); });
  add(calls, "randperm", [](Index n) { return randperm(n); });
  add(calls, "expand", [=](Index n) { return expand(v, {n, 3}); });
  add(calls, "broadcast_to", [=](Index n) { return broadcast_to(v, Shape{n, 3}); });
  add(calls, "repeat", [=](Index n) { return repeat(x, {n, 1}); });
  add(calls, "repeat, twice", [=](Index n) { return repeat(x, {n, n}); });
  add(calls, "reshape", [=](Index n) { return reshape(x, {n, 6}); });
  add(calls, "reshape to wild", [=](Index n) { return reshape(x, {n, -1}); });
  add(calls, "pad", [=](Index n) { return pad(x, {{n, n}}); });
  add(calls, "pad before", [=](Index n) { return pad(x, {{n, 0}}); });
  add(calls, "pad both dims", [=](Index n) { return pad(x, {{1, n}, {n, 1}}); });
  add(calls, "pad, negative", [=](Index n) { return pad(x, {{-n, -n}}); });
  add(calls, "pad, reflected", [=](Index n) { return pad(x, {{n, n}}, {.mode = PadMode::reflect}); });
  add(calls, "pad2d", [=](Index n) { return pad2d(image, {.top = n, .bottom = n, .left = n, .right = n}); });
  add(calls, "split by sizes", [=](Index n) { return split(x, std::vector<Index>{n, n, n}); });
  add(calls, "narrow", [=](Index n) { return narrow(x, {.dim = 0, .start = n, .length = n}); });
  add(calls, "select", [=](Index n) { return select(x, {.dim = 0, .index = n}); });
  add(calls, "one_hot", [=](Index n) { return one_hot(at, n); });
  add(calls, "index_add", [=](Index n) { return index_add(v, at, n); });
  add(calls, "scatter_add", [=](Index n) { return scatter_add(v, at, Shape{n}); });
  add(calls, "topk", [=](Index n) { return topk(v, n); });
  add(calls, "permute", [=](Index n) { return permute(x, {n, 0}); });
  add(calls, "matmul of nothing", [=](Index n) {
    const Index side = std::min(n, k59);
    return matmul(zeros({side, 0}), zeros({0, side}));
  });
  add(calls, "cat of nothing", [=](Index) { return cat(std::vector<Tensor>(3, zeros({k59, 0}))); });
  for (const auto& [name, options] : std::vector<std::pair<std::string, std::function<Conv2dOptions(Index)>>>{
           {"padding", [](Index n) { return Conv2dOptions{.padding = n}; }},
           {"padding of one side",
            [](Index n) {
              return Conv2dOptions{.padding = {0, n}};
            }},
           {"dilation", [](Index n) { return Conv2dOptions{.dilation = n}; }},
           {"dilation and padding", [](Index n) { return Conv2dOptions{.padding = n, .dilation = n}; }},
           {"dilation, same", [](Index n) { return Conv2dOptions{.padding = Padding::same, .dilation = n}; }},
           {"groups", [](Index n) { return Conv2dOptions{.groups = n}; }}}) {
    const std::function<Conv2dOptions(Index)> make = options;
    // 2^32 dilated pixels around 20 are an image that conv2d can compute.
    if (name != "dilation, same")
      add(calls, "conv2d, " + name, [=](Index n) { return conv2d(image, weight, {}, make(n)); });
    if (name != "dilation, same")
      add(calls, "conv2d_input_grad, " + name, [=](Index n) {
        return conv2d_input_grad(ones({1, 3, 4, 3}), weight, {1, 4, 5, 2}, make(n));
      });
    if (name != "dilation, same")
      add(calls, "conv2d_weight_grad, " + name, [=](Index n) {
        return conv2d_weight_grad(image, ones({1, 3, 4, 3}), {3, 2, 2, 2}, make(n));
      });
  }
  add(calls, "max_pool2d, kernel", [=](Index n) { return max_pool2d(image, {.kernel = n}); });
  add(calls, "max_pool2d, kernel and padding",
      [=](Index n) { return max_pool2d(image, {.kernel = n, .padding = n / 2}); });
  add(calls, "max_pool2d, padding", [=](Index n) { return max_pool2d(image, {.kernel = 2, .padding = n}); });
  add(calls, "max_pool2d, dilation", [=](Index n) { return max_pool2d(image, {.kernel = 2, .dilation = n}); });
  add(calls, "avg_pool2d, kernel", [=](Index n) { return avg_pool2d(image, {.kernel = n}); });
  add(calls, "avg_pool2d, kernel and padding",
      [=](Index n) { return avg_pool2d(image, {.kernel = n, .padding = n / 2}); });
  add(calls, "adaptive_max_pool2d", [=](Index n) { return adaptive_max_pool2d(image, n); });
  add(calls, "adaptive_avg_pool2d", [=](Index n) { return adaptive_avg_pool2d(image, {1, n}); });
  return calls;
}

/// Whatever is refused would take more than this.
constexpr std::int64_t kRoom = 64 << 20;

}  // namespace

BOOST_AUTO_TEST_CASE(extents_that_cannot_be_are_refused_before_anything_is_allocated) {
  const std::vector<Call> calls = calls_to_refuse();
  set_memory_limit(memory_stats().live_bytes + kRoom);
  for (const Call& c : calls) {
    const std::int64_t live = memory_stats().live_bytes;
    reset_peak_bytes();
    std::string what = "no error";
    try {
      c.call();
    } catch (const std::invalid_argument& e) {
      what = e.what();
      BOOST_TEST(what.find(": ") != std::string::npos, c.what);
    } catch (const std::out_of_range& e) {
      what = e.what();
    } catch (const OutOfMemory& e) {
      what = e.what();
    } catch (const std::exception& e) {
      BOOST_ERROR(c.what << ": another type: " << e.what());
    }
    BOOST_TEST(what != "no error", c.what);
    BOOST_TEST(memory_stats().peak_bytes - live <= kRoom / 64, c.what << " took memory before: " << what);
    BOOST_TEST(memory_stats().live_bytes == live, c.what);
  }
  set_memory_limit(kNoMemoryLimit);
}

BOOST_AUTO_TEST_CASE(steps_beyond_the_end_lead_to_one_element) {
  const Tensor image = ones({1, 4, 5, 2}, {.requires_grad = true}), weight = ones({3, 2, 2, 2});
  const Tensor x = arange(6, {.dtype = f32});
  for (const Index n : kHostile) {
    BOOST_TEST(same_bits(slice(x, {.begin = 2, .step = n}), slice(x, {.begin = 2, .end = 3})));
    BOOST_TEST(same_bits(conv2d(image, weight, {}, {.stride = n}), full({1, 1, 1, 3}, 8.0)));
    BOOST_TEST(same_bits(max_pool2d(image, {.kernel = 2, .stride = n}), ones({1, 1, 1, 2})));
    BOOST_TEST(same_bits(max_pool2d(image, {.kernel = 2, .stride = n, .ceil_mode = true}), ones({1, 1, 1, 2})));
    BOOST_TEST(same_bits(avg_pool2d(image, {.kernel = 2, .stride = n}), ones({1, 1, 1, 2})));
    BOOST_TEST(split(x, n).size() == 1U);
    BOOST_TEST(chunk(x, n).size() == 6U);
    BOOST_TEST(same_bits(slice(x, {.begin = -n, .end = n}), x));
    BOOST_TEST(narrow(x, {.dim = 0, .start = 6, .length = 0}).numel() == 0);
  }
  BOOST_TEST(same_bits(slice(x, {.begin = kMin, .end = kMax, .step = kMax}), slice(x, {.end = 1})));
}

BOOST_AUTO_TEST_CASE(sums_and_products_of_extents_are_exact_or_refused) {
  BOOST_TEST(checked_sum("op", k59, k59) == 2 * k59);
  BOOST_TEST(checked_product("op", k32, 1 << 28) == 2 * k59);
  BOOST_TEST(checked_product("op", -k32, 1 << 28) == -2 * k59);
  BOOST_TEST(checked_span("op", 8, 3, 2, 5).reach == 11);
  BOOST_TEST(checked_span("op", 8, 3, 2, 5).padded == 12);
  BOOST_TEST(checked_span("op", kLongestSide, 1, 0, 1).padded == kLongestSide);
  BOOST_TEST(error<std::invalid_argument>([] { (void)checked_span("op", kLongestSide - 1, 1, 1, 1); }) ==
             "op: the kernel and the padded input must span at most 2^40; got 1 and 1099511627777");
  BOOST_TEST(error<std::invalid_argument>([] { (void)checked_sum("op", 2 * k59, 1); }) ==
             "op: extents must add up to at most 2^60; got 1152921504606846976 and 1");
  BOOST_TEST(error<std::invalid_argument>([] { (void)checked_product("op", kMin, -1); }) ==
             "op: extents must multiply to at most 2^60; got -9223372036854775808 and -1");
  BOOST_CHECK_THROW((void)checked_sum("op", kMax, kMax), std::invalid_argument);
  BOOST_CHECK_THROW((void)checked_sum("op", kMin, kMin), std::invalid_argument);
  BOOST_CHECK_THROW((void)checked_span("op", 1, kMax, 0, kMax), std::invalid_argument);
  BOOST_TEST(divide_up(kMax, kMax) == 1);
  BOOST_TEST(divide_up(0, kMax) == 0);
  BOOST_TEST(divide_up(7, 3) == 3);
}

BOOST_AUTO_TEST_SUITE_END()
