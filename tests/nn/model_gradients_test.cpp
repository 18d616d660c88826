#include <support/expect.h>

#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/gradcheck/taylor.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/pool.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/unary.h>

/// check_grads over whole models: by their inputs and all their parameters, in one call.
BOOST_AUTO_TEST_SUITE(model_gradients_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return uniform(shape, -1, 1, {.dtype = f64, .generator = &generator});
}

/// The layers of the lecture, small.
nn::Sequential lecture() {
  manual_seed(3);
  nn::Sequential model{nn::Conv2d{2, 3, {.kernel = 3, .padding = 1}},
                       nn::BatchNorm2d{3},
                       nn::Tanh{},
                       nn::MaxPool2d{2},
                       nn::Flatten{},
                       nn::Linear{2 * 2 * 3, 2}};
  model.to(f64);
  return model;
}

/// A layer whose rule for its weight is wrong.
class Wrong : public nn::Module {
 public:
  Wrong() : scale_{param("scale", full({3}, 1.5, {.dtype = f64}))} {}
  Tensor operator()(const Tensor& x) const {
    return record("wrong_scale", no_grad([&] { return x * scale_; }),
                  wrt(x, [s = saved(scale_)](const Tensor& dy) { return dy * s(); }),
                  wrt(scale_, [x = saved(x)](const Tensor& dy, const Shape&) { return -1 * dy * x(); }));
  }

 private:
  Tensor scale_;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_model_is_checked_by_its_input_and_all_parameters) {
  const nn::Sequential model = lecture();
  std::vector<std::vector<double>> before;
  for (const auto& t : model.named_parameters()) before.push_back(values(t.tensor));
  for (const auto& t : model.named_buffers()) before.push_back(values(t.tensor));
  const GradReport report = gradient_report(model, {random({2, 4, 4, 2})}, {.order = 2, .rtol = 1e-6});
  BOOST_TEST(report.ok, report.text);
  // 4 outputs by 64 pixels, 2 * 9 * 3 + 3 of the convolution, 2 * 3 of the norm, 12 * 2 + 2 of the last layer.
  BOOST_TEST(contains(report.text, "4 outputs by 153 inputs"), report.text);
  std::size_t at = 0;  // weights, and running statistics, which each call in training mode would change
  for (const auto& t : model.named_parameters()) BOOST_TEST(values(t.tensor) == before[at++], t.name);
  for (const auto& t : model.named_buffers()) BOOST_TEST(values(t.tensor) == before[at++], t.name);
  for (const Tensor& p : model.parameters()) BOOST_TEST(p.requires_grad());
}

BOOST_AUTO_TEST_CASE(a_wrong_gradient_of_a_parameter_is_reported_under_its_key) {
  nn::Sequential model{nn::Tanh{}, Wrong{}};
  const GradReport report = gradient_report(model, {random({3})});
  BOOST_TEST(!report.ok);
  BOOST_TEST(contains(report.text, "/ d input 1 '1.scale' [3]: 3 of 9 derivatives differ"), report.text);
  BOOST_TEST(contains(report.text, "diagnosis: the sign is wrong"), report.text);
  BOOST_TEST(!contains(report.text, "/ d input 0 "), report.text);
}

BOOST_AUTO_TEST_CASE(a_closure_over_a_model_that_ignores_its_arguments_is_checked) {
  const nn::Sequential right = lecture();
  const Tensor x = random({2, 4, 4, 2});
  BOOST_TEST(gradient_report(
                 [&](const std::vector<Tensor>&) {
                   return cross_entropy(right(x), tensor({0, 1}));
                 },
                 right.parameters())
                 .ok);
  const Wrong wrong;
  const Tensor t = random({3});
  const GradReport report = gradient_report([&](const std::vector<Tensor>&) { return wrong(t); }, wrong.parameters());
  BOOST_TEST(contains(report.text, "diagnosis: the sign is wrong"), report.text);
}

BOOST_AUTO_TEST_CASE(dropout_draws_the_same_in_each_call) {
  nn::Sequential model{nn::Linear{3, 4}, nn::Dropout{0.5}, nn::Linear{4, 2}};
  model.to(f64);
  const GradReport report = gradient_report(model, {random({2, 3})}, {.order = 2});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_CASE(frozen_parameters_are_left_out) {
  nn::Linear layer{3, 2};
  layer.to(f64);
  layer.requires_grad(false);
  const GradReport report = gradient_report(layer, {random({2, 3})});
  BOOST_TEST(report.ok, report.text);
  BOOST_TEST(contains(report.text, "4 outputs by 6 inputs"), report.text);
}

BOOST_AUTO_TEST_CASE(a_parameter_that_the_model_does_not_use_is_named) {
  class Unused : public nn::Module {
   public:
    Unused() : scale_{param("scale", ones({3}, {.dtype = f64}))}, spare_{param("spare", ones({2}, {.dtype = f64}))} {}
    Tensor operator()(const Tensor& x) const { return x * scale_; }

   private:
    Tensor scale_, spare_;
  };
  const GradReport report = gradient_report(Unused{}, {random({3})});
  BOOST_TEST(contains(report.text, "no output depends on input 2 'spare' [2], neither by gradient nor by value"),
             report.text);
}

BOOST_AUTO_TEST_CASE(a_model_in_f32_is_refused) {
  const nn::Linear layer{3, 2};
  BOOST_TEST(error<std::invalid_argument>([&] {
               check_grads(layer, {random({2, 3})});
             }) ==
             "check_grads: a model must be f64, so that differences have enough digits: model.to(f64); its weight is "
             "f32");
}

BOOST_AUTO_TEST_CASE(a_taylor_test_takes_a_model) {
  nn::Sequential model{nn::Linear{3, 4}, nn::Tanh{}, nn::Linear{4, 2}};
  model.to(f64);
  const TaylorReport report = taylor_test(model, {random({2, 3})});
  BOOST_TEST(report.ok, report.text);
}

BOOST_AUTO_TEST_SUITE_END()
