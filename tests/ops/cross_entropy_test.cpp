// cross_entropy and nll_loss; numbers are PyTorch 1.13's unless a naive loop gives them.
#include <support/expect.h>
#include <support/op_table.h>

#include <cstdint>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/softmax.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

Tensor logits(Dtype dtype = f64) {
  return tensor({{2.0, 1.0, 0.0}, {0.0, 1.0, 2.0}}, {.dtype = dtype, .requires_grad = true});
}
Tensor labels(std::initializer_list<int> values) { return tensor(values); }
Tensor weights(Dtype dtype = f64) { return tensor({1.0, 2.0, 3.0}, {.dtype = dtype}); }

std::vector<Tensor> logits_of(Generator& g) { return {sample(g, {4, 3}, -2, 2)}; }

/// Weights in the dtype that the row runs with.
Tensor weights_like(const Tensor& x) { return weights(x.dtype()); }

const OpRows rows{
    {.op = "cross_entropy",
     .variant = "labels, mean",
     .inputs = logits_of,
     .f =
         [](const std::vector<Tensor>& x) {
           return cross_entropy(x[0], labels({2, 0, 1, 1}));
         }},
    {.op = "cross_entropy",
     .variant = "ignored row, weights, none",
     .inputs = logits_of,
     .f =
         [](const std::vector<Tensor>& x) {
           return cross_entropy(x[0], labels({2, -100, 1, 0}),
                                {.weight = weights_like(x[0]), .reduction = Reduction::none});
         }},
    {.op = "cross_entropy",
     .variant = "smoothing, weights, sum",
     .inputs = logits_of,
     .f =
         [](const std::vector<Tensor>& x) {
           return cross_entropy(x[0], labels({2, -100, 1, 0}),
                                {.weight = weights_like(x[0]), .label_smoothing = 0.2, .reduction = Reduction::sum});
         }},
    {.op = "cross_entropy",
     .variant = "soft targets, smoothing, gradient of both",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {3, 3}, -2, 2), sample(g, {3, 3}, 0.1, 0.9)};
         },
     .f = [](const std::vector<Tensor>& x) { return cross_entropy(x[0], x[1], {.label_smoothing = 0.1}); }},
    {.op = "cross_entropy",
     .variant = "soft targets",
     .inputs = logits_of,
     .f =
         [](const std::vector<Tensor>& x) {
           const Tensor soft =
               tensor({{0.5, 0.5, 0.0}, {0.0, 0.0, 1.0}, {0.2, 0.2, 0.6}, {0.1, 0.9, 0.0}}, {.dtype = x[0].dtype()});
           return cross_entropy(x[0], soft, {.weight = weights_like(x[0])});
         }},
    {.op = "nll_loss",
     .variant = "mean, weights",
     .inputs = logits_of,
     .f =
         [](const std::vector<Tensor>& x) {
           return nll_loss(x[0], labels({2, -100, 1, 0}), {.weight = weights_like(x[0])});
         },
     .first_order_linear = true},
    {.op = "nll_loss",
     .variant = "none",
     .inputs = logits_of,
     .f =
         [](const std::vector<Tensor>& x) {
           return nll_loss(x[0], labels({2, 0, 1, 0}), {.reduction = Reduction::none});
         },
     .first_order_linear = true},
};

/// The mean loss on the two rows of logits(), in both dtypes.
void expect_loss(double expected, const std::function<Tensor(Dtype)>& loss) {
  BOOST_TEST(all_close(loss(f64), {expected}, 0, 6e-7));
  BOOST_TEST(all_close(loss(f32), {expected}, 1e-6, 6e-7));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cross_entropy_test)

BOOST_AUTO_TEST_CASE(ignored_rows_count_neither_above_nor_below_the_line) {
  expect_loss(.407606, [](Dtype d) { return cross_entropy(logits(d), labels({0, -100})); });
  BOOST_TEST(
      all_close(cross_entropy(logits(), labels({0, -100}), {.reduction = Reduction::none}), {.407606, 0}, 0, 6e-7));
  expect_loss(.407606, [](Dtype d) { return cross_entropy(logits(d), labels({0, 1}), {.ignore_index = 1}); });
}

BOOST_AUTO_TEST_CASE(the_mean_divides_by_the_weights_of_the_targets) {
  expect_loss(1.074273, [](Dtype d) { return cross_entropy(logits(d), labels({0, 1}), {.weight = weights(d)}); });
}

BOOST_AUTO_TEST_CASE(label_smoothing_spreads_a_part_of_the_target) {
  expect_loss(.957606, [](Dtype d) { return cross_entropy(logits(d), labels({0, 1}), {.label_smoothing = .1}); });
  for (const bool create_graph : {false, true}) {
    const Tensor x = logits();
    const Tensor g = grad(cross_entropy(x, labels({0, 1}), {.label_smoothing = .1}), x, {.create_graph = create_graph});
    BOOST_TEST(all_close(g, {-.134046, .105698, .028349, .028349, -.344302, .315954}, 0, 6e-7));
  }
  expect_loss(.507606, [](Dtype d) { return cross_entropy(logits(d), labels({0, -100}), {.label_smoothing = .1}); });
}

BOOST_AUTO_TEST_CASE(label_smoothing_and_weights_combine) {
  expect_loss(.715033, [](Dtype d) {
    return cross_entropy(logits(d), labels({0, -100}), {.weight = weights(d), .label_smoothing = .1});
  });
  expect_loss(1.154526, [](Dtype d) {
    return cross_entropy(logits(d), labels({0, 1}), {.weight = weights(d), .label_smoothing = .1});
  });
  BOOST_TEST(all_close(cross_entropy(logits(), labels({0, 1}),
                                     {.weight = weights(), .label_smoothing = .1, .reduction = Reduction::none}),
                       {.715033, 2.748545}, 0, 6e-7));
}

BOOST_AUTO_TEST_CASE(soft_targets_average_over_rows) {
  for (const bool wants_grad : {false, true}) {  // the fused way, and the one that differentiates the target
    const auto soft = [&](Dtype d) {
      return tensor({{.5, .5, 0.}, {0., 0., 1.}}, {.dtype = d, .requires_grad = wants_grad});
    };
    expect_loss(.657606, [&](Dtype d) { return cross_entropy(logits(d), soft(d)); });
    expect_loss(.732606, [&](Dtype d) { return cross_entropy(logits(d), soft(d), {.label_smoothing = .1}); });
    expect_loss(1.417113, [&](Dtype d) { return cross_entropy(logits(d), soft(d), {.weight = weights(d)}); });
  }
}

BOOST_AUTO_TEST_CASE(with_all_rows_ignored_the_mean_is_nan_and_the_gradient_zero) {
  for (const bool create_graph : {false, true}) {
    const Tensor x = logits();
    const Tensor loss = cross_entropy(x, labels({-100, -100}));
    BOOST_TEST(std::isnan(loss.item()));
    BOOST_TEST(all_close(grad(loss, x, {.create_graph = create_graph}), {0, 0, 0, 0, 0, 0}, 0));
  }
  BOOST_TEST(cross_entropy(logits(), labels({-100, -100}), {.reduction = Reduction::sum}).item() == 0);
  BOOST_TEST(std::isnan(nll_loss(logits(), labels({-100, -100})).item()));
}

BOOST_AUTO_TEST_CASE(a_total_weight_of_zero_gives_nan) {
  const Tensor w = tensor({0.0, 0.0, 1.0}, {.dtype = f64});
  BOOST_TEST(std::isnan(cross_entropy(logits(), labels({0, 1}), {.weight = w}).item()));
  BOOST_TEST(std::isnan(nll_loss(logits(), labels({0, 1}), {.weight = w}).item()));
}

BOOST_AUTO_TEST_CASE(an_empty_batch_has_a_mean_of_nan_and_a_sum_of_zero) {
  Tensor x = empty({0, 3}).requires_grad(true);
  const Tensor none = empty({0}, i64);
  const Tensor loss = cross_entropy(x, none);
  BOOST_TEST(std::isnan(loss.item()));
  BOOST_TEST(grad(loss, x).shape() == (Shape{0, 3}));
  BOOST_TEST(cross_entropy(x, none, {.reduction = Reduction::sum}).item() == 0);
  BOOST_TEST(cross_entropy(x, none, {.reduction = Reduction::none}).shape() == (Shape{0}));
  BOOST_TEST(std::isnan(mse_loss(empty({0}), empty({0})).item()));
  BOOST_TEST(mse_loss(empty({0}), empty({0}), {.reduction = Reduction::sum}).item() == 0);
}

BOOST_AUTO_TEST_CASE(equal_logits_cost_the_logarithm_of_the_number_of_classes) {
  BOOST_TEST(cross_entropy(zeros({7, 100}), zeros({7}, {.dtype = i64})).item() == 4.605170,
             boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_CASE(infinite_logits_keep_their_meaning) {
  for (const Dtype dtype : {f32, f64}) {
    const auto row = [&](double a, double b) { return tensor({{a, b}}, {.dtype = dtype, .requires_grad = true}); };
    BOOST_TEST(std::isnan(cross_entropy(row(inf, 0), labels({0})).item()));
    BOOST_TEST(std::isnan(cross_entropy(row(inf, 0), labels({1})).item()));
    BOOST_TEST(cross_entropy(row(-inf, 0), labels({0})).item() == inf);
    BOOST_TEST(cross_entropy(row(-inf, 0), labels({1}), {.label_smoothing = .1}).item() == inf);
    for (const bool create_graph : {false, true}) {
      const Tensor x = row(-inf, 0);
      const Tensor loss = cross_entropy(x, labels({1}));
      BOOST_TEST(loss.item() == 0);
      BOOST_TEST(all_close(grad(loss, x, {.create_graph = create_graph}), {0, 0}, 0));
    }
  }
}

BOOST_AUTO_TEST_CASE(large_logits_lose_no_digits) {
  const Tensor x = tensor({{10000.F, 9999.F, 9998.F}}, {.requires_grad = true});
  BOOST_TEST(cross_entropy(x, labels({0})).item() == .407606, boost::test_tools::tolerance(2e-6));
  BOOST_TEST(all_close(grad(cross_entropy(x, labels({0})), x), {-.334759, .244728, .090031}, 1e-5));
}

BOOST_AUTO_TEST_CASE(the_gradient_is_the_softmax_less_the_target) {
  Generator generator(4);
  for (const Index classes : {1, 2, 7, 16, 17, 33, 100}) {
    Tensor x = sample(generator, {5, classes}, -3, 3).requires_grad(true);
    Tensor x32 = tensor(std::vector<float>(x.data<double>(), x.data<double>() + x.numel()), x.shape());
    x32.requires_grad(true);
    const Tensor y = randint(0, classes, {5}, {.generator = &generator});
    std::vector<double> expected = values(softmax(x.detach()));
    for (Index row = 0; row < 5; ++row)
      expected[static_cast<std::size_t>(row * classes + y.data<std::int64_t>()[row])] -= 1;
    for (double& v : expected) v /= 5;
    BOOST_TEST(all_close(grad(cross_entropy(x, y), x), expected, 1e-12, 1e-15));
    BOOST_TEST(all_close(grad(cross_entropy(x32, y), x32), expected, 5e-6, 1e-7));
  }
}

BOOST_AUTO_TEST_CASE(labels_of_either_integer_type_and_logits_of_any_rank_are_taken) {
  Generator generator(8);
  const Tensor x = sample(generator, {2, 3, 2, 4});
  const Tensor y = randint(0, 4, {2, 3, 2}, {.generator = &generator});
  const Tensor y32 = randint(0, 4, {2, 3, 2}, {.dtype = i32, .generator = &generator});
  const Tensor losses = cross_entropy(x, y, {.reduction = Reduction::none});
  BOOST_TEST(losses.shape() == y.shape());
  BOOST_TEST(cross_entropy(x, y).item() == mean(losses).item(), boost::test_tools::tolerance(1e-12));
  BOOST_TEST(cross_entropy(x, y32, {.reduction = Reduction::none}).shape() == y.shape());
  BOOST_TEST(cross_entropy(tensor({2.0, 1.0, 0.0}), scalar(0, {.dtype = i64})).item() == .407606,
             boost::test_tools::tolerance(2e-6));
}

BOOST_AUTO_TEST_CASE(nll_loss_picks_and_averages) {
  const Tensor x = logits();
  const Tensor loss = nll_loss(x, labels({0, 1}));
  BOOST_TEST(loss.item() == -1.5);
  BOOST_TEST(all_close(grad(loss, x), {-.5, 0, 0, 0, -.5, 0}, 0));
  BOOST_TEST(all_close(nll_loss(x, labels({0, -100}), {.reduction = Reduction::none}), {-2, 0}, 0));
  BOOST_TEST(nll_loss(x, labels({0, 1}), {.weight = weights()}).item() == -4.0 / 3,
             boost::test_tools::tolerance(1e-12));
  BOOST_TEST(all_close(nll_loss(log_softmax(x), labels({0, 1})), cross_entropy(x, labels({0, 1})), 1e-14));
}

BOOST_AUTO_TEST_CASE(a_bad_label_is_named_with_its_row) {
  const Tensor x = logits();
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)cross_entropy(x, labels({0, 3}));
             }) == "cross_entropy: labels must be in [0, 3) or ignore_index -100; got 3 in row 1");
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)cross_entropy(x, labels({-1, 0}));
             }) == "cross_entropy: labels must be in [0, 3) or ignore_index -100; got -1 in row 0");
  BOOST_TEST(error<std::out_of_range>([&] {
               (void)nll_loss(x, labels({255, 0}), {.ignore_index = -1});
             }) == "nll_loss: labels must be in [0, 3) or ignore_index -1; got 255 in row 0");
  const Tensor least = tensor({std::numeric_limits<std::int64_t>::min(), std::int64_t{0}});
  BOOST_TEST(error<std::out_of_range>([&] { (void)cross_entropy(x, least); }) ==
             "cross_entropy: labels must be in [0, 3) or ignore_index -100; got -9223372036854775808 in row 0");
}

BOOST_AUTO_TEST_CASE(labels_modified_before_backward_are_noticed) {
  const Tensor x = logits();
  Tensor y = tensor({std::int64_t{0}, std::int64_t{1}});
  const Tensor loss = cross_entropy(x, y);
  y.mutable_data<std::int64_t>()[0] = 77;
  BOOST_CHECK_THROW((void)grad(loss, x), std::logic_error);
}

BOOST_AUTO_TEST_CASE(wrong_calls_are_refused) {
  const Tensor x = logits();
  const auto refused = [](const auto& f) { return error<std::invalid_argument>(f); };
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, labels({0, 1, 2}));
             }) == "cross_entropy: target must be [2]; got [3]");
  BOOST_TEST(refused([&] { (void)cross_entropy(x, zeros({2}, {.dtype = u8})); }) ==
             "cross_entropy: labels must be i64 or i32; got u8, convert them with to(target, i64)");
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, zeros({2, 3}));
             }) == "cross_entropy: the dtypes must be equal; got f64 and f32, convert one with to(x, f64)");
  BOOST_TEST(refused([&] { (void)cross_entropy(x, zeros({2}, {.dtype = f64})); }) ==
             "cross_entropy: labels must be i64 or i32; got f64 [2], convert them with to(target, i64)");
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, zeros({2, 3}, {.dtype = f64}), {.ignore_index = 0});
             }) == "cross_entropy: ignore_index must not be given with soft targets; got 0");
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, labels({0, 1}), {.label_smoothing = 1.5});
             }) == "cross_entropy: label_smoothing must be in [0, 1]; got 1.5");
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, labels({0, 1}), {.weight = ones({2}, {.dtype = f64})});
             }) == "cross_entropy: weight must be [3]; got [2]");
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, labels({0, 1}), {.weight = weights().requires_grad(true)});
             }) == "cross_entropy: weight must be a constant; got one that requires grad");
  BOOST_TEST(refused([&] {
               (void)cross_entropy(x, labels({0, 1}), {.reduction = Reduction::batchmean});
             }) == "cross_entropy: reduction must be mean, sum or none; got batchmean");
  BOOST_TEST(refused([&] {
               (void)nll_loss(scalar(1), labels({0, 1}));
             }) == "nll_loss: the input must have a class dimension; got shape []");
}

BOOST_AUTO_TEST_CASE(bits_do_not_depend_on_the_number_of_threads) {
  const int threads = num_threads();
  Generator generator(8);
  const Tensor x = randn({3000, 37}, {.requires_grad = true, .generator = &generator});
  const Tensor y = randint(0, 37, {3000}, {.generator = &generator});
  Tensor first, first_grad;
  for (const int count : {1, 2, 3, 7}) {
    set_num_threads(count);
    const Tensor loss = cross_entropy(x, y, {.label_smoothing = .1});
    const Tensor g = grad(loss, x);
    if (!first.defined()) {
      first = loss.detach();
      first_grad = g;
    }
    BOOST_TEST(same_bits(loss, first));
    BOOST_TEST(same_bits(g, first_grad));
  }
  set_num_threads(threads);
}

BOOST_AUTO_TEST_SUITE_END()
