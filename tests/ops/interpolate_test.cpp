#include <tapestry/ops/interpolate.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;
using Mode = InterpolateMode;

std::vector<Tensor> image(Generator& g) { return {sample(g, {2, 3, 4, 2})}; }

OpSpec row(const char* variant, const InterpolateOptions& options) {
  return {.op = "interpolate",
          .variant = variant,
          .inputs = image,
          .f = [options](In x) { return interpolate(x[0], options); },
          .first_order_linear = true};
}

const OpRows rows{
    row("nearest, larger", {.size = OptionalPair2(5, 7)}),
    row("nearest_exact, smaller", {.size = 2, .mode = Mode::nearest_exact}),
    row("bilinear, a factor", {.scale_factor = Scale2(1.7, 0.6), .mode = Mode::bilinear}),
    row("bilinear, align_corners", {.size = 5, .mode = Mode::bilinear, .align_corners = true}),
    row("bilinear, antialias", {.size = OptionalPair2(2, 3), .mode = Mode::bilinear, .antialias = true}),
    row("area", {.size = 2, .mode = Mode::area}),
    {.op = "pixel_shuffle",
     .variant = "2",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {1, 2, 3, 8})};
         },
     .f = [](In x) { return pixel_shuffle(x[0], 2); },
     .first_order_linear = true},
    {.op = "pixel_unshuffle",
     .variant = "2",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {1, 4, 2, 3})};
         },
     .f = [](In x) { return pixel_unshuffle(x[0], 2); },
     .first_order_linear = true},
    {.op = "channel_shuffle",
     .variant = "3 groups",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {2, 2, 6})};
         },
     .f = [](In x) { return channel_shuffle(x[0], 3); },
     .first_order_linear = true},
};

Tensor line(const std::vector<double>& values) {
  return tensor(values, {1, 1, static_cast<Index>(values.size()), 1}, {.dtype = f64});
}

/// Along one line, from both sides: as a row and as a column.
std::vector<double> resized(const std::vector<double>& values_of, Index width, InterpolateOptions options) {
  options.size = OptionalPair2(1, width);
  const std::vector<double> across = values(interpolate(line(values_of), options));
  options.size = OptionalPair2(width, 1);
  const Tensor down = reshape(line(values_of), {1, -1, 1, 1});
  BOOST_TEST(all_close(interpolate(down, options), across, 0));
  return across;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(interpolate_test)

BOOST_AUTO_TEST_CASE(bilinear_lines_have_known_values) {
  const InterpolateOptions plain{.mode = Mode::bilinear}, corners{.mode = Mode::bilinear, .align_corners = true};
  const InterpolateOptions smooth{.mode = Mode::bilinear, .antialias = true};
  BOOST_TEST(all_close(resized({0, 1}, 4, plain), {0, 0.25, 0.75, 1}, 1e-15));
  BOOST_TEST(all_close(resized({0, 1}, 4, corners), {0, 1 / 3., 2 / 3., 1}, 1e-15));
  BOOST_TEST(all_close(resized({0, 1, 2, 3, 10}, 2, plain), {0.75, 4.75}, 1e-15));
  BOOST_TEST(all_close(resized({0, 1, 2, 3, 10}, 2, smooth), {1, 4.909090909090909}, 1e-15));
  BOOST_TEST(all_close(resized({0, 1, 2, 3}, 2, smooth), {0.7142857142857143, 2.2857142857142857}, 1e-15));
  BOOST_TEST(all_close(resized({0, 1}, 4, smooth), {0, 0.25, 0.75, 1}, 1e-15));  // enlarging: as plain
  BOOST_TEST(all_close(resized({3, 7, 5}, 1, corners), {3}, 0));
  BOOST_TEST(all_close(resized({3, 7, 5}, 1, plain), {7}, 0));
  BOOST_TEST(all_close(resized({3, 7, 5}, 3, plain), {3, 7, 5}, 0));
  BOOST_TEST(all_close(resized({4}, 3, plain), {4, 4, 4}, 0));
}

BOOST_AUTO_TEST_CASE(nearest_lines_have_known_values) {
  const InterpolateOptions plain, exact{.mode = Mode::nearest_exact};
  BOOST_TEST(all_close(resized({0, 1, 2}, 5, plain), {0, 0, 1, 1, 2}, 0));
  BOOST_TEST(all_close(resized({0, 1, 2, 3, 4}, 3, plain), {0, 1, 3}, 0));
  BOOST_TEST(all_close(resized({0, 1, 2, 3, 4}, 3, exact), {0, 2, 4}, 0));
  BOOST_TEST(all_close(resized({0, 1, 2}, 6, exact), {0, 0, 1, 1, 2, 2}, 0));
  // 49 to 49 k: each place is exact, where i * (in / out) in floats would fall below it.
  for (const Index factor : {3, 7, 49}) {
    std::vector<double> from, expected;
    for (int i = 0; i < 49; ++i) {
      from.push_back(i);
      expected.insert(expected.end(), static_cast<std::size_t>(factor), i);
    }
    BOOST_TEST(all_close(resized(from, 49 * factor, plain), expected, 0));
    BOOST_TEST(all_close(resized(from, 49 * factor, exact), expected, 0));
  }
}

BOOST_AUTO_TEST_CASE(area_is_the_mean_of_bins) {
  BOOST_TEST(all_close(resized({0, 1, 2, 3, 10}, 2, {.mode = Mode::area}), {1, 5}, 1e-15));
  Generator g(1);
  const Tensor x = sample(g, {2, 7, 5, 3});
  BOOST_TEST(
      same_bits(interpolate(x, {.size = OptionalPair2(3, 2), .mode = Mode::area}), adaptive_avg_pool2d(x, {3, 2})));
}

BOOST_AUTO_TEST_CASE(rows_and_columns_are_treated_separately) {
  Generator g(2);
  for (const Index channels : {1, 3, 8, 19}) {
    const Tensor x = sample(g, {2, 5, 4, channels});
    for (const InterpolateOptions& mode : {InterpolateOptions{}, InterpolateOptions{.mode = Mode::bilinear},
                                           InterpolateOptions{.mode = Mode::bilinear, .antialias = true}}) {
      InterpolateOptions across = mode, down = mode, both = mode;
      across.size = OptionalPair2(5, 7);
      down.size = OptionalPair2(2, 7);
      both.size = OptionalPair2(2, 7);
      const Tensor expected = interpolate(interpolate(x, across), down);
      BOOST_TEST(all_close(interpolate(x, both), expected, 1e-14, 1e-15));
      BOOST_TEST(all_close(interpolate(to(x, f32), both), values(expected), 1e-5, 1e-6));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_factor_gives_the_size_and_the_step) {
  const auto width = [](Index from, double factor) {
    return interpolate(ones({1, 1, from, 1}), {.scale_factor = Scale2(1, factor)}).size(2);
  };
  BOOST_TEST(width(5, 2) == 10);
  BOOST_TEST(width(5, 0.5) == 2);
  BOOST_TEST(width(5, 1.5) == 7);
  // 5 * 0.5 = 2 pixels, two apart, not two and a half.
  BOOST_TEST(all_close(interpolate(line({0, 1, 2, 3, 4}), {.scale_factor = Scale2(1, 0.5)}), {0, 2}, 0));
  BOOST_TEST(all_close(interpolate(line({0, 1, 2, 3, 4}), {.scale_factor = Scale2(1, 0.5), .mode = Mode::bilinear}),
                       {0.5, 2.5}, 1e-15));
  BOOST_TEST(interpolate(ones({1, 2, 3, 1}), {.scale_factor = 2}).shape() == (Shape{1, 4, 6, 1}));
}

BOOST_AUTO_TEST_CASE(pixels_without_weight_do_not_count) {
  const double inf = std::numeric_limits<double>::infinity();
  BOOST_TEST(all_close(resized({1, inf, 3}, 2, {.mode = Mode::bilinear, .align_corners = true}), {1, 3}, 0));
  BOOST_TEST(all_close(resized({1, inf, 3}, 3, {.mode = Mode::bilinear}), {1, inf, 3}, 0));
  Tensor x = line({1, 2, 3, 4, 5});
  x.requires_grad(true);
  const Tensor y = interpolate(x, {.size = OptionalPair2(1, 2)});
  BOOST_TEST(all_close(grad(sum(y), x), {1, 0, 1, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(the_gradient_is_the_transpose) {
  Generator g(3);
  for (const InterpolateOptions& options :
       {InterpolateOptions{.size = OptionalPair2(9, 2)},
        InterpolateOptions{.size = OptionalPair2(3, 11), .mode = Mode::bilinear, .antialias = true},
        InterpolateOptions{.size = OptionalPair2(11, 3), .mode = Mode::bilinear},
        InterpolateOptions{.size = OptionalPair2(1, 1), .mode = Mode::bilinear, .align_corners = true}}) {
    const Tensor x = sample(g, {2, 6, 7, 5}).requires_grad(true);
    const Tensor y = interpolate(x, options), dy = sample(g, y.shape());
    const Tensor dx = grad(y, x, {.grad_outputs = {dy}});
    BOOST_TEST(std::abs(sum(y * dy).item() - sum(x * dx).item()) < 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(bf16_is_computed_in_f32) {
  const Tensor y = interpolate(to(line({0, 1}), bf16), {.size = OptionalPair2(1, 4), .mode = Mode::bilinear});
  BOOST_TEST(y.dtype() == bf16);
  BOOST_TEST(all_close(values(y), {0, 0.25, 0.75, 1}, 0));
  BOOST_TEST(interpolate(ones({0, 2, 2, 3}), {.size = 4}).shape() == (Shape{0, 4, 4, 3}));
  BOOST_TEST(interpolate(ones({1, 2, 2, 0}), {.size = 4}).shape() == (Shape{1, 4, 4, 0}));
}

BOOST_AUTO_TEST_CASE(what_interpolate_cannot_do_is_refused) {
  const auto text = [](const Tensor& x, const InterpolateOptions& options) {
    return error<std::invalid_argument>([&] { (void)interpolate(x, options); });
  };
  const Tensor x = ones({1, 2, 3, 4});
  BOOST_TEST(text(ones({2, 3, 4}), {.size = 2}) ==
             "interpolate: the input must be [N, H, W, C]; got [2, 3, 4], reshape one image to [1, H, W, C]");
  BOOST_TEST(text(ones({1, 0, 3, 4}), {.size = 2}) == "interpolate: the input must have a pixel; got [1, 0, 3, 4]");
  BOOST_TEST(text(x, {}) == "interpolate: either size or scale_factor must be given; got none");
  BOOST_TEST(text(x, {.size = 2, .scale_factor = 2}) ==
             "interpolate: either size or scale_factor must be given; got both");
  BOOST_TEST(text(x, {.size = OptionalPair2(2, 0)}) == "interpolate: the size must be from 1 to 2^40; got {2, 0}");
  BOOST_TEST(text(x, {.size = OptionalPair2(2, Index{1} << 41)}) ==
             "interpolate: the size must be from 1 to 2^40; got {2, 2199023255552}");
  BOOST_TEST(text(x, {.scale_factor = -1}) == "interpolate: scale_factor must be positive and finite; got {-1, -1}");
  BOOST_TEST(text(x, {.scale_factor = 0.4}) ==
             "interpolate: the new image's sides must be from 1 to 2^40; they would be 0 and 1");
  BOOST_TEST(
      text(x, {.scale_factor = 1e15}) ==
      "interpolate: the new image's sides must be from 1 to 2^40; they would be 2000000000000000 and 3000000000000000");
  BOOST_TEST(text(x, {.size = 2, .align_corners = true}) ==
             "interpolate: align_corners must stand beside InterpolateMode::bilinear; got another mode");
  BOOST_TEST(text(x, {.size = 2, .mode = Mode::area, .antialias = true}) ==
             "interpolate: antialias must stand beside InterpolateMode::bilinear; got another mode");
  BOOST_TEST(text(x, {.size = 2, .mode = Mode::bilinear, .align_corners = true, .antialias = true}) ==
             "interpolate: antialias must stand without align_corners; got both");
  BOOST_TEST(text(arange(3), {.size = 2}) ==
             "interpolate: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

// --- pixels and channels

BOOST_AUTO_TEST_CASE(pixel_shuffle_numbers_channels_as_pytorch_does) {
  // Channel c r r + i r + j of pixel (h, w) goes to pixel (h r + i, w r + j), channel c.
  const Index n = 2, h = 2, w = 3, c = 2, r = 3;
  const Tensor x = reshape(arange(n * h * w * c * r * r), {n, h, w, c * r * r});
  const Tensor y = pixel_shuffle(x, r);
  BOOST_REQUIRE(y.shape() == (Shape{n, h * r, w * r, c}));
  BOOST_TEST(y.dtype() == i64);
  std::vector<double> expected;
  for (Index b = 0; b < n; ++b) {
    for (Index row_of = 0; row_of < h * r; ++row_of) {
      for (Index column = 0; column < w * r; ++column) {
        for (Index k = 0; k < c; ++k) {
          const Index channel = k * r * r + row_of % r * r + column % r;
          expected.push_back(static_cast<double>(((b * h + row_of / r) * w + column / r) * c * r * r + channel));
        }
      }
    }
  }
  BOOST_TEST(all_close(y, expected, 0));
  BOOST_TEST(same_bits(pixel_unshuffle(y, r), x));
}

BOOST_AUTO_TEST_CASE(channel_shuffle_deals_channels_out) {
  const Tensor x = tensor<int>({{0, 1, 2, 3, 4, 5}, {6, 7, 8, 9, 10, 11}});
  BOOST_TEST(all_close(channel_shuffle(x, 2), {0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}, 0));
  BOOST_TEST(all_close(channel_shuffle(channel_shuffle(x, 2), 3), values(x), 0));
  BOOST_TEST(channel_shuffle(ones({2, 3, 0}), 3).shape() == (Shape{2, 3, 0}));
}

BOOST_AUTO_TEST_CASE(shuffles_refuse_factors_that_do_not_divide) {
  const auto text = [](const auto& call) { return error<std::invalid_argument>([&] { (void)call(); }); };
  const Tensor x = ones({1, 2, 3, 6});
  BOOST_TEST(text([&] { return pixel_shuffle(x, 0); }) == "pixel_shuffle: the factor must be at least 1; got 0");
  BOOST_TEST(text([&] { return pixel_shuffle(x, 2); }) ==
             "pixel_shuffle: the square of 2 must divide the channels; got [1, 2, 3, 6]");
  BOOST_TEST(text([&] {
               return pixel_shuffle(ones({2, 3}), 2);
             }) == "pixel_shuffle: the input must be [N, H, W, C]; got [2, 3], reshape one image to [1, H, W, C]");
  BOOST_TEST(text([&] { return pixel_unshuffle(x, 2); }) ==
             "pixel_unshuffle: 2 must divide both sides of the image; got [1, 2, 3, 6]");
  BOOST_TEST(text([&] { return pixel_unshuffle(x, -1); }) == "pixel_unshuffle: the factor must be at least 1; got -1");
  BOOST_TEST(text([&] { return channel_shuffle(x, 4); }) ==
             "channel_shuffle: groups must divide the channels; got 4 groups, 6 channels");
  BOOST_TEST(text([&] { return channel_shuffle(x, 0); }) ==
             "channel_shuffle: groups must divide the channels; got 0 groups, 6 channels");
  BOOST_TEST(text([&] { return channel_shuffle(scalar(1), 1); }) ==
             "channel_shuffle: the input must have a channel dimension; got shape []");
}

BOOST_AUTO_TEST_SUITE_END()
