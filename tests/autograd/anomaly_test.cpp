#include <support/expect.h>

#include <limits>

#include <tapestry/autograd/anomaly.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(anomaly_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor leaf(std::initializer_list<double> values) { return tensor(values, {.dtype = f64, .requires_grad = true}); }

template <class F>
std::string whole_text(const F& f) {
  try {
    f();
  } catch (const AnomalyError& e) {
    return e.what();
  }
  return "no error";
}

std::string line(int number) { return "anomaly_test.cpp:" + std::to_string(number); }

}  // namespace

BOOST_AUTO_TEST_CASE(a_logarithm_of_a_negative_number_is_named_with_its_input_and_line) {
  const AnomalyMode guard;
  const Tensor x = leaf({1, -1, 3});
  const int at = __LINE__ + 1;
  const std::string text = whole_text([&] { (void)log(x); });
  BOOST_TEST(text ==
             "log: its result has 1 NaN among the 3 elements of f64 [3], the first that an op has made\n"
             "  input 0: f64 [3], min -1, max 3, all finite, a leaf\n"
             "  at " +
                 line(at));
}

BOOST_AUTO_TEST_CASE(zero_by_zero_is_named_with_both_inputs) {
  const AnomalyMode guard;
  const Tensor x = leaf({0, 1});
  const int made = __LINE__ + 1;
  const Tensor y = x * 2;
  BOOST_TEST(error<AnomalyError>([&] { (void)(x / y); }) ==
             "div: its result has 1 NaN among the 2 elements of f64 [2], the first that an op has made\n"
             "  input 0: f64 [2], min 0, max 1, all finite, a leaf\n"
             "  input 1: f64 [2], min 0, max 2, all finite, the result of mul at " +
                 line(made));
}

BOOST_AUTO_TEST_CASE(an_overflow_is_an_anomaly_unless_infinity_is_allowed) {
  const Tensor x = tensor({1.F, 100.F}, {.requires_grad = true});
  {
    const AnomalyMode guard;
    BOOST_TEST(error<AnomalyError>([&] { (void)exp(x); }).substr(0, 42) ==
               "exp: its result has 1 Inf among the 2 elem");
  }
  const AnomalyMode guard({.allow_infinity = true});
  BOOST_CHECK_NO_THROW((void)exp(x));
  BOOST_TEST(error<AnomalyError>([&] { (void)(exp(x) - exp(x)); }).substr(0, 24) == "sub: its result has 1 Na");
}

BOOST_AUTO_TEST_CASE(what_a_later_op_swallows_is_found_where_it_is_made) {
  const Tensor x = leaf({-1, 4});
  const auto hidden = [&] { return sum(where(gt(x, 0), log(x), 0.0)); };
  BOOST_TEST(std::isfinite(hidden().item()));
  const AnomalyMode guard;
  BOOST_TEST(error<AnomalyError>([&] { (void)hidden(); }).substr(0, 24) == "log: its result has 1 Na");
  BOOST_TEST(error<AnomalyError>([&] { (void)relu(neg(reciprocal(x - 4))); }).substr(0, 31) ==
             "reciprocal: its result has 1 In");
}

BOOST_AUTO_TEST_CASE(the_first_of_several_is_named) {
  const AnomalyMode guard;
  const Tensor x = leaf({-1});
  BOOST_TEST(error<AnomalyError>([&] { (void)log(sqrt(x) * 0); }).substr(0, 5) == "sqrt:");
}

BOOST_AUTO_TEST_CASE(what_was_not_finite_from_the_start_is_told_so) {
  const AnomalyMode guard;
  const Tensor x = leaf({1, 2}), data = tensor({1., kInfinity}, {.dtype = f64});
  BOOST_TEST(error<AnomalyError>([&] { (void)(x * data); }) ==
             "mul: its input 1 has 1 Inf among the 2 elements of f64 [2], and no op that was looked at has made them\n"
             "  input 0: f64 [2], min 1, max 2, all finite, a leaf\n"
             "  input 1: f64 [2], min 1, max 1, 1 Inf");
}

BOOST_AUTO_TEST_CASE(a_gradient_names_the_op_whose_rule_made_it_and_both_lines) {
  const AnomalyMode guard;
  const Tensor x = leaf({0, 4});
  const int recorded = __LINE__ + 1;
  const Tensor loss = sum(sqrt(x));
  const int played = __LINE__ + 1;
  const std::string text = whole_text([&] { loss.backward(); });
  BOOST_TEST(text ==
             "sqrt: its gradient rule has made 1 Inf among the 2 elements of f64 [2], the gradient by a leaf\n"
             "  dy: f64 [2], min 1, max 1, all finite\n"
             "  input 0: f64 [2], min 0, max 4, all finite, a leaf\n"
             "  at " +
                 line(recorded) + "\n  in the backward pass of " + line(played));
}

BOOST_AUTO_TEST_CASE(a_gradient_that_a_later_rule_would_hide_is_found_too) {
  const AnomalyMode guard;
  const Tensor x = leaf({0, 4});
  const Tensor loss = sum(where(gt(x, 1), sqrt(x * x), 0.0));  // where sends 0, which times infinity is NaN
  BOOST_TEST(error<AnomalyError>([&] { loss.backward(); }).substr(0, 33) == "sqrt: its gradient rule has made ");
}

BOOST_AUTO_TEST_CASE(gradients_whose_sum_overflows_are_told_from_rules) {
  const AnomalyMode guard;
  const Tensor x = tensor({0.1F}, {.requires_grad = true});
  const Tensor y = x * 1;
  const auto huge = tensor({3e38F});
  const Tensor loss = sum(y * huge * 0.5) + sum(y * huge * 0.5) + sum(y * huge * 0.5);
  BOOST_TEST(error<AnomalyError>([&] { loss.backward(); }) ==
             "mul: the gradients that reach it add up to 1 Inf among the 1 elements of f32 [1]");
}

BOOST_AUTO_TEST_CASE(the_gradient_to_start_from_is_looked_at) {
  const AnomalyMode guard;
  const Tensor y = leaf({1, 2}) * 3;
  BOOST_TEST(error<AnomalyError>([&] {
               y.backward({.gradient = tensor({1., kInfinity}, {.dtype = f64})});
             }) == "backward: the gradient to start from has 1 Inf among the 2 elements of f64 [2]");
}

BOOST_AUTO_TEST_CASE(a_second_derivative_is_looked_at_and_tells_whose_rule_it_was) {
  const AnomalyMode guard;
  const Tensor x = leaf({0});
  const Tensor y = sum(pow(x, 1.5));
  const Tensor dx = grad(y, x, {.create_graph = true});
  BOOST_TEST(error<AnomalyError>([&] { sum(dx).backward(); }).substr(0, 45) ==
             "pow in the gradient rule of pow: its result h");
}

BOOST_AUTO_TEST_CASE(the_guard_ends_with_its_scope_and_after_an_error_all_is_as_before) {
  const Tensor x = leaf({-1, 0});
  {
    const AnomalyMode guard;
    BOOST_CHECK_THROW((void)log(x), AnomalyError);
    const Tensor fine = sum(x * 2);
    fine.backward();
    BOOST_TEST(all_close(x.grad(), {2, 2}, 0));
    BOOST_CHECK_THROW(sum(sqrt(x * x)).backward(), AnomalyError);
    BOOST_CHECK_NO_THROW(sum(x * 2).backward());
  }
  BOOST_CHECK_NO_THROW((void)log(x));
  BOOST_CHECK_NO_THROW(sum(sqrt(x * x)).backward());
}

BOOST_AUTO_TEST_CASE(unrecorded_ops_and_guards_within_guards_are_looked_at_too) {
  const AnomalyMode outer;
  {
    const AnomalyMode inner({.allow_infinity = true});
    BOOST_CHECK_THROW((void)reciprocal(zeros({2})), AnomalyError);  // the outer one does not allow it
  }
  const NoGradGuard no_grad;
  BOOST_CHECK_THROW((void)log(zeros({2})), AnomalyError);
}

BOOST_AUTO_TEST_CASE(numbers_are_the_same_bits_under_the_guard) {
  const Tensor a = leaf({1, 2, 3, 4}), b = leaf({5, 6, 7, 8});
  const auto gradients = [&] {
    return grad(sum(square(matmul(reshape(a, {2, 2}), reshape(b, {2, 2})))), std::vector<Tensor>{a, b});
  };
  const std::vector<Tensor> without = gradients();
  const AnomalyMode guard;
  const std::vector<Tensor> with = gradients();
  BOOST_TEST(same_bits(without[0], with[0]));
  BOOST_TEST(same_bits(without[1], with[1]));
}

BOOST_AUTO_TEST_CASE(large_tensors_are_counted_exactly_wherever_the_fault_is) {
  for (const Index n : {1, 31, 32, 33, 1000, 70'000}) {
    for (const Index at : {Index{0}, n / 2, n - 1}) {
      Tensor data = ones({n});
      data.mutable_data<float>()[at] = std::numeric_limits<float>::quiet_NaN();
      const AnomalyMode guard;
      const std::string text = error<AnomalyError>([&] { (void)(data * 2); });
      BOOST_TEST(text.find("has 1 NaN among the " + std::to_string(n) + " elements") != std::string::npos, text);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
