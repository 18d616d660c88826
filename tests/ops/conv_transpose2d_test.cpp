#include <tapestry/ops/conv_transpose2d.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> shapes(const std::vector<Shape>& list) {
  return [list](Generator& g) {
    std::vector<Tensor> out;
    for (const Shape& shape : list) out.push_back(sample(g, shape));
    return out;
  };
}

const OpRows rows{
    {.op = "conv_transpose2d",
     .variant = "no bias",
     .inputs = shapes({{2, 3, 3, 2}, {2, 2, 2, 3}}),
     .f = [](In x) { return conv_transpose2d(x[0], x[1]); }},
    {.op = "conv_transpose2d",
     .variant = "stride 2, padding, output_padding",
     .inputs = shapes({{1, 3, 2, 3}, {3, 3, 3, 2}, {2}}),
     .f =
         [](In x) {
           return conv_transpose2d(x[0], x[1], x[2], {.stride = 2, .padding = 1, .output_padding = {1, 0}});
         }},
    {.op = "conv_transpose2d",
     .variant = "groups 2, dilation above the stride, output_padding beyond it",
     .inputs = shapes({{1, 2, 3, 4}, {4, 2, 2, 1}, {2}}),
     .f =
         [](In x) {
           return conv_transpose2d(x[0], x[1], x[2],
                                   {.stride = {2, 1}, .output_padding = 2, .dilation = 3, .groups = 2});
         }},
};

Tensor integers(const Shape& shape, Generator& g) { return to(randint(-4, 5, shape, {.generator = &g}), f64); }

/// Every pixel adds the kernel times itself.
std::vector<double> naive(const Tensor& x, const Tensor& w, const Tensor& b, const ConvTranspose2dOptions& o) {
  const Shape &sx = x.shape(), &sw = w.shape();
  const Index per_group = sw[3], k = per_group * o.groups, channels = sx[3] / o.groups;
  const Index h = (sx[1] - 1) * o.stride.h - 2 * o.padding.h + o.dilation.h * (sw[1] - 1) + o.output_padding.h + 1;
  const Index v = (sx[2] - 1) * o.stride.w - 2 * o.padding.w + o.dilation.w * (sw[2] - 1) + o.output_padding.w + 1;
  std::vector<double> y(static_cast<std::size_t>(sx[0] * h * v * k));
  const std::vector<double> vx = values(x), vw = values(w),
                            vb = b.defined() ? values(b) : std::vector<double>(static_cast<std::size_t>(k));
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = vb[i % static_cast<std::size_t>(k)];
  for (Index n = 0; n < sx[0]; ++n) {
    for (Index i = 0; i < sx[1]; ++i) {
      for (Index j = 0; j < sx[2]; ++j) {
        for (Index c = 0; c < sx[3]; ++c) {
          for (Index r = 0; r < sw[1]; ++r) {
            for (Index s = 0; s < sw[2]; ++s) {
              const Index row = i * o.stride.h - o.padding.h + r * o.dilation.h;
              const Index column = j * o.stride.w - o.padding.w + s * o.dilation.w;
              if (row < 0 || row >= h || column < 0 || column >= v) continue;
              for (Index f = 0; f < per_group; ++f) {
                const Index filter = c / channels * per_group + f;
                y[static_cast<std::size_t>(((n * h + row) * v + column) * k + filter)] +=
                    vx[static_cast<std::size_t>(((n * sx[1] + i) * sx[2] + j) * sx[3] + c)] *
                    vw[static_cast<std::size_t>(((c * sw[1] + r) * sw[2] + s) * per_group + f)];
              }
            }
          }
        }
      }
    }
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conv_transpose2d_test)

BOOST_AUTO_TEST_CASE(every_pixel_adds_the_kernel) {
  struct Case {
    Shape x, w;
    ConvTranspose2dOptions options;
  };
  const std::vector<Case> cases{
      {{2, 3, 4, 2}, {2, 3, 3, 5}, {}},
      {{2, 2, 2, 1}, {1, 3, 3, 1}, {.stride = 2}},
      {{1, 3, 2, 3}, {3, 3, 2, 2}, {.stride = {2, 3}, .padding = {1, 0}, .output_padding = {1, 2}}},
      {{1, 3, 3, 4}, {4, 2, 3, 3}, {.stride = 2, .padding = 1, .dilation = {2, 1}, .groups = 2}},
      {{1, 3, 3, 6}, {6, 3, 3, 1}, {.padding = 1, .groups = 6}},
      {{1, 2, 3, 2}, {2, 2, 2, 3}, {.stride = {1, 2}, .output_padding = {3, 4}, .dilation = {4, 5}}},
      {{1, 2, 2, 2}, {2, 1, 1, 2}, {.stride = 3}},  // pixels that no kernel touches
      {{1, 5, 5, 17}, {17, 3, 3, 9}, {.stride = 2, .padding = 1, .output_padding = 1}},
      {{1, 1, 1, 3}, {3, 4, 4, 2}, {}},
      {{1, 4, 4, 1}, {1, 5, 5, 1}, {.padding = 2}},
  };
  Generator g(1);
  for (const Case& c : cases) {
    const Tensor x = integers(c.x, g), w = integers(c.w, g), b = integers({c.w[3] * c.options.groups}, g);
    for (const Dtype dtype : {f32, f64}) {
      const auto as = [&](const Tensor& t) { return to(t, dtype); };
      BOOST_TEST(all_close(conv_transpose2d(as(x), as(w), as(b), c.options), naive(x, w, b, c.options), 0));
      BOOST_TEST(all_close(conv_transpose2d(as(x), as(w), c.options), naive(x, w, {}, c.options), 0));
    }
  }
}

BOOST_AUTO_TEST_CASE(extents_are_those_of_the_formula) {
  const auto extent = [](const ConvTranspose2dOptions& options) {
    return conv_transpose2d(ones({1, 2, 2, 1}), ones({1, 3, 3, 1}), options).shape();
  };
  BOOST_TEST(extent({.stride = 2}) == (Shape{1, 5, 5, 1}));
  BOOST_TEST(extent({.stride = 2, .padding = 1, .output_padding = 1}) == (Shape{1, 4, 4, 1}));
  BOOST_TEST(extent({.stride = 2, .padding = {0, 1}}) == (Shape{1, 5, 3, 1}));
}

BOOST_AUTO_TEST_CASE(it_is_the_transpose_of_conv2d) {
  Generator g(2);
  const Tensor x = sample(g, {2, 5, 6, 3}), w = sample(g, {4, 3, 2, 3});
  const Conv2dOptions forward{.stride = {2, 1}, .padding = 1};
  const Tensor y = conv2d(x, w, forward), dy = sample(g, y.shape());
  const Tensor back = conv_transpose2d(dy, w, {.stride = {2, 1}, .padding = 1});
  BOOST_REQUIRE(back.shape() == x.shape());
  BOOST_TEST(std::abs(sum(y * dy).item() - sum(x * back).item()) < 1e-12);
}

BOOST_AUTO_TEST_CASE(nothing_in_gives_nothing_out_and_zero_gradients) {
  Tensor w = ones({2, 3, 3, 4}), b = ones({4});
  w.requires_grad(true);
  b.requires_grad(true);
  const Tensor y = conv_transpose2d(ones({0, 2, 2, 2}), w, b);
  BOOST_TEST(y.shape() == (Shape{0, 4, 4, 4}));
  const auto g = grad({y}, {w, b}, {.grad_outputs = {y.detach()}});
  BOOST_TEST(all_close(g[0], zeros_like(w), 0));
  BOOST_TEST(all_close(g[1], zeros_like(b), 0));
}

BOOST_AUTO_TEST_CASE(each_operand_is_kept_only_for_the_other) {
  Tensor x = ones({1, 4, 4, 2});
  const Tensor w = ones({2, 3, 3, 4});
  x.requires_grad(true);
  BOOST_TEST(Tape::of(conv_transpose2d(x, w)).bytes_kept() == 2 * 9 * 4 * 4);
}

BOOST_AUTO_TEST_CASE(under_autocast_it_is_bf16) {
  Tensor x = ones({1, 2, 2, 2}), w = ones({2, 1, 1, 4}), b = ones({4});
  w.requires_grad(true);
  const Autocast scope(bf16);
  const Tensor y = conv_transpose2d(x, w, b);
  BOOST_TEST(y.dtype() == bf16);
  BOOST_TEST(all_close(values(y), std::vector<double>(16, 3), 0));
  BOOST_TEST(grad(sum(y), w).dtype() == f32);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  const auto text = [](const Tensor& x, const Tensor& w, const Tensor& b, const ConvTranspose2dOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)conv_transpose2d(x, w, b, options); });
  };
  const Tensor x = ones({1, 2, 3, 4}), w = ones({4, 3, 3, 2}), none;
  const auto is = [](const std::string& got, const char* rest) {
    return got == std::string("conv_transpose2d: ").append(rest);
  };
  BOOST_TEST(is(text(ones({2, 3, 4}), w, none),
                "the input must be [N, H, W, C]; got [2, 3, 4], reshape one image to [1, H, W, C]"));
  BOOST_TEST(is(text(x, ones({4, 3, 2}), none), "the weight must be [C, R, S, K / groups]; got [4, 3, 2]"));
  BOOST_TEST(is(text(x, w, none, {.stride = {1, 0}}), "stride must be at least 1; got {1, 0}"));
  BOOST_TEST(is(text(x, w, none, {.padding = {-1, 0}}), "padding must be at least 0; got {-1, 0}"));
  BOOST_TEST(is(text(x, w, none, {.output_padding = -1}), "output_padding must be at least 0; got {-1, -1}"));
  BOOST_TEST(is(text(x, w, none, {.dilation = 0}), "dilation must be at least 1; got {0, 0}"));
  BOOST_TEST(is(text(x, w, none, {.groups = 0}), "groups must be at least 1; got 0"));
  BOOST_TEST(is(text(x, w, none, {.stride = {2, 1}, .output_padding = {2, 0}}),
                "output_padding must be less than the stride or the dilation, {2, 1}; got {2, 0}"));
  BOOST_TEST(is(text(x, ones({4, 0, 3, 2}), none), "the kernel must have a tap; the weight is [4, 0, 3, 2]"));
  BOOST_TEST(is(text(ones({1, 0, 3, 4}), w, none), "the input must have a pixel; got [1, 0, 3, 4]"));
  BOOST_TEST(is(text(ones({1, 2, 3, 5}), w, none),
                "input has 5 channels, weight expects 4 (input [1, 2, 3, 5], weight [4, 3, 3, 2])"));
  BOOST_TEST(is(text(x, w, none, {.groups = 3}), "groups must divide the 4 channels; got 3"));
  BOOST_TEST(is(text(x, w, ones({3})), "the bias must be [2]; got [3]"));
  BOOST_TEST(is(text(x, w, ones({2}), {.groups = 2}), "the bias must be [4]; got [2]"));
  BOOST_TEST(
      is(text(ones({1, 1, 1, 4}), w, none, {.padding = {1, 2}}), "the output must have a pixel; it would be {1, -1}"));
  BOOST_TEST(is(text(x, to(w, f64), none), "the dtypes must be equal; got f32 and f64, convert one with to(x, f32)"));
  BOOST_TEST(is(text(x, w, ones({2}, {.dtype = f64})),
                "the dtypes must be equal; got f32 and f64, convert one with to(x, f32)"));
  constexpr Index kHuge = Index{1} << 62;
  BOOST_TEST(
      is(text(x, w, none, {.stride = kHuge}), "extents must multiply to at most 2^60; got 1 and 4611686018427387904"));
  BOOST_TEST(is(text(x, w, none, {.dilation = kHuge}),
                "extents must multiply to at most 2^60; got 4611686018427387904 and 2"));
  BOOST_TEST(
      is(text(x, w, none, {.padding = kHuge}), "extents must multiply to at most 2^60; got 2 and 4611686018427387904"));
}

BOOST_AUTO_TEST_SUITE_END()
