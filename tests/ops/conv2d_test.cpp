#include <tapestry/ops/conv2d.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/instruction_set.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

struct Sizes {
  Shape x, w;
  Conv2dOptions options;
};

/// Output of the convolution and the gradients of the sum of y * dy, by seven nested loops. `same` is given as the
/// padding at the top and on the left, with the extents of the output.
struct Naive {
  Shape out;
  std::vector<double> y, dx, dw, db;
};

Naive naive(const Tensor& x, const Tensor& w, const Conv2dOptions& o, Pair2 pad, const Shape& out,
            const std::vector<double>& dy) {
  const Shape &sx = x.shape(), &sw = w.shape();
  const std::vector<double> vx = values(x), vw = values(w);
  Naive r{.out = out,
          .y = {},
          .dx = std::vector<double>(vx.size()),
          .dw = std::vector<double>(vw.size()),
          .db = std::vector<double>(static_cast<std::size_t>(sw[0]))};
  const Index filters = sw[0] / o.groups;
  for (Index n = 0; n < out[0]; ++n) {
    for (Index i = 0; i < out[1]; ++i) {
      for (Index j = 0; j < out[2]; ++j) {
        for (Index k = 0; k < out[3]; ++k) {
          const double g = dy[r.y.size()];
          double sum = 0;
          for (Index t = 0; t < sw[1] * sw[2]; ++t) {
            const Index h = i * o.stride.h - pad.h + t / sw[2] * o.dilation.h;
            const Index v = j * o.stride.w - pad.w + t % sw[2] * o.dilation.w;
            if (h < 0 || h >= sx[1] || v < 0 || v >= sx[2]) continue;
            for (Index c = 0; c < sw[3]; ++c) {
              const auto at = static_cast<std::size_t>(((n * sx[1] + h) * sx[2] + v) * sx[3] + k / filters * sw[3] + c);
              const auto tap = static_cast<std::size_t>((k * sw[1] * sw[2] + t) * sw[3] + c);
              sum += vx[at] * vw[tap];
              r.dx[at] += g * vw[tap];
              r.dw[tap] += g * vx[at];
            }
          }
          r.db[static_cast<std::size_t>(k)] += g;
          r.y.push_back(sum);
        }
      }
    }
  }
  return r;
}

/// Integers, so that sums are exact in f32.
Tensor integers(const Shape& shape, Dtype dtype, Generator& g) {
  return to(randint(-4, 5, shape, {.generator = &g}), dtype);
}

/// conv2d, its gradients by the tape and by the gradient ops, all against the loops, bit by bit.
void check(const Sizes& s, Pair2 pad, const Shape& out, Dtype dtype) {
  Generator g(1);
  Tensor x = integers(s.x, dtype, g), w = integers(s.w, dtype, g), b = integers({s.w[0]}, dtype, g);
  const Tensor dy = integers(out, dtype, g);
  Naive expected = naive(x, w, s.options, pad, out, values(dy));
  for (std::size_t i = 0; i < expected.y.size(); ++i) expected.y[i] += values(b)[i % static_cast<std::size_t>(s.w[0])];
  for (Tensor* t : {&x, &w, &b}) t->requires_grad(true);
  const Tensor y = conv2d(x, w, b, s.options);
  BOOST_TEST_CONTEXT("x " << s.x << " w " << s.w << ' ' << dtype) {
    BOOST_REQUIRE(y.shape() == out);
    const auto gradients = grad({y}, {x, w, b}, {.grad_outputs = {dy}});
    BOOST_TEST(all_close(y, expected.y, 0));
    BOOST_TEST(all_close(gradients[0], expected.dx, 0));
    BOOST_TEST(all_close(gradients[1], expected.dw, 0));
    BOOST_TEST(all_close(gradients[2], expected.db, 0));
    BOOST_TEST(same_bits(conv2d_input_grad(dy, w, s.x, s.options), gradients[0]));
    BOOST_TEST(same_bits(conv2d_weight_grad(x, dy, s.w, s.options), gradients[1]));
  }
}

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> shapes(const std::vector<Shape>& list) {
  return [list](Generator& g) {
    std::vector<Tensor> out;
    for (const Shape& shape : list) out.push_back(sample(g, shape));
    return out;
  };
}

OpSpec row(const char* variant, const Shape& x, const Shape& w, const Conv2dOptions& options) {
  return {.op = "conv2d", .variant = variant, .inputs = shapes({x, w, {w[0]}}), .f = [options](In t) {
            return conv2d(t[0], t[1], t[2], options);
          }};
}

const Conv2dOptions kStrided{.stride = 2, .padding = 1};

const OpRows rows{
    row("3 x 3, padding 1", {2, 4, 5, 3}, {4, 3, 3, 3}, {.padding = 1}),
    row("stride 2, remainder", {1, 6, 5, 2}, {3, 3, 3, 2}, kStrided),
    row("rectangular, strides and padding differ", {1, 5, 6, 2}, {2, 2, 3, 2}, {.stride = {1, 2}, .padding = {1, 2}}),
    row("dilation 2", {1, 6, 6, 2}, {2, 3, 2, 2}, {.padding = 1, .dilation = {2, 1}}),
    row("groups 2, stride 2", {1, 5, 5, 4}, {6, 3, 3, 2}, {.stride = 2, .padding = 1, .groups = 2}),
    row("depthwise", {1, 4, 4, 3}, {3, 3, 3, 1}, {.padding = 1, .groups = 3}),
    row("1 x 1", {2, 3, 3, 4}, {5, 1, 1, 4}, {}),
    row("same, even kernel", {1, 4, 4, 2}, {2, 2, 2, 2}, {.padding = Padding::same}),
    {.op = "conv2d",
     .variant = "no bias",
     .inputs = shapes({{1, 4, 4, 2}, {3, 3, 3, 2}}),
     .f = [](In t) { return conv2d(t[0], t[1]); }},
    {.op = "conv2d_input_grad",
     .variant = "stride 2",
     .inputs = shapes({{1, 3, 3, 3}, {3, 3, 3, 2}}),
     .f =
         [](In t) {
           return conv2d_input_grad(t[0], t[1], {1, 6, 5, 2}, kStrided);
         }},
    {.op = "conv2d_weight_grad",
     .variant = "stride 2",
     .inputs = shapes({{1, 6, 5, 2}, {1, 3, 3, 3}}),
     .f =
         [](In t) {
           return conv2d_weight_grad(t[0], t[1], {3, 3, 3, 2}, kStrided);
         }},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(conv2d_test)

BOOST_AUTO_TEST_CASE(convolutions_and_gradients_equal_naive_loops_bit_by_bit) {
  for (const Dtype dtype : {f32, f64}) {
    check({{2, 6, 7, 3}, {5, 3, 3, 3}, {}}, 0, {2, 4, 5, 5}, dtype);
    check({{2, 6, 7, 3}, {5, 3, 3, 3}, {.padding = 1}}, 1, {2, 6, 7, 5}, dtype);
    check({{3, 8, 7, 17}, {33, 3, 3, 17}, {.stride = 2, .padding = 1}}, 1, {3, 4, 4, 33}, dtype);
    check({{1, 9, 9, 4}, {8, 3, 3, 4}, {.stride = 3, .padding = 2}}, 2, {1, 4, 4, 8}, dtype);
    check({{1, 8, 9, 2}, {3, 2, 5, 2}, {.stride = {2, 1}, .padding = {1, 0}}}, {1, 0}, {1, 5, 5, 3}, dtype);
    check({{1, 9, 8, 2}, {3, 3, 2, 2}, {.padding = 1, .dilation = {2, 3}}}, 1, {1, 7, 7, 3}, dtype);
    check({{2, 5, 5, 6}, {4, 3, 3, 3}, {.stride = 2, .padding = 1, .groups = 2}}, 1, {2, 3, 3, 4}, dtype);
    check({{2, 5, 5, 19}, {19, 3, 3, 1}, {.padding = 1, .groups = 19}}, 1, {2, 5, 5, 19}, dtype);
    check({{1, 4, 4, 3}, {6, 3, 3, 1}, {.padding = 1, .groups = 3}}, 1, {1, 4, 4, 6}, dtype);
    check({{2, 4, 4, 16}, {8, 1, 1, 16}, {.stride = 2}}, 0, {2, 2, 2, 8}, dtype);
    check({{2, 4, 4, 6}, {6, 1, 1, 6}, {}}, 0, {2, 4, 4, 6}, dtype);  // a square weight, that could be turned round
  }
}

/// Sizes beyond every bound at which the kernels cut their work (ops/kernels/conv2d/tuning.h), by as little as shows.
BOOST_AUTO_TEST_CASE(convolutions_cut_into_segments_blocks_and_splits_equal_naive_loops_bit_by_bit) {
  const Conv2dOptions padded{.padding = 1};
  const auto groups = [](Index n) { return Conv2dOptions{.padding = 1, .groups = n}; };
  // one channel per group: the most segments of images, and two of unequal size
  check({{64, 16, 16, 64}, {64, 3, 3, 1}, groups(64)}, 1, {64, 16, 16, 64}, f32);
  for (const Dtype dtype : {f32, f64}) {
    check({{3, 24, 24, 40}, {40, 3, 3, 1}, groups(40)}, 1, {3, 24, 24, 40}, dtype);
    // a weight gradient of four segments, each of two blocks of rows
    check({{8, 16, 16, 16}, {32, 3, 3, 16}, padded}, 1, {8, 16, 16, 32}, dtype);
    // two blocks of channels and two panels of filters, of one group and of two
    check({{2, 9, 9, 80}, {72, 3, 3, 80}, padded}, 1, {2, 9, 9, 72}, dtype);
    check({{1, 7, 7, 160}, {144, 3, 3, 80}, groups(2)}, 1, {1, 7, 7, 144}, dtype);
    // sums cut in their depth, forward and of the input gradient
    check({{1, 5, 5, 240}, {8, 3, 3, 240}, padded}, 1, {1, 5, 5, 8}, dtype);
    check({{1, 5, 5, 8}, {240, 3, 3, 8}, padded}, 1, {1, 5, 5, 240}, dtype);
    // weights that do not stay in the cache: tasks take one panel each
    check({{2, 5, 5, 128}, {128, 3, 3, 128}, padded}, 1, {2, 5, 5, 128}, dtype);
    // few channels, whose taps are merged, with columns on both sides that lack some
    check({{9, 17, 19, 3}, {20, 5, 5, 3}, {.stride = 2, .padding = 2}}, 2, {9, 9, 10, 20}, dtype);
    check({{9, 17, 19, 3}, {20, 3, 5, 3}, {.padding = {1, 4}, .dilation = {1, 2}}}, {1, 4}, {9, 17, 19, 20}, dtype);
  }
}

BOOST_AUTO_TEST_CASE(output_extents_round_down) {
  const auto extent = [](Index size, Index kernel, const Conv2dOptions& options) {
    return conv2d(zeros({1, size, size, 1}), zeros({1, kernel, kernel, 1}), {}, options).size(1);
  };
  BOOST_TEST(extent(32, 3, {.padding = 1}) == 32);
  BOOST_TEST(extent(32, 3, {.stride = 2, .padding = 1}) == 16);
  BOOST_TEST(extent(8, 3, {.stride = 2}) == 3);
  BOOST_TEST(extent(7, 3, {.dilation = 3}) == 1);
}

BOOST_AUTO_TEST_CASE(same_keeps_the_size_and_puts_odd_padding_at_the_bottom_and_right) {
  const Tensor x = reshape(tensor<double>({1, 2, 3, 4}, {.dtype = f64}), {1, 1, 4, 1});
  BOOST_TEST(all_close(conv2d(x, ones({1, 1, 2, 1}, {.dtype = f64}), {}, {.padding = Padding::same}), {3, 5, 7, 4}, 0));
  const Tensor column = reshape(x, {1, 4, 1, 1});
  BOOST_TEST(
      all_close(conv2d(column, ones({1, 2, 1, 1}, {.dtype = f64}), {}, {.padding = Padding::same}), {3, 5, 7, 4}, 0));
  check({{2, 5, 6, 3}, {4, 2, 4, 3}, {.padding = Padding::same}}, {0, 1}, {2, 5, 6, 4}, f32);
  check({{1, 5, 6, 3}, {4, 3, 2, 3}, {.padding = Padding::same, .dilation = {2, 3}}}, {2, 1}, {1, 5, 6, 4}, f32);
  BOOST_TEST(conv2d(x, ones({1, 1, 2, 1}, {.dtype = f64}), {}, {.padding = Padding::valid}).shape() ==
             (Shape{1, 1, 3, 1}));
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)conv2d(x, ones({1, 1, 2, 1}, {.dtype = f64}), {}, {.stride = {1, 2}, .padding = Padding::same});
             }) == "conv2d: Padding::same needs stride 1; got {1, 2}");
}

BOOST_AUTO_TEST_CASE(options_may_stand_where_a_bias_would) {
  Generator g(12);
  const Tensor x = randn({1, 5, 5, 2}, {.generator = &g}), w = randn({3, 3, 3, 2}, {.generator = &g});
  const Conv2dOptions padded{.padding = 1};
  BOOST_TEST(same_bits(conv2d(x, w, {.padding = 1}), conv2d(x, w, {}, {.padding = 1})));
  BOOST_TEST(same_bits(conv2d(x, w, padded), conv2d(x, w, {}, padded)));
  BOOST_TEST(same_bits(conv2d(x, w, {}), conv2d(x, w)));
  BOOST_TEST(same_bits(conv2d(x, w, zeros({3}), padded), conv2d(x, w, padded)));
  const int line = __LINE__ + 1;
  const auto refused = [&] { (void)conv2d(x, w, {.stride = 0}); };
  try {
    refused();
    BOOST_ERROR("nothing was thrown");
  } catch (const std::invalid_argument& e) {
    BOOST_TEST(std::string(e.what()).find("conv2d_test.cpp:" + std::to_string(line)) != std::string::npos, e.what());
  }
}

BOOST_AUTO_TEST_CASE(padding_may_exceed_the_kernel) {
  const Tensor x = full({1, 1, 1, 1}, 5.0), w = ones({1, 1, 1, 1});
  BOOST_TEST(all_close(conv2d(x, w, {}, {.padding = 1}), {0, 0, 0, 0, 5, 0, 0, 0, 0}, 0));
  check({{2, 3, 3, 2}, {3, 1, 1, 2}, {.padding = 1}}, 1, {2, 5, 5, 3}, f32);
  check({{1, 3, 4, 2}, {3, 2, 2, 2}, {.stride = 2, .padding = 4}}, 4, {1, 5, 6, 3}, f32);
}

BOOST_AUTO_TEST_CASE(cells_that_no_window_touches_get_no_gradient) {
  const Tensor dx = conv2d_input_grad(ones({1, 1, 1, 1}), ones({1, 2, 2, 1}), {1, 3, 3, 1}, {.stride = 2});
  BOOST_TEST(all_close(dx, {1, 1, 0, 1, 1, 0, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(an_empty_batch_gives_zero_gradients_for_weight_and_bias) {
  Tensor x = empty({0, 4, 4, 2}), w = ones({3, 3, 3, 2}), b = ones({3});
  for (Tensor* t : {&x, &w, &b}) t->requires_grad(true);
  const Tensor y = conv2d(x, w, b);
  BOOST_TEST(y.shape() == (Shape{0, 2, 2, 3}));
  const auto g = grad({y}, {x, w, b}, {.grad_outputs = {empty(y.shape())}});
  BOOST_TEST(g[0].shape() == x.shape());
  BOOST_TEST(all_close(g[1], std::vector<double>(54, 0), 0));
  BOOST_TEST(all_close(g[2], {0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(each_operand_is_kept_only_for_the_gradient_of_the_other) {
  Tensor x = ones({1, 4, 4, 2}), w = ones({3, 3, 3, 2}), b = ones({3});
  b.requires_grad(true);
  BOOST_TEST(Tape::of(conv2d(x, w, b)).bytes_kept() == 0);
  w.requires_grad(true);
  BOOST_TEST(Tape::of(conv2d(x, w, b)).bytes_kept() == 32 * 4);
  x.requires_grad(true);
  BOOST_TEST(Tape::of(conv2d(x, w, b)).bytes_kept() == (32 + 54) * 4);
}

BOOST_AUTO_TEST_CASE(convolutions_are_the_same_on_any_number_of_threads) {
  Generator g(2);
  Tensor x = randn({9, 17, 15, 20}, {.generator = &g}), w = randn({36, 3, 3, 20}, {.generator = &g}),
         b = randn({36}, {.generator = &g});
  for (Tensor* t : {&x, &w, &b}) t->requires_grad(true);
  const int threads = num_threads();
  for (const Index stride : {1, 2}) {
    const auto all = [&] {
      const Tensor y = conv2d(x, w, b, {.stride = stride, .padding = 1});
      std::vector<Tensor> out = grad({y}, {x, w, b}, {.grad_outputs = {y.detach()}});
      out.push_back(y.detach());
      return out;
    };
    set_num_threads(1);
    const auto expected = all();
    for (const int n : {2, 3, 7}) {
      set_num_threads(n);
      const auto got = all();
      for (std::size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], expected[i]));
    }
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_CASE(inference_mode_keeps_packed_weights_until_they_change) {
  const std::string set{instruction_set()};
  Generator g(3);
  for (const Dtype dtype : {f32, f64, bf16}) {
    Tensor x = to(randn({2, 7, 7, 16}, {.generator = &g}), dtype),
           w = to(randn({32, 3, 3, 16}, {.generator = &g}), dtype);
    const auto recorded = [&](const Tensor& weight) { return conv2d(x, weight, {}, {.padding = 1}); };
    const auto inferred = [&](const Tensor& weight) {
      const InferenceMode guard;
      return recorded(weight);
    };
    const auto storages = [] { return memory_stats().live_storages; };
    const auto before = storages();
    static_cast<void>(recorded(w));
    no_grad([&] { static_cast<void>(recorded(w)); });
    BOOST_TEST(storages() == before);  // neither training nor evaluation keeps anything
    for (int i = 0; i < 2; ++i) {
      BOOST_TEST(same_bits(inferred(w), recorded(w)));
      BOOST_TEST(storages() == before + 1);
    }
    const Tensor other = reshape(w, {16, 3, 3, 32});  // the same bytes
    x = reshape(x, {1, 7, 7, 32});
    BOOST_TEST(same_bits(inferred(other), recorded(other)));
    x = reshape(x, {2, 7, 7, 16});
    BOOST_TEST(same_bits(inferred(w), recorded(w)));
    for (const std::string_view name : instruction_sets()) {  // each packs in its own way
      set_instruction_set(name);
      BOOST_TEST(same_bits(inferred(w), recorded(w)), name);
    }
    set_instruction_set(set);
    static_cast<void>(inferred(w));
    visit_any_float(dtype, [&]<class T>() { w.mutable_data<T>()[7] = static_cast<T>(2.0F); });
    BOOST_TEST(storages() == before);
    BOOST_TEST(same_bits(inferred(w), recorded(w)));
  }
}

BOOST_AUTO_TEST_CASE(conv2d_refuses_bad_calls_with_exact_texts) {
  const auto text = [](const Tensor& x, const Tensor& w, const Tensor& b = {}, const Conv2dOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)conv2d(x, w, b, options); });
  };
  const Tensor x = ones({8, 32, 32, 3}), w = ones({16, 3, 3, 3});
  BOOST_TEST(text(x, ones({16, 3, 3, 4})) ==
             "conv2d: input has 3 channels, weight expects 4 (input [8, 32, 32, 3], weight [16, 3, 3, 4], groups 1)");
  BOOST_TEST(text(x, ones({16, 3, 3, 1}), {}, {.groups = 2}) ==
             "conv2d: input has 3 channels, weight expects 2 (input [8, 32, 32, 3], weight [16, 3, 3, 1], groups 2)");
  BOOST_TEST(text(x, ones({16, 3, 3, 1}), {}, {.groups = 3}) == "conv2d: groups must divide the 16 filters; got 3");
  BOOST_TEST(text(x, w, {}, {.groups = 0}) == "conv2d: groups must be at least 1; got 0");
  BOOST_TEST(text(x, w, {}, {.stride = 0}) == "conv2d: stride must be at least 1; got {0, 0}");
  BOOST_TEST(text(x, w, {}, {.dilation = {1, 0}}) == "conv2d: dilation must be at least 1; got {1, 0}");
  BOOST_TEST(text(x, w, {}, {.padding = {0, -1}}) == "conv2d: padding must not be negative; got {0, -1}");
  BOOST_TEST(text(x, ones({16, 35, 3, 3}), {}, {.padding = 1}) ==
             "conv2d: the kernel must fit into the padded input; it spans 35, the input 34");
  BOOST_TEST(text(x, w, {}, {.dilation = 16}) ==
             "conv2d: the kernel must fit into the padded input; it spans 33, the input 32");
  BOOST_TEST(text(x, w, ones({3})) == "conv2d: the bias must be [16]; got [3]");
  BOOST_TEST(text(ones({32, 32, 3}), w) ==
             "conv2d: the input must be [N, H, W, C]; got [32, 32, 3], reshape one image to [1, H, W, C]");
  BOOST_TEST(text(x, ones({16, 27})) == "conv2d: the weight must be [K, R, S, C / groups]; got [16, 27]");
  BOOST_TEST(text(x, ones({16, 0, 3, 3})) == "conv2d: the kernel must have a tap; the weight is [16, 0, 3, 3]");
  BOOST_TEST(text(x, ones({16, 3, 3, 3}, {.dtype = f64})) ==
             "conv2d: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text(to(x, i32), w) == "conv2d: the dtype must be f32, f64 or bf16; got i32, convert it with to(x, f32)");
  BOOST_TEST(text(x, w, ones({16}, {.dtype = f64})) ==
             "conv2d: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(the_gradient_ops_check_what_they_are_given) {
  const Tensor w = ones({4, 3, 3, 2}), x = ones({1, 5, 5, 2});
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)conv2d_input_grad(ones({1, 3, 3, 5}), w, {1, 5, 5, 2});
             }) == "conv2d_input_grad: dy must be [1, 3, 3, 4]; got [1, 3, 3, 5]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)conv2d_weight_grad(x, ones({1, 2, 3, 4}), w.shape());
             }) == "conv2d_weight_grad: dy must be [1, 3, 3, 4]; got [1, 2, 3, 4]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)conv2d_input_grad(ones({1, 3, 3, 4}), w, {5, 5, 2});
             }) ==
             "conv2d_input_grad: the input must be [N, H, W, C]; got [5, 5, 2], reshape one image to [1, H, W, C]");
}

BOOST_AUTO_TEST_CASE(after_an_error_nothing_has_changed) {
  Tensor x = ones({1, 4, 4, 2}), w = ones({3, 3, 3, 2});
  x.requires_grad(true);
  const Tensor copy = clone(x.detach());
  const auto before = memory_stats();
  (void)error<std::invalid_argument>([&] { (void)conv2d(x, w, {}, {.stride = 0}); });
  BOOST_TEST(memory_stats().live_storages == before.live_storages);
  BOOST_TEST(memory_stats().live_nodes == before.live_nodes);
  BOOST_TEST(same_bits(x, copy));
  BOOST_TEST(conv2d(x, w).numel() == 12);
}

BOOST_AUTO_TEST_SUITE_END()
