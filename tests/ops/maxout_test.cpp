#include <tapestry/ops/maxout.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

using In = const std::vector<Tensor>&;

const OpRows rows{{.op = "maxout",
                   .variant = "3 pieces",
                   .inputs =
                       [](Generator& g) {
                         return std::vector<Tensor>{sample_distinct(g, {2, 3, 6})};
                       },
                   .f = [](In x) { return maxout(x[0], 3); },
                   .first_order_linear = true}};

}  // namespace

BOOST_AUTO_TEST_SUITE(maxout_test)

BOOST_AUTO_TEST_CASE(neighbouring_channels_compete) {
  const Tensor x = tensor<double>({{1, 5, 3, -2, 0, -1}, {6, 5, 4, 3, 2, 1}}, {.dtype = f64});
  for (const Dtype dtype : {f32, f64, bf16}) {
    BOOST_TEST(maxout(to(x, dtype), 2).dtype() == dtype);
    BOOST_TEST(all_close(values(maxout(to(x, dtype), 2)), {5, 3, 0, 6, 4, 2}, 0));
    BOOST_TEST(all_close(values(maxout(to(x, dtype), 3)), {5, 0, 6, 3}, 0));
    BOOST_TEST(all_close(values(maxout(to(x, dtype), 1)), values(x), 0));
  }
  BOOST_TEST(maxout(ones({2, 3, 4, 6}), 3).shape() == (Shape{2, 3, 4, 2}));
  BOOST_TEST(maxout(ones({1, 1, 1, 1, 1, 4}), 2).shape() == (Shape{1, 1, 1, 1, 1, 2}));
  BOOST_TEST(maxout(ones({0, 4}), 2).shape() == (Shape{0, 2}));
  BOOST_TEST(maxout(ones({3, 0}), 2).shape() == (Shape{3, 0}));
  BOOST_TEST(maxout(ones({4}), 4).shape() == Shape{1});
}

BOOST_AUTO_TEST_CASE(a_tie_goes_to_the_first_and_nan_wins) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Tensor x = tensor<double>({2, 2, 1, 3, nan, 1}, {.dtype = f64});
  x.requires_grad(true);
  const Tensor y = maxout(x, 2);
  BOOST_TEST(all_close(y, {2, 3, nan}, 0));
  BOOST_TEST(all_close(grad(y, x, {.grad_outputs = {tensor<double>({10, 20, 30}, {.dtype = f64})}}),
                       {10, 0, 0, 20, 30, 0}, 0));
}

BOOST_AUTO_TEST_CASE(pieces_that_do_not_divide_the_channels_are_refused) {
  const auto text = [](const Tensor& x, Index pieces) {
    return error<std::invalid_argument>([&] { (void)maxout(x, pieces); });
  };
  BOOST_TEST(text(ones({2, 6}), 4) == "maxout: the pieces must divide the channels; got 4 pieces, 6 channels");
  BOOST_TEST(text(ones({2, 6}), 0) == "maxout: the pieces must divide the channels; got 0 pieces, 6 channels");
  BOOST_TEST(text(scalar(1), 1) == "maxout: the input must have a channel dimension; got shape []");
  BOOST_TEST(text(arange(4), 2) == "maxout: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_SUITE_END()
