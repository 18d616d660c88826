#include <support/expect.h>

#include <sstream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/warning.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/coverage.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/loss.h>
#include <tapestry/ops/reduce.h>

BOOST_AUTO_TEST_SUITE(coverage_test)

using namespace tapestry;
using namespace tapestry::test;
namespace optim = nn::optim;

namespace {

int detach_line = 0;

/// One part is cut off, one is frozen, one is never called.
class Parts : public nn::Module {
 public:
  Parts()
      : used_{child("used", nn::Linear{2, 2})},
        cut_{child("cut", nn::Linear{2, 2})},
        frozen_{child("frozen", nn::Linear{2, 2, {.bias = false}})},
        idle_{child("idle", nn::Linear{2, 3})} {
    frozen_.requires_grad(false);
  }

  Tensor operator()(const Tensor& x) const {
    const Tensor h = relu(cut_(frozen_(x)) * 2);
    detach_line = __LINE__ + 1;
    return used_(h.detach());
  }

 private:
  nn::Linear used_, cut_, frozen_, idle_;
};

/// What is warned of, one text after the other.
class Warnings {
 public:
  Warnings() : outer_(set_warning_handler([this](std::string_view text) { texts.emplace_back(text); })) {}
  ~Warnings() { set_warning_handler(outer_); }
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;

  std::vector<std::string> texts;

 private:
  WarningHandler outer_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_parameter_without_a_gradient_is_listed_with_its_reason) {
  const Parts model;
  sum(model(ones({1, 2}))).backward();
  const Coverage found = nn::coverage(model);
  BOOST_TEST(found.parameters == 7);
  BOOST_TEST(!found.complete());
  BOOST_TEST(!found.empty());
  const std::string cut = "detached at coverage_test.cpp:" + std::to_string(detach_line) + "\n";
  BOOST_TEST(to_string(found) == "cut.weight     [2, 2]  " + cut +                                          //
                                     "cut.bias       [2]     " + cut +                                      //
                                     "frozen.weight  [2, 2]  frozen: it does not require grad\n"            //
                                     "idle.weight    [3, 2]  not used in what backward() was called for\n"  //
                                     "idle.bias      [3]     not used in what backward() was called for\n"  //
                                     "2 of 7 parameters have received a gradient\n");
  std::ostringstream out;
  out << found;
  BOOST_TEST(out.str() == to_string(found));
}

BOOST_AUTO_TEST_CASE(a_model_whose_parameters_all_have_gradients_is_complete_also_after_zero_grad) {
  const nn::Linear model{2, 2};
  BOOST_TEST(nn::coverage(model).empty());
  sum(model(ones({1, 2}))).backward();
  BOOST_TEST(nn::coverage(model).complete());
  model.zero_grad();
  BOOST_TEST(nn::coverage(model).complete());
  BOOST_TEST(to_string(nn::coverage(model)) == "2 of 2 parameters have received a gradient\n");
}

BOOST_AUTO_TEST_CASE(what_is_only_frozen_is_complete) {
  nn::Linear model{2, 2};
  model.requires_grad(false);
  BOOST_TEST(nn::coverage(model).complete());
  BOOST_TEST(nn::coverage(model).gaps.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_detach_is_remembered_through_a_chain_that_has_ended) {
  const Tensor w = ones({2}, {.requires_grad = true});
  Tensor y = w * 1;
  for (int i = 0; i < 5000; ++i) y = y + 1;  // further away than what a detach tells at once
  const int line = __LINE__ + 1;
  y = y.detach();
  const Coverage found = coverage({w});
  BOOST_REQUIRE(found.gaps.size() == 1U);
  BOOST_TEST((found.gaps[0].why == NoGradient::detached));
  BOOST_TEST(found.gaps[0].where == "coverage_test.cpp:" + std::to_string(line));
}

BOOST_AUTO_TEST_CASE(a_detached_tensor_that_is_still_held_is_told_as_well) {
  const Tensor w = ones({2}, {.requires_grad = true});
  const Tensor y = w * 3, cut = y.detach();
  BOOST_TEST((coverage({w}).gaps.at(0).why == NoGradient::detached));
}

BOOST_AUTO_TEST_CASE(detaching_for_a_log_does_not_hide_a_gradient) {
  const Tensor w = ones({2}, {.requires_grad = true});
  const Tensor loss = sum(w * 3);
  (void)loss.detach().item();
  loss.backward();
  BOOST_TEST(coverage({w}).complete());
}

BOOST_AUTO_TEST_CASE(a_gradient_given_by_hand_counts) {
  const Tensor w = ones({2}, {.requires_grad = true});
  w.set_grad(ones({2}));
  BOOST_TEST(coverage({w}).complete());
}

BOOST_AUTO_TEST_CASE(the_first_step_of_an_optimizer_warns_once_of_what_is_missing_and_not_frozen) {
  const Warnings warnings;
  const Parts model;
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  int line = 0;
  for (int step = 0; step < 3; ++step) {
    sgd.zero_grad();
    sum(model(ones({1, 2}))).backward();
    line = __LINE__ + 1;
    sgd.step();
  }
  const std::string cut = "detached at coverage_test.cpp:" + std::to_string(detach_line) + "\n";
  BOOST_REQUIRE(warnings.texts.size() == 1U);
  BOOST_TEST(warnings.texts[0] ==
             "SGD: 4 of 7 parameters have received no gradient, and step() leaves them as they are:\n"
             "  cut.weight   [2, 2]  " +
                 cut + "  cut.bias     [2]     " + cut +
                 "  idle.weight  [3, 2]  not used in what backward() was called for\n"
                 "  idle.bias    [3]     not used in what backward() was called for\n"
                 "  at coverage_test.cpp:" +
                 std::to_string(line));
}

BOOST_AUTO_TEST_CASE(a_step_without_any_gradient_is_warned_of) {
  const Warnings warnings;
  const nn::Linear model{2, 2};
  optim::AdamW adam(model.parameters());
  const int line = __LINE__ + 1;
  adam.step();
  BOOST_REQUIRE(warnings.texts.size() == 1U);
  BOOST_TEST(warnings.texts[0] ==
             "AdamW: no parameter has received a gradient; backward() comes before step()\n  at coverage_test.cpp:" +
                 std::to_string(line));
}

BOOST_AUTO_TEST_CASE(a_complete_step_warns_of_nothing_and_an_empty_handler_silences) {
  const Warnings warnings;
  const nn::Linear model{2, 2};
  optim::SGD sgd(model.parameters(), {.lr = 0.1});
  sum(model(ones({1, 2}))).backward();
  sgd.step();
  BOOST_TEST(warnings.texts.empty());
  const WarningHandler heard = set_warning_handler({});
  warn("unheard");
  set_warning_handler(heard);
  BOOST_TEST(warnings.texts.empty());
  warn("heard");
  BOOST_TEST(warnings.texts == std::vector<std::string>{"heard"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
