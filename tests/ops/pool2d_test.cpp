#include <tapestry/ops/pool2d.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

/// One image of one channel.
Tensor image(const std::vector<double>& pixels, Index h, Index w) {
  return tensor(pixels, {1, h, w, 1}, {.dtype = f64});
}

template <class F>
Tensor gradient(const F& f, Tensor x) {
  x.requires_grad(true);
  const Tensor y = f(x);
  return grad(y, x, {.grad_outputs = {ones_like(y)}});
}

/// A pooling as a naive loop over taps: the window of each output pixel in positions of the input, out of range for
/// padding.
struct Naive {
  Index kernel, stride, padding, dilation;

  [[nodiscard]] Index out(Index size) const { return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; }

  /// f(output element, input element, tap) for every tap inside the input.
  template <class F>
  void for_taps(const Shape& x, const F& f) const {
    const Index oh = out(x[1]), ow = out(x[2]);
    for (Index n = 0; n < x[0]; ++n) {
      for (Index i = 0; i < oh; ++i) {
        for (Index j = 0; j < ow; ++j) {
          for (Index c = 0; c < x[3]; ++c) {
            for (Index t = 0; t < kernel * kernel; ++t) {
              const Index h = i * stride - padding + t / kernel * dilation;
              const Index w = j * stride - padding + t % kernel * dilation;
              if (h < 0 || h >= x[1] || w < 0 || w >= x[2]) continue;
              f(static_cast<std::size_t>(((n * oh + i) * ow + j) * x[3] + c),
                static_cast<std::size_t>(((n * x[1] + h) * x[2] + w) * x[3] + c));
            }
          }
        }
      }
    }
  }
};

/// Outputs and the gradient for dy = 1, 2, 3, ...
struct Expected {
  std::vector<double> y, dx;
};

Expected naive_max(const Tensor& x, const Naive& p) {
  const std::vector<double> in = values(x);
  const Shape& s = x.shape();
  const auto n = static_cast<std::size_t>(s[0] * p.out(s[1]) * p.out(s[2]) * s[3]);
  std::vector<double> y(n, -kInf);
  std::vector<std::size_t> from(n, in.size());
  p.for_taps(s, [&](std::size_t out, std::size_t at) {
    if (from[out] != in.size() && !(in[at] > y[out]) && !std::isnan(in[at])) return;
    y[out] = in[at];
    from[out] = at;
  });
  std::vector<double> dx(in.size());
  for (std::size_t i = 0; i < n; ++i) dx[from[i]] += static_cast<double>(i + 1);
  return {y, dx};
}

Expected naive_avg(const Tensor& x, const Naive& p) {
  const std::vector<double> in = values(x);
  const Shape& s = x.shape();
  std::vector<double> y(static_cast<std::size_t>(s[0] * p.out(s[1]) * p.out(s[2]) * s[3]));
  std::vector<double> dx(in.size());
  const auto area = static_cast<double>(p.kernel * p.kernel);
  p.for_taps(s, [&](std::size_t out, std::size_t at) {
    y[out] += in[at] / area;
    dx[at] += static_cast<double>(out + 1) / area;
  });
  return {y, dx};
}

/// What f gives for x, and its gradient for dy = 1, 2, 3, ...
template <class F>
Expected observe(const F& f, const Tensor& x) {
  Tensor leaf = x.detach();
  leaf.requires_grad(true);
  const Tensor y = f(leaf);
  const Tensor dy = reshape(to(arange(1, y.numel() + 1), x.dtype()), y.shape());
  return {values(y), values(grad(y, leaf, {.grad_outputs = {dy}}))};
}

const std::vector<Naive> kWindows{
    {.kernel = 2, .stride = 2, .padding = 0, .dilation = 1}, {.kernel = 3, .stride = 2, .padding = 1, .dilation = 1},
    {.kernel = 3, .stride = 1, .padding = 1, .dilation = 1}, {.kernel = 2, .stride = 3, .padding = 1, .dilation = 1},
    {.kernel = 1, .stride = 2, .padding = 0, .dilation = 1}, {.kernel = 5, .stride = 5, .padding = 2, .dilation = 1},
};

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> distinct(const Shape& shape) {
  return [shape](Generator& g) { return std::vector<Tensor>{sample_distinct(g, shape)}; };
}

const OpRows rows{
    {.op = "global_max_pool2d",
     .variant = "",
     .inputs = distinct({2, 3, 4, 3}),
     .f = [](In x) { return global_max_pool2d(x[0]); },
     .first_order_linear = true},
    {.op = "lp_pool2d",
     .variant = "p 2",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {1, 4, 5, 2}, 0.5, 1.5)};
         },
     .f = [](In x) { return lp_pool2d(x[0]); }},
    {.op = "lp_pool2d",
     .variant = "p 3, overlapping, ceil_mode",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {1, 4, 5, 2}, 0.5, 1.5)};
         },
     .f = [](In x) { return lp_pool2d(x[0], {.norm_type = 3, .kernel = 3, .stride = 2, .ceil_mode = true}); }},
    {.op = "max_pool2d",
     .variant = "2 x 2",
     .inputs = distinct({2, 4, 5, 3}),
     .f = [](In x) { return max_pool2d(x[0]); },
     .first_order_linear = true},
    {.op = "max_pool2d",
     .variant = "overlapping, padding",
     .inputs = distinct({1, 5, 5, 2}),
     .f = [](In x) { return max_pool2d(x[0], {.kernel = 3, .stride = 2, .padding = 1}); },
     .first_order_linear = true},
    {.op = "max_pool2d",
     .variant = "rectangular, dilation, ceil_mode",
     .inputs = distinct({1, 6, 6, 2}),
     .f =
         [](In x) {
           return max_pool2d(x[0], {.kernel = {2, 3}, .stride = {2, 1}, .dilation = {2, 1}, .ceil_mode = true});
         },
     .first_order_linear = true},
    {.op = "max_pool2d",
     .variant = "more taps than a byte numbers",
     .inputs = distinct({1, 18, 18, 1}),
     .f = [](In x) { return max_pool2d(x[0], {.kernel = 17, .stride = 1}); },
     .first_order_linear = true},
    {.op = "adaptive_max_pool2d",
     .variant = "uneven bins",
     .inputs = distinct({2, 5, 4, 2}),
     .f =
         [](In x) {
           return adaptive_max_pool2d(x[0], {3, 3});
         },
     .first_order_linear = true},
    {.op = "avg_pool2d",
     .variant = "2 x 2",
     .inputs = distinct({2, 4, 5, 3}),
     .f = [](In x) { return avg_pool2d(x[0]); },
     .first_order_linear = true},
    {.op = "avg_pool2d",
     .variant = "overlapping, padding not counted, ceil_mode",
     .inputs = distinct({1, 4, 5, 2}),
     .f =
         [](In x) {
           return avg_pool2d(x[0],
                             {.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true, .count_include_pad = false});
         },
     .first_order_linear = true},
    {.op = "adaptive_avg_pool2d",
     .variant = "uneven bins",
     .inputs = distinct({2, 5, 4, 2}),
     .f =
         [](In x) {
           return adaptive_avg_pool2d(x[0], {3, 3});
         },
     .first_order_linear = true},
    {.op = "global_avg_pool2d",
     .variant = "",
     .inputs = distinct({2, 3, 4, 5}),
     .f = [](In x) { return global_avg_pool2d(x[0]); },
     .first_order_linear = true},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(pool2d_test)

// --- against naive loops

BOOST_AUTO_TEST_CASE(max_pooling_equals_a_naive_loop_for_channels_around_the_vector_length) {
  Generator g(1);
  for (const Dtype dtype : {f32, f64}) {
    for (const Index c : {1, 3, 7, 8, 9, 16, 17, 50}) {
      for (const Naive& p : kWindows) {
        const Tensor x = to(randint(-3, 4, {2, 7, 8, c}, {.generator = &g}), dtype);  // small integers: many ties
        const Expected expected = naive_max(x, p);
        const Expected got = observe(
            [&](const Tensor& t) {
              return max_pool2d(t, {.kernel = p.kernel, .stride = p.stride, .padding = p.padding});
            },
            x);
        BOOST_TEST_CONTEXT("kernel " << p.kernel << " stride " << p.stride << " channels " << c << ' ' << dtype) {
          BOOST_TEST(all_close(got.y, expected.y, 0));
          BOOST_TEST(all_close(got.dx, expected.dx, 0));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(dilated_max_pooling_equals_a_naive_loop) {
  Generator g(2);
  for (const Naive& p :
       {Naive{.kernel = 2, .stride = 1, .padding = 0, .dilation = 2}, Naive{2, 3, 1, 3}, Naive{3, 2, 1, 2}}) {
    const Tensor x = randn({2, 8, 9, 5}, {.generator = &g});
    const Expected expected = naive_max(x, p);
    const Expected got = observe(
        [&](const Tensor& t) {
          return max_pool2d(t, {.kernel = p.kernel, .stride = p.stride, .padding = p.padding, .dilation = p.dilation});
        },
        x);
    BOOST_TEST(all_close(got.y, expected.y, 0));
    BOOST_TEST(all_close(got.dx, expected.dx, 0));
  }
}

/// Windows that overlap along one axis alone, or lie apart with gaps between their taps: what is not a tap's must
/// become 0, whatever the memory held before.
BOOST_AUTO_TEST_CASE(windows_that_overlap_along_one_axis_or_have_gaps_equal_a_naive_loop) {
  Generator g(4);
  const auto check = [&](const Shape& shape, const Naive& p, Dtype dtype) {
    const Tensor x = to(randint(-9, 10, shape, {.generator = &g}), dtype);
    const Expected expected = naive_max(x, p);
    const Expected got = observe(
        [&](const Tensor& t) {
          const Tensor y =
              max_pool2d(t, {.kernel = p.kernel, .stride = p.stride, .padding = p.padding, .dilation = p.dilation});
          static_cast<void>(full(shape, 99, {.dtype = dtype}));  // its memory is what the gradient gets
          return y;
        },
        x);
    BOOST_TEST_CONTEXT("x " << shape << " kernel " << p.kernel << ' ' << dtype) {
      BOOST_TEST(all_close(got.y, expected.y, 0));
      BOOST_TEST(all_close(got.dx, expected.dx, 0));
    }
  };
  for (const Dtype dtype : {f32, f64}) {
    check({2, 3, 10, 5}, {.kernel = 3, .stride = 2, .padding = 0, .dilation = 1}, dtype);
    check({2, 10, 3, 5}, {.kernel = 3, .stride = 2, .padding = 0, .dilation = 1}, dtype);
    check({2, 9, 10, 5}, {.kernel = 2, .stride = 3, .padding = 0, .dilation = 2}, dtype);
    check({2, 9, 10, 5}, {.kernel = 2, .stride = 4, .padding = 0, .dilation = 3}, dtype);
  }
}

BOOST_AUTO_TEST_CASE(a_kernel_with_more_taps_than_a_byte_numbers_equals_a_naive_loop) {
  Generator g(3);
  for (const Dtype dtype : {f32, f64}) {
    const Tensor x = randn({1, 20, 21, 9}, {.dtype = dtype, .generator = &g});
    const Naive p{.kernel = 17, .stride = 2, .padding = 3, .dilation = 1};
    const Expected expected = naive_max(x, p);
    const Expected got =
        observe([](const Tensor& t) { return max_pool2d(t, {.kernel = 17, .stride = 2, .padding = 3}); }, x);
    BOOST_TEST(all_close(got.y, expected.y, 0));
    BOOST_TEST(all_close(got.dx, expected.dx, 0));
  }
}

BOOST_AUTO_TEST_CASE(average_pooling_equals_a_naive_loop_for_channels_around_the_vector_length) {
  Generator g(4);
  for (const Dtype dtype : {f32, f64}) {
    for (const Index c : {1, 3, 8, 9, 16, 17, 50}) {
      for (const Naive& p : kWindows) {
        const Tensor x = randn({2, 7, 8, c}, {.dtype = dtype, .generator = &g});
        const Expected expected = naive_avg(x, p);
        const Expected got = observe(
            [&](const Tensor& t) {
              return avg_pool2d(t, {.kernel = p.kernel, .stride = p.stride, .padding = p.padding});
            },
            x);
        const double tolerance = dtype == f32 ? 1e-5 : 1e-13;
        BOOST_TEST(all_close(got.y, expected.y, tolerance, tolerance));
        BOOST_TEST(all_close(got.dx, expected.dx, tolerance, tolerance));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(pooling_gives_the_same_bits_on_any_number_of_threads) {
  Generator g(5);
  const Tensor x = randn({7, 33, 31, 20}, {.generator = &g});
  const auto all = [&] {
    std::vector<Tensor> out;
    for (const Index stride : {1, 2, 3}) {
      for (const auto& f : std::vector<std::function<Tensor(const Tensor&)>>{
               [&](const Tensor& t) { return max_pool2d(t, {.kernel = 2, .stride = stride}); },
               [&](const Tensor& t) { return avg_pool2d(t, {.kernel = 2, .stride = stride}); },
               [](const Tensor& t) { return global_avg_pool2d(t); }}) {
        out.push_back(f(x));
        out.push_back(gradient(f, x.detach()));
      }
    }
    return out;
  };
  const int threads = num_threads();
  set_num_threads(1);
  const std::vector<Tensor> expected = all();
  for (const int n : {2, 3, 7}) {
    set_num_threads(n);
    const std::vector<Tensor> got = all();
    for (std::size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], expected[i]));
  }
  set_num_threads(threads);
}

// --- max

BOOST_AUTO_TEST_CASE(output_extents_of_max_pooling_are_pytorchs) {
  const auto extent = [](Index size, const MaxPool2dOptions& options) {
    return max_pool2d(zeros({1, size, size, 1}), options).size(1);
  };
  BOOST_TEST(extent(5, {.kernel = 2}) == 2);
  BOOST_TEST(extent(5, {.kernel = 2, .ceil_mode = true}) == 3);
  BOOST_TEST(extent(3, {.kernel = 2, .padding = 1, .ceil_mode = true}) == 2);
  BOOST_TEST(extent(4, {.kernel = 2, .padding = 1, .ceil_mode = true}) == 3);
  BOOST_TEST(extent(5, {.kernel = 2, .stride = 1, .dilation = 2}) == 3);
  BOOST_TEST(extent(3, {.kernel = 4, .ceil_mode = true}) == 1);
  BOOST_TEST(max_pool2d(zeros({1, 5, 7, 2}), {.kernel = {2, 3}, .stride = {1, 2}}).shape() == (Shape{1, 4, 3, 2}));
}

BOOST_AUTO_TEST_CASE(max_pooling_pads_with_minus_infinity) {
  const Tensor y = max_pool2d(full({1, 2, 2, 1}, -5.0), {.kernel = 2, .padding = 1});
  BOOST_TEST(all_close(y, {-5, -5, -5, -5}, 0));
}

BOOST_AUTO_TEST_CASE(the_first_cell_of_equal_ones_gets_the_gradient) {
  const auto pool = [](const Tensor& x) { return max_pool2d(x); };
  BOOST_TEST(all_close(gradient(pool, image({1, 1, 1, 1}, 2, 2)), {1, 0, 0, 0}, 0));
  BOOST_TEST(all_close(gradient(pool, image({0, 1, 1, 1}, 2, 2)), {0, 1, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(a_nan_wins_and_the_last_one_gets_the_gradient) {
  const auto pool = [](const Tensor& x) { return max_pool2d(x); };
  for (const std::vector<double>& pixels :
       {std::vector<double>{kNan, 2, kNan, 3}, {2, kNan, kNan, kInf}, {kNan, kNan, kNan, -kInf}}) {
    BOOST_TEST(std::isnan(max_pool2d(image(pixels, 2, 2)).item()));
    BOOST_TEST(all_close(gradient(pool, image(pixels, 2, 2)), {0, 0, 1, 0}, 0));
  }
}

BOOST_AUTO_TEST_CASE(where_all_is_minus_infinity_the_first_cell_inside_gets_the_gradient) {
  const Tensor x = image(std::vector<double>(4, -kInf), 2, 2);
  BOOST_TEST(max_pool2d(x).item() == -kInf);
  BOOST_TEST(all_close(gradient([](const Tensor& t) { return max_pool2d(t); }, x.detach()), {1, 0, 0, 0}, 0));
  const auto padded = [](const Tensor& t) { return max_pool2d(t, {.kernel = 3, .stride = 3, .padding = 1}); };
  BOOST_TEST(all_close(gradient(padded, x.detach()), {1, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(gradients_of_overlapping_windows_add_up) {
  const Tensor x = image({0, 0, 0, 0, 9, 0, 0, 0, 0}, 3, 3);
  const auto pool = [](const Tensor& t) { return max_pool2d(t, {.kernel = 2, .stride = 1}); };
  BOOST_TEST(all_close(gradient(pool, x), {0, 0, 0, 0, 4, 0, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(a_window_whose_taps_all_miss_the_input_is_minus_infinity_and_sends_nothing_back) {
  // kernel 2, dilation 2, padding 1 over one pixel: taps at -1 and 1
  const auto pool = [](const Tensor& t) { return max_pool2d(t, {.kernel = 2, .padding = 1, .dilation = 2}); };
  const Tensor x = image({3}, 1, 1);
  BOOST_TEST(pool(x).item() == -kInf);
  BOOST_TEST(all_close(gradient(pool, x), {0}, 0));
}

BOOST_AUTO_TEST_CASE(max_pooling_keeps_a_byte_per_output_and_nothing_when_unrecorded) {
  Tensor x = ones({2, 8, 8, 3});
  x.requires_grad(true);
  BOOST_TEST(Tape::of(max_pool2d(x)).bytes_kept() == 2 * 4 * 4 * 3);
  BOOST_TEST(!no_grad([&] { return max_pool2d(x); }).requires_grad());
}

BOOST_AUTO_TEST_CASE(an_empty_batch_or_no_channels_are_pooled_to_nothing) {
  BOOST_TEST(max_pool2d(zeros({0, 4, 4, 3})).shape() == (Shape{0, 2, 2, 3}));
  BOOST_TEST(avg_pool2d(zeros({2, 4, 4, 0})).shape() == (Shape{2, 2, 2, 0}));
  BOOST_TEST(gradient([](const Tensor& t) { return max_pool2d(t); }, zeros({0, 4, 4, 3})).shape() ==
             (Shape{0, 4, 4, 3}));
}

// --- average

BOOST_AUTO_TEST_CASE(average_pooling_counts_padding_unless_told_otherwise) {
  const Tensor x = ones({1, 2, 2, 1}, {.dtype = f64});
  BOOST_TEST(all_close(avg_pool2d(x, {.kernel = 2, .padding = 1}), {.25, .25, .25, .25}, 0));
  BOOST_TEST(all_close(avg_pool2d(x, {.kernel = 2, .padding = 1, .count_include_pad = false}), {1, 1, 1, 1}, 0));
}

BOOST_AUTO_TEST_CASE(ceil_mode_divides_by_cells_inside_the_padded_extent) {
  const Tensor x = ones({1, 4, 4, 1}, {.dtype = f64});
  AvgPool2dOptions options{.kernel = 3, .stride = 2, .padding = 1, .ceil_mode = true};
  BOOST_TEST(all_close(avg_pool2d(x, options), {4. / 9, 6. / 9, 3. / 9, 6. / 9, 1, .5, 3. / 9, .5, .25}, 1e-15));
  options.count_include_pad = false;
  BOOST_TEST(all_close(avg_pool2d(x, options), std::vector<double>(9, 1), 0));
}

BOOST_AUTO_TEST_CASE(a_divisor_can_be_given) {
  const Tensor x = ones({1, 2, 2, 1}, {.dtype = f64});
  BOOST_TEST(all_close(avg_pool2d(x, {.divisor_override = 3}), {4. / 3}, 1e-15));
  BOOST_TEST(all_close(avg_pool2d(x, {.divisor_override = -2}), {-2}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)avg_pool2d(x, {.divisor_override = 0}); }) ==
             "avg_pool2d: divisor_override must not be 0; got 0");
}

BOOST_AUTO_TEST_CASE(adaptive_bins_share_the_input_evenly) {
  const auto avg = [](const std::vector<double>& row, Index out) {
    return adaptive_avg_pool2d(image(row, 1, static_cast<Index>(row.size())), {1, out});
  };
  BOOST_TEST(all_close(avg({0, 1, 2, 3, 4}, 3), {.5, 2, 3.5}, 1e-15));
  BOOST_TEST(all_close(avg({0, 1}, 3), {0, .5, 1}, 0));
  BOOST_TEST(all_close(adaptive_max_pool2d(image({0, 1, 2, 3, 4}, 1, 5), {1, 3}), {1, 3, 4}, 0));
  const auto to_one = [](const Tensor& t) { return adaptive_max_pool2d(t, 1); };
  BOOST_TEST(all_close(gradient(to_one, image({2, 2, 2, 2}, 2, 2)), {1, 0, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(the_global_average_is_the_mean_over_all_pixels) {
  const Tensor x = tensor<double>({1, 10, 2, 20, 3, 30, 6, 60}, {.dtype = f64});
  const Tensor y = global_avg_pool2d(reshape(x, {1, 2, 2, 2}));
  BOOST_TEST(y.shape() == (Shape{1, 1, 1, 2}));
  BOOST_TEST(all_close(y, {3, 30}, 0));
  Generator g(6);
  const Tensor big = uniform({1, 256, 256, 3}, 0, 1, {.generator = &g});
  BOOST_TEST(all_close(global_avg_pool2d(big), values(global_avg_pool2d(to(big, f64))), 1e-5));
}

BOOST_AUTO_TEST_CASE(channels_do_not_mix) {
  const Tensor x = tensor<double>({1, 40, 2, 30, 3, 20, 4, 10}, {.dtype = f64});
  BOOST_TEST(all_close(max_pool2d(reshape(x, {1, 2, 2, 2})), {4, 40}, 0));
  BOOST_TEST(all_close(avg_pool2d(reshape(x, {1, 2, 2, 2})), {2.5, 25}, 0));
}

// --- errors

BOOST_AUTO_TEST_CASE(pooling_refuses_bad_calls_with_exact_texts) {
  const Tensor x = zeros({1, 4, 4, 1});
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)max_pool2d(zeros({4, 4, 1}));
             }) == "max_pool2d: the input must be [N, H, W, C]; got [4, 4, 1], reshape one image to [1, H, W, C]");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)max_pool2d(zeros({1, 4, 4, 1}, {.dtype = i64}));
             }) == "max_pool2d: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)max_pool2d(x, {.kernel = {0, 2}});
             }) == "max_pool2d: kernel must be at least 1; got {0, 2}");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)max_pool2d(x, {.stride = 0}); }) ==
             "max_pool2d: stride must be at least 1; got {0, 0}");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)max_pool2d(x, {.dilation = {1, 0}});
             }) == "max_pool2d: dilation must be at least 1; got {1, 0}");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)avg_pool2d(x, {.padding = {-1, 0}});
             }) == "avg_pool2d: padding must be at least 0; got {-1, 0}");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)max_pool2d(x, {.kernel = 3, .padding = 2}); }) ==
             "max_pool2d: padding must be at most half the kernel, {3, 3}; got {2, 2}");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)avg_pool2d(x, {.kernel = {5, 2}});
             }) == "avg_pool2d: the kernel must fit into the padded input; it spans {5, 2}, the input {4, 4}");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)adaptive_avg_pool2d(zeros({1, 0, 4, 1}), 2);
             }) == "adaptive_avg_pool2d: the input must have a pixel; got [1, 0, 4, 1]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)adaptive_max_pool2d(x, {0, 1});
             }) == "adaptive_max_pool2d: the output must be at least 1; got {0, 1}");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)global_avg_pool2d(zeros({1, 4, 0, 1}));
             }) == "global_avg_pool2d: the input must have a pixel; got [1, 4, 0, 1]");
}

BOOST_AUTO_TEST_CASE(a_number_is_the_kernel_and_braces_are_the_options) {
  Generator g(7);
  const Tensor x = randn({1, 7, 7, 2}, {.generator = &g});
  const Index three = 3;
  BOOST_TEST(same_bits(max_pool2d(x, 2), max_pool2d(x)));
  BOOST_TEST(same_bits(max_pool2d(x, three), max_pool2d(x, {.kernel = 3})));
  BOOST_TEST(same_bits(max_pool2d(x, {}), max_pool2d(x)));
  BOOST_TEST(same_bits(max_pool2d(x, {2, 1}), max_pool2d(x, {.kernel = 2, .stride = 1})));
  BOOST_TEST(same_bits(avg_pool2d(x, 2), avg_pool2d(x)));
  BOOST_TEST(same_bits(avg_pool2d(x, three), avg_pool2d(x, {.kernel = 3})));
  BOOST_TEST(same_bits(avg_pool2d(x, {}), avg_pool2d(x)));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)max_pool2d(x, 0); }) ==
             "max_pool2d: kernel must be at least 1; got {0, 0}");
}

BOOST_AUTO_TEST_CASE(global_max_pool2d_is_the_largest_pixel_and_a_tie_goes_to_the_first) {
  const Tensor x = tensor(std::vector<double>{1, 8, 5, 2, 5, 8, 0, 3}, {1, 2, 2, 2}, {.dtype = f64});
  const Expected seen = observe([](const Tensor& t) { return global_max_pool2d(t); }, x);
  BOOST_TEST(global_max_pool2d(x).shape() == (Shape{1, 1, 1, 2}));
  BOOST_TEST(all_close(seen.y, {5, 8}, 0));
  BOOST_TEST(all_close(seen.dx, {0, 2, 1, 0, 0, 0, 0, 0}, 0));
  BOOST_TEST(std::isnan(global_max_pool2d(image({1, kNan, 2, 3}, 2, 2)).item()));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)global_max_pool2d(zeros({1, 4, 0, 1}));
             }) == "global_max_pool2d: the input must have a pixel; got [1, 4, 0, 1]");
}

BOOST_AUTO_TEST_CASE(lp_pool2d_is_the_root_of_a_sum_of_powers) {
  const Tensor x = image({3, -4, 1, 2, 0, 0, -2, -2}, 2, 4);
  BOOST_TEST(all_close(lp_pool2d(x), {5, std::sqrt(13.0)}, 1e-15));
  BOOST_TEST(all_close(lp_pool2d(x, {.norm_type = 1}), {-1, -1}, 0));
  BOOST_TEST(all_close(lp_pool2d(x, {.norm_type = 4, .kernel = {1, 2}}),
                       {std::pow(337, 0.25), std::pow(17, 0.25), 0, std::pow(32, 0.25)}, 1e-15));
  BOOST_TEST(all_close(lp_pool2d(x, {.norm_type = 3}), {kNan, kNan}, 0));  // of -37 and -7
  // A window that is cut short has the pixels that it has.
  BOOST_TEST(all_close(lp_pool2d(image({3, 4, 5}, 1, 3), {.kernel = {1, 2}, .ceil_mode = true}), {5, 5}, 1e-15));
}

BOOST_AUTO_TEST_CASE(where_the_sum_of_lp_pool2d_is_0_so_is_the_gradient) {
  const Tensor x = image({0, 0, 3, 4}, 1, 4);
  const auto pooled = [](const Tensor& t) { return lp_pool2d(t, {.kernel = {1, 2}}); };
  BOOST_TEST(all_close(pooled(x), {0, 5}, 1e-15));
  BOOST_TEST(all_close(gradient(pooled, x.detach()), {0, 0, 0.6, 0.8}, 1e-15));
}

BOOST_AUTO_TEST_CASE(lp_pool2d_refuses_powers_and_windows_that_cannot_be) {
  const Tensor x = zeros({1, 4, 4, 1});
  const auto text = [&](const LpPool2dOptions& options) {
    return error<std::invalid_argument>([&] { (void)lp_pool2d(x, options); });
  };
  BOOST_TEST(text({.norm_type = 0.5}) == "lp_pool2d: norm_type must be at least 1 and finite; got 0.5");
  BOOST_TEST(text({.norm_type = kInf}) == "lp_pool2d: norm_type must be at least 1 and finite; got inf");
  BOOST_TEST(text({.norm_type = kNan}) == "lp_pool2d: norm_type must be at least 1 and finite; got nan");
  BOOST_TEST(text({.kernel = {5, 2}}) ==
             "lp_pool2d: the kernel must fit into the padded input; it spans {5, 2}, the input {4, 4}");
  BOOST_TEST(text({.stride = 0}) == "lp_pool2d: stride must be at least 1; got {0, 0}");
}

BOOST_AUTO_TEST_CASE(after_an_error_nothing_has_changed) {
  Tensor x = ones({1, 4, 4, 1});
  x.requires_grad(true);
  const Tensor copy = clone(x.detach());
  const auto before = memory_stats().live_storages;
  (void)error<std::invalid_argument>([&] { (void)max_pool2d(x, {.kernel = 5}); });
  BOOST_TEST(memory_stats().live_storages == before);
  BOOST_TEST(same_bits(x, copy));
  BOOST_TEST(max_pool2d(x).numel() == 4);
}

BOOST_AUTO_TEST_SUITE_END()
