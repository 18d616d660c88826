#include <tapestry/ops/unfold.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <stdexcept>

#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

const UnfoldOptions kUneven{.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}};

const OpRows rows{
    {.op = "unfold",
     .variant = "2 x 2",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {2, 3, 3, 2})};
         },
     .f = [](In x) { return unfold(x[0], {.kernel = 2}); },
     .first_order_linear = true},
    {.op = "unfold",
     .variant = "stride, padding, dilation",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {1, 5, 4, 2})};
         },
     .f = [](In x) { return unfold(x[0], kUneven); },
     .first_order_linear = true},
    {.op = "fold",
     .variant = "2 x 2",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {2, 2, 2, 8})};
         },
     .f = [](In x) { return fold(x[0], 3, {.kernel = 2}); },
     .first_order_linear = true},
    {.op = "fold",
     .variant = "stride, padding, dilation",
     .inputs =
         [](Generator& g) {
           return std::vector<Tensor>{sample(g, {1, 3, 6, 12})};
         },
     .f =
         [](In x) {
           return fold(x[0], {5, 4}, kUneven);
         },
     .first_order_linear = true},
};

std::vector<double> naive(const Tensor& x, const UnfoldOptions& o, Index oh, Index ow) {
  const Index h = x.size(1), w = x.size(2), c = x.size(3);
  const std::vector<double> vx = values(x);
  std::vector<double> y;
  for (Index n = 0; n < x.size(0); ++n) {
    for (Index i = 0; i < oh; ++i) {
      for (Index j = 0; j < ow; ++j) {
        for (Index r = 0; r < o.kernel.h; ++r) {
          for (Index s = 0; s < o.kernel.w; ++s) {
            const Index row = i * o.stride.h - o.padding.h + r * o.dilation.h;
            const Index column = j * o.stride.w - o.padding.w + s * o.dilation.w;
            const bool inside = row >= 0 && row < h && column >= 0 && column < w;
            for (Index k = 0; k < c; ++k) {
              y.push_back(inside ? vx[static_cast<std::size_t>(((n * h + row) * w + column) * c + k)] : 0);
            }
          }
        }
      }
    }
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(unfold_test)

BOOST_AUTO_TEST_CASE(windows_are_those_of_a_naive_loop) {
  Generator g(1);
  const Tensor x = sample(g, {2, 5, 4, 3});
  for (const Dtype dtype : {f32, f64, bf16}) {
    const Tensor as = to(x, dtype);
    BOOST_TEST(all_close(unfold(as, {.kernel = 2}), naive(as, {.kernel = 2}, 4, 3), 0));
    BOOST_TEST(all_close(unfold(as, kUneven), naive(as, kUneven, 3, 6), 0));
    BOOST_TEST(all_close(unfold(as, {.kernel = 1, .padding = 3}), naive(as, {.kernel = 1, .padding = 3}, 11, 10), 0));
  }
  BOOST_TEST(unfold(x, kUneven).shape() == (Shape{2, 3, 6, 18}));
  BOOST_TEST(unfold(ones({0, 3, 3, 2}), {.kernel = 2}).shape() == (Shape{0, 2, 2, 8}));
  BOOST_TEST(unfold(ones({1, 3, 3, 0}), {.kernel = 2}).shape() == (Shape{1, 2, 2, 0}));
}

BOOST_AUTO_TEST_CASE(a_convolution_is_a_product_with_the_windows) {
  Generator g(2);
  const Tensor x = sample(g, {2, 6, 5, 3}), w = sample(g, {4, 3, 2, 3});
  const Tensor y =
      matmul(unfold(x, {.kernel = {3, 2}, .stride = 2, .padding = 1}), reshape(w, {4, -1}), {.transpose_b = true});
  BOOST_TEST(all_close(y, conv2d(x, w, {.stride = 2, .padding = 1}), 1e-13, 1e-14));
}

BOOST_AUTO_TEST_CASE(fold_adds_up_what_windows_share) {
  const Tensor x = ones({1, 3, 3, 1});
  BOOST_TEST(all_close(fold(unfold(x, {.kernel = 2}), 3, {.kernel = 2}), {1, 2, 1, 2, 4, 2, 1, 2, 1}, 0));
  // Rows and columns that no window reaches are 0.
  BOOST_TEST(all_close(fold(ones({1, 1, 1, 4}), 3, {.kernel = 2, .stride = 2}), {1, 1, 0, 1, 1, 0, 0, 0, 0}, 0));
  BOOST_TEST(fold(ones({0, 2, 2, 8}), 3, {.kernel = 2}).shape() == (Shape{0, 3, 3, 2}));
  BOOST_TEST(fold(ones({1, 2, 2, 0}), 3, {.kernel = 2}).shape() == (Shape{1, 3, 3, 0}));
}

BOOST_AUTO_TEST_CASE(each_is_the_transpose_of_the_other) {
  Generator g(3);
  for (const UnfoldOptions& options : {UnfoldOptions{.kernel = 2}, kUneven, UnfoldOptions{.kernel = 3, .stride = 4}}) {
    const Tensor x = sample(g, {2, 5, 4, 3}), y = unfold(x, options), dy = sample(g, y.shape());
    const Tensor back = fold(dy, {5, 4}, options);
    BOOST_REQUIRE(back.shape() == x.shape());
    BOOST_TEST(std::abs(sum(y * dy).item() - sum(x * back).item()) < 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(bf16_is_added_up_in_f32) {
  // Of 256 + 1 + 1, rounded to 8 bits one by one, 256 would be left.
  const Tensor x = tensor(std::vector<float>{0, 0, 256, 0, 1, 0, 1, 0, 0}, {1, 1, 3, 3});
  const Tensor y = fold(to(x, bf16), {1, 5}, {.kernel = {1, 3}});
  BOOST_TEST(y.dtype() == bf16);
  BOOST_TEST(all_close(values(y), {0, 0, 258, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  const auto text = [](const Tensor& x, const UnfoldOptions& options) {
    return error<std::invalid_argument>([&] { (void)unfold(x, options); });
  };
  const Tensor x = ones({1, 3, 4, 2});
  BOOST_TEST(text(ones({3, 4, 2}), {.kernel = 2}) ==
             "unfold: the input must be [N, H, W, C]; got [3, 4, 2], reshape one image to [1, H, W, C]");
  BOOST_TEST(text(x, {.kernel = {2, 0}}) == "unfold: the kernel must be at least 1; got {2, 0}");
  BOOST_TEST(text(x, {.stride = 0}) == "unfold: stride must be at least 1; got {0, 0}");
  BOOST_TEST(text(x, {.padding = -1}) == "unfold: padding must be at least 0; got {-1, -1}");
  BOOST_TEST(text(x, {.dilation = 0}) == "unfold: dilation must be at least 1; got {0, 0}");
  BOOST_TEST(text(x, {.kernel = {1, 3}, .dilation = 2}) ==
             "unfold: the kernel must fit into the padded image; it spans 5, the image 4");
  BOOST_TEST(text(arange(3), {}) == "unfold: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  const auto of_fold = [](const Tensor& y, const Pair2& size, const UnfoldOptions& options) {
    return error<std::invalid_argument>([&] { (void)fold(y, size, options); });
  };
  BOOST_TEST(of_fold(ones({2, 2, 8}), 3, {.kernel = 2}) ==
             "fold: the windows must be [N, Ho, Wo, R S C]; got [2, 2, 8]");
  BOOST_TEST(of_fold(ones({1, 2, 2, 8}), {3, 0}, {.kernel = 2}) == "fold: the size must be at least 1; got {3, 0}");
  BOOST_TEST(of_fold(ones({1, 2, 2, 8}), 4, {.kernel = 2}) ==
             "fold: the windows of an image of {4, 4} must be [N, 3, 3, 4 C]; got [1, 2, 2, 8]");
  BOOST_TEST(of_fold(ones({1, 2, 2, 9}), 3, {.kernel = 2}) ==
             "fold: the windows of an image of {3, 3} must be [N, 2, 2, 4 C]; got [1, 2, 2, 9]");
}

BOOST_AUTO_TEST_SUITE_END()
