// The losses of single elements; numbers are PyTorch 1.13's unless the formula gives them.
#include <support/expect.h>
#include <support/op_table.h>

#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

Tensor of(std::initializer_list<double> values, bool requires_grad = false) {
  return tensor(values, {.dtype = f64, .requires_grad = requires_grad});
}

/// Two operands whose distance stays off the kinks at 0 and 1.
std::vector<Tensor> apart(Generator& g) {
  const Tensor x = sample(g, {2, 3}, -1, 1);
  Tensor t = empty({2, 3}, f64);
  const Tensor distance = sample_signed(g, {2, 3}, 0.1, 0.8);
  for (Index i = 0; i < 6; ++i) {
    t.mutable_data<double>()[i] = x.data<double>()[i] + distance.data<double>()[i] * (i % 2 == 0 ? 1 : 2.5);
    if (std::abs(std::abs(t.data<double>()[i] - x.data<double>()[i]) - 1) < 0.05) t.mutable_data<double>()[i] += 0.15;
  }
  return {x, t};
}
std::vector<Tensor> probabilities(Generator& g) { return {sample(g, {2, 3}, 0.1, 0.9), sample(g, {2, 3}, 0.1, 0.9)}; }
std::vector<Tensor> logits(Generator& g) { return {sample_signed(g, {2, 3}, 0.1, 2), sample(g, {2, 3}, 0.1, 0.9)}; }

const OpRows rows{
    {.op = "mse_loss",
     .variant = "mean",
     .inputs = apart,
     .f = [](const std::vector<Tensor>& x) { return mse_loss(x[0], x[1]); }},
    {.op = "l1_loss",
     .variant = "sum",
     .inputs = apart,
     .f = [](const std::vector<Tensor>& x) { return l1_loss(x[0], x[1], {.reduction = Reduction::sum}); },
     .first_order_linear = true},
    {.op = "smooth_l1_loss",
     .variant = "none",
     .inputs = apart,
     .f = [](const std::vector<Tensor>& x) { return smooth_l1_loss(x[0], x[1], {.reduction = Reduction::none}); }},
    {.op = "huber_loss",
     .variant = "mean",
     .inputs = apart,
     .f = [](const std::vector<Tensor>& x) { return huber_loss(x[0], x[1]); }},
    {.op = "binary_cross_entropy",
     .variant = "mean",
     .inputs = probabilities,
     .f = [](const std::vector<Tensor>& x) { return binary_cross_entropy(x[0], x[1]); }},
    {.op = "binary_cross_entropy_with_logits",
     .variant = "none",
     .inputs = logits,
     .f =
         [](const std::vector<Tensor>& x) {
           return binary_cross_entropy_with_logits(x[0], x[1], {.reduction = Reduction::none});
         }},
    {.op = "binary_cross_entropy_with_logits",
     .variant = "pos_weight",
     .inputs = logits,
     .f =
         [](const std::vector<Tensor>& x) {
           return binary_cross_entropy_with_logits(x[0], x[1],
                                                   {.pos_weight = tensor({1.0, 2.0, 3.0}, {.dtype = x[0].dtype()})});
         }},
    {.op = "kl_div",
     .variant = "batchmean",
     .inputs = logits,
     .f = [](const std::vector<Tensor>& x) { return kl_div(x[0], x[1], {.reduction = Reduction::batchmean}); }},
    {.op = "kl_div",
     .variant = "log_target",
     .inputs = logits,
     .f = [](const std::vector<Tensor>& x) { return kl_div(x[0], x[1], {.log_target = true}); }},
    {.op = "distillation_loss",
     .variant = "temperature 2",
     .inputs = logits,
     .f = [](const std::vector<Tensor>& x) { return distillation_loss(x[0], x[1], {.temperature = 2}); }},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(elementwise_loss_test)

BOOST_AUTO_TEST_CASE(mse_loss_squares_and_reduces) {
  const Tensor x = of({1, 2, 5}, true), t = of({1, 4, 2});
  BOOST_TEST(all_close(mse_loss(x, t, {.reduction = Reduction::none}), {0, 4, 9}, 0));
  BOOST_TEST(mse_loss(x, t, {.reduction = Reduction::sum}).item() == 13);
  BOOST_TEST(all_close(mse_loss(x, t), {13.0 / 3}, 1e-15));
  BOOST_TEST(all_close(grad(mse_loss(x, t), x), {0, -4.0 / 3, 2}, 1e-15));
}

BOOST_AUTO_TEST_CASE(l1_loss_has_no_slope_where_both_are_equal) {
  const Tensor x = of({1, 2, 5}, true);
  BOOST_TEST(all_close(grad(l1_loss(x, of({1, 4, 2}), {.reduction = Reduction::sum}), x), {0, -1, 1}, 0));
}

BOOST_AUTO_TEST_CASE(smooth_l1_loss_is_quadratic_below_beta) {
  const Tensor x = of({.5, 2}), t = of({0, 0});
  const auto loss = [&](double beta) { return smooth_l1_loss(x, t, {.beta = beta, .reduction = Reduction::none}); };
  BOOST_TEST(all_close(loss(1), {.125, 1.5}, 0));
  BOOST_TEST(all_close(loss(2), {.0625, 1}, 0));
  BOOST_TEST(all_close(loss(0), {.5, 2}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)loss(-1); }) ==
             "smooth_l1_loss: beta must not be negative; got -1");
}

BOOST_AUTO_TEST_CASE(huber_loss_is_quadratic_up_to_delta) {
  const auto loss = [](double x, double delta) {
    return huber_loss(of({.5, x}), of({0, 0}), {.delta = delta, .reduction = Reduction::none});
  };
  BOOST_TEST(all_close(loss(2, 1), {.125, 1.5}, 0));
  BOOST_TEST(all_close(loss(3, 2), {.125, 4}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] { (void)loss(1, 0); }) == "huber_loss: delta must be positive; got 0");
}

BOOST_AUTO_TEST_CASE(binary_cross_entropy_stays_finite_when_certain) {
  const Tensor x = of({0, 1, 0, 1}, true), t = of({1, 0, 0, 1});
  const Tensor y = binary_cross_entropy(x, t, {.reduction = Reduction::none});
  BOOST_TEST(all_close(y, {100, 100, 0, 0}, 0));
  BOOST_TEST(all_close(grad(sum(y), x), {-1e12, 1e12, 0, 0}, 1e-12));
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)binary_cross_entropy(of({0, 1.5}), of({0, 1}));
             }) == "binary_cross_entropy: the input must be in [0, 1]; got 1.5 at element 1");
}

BOOST_AUTO_TEST_CASE(binary_cross_entropy_weighs_elements) {
  const Tensor x = of({.5, .5}), t = of({1, 0});
  BOOST_TEST(all_close(binary_cross_entropy(x, t, {.weight = of({1, 3})}), {2 * std::log(2.0)}, 1e-14));
}

BOOST_AUTO_TEST_CASE(binary_cross_entropy_with_logits_does_not_overflow) {
  const Tensor x = of({1000, -1000, 1000, -1000}, true), t = of({0, 1, 1, 0});
  const Tensor y = binary_cross_entropy_with_logits(x, t, {.reduction = Reduction::none});
  BOOST_TEST(all_close(y, {1000, 1000, 0, 0}, 0));
  BOOST_TEST(all_close(grad(sum(y), x), {1, -1, 0, 0}, 0));
}

BOOST_AUTO_TEST_CASE(pos_weight_multiplies_the_positive_part) {
  const Tensor x = of({0}, true), t = of({1});
  const Tensor y = binary_cross_entropy_with_logits(x, t, {.pos_weight = of({3})});
  BOOST_TEST(all_close(y, {2.079442}, 0, 6e-7));
  BOOST_TEST(all_close(grad(y, x), {-1.5}, 1e-15));
  BOOST_TEST(all_close(binary_cross_entropy_with_logits(x, t, {.pos_weight = scalar(3, {.dtype = f64})}), y, 0));
}

BOOST_AUTO_TEST_CASE(kl_div_measures_the_distance_of_distributions) {
  const Tensor x = tensor({{-1.0, -2.0}}, {.dtype = f64}), t = full({1, 2}, .5, {.dtype = f64});
  BOOST_TEST(all_close(kl_div(x, t, {.reduction = Reduction::none}), {.153426, .653426}, 0, 6e-7));
  BOOST_TEST(all_close(kl_div(x, t), {.403426}, 0, 6e-7));
  BOOST_TEST(all_close(kl_div(x, t, {.reduction = Reduction::batchmean}), {.806853}, 0, 6e-7));
  const Tensor logs = full({1, 2}, -.7, {.dtype = f64});
  BOOST_TEST(all_close(kl_div(x, logs, {.log_target = true, .reduction = Reduction::sum}), {.794537}, 0, 6e-7));
}

BOOST_AUTO_TEST_CASE(kl_div_of_a_target_of_zero_is_zero_even_at_minus_infinity) {
  const Tensor x = of({-inf, -1}, true);
  const Tensor y = kl_div(x, of({0, 1}), {.reduction = Reduction::none});
  BOOST_TEST(all_close(y, {0, 1}, 0));
  BOOST_TEST(all_close(grad(sum(y), x), {0, -1}, 0));
  BOOST_TEST(all_close(kl_div(x, of({-inf, 0}), {.log_target = true, .reduction = Reduction::none}), {0, 1}, 0));
}

BOOST_AUTO_TEST_CASE(distillation_from_oneself_costs_nothing) {
  const Tensor x = tensor({{1.0, 2.0, 0.0}}, {.dtype = f64});
  BOOST_TEST(all_close(distillation_loss(x, x, {.temperature = 4}), {0}, 0, 1e-14));
  const Tensor flat = zeros({1, 3}, {.dtype = f64});  // softmax 1/3 each
  // 4 * sum over c of 1/3 (log 1/3 - (x_c/2 - log_sum))
  const double log_sum = std::log(std::exp(.5) + std::exp(1.0) + 1);
  const double divergence = 4 * (std::log(1.0 / 3) - (.5 + 1 + 0) / 3 + log_sum);
  BOOST_TEST(all_close(distillation_loss(x, flat, {.temperature = 2}), {divergence}, 1e-12));
}

BOOST_AUTO_TEST_CASE(wrong_calls_are_refused) {
  const auto refused = [](const auto& f) { return error<std::invalid_argument>(f); };
  BOOST_TEST(refused([] { (void)mse_loss(of({1, 2}), of({1})); }) == "mse_loss: target must be [2]; got [1]");
  BOOST_TEST(refused([] { (void)l1_loss(of({1}), ones({1})); }) ==
             "l1_loss: the dtypes must be equal; got f64 and f32, convert one with to(x, f64)");
  BOOST_TEST(refused([] { (void)mse_loss(zeros({1}, {.dtype = i64}), zeros({1}, {.dtype = i64})); }) ==
             "mse_loss: the dtype must be f32 or f64; got i64, convert it with to(x, f32)");
  BOOST_TEST(refused([] { (void)huber_loss(of({1}), of({1}), {.reduction = Reduction::batchmean}); }) ==
             "huber_loss: reduction must be mean, sum or none; got batchmean");
  BOOST_TEST(refused([] { (void)binary_cross_entropy(of({1}), of({1}), {.weight = of({1}, true)}); }) ==
             "binary_cross_entropy: weight must be a constant; got one that requires grad");
  BOOST_TEST(refused([] {
               (void)binary_cross_entropy_with_logits(of({1, 2}), of({1, 0}), {.pos_weight = of({1})});
             }) == "binary_cross_entropy_with_logits: pos_weight must be [2]; got [1]");
  BOOST_TEST(refused([] { (void)distillation_loss(of({1}), of({1})); }) ==
             "distillation_loss: logits must be [N, C]; got [1]");
}

BOOST_AUTO_TEST_SUITE_END()
