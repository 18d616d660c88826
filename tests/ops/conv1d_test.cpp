#include <tapestry/ops/conv1d.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/random.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/cast.h>

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
    {.op = "conv1d",
     .variant = "padding 1",
     .inputs = shapes({{2, 5, 3}, {4, 3, 3}, {4}}),
     .f = [](In x) { return conv1d(x[0], x[1], x[2], {.padding = 1}); }},
    {.op = "conv1d",
     .variant = "stride 2, dilation 2, groups 2, no bias",
     .inputs = shapes({{1, 7, 4}, {2, 2, 2}}),
     .f = [](In x) { return conv1d(x[0], x[1], {.stride = 2, .dilation = 2, .groups = 2}); }},
};

Tensor integers(const Shape& shape, Generator& g) { return to(randint(-4, 5, shape, {.generator = &g}), f64); }

std::vector<double> naive(const Tensor& x, const Tensor& w, const Tensor& b, Index stride, Index before, Index length,
                          Index dilation, Index groups) {
  const Index l = x.size(1), c = x.size(2), k = w.size(0), r = w.size(1), part = w.size(2);
  const std::vector<double> vx = values(x), vw = values(w), vb = values(b);
  std::vector<double> y;
  for (Index n = 0; n < x.size(0); ++n) {
    for (Index i = 0; i < length; ++i) {
      for (Index f = 0; f < k; ++f) {
        double sum = vb[static_cast<std::size_t>(f)];
        for (Index t = 0; t < r; ++t) {
          const Index at = i * stride - before + t * dilation;
          if (at < 0 || at >= l) continue;
          for (Index p = 0; p < part; ++p) {
            sum += vx[static_cast<std::size_t>((n * l + at) * c + f / (k / groups) * part + p)] *
                   vw[static_cast<std::size_t>((f * r + t) * part + p)];
          }
        }
        y.push_back(sum);
      }
    }
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(conv1d_test)

BOOST_AUTO_TEST_CASE(sequences_are_convolved_as_by_a_naive_loop) {
  Generator g(1);
  const Tensor x = integers({2, 9, 6}, g), w = integers({4, 3, 6}, g), b = integers({4}, g);
  const Tensor part = integers({4, 3, 3}, g);
  for (const Dtype dtype : {f32, f64}) {
    const auto as = [&](const Tensor& t) { return to(t, dtype); };
    BOOST_TEST(all_close(conv1d(as(x), as(w), as(b)), naive(x, w, b, 1, 0, 7, 1, 1), 0));
    BOOST_TEST(all_close(conv1d(as(x), as(w), as(b), {.stride = 2, .padding = 2}), naive(x, w, b, 2, 2, 6, 1, 1), 0));
    BOOST_TEST(all_close(conv1d(as(x), as(w), as(b), {.dilation = 3}), naive(x, w, b, 1, 0, 3, 3, 1), 0));
    BOOST_TEST(all_close(conv1d(as(x), as(part), as(b), {.groups = 2}), naive(x, part, b, 1, 0, 7, 1, 2), 0));
    BOOST_TEST(all_close(conv1d(as(x), as(w), as(b), {.padding = Padding::same}), naive(x, w, b, 1, 1, 9, 1, 1), 0));
    BOOST_TEST(all_close(conv1d(as(x), as(w), {.padding = 1}), naive(x, w, zeros({4}), 1, 1, 9, 1, 1), 0));
  }
  BOOST_TEST(conv1d(ones({2, 9, 6}), ones({4, 3, 6})).shape() == (Shape{2, 7, 4}));
  BOOST_TEST(conv1d(ones({0, 9, 6}), ones({4, 3, 6}), {}).shape() == (Shape{0, 7, 4}));
}

BOOST_AUTO_TEST_CASE(same_pads_an_even_kernel_at_the_end) {
  const Tensor x = tensor(std::vector<double>{1, 2, 3, 4}, {1, 4, 1}, {.dtype = f64});
  BOOST_TEST(all_close(conv1d(x, ones({1, 2, 1}, {.dtype = f64}), {.padding = Padding::same}), {3, 5, 7, 4}, 0));
}

BOOST_AUTO_TEST_CASE(under_autocast_it_is_bf16) {
  const Autocast scope(bf16);
  BOOST_TEST(conv1d(ones({1, 4, 2}), ones({3, 2, 2}), ones({3})).dtype() == bf16);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_in_words_for_sequences) {
  const auto text = [](const Tensor& x, const Tensor& w, const Tensor& b, const Conv1dOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)conv1d(x, w, b, options); });
  };
  const Tensor x = ones({1, 5, 4}), w = ones({2, 3, 4}), none;
  BOOST_TEST(text(ones({5, 4}), w, none) == "conv1d: the input must be [N, L, C]; got [5, 4]");
  BOOST_TEST(text(x, ones({2, 3}), none) == "conv1d: the weight must be [K, R, C / groups]; got [2, 3]");
  BOOST_TEST(text(x, w, none, {.stride = 0}) == "conv1d: stride must be at least 1; got 0");
  BOOST_TEST(text(x, w, none, {.dilation = 0}) == "conv1d: dilation must be at least 1; got 0");
  BOOST_TEST(text(x, w, none, {.padding = -1}) == "conv1d: padding must not be negative; got -1");
  BOOST_TEST(text(x, w, none, {.groups = 0}) == "conv1d: groups must be at least 1; got 0");
  BOOST_TEST(text(x, w, none, {.stride = 2, .padding = Padding::same}) ==
             "conv1d: Padding::same needs stride 1; got 2");
  BOOST_TEST(text(x, ones({2, 0, 4}), none) == "conv1d: the kernel must have a tap; the weight is [2, 0, 4]");
  BOOST_TEST(text(ones({1, 4, 5}), w, none) ==
             "conv1d: input has 5 channels, weight expects 4 (input [1, 4, 5], weight [2, 3, 4], groups 1); if the "
             "input is [N, C, L], transpose(x, 1, 2) makes it [N, L, C]");
  BOOST_TEST(text(ones({1, 5, 6}), ones({2, 3, 2}), none, {.groups = 3}) ==
             "conv1d: groups must divide the 2 filters; got 3");
  BOOST_TEST(text(x, ones({2, 3, 4}), none, {.dilation = 3}) ==
             "conv1d: the kernel must fit into the padded input; it spans 7, the input 5");
  BOOST_TEST(text(x, w, ones({3})) == "conv1d: the bias must be [2]; got [3]");
  BOOST_TEST(text(x, to(w, f64), none) ==
             "conv1d: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(text(arange(3), w, none) ==
             "conv1d: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
