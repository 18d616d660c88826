#include <support/expect.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/record.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(record_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr std::int64_t kBytes = 10 * 4;  // of a tensor [10] of f32

Tensor leaf() { return ones({10}, {.requires_grad = true}); }
std::int64_t kept_by(const Tensor& y) { return y.impl().node->bytes_kept(); }

/// Says what it keeps and then finds that it cannot.
Tensor throwing(const Tensor& x, Here here = {}) {
  const CallSite site(here);
  const Saved kept = saved(x);
  throw std::runtime_error("too late");
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_an_op_saved_before_it_threw_does_not_count_for_the_next) {
  const Tensor x = leaf();
  BOOST_TEST(kept_by(x * 2) == 0);
  BOOST_CHECK_THROW(throwing(x), std::runtime_error);
  BOOST_TEST(kept_by(x * 2) == 0);
  BOOST_CHECK_THROW(throwing(x), std::runtime_error);
  const Tensor y = record("custom", x.detach(), wrt(x, [kept = saved(x)](const Tensor& dy) { return dy * kept(); }));
  BOOST_TEST(kept_by(y) == kBytes);
  BOOST_TEST(Tape::of(y).bytes_kept() == kBytes);
}

BOOST_AUTO_TEST_CASE(an_op_keeps_what_it_saved_around_ops_that_it_calls) {
  const Tensor x = leaf();
  const auto op = [&](bool inner_throws, Here here = {}) {
    const CallSite site(here);
    const Saved kept = saved(x);
    Tensor y = x.detach();
    try {
      if (inner_throws) throwing(x);
      y = x * x;
      BOOST_TEST(kept_by(y) == 2 * kBytes);  // both factors, and nothing of ours
    } catch (const std::runtime_error&) {
    }
    return record("op", y.detach(), wrt(x, [kept](const Tensor& dy) { return dy * kept(); }));
  };
  BOOST_TEST(kept_by(op(false)) == kBytes);
  BOOST_TEST(kept_by(op(true)) == kBytes);
}

BOOST_AUTO_TEST_CASE(what_a_rule_saved_before_it_threw_does_not_count_either) {
  const Tensor x = leaf();
  const Tensor y = record("custom", x.detach(), wrt(x, [](const Tensor& dy) -> Tensor {
                            const Saved kept = saved(dy);
                            throw std::runtime_error("in a rule");
                          }));
  BOOST_CHECK_THROW(y.backward({.gradient = ones({10}), .create_graph = true}), std::runtime_error);
  const Tensor z = record("custom", x.detach(), wrt(x, [](const Tensor& dy) { return dy; }));
  BOOST_TEST(kept_by(z) == 0);
}

BOOST_AUTO_TEST_CASE(saving_while_nothing_is_recorded_costs_nothing) {
  const Tensor x = leaf();
  {
    const NoGradGuard guard;
    const Saved kept = saved(x);
    BOOST_TEST(!kept().defined());
  }
  BOOST_TEST(kept_by(x * 2) == 0);
}

BOOST_AUTO_TEST_CASE(a_leaf_says_which_module_it_belongs_to_also_in_another_dtype) {
  Tensor x = leaf();
  set_module(x, intern("layer1.fc.weight"));
  const auto named = [&] { return std::string(Tape::of(x * 2).entries().front().where).find("in layer1.fc.weight"); };
  BOOST_TEST(named() != std::string::npos);
  x.set_data(ones({3}, {.dtype = f64}));
  BOOST_TEST(named() != std::string::npos);
  const Tensor constant = ones({2});
  set_module(constant, "nobody looks");
  BOOST_TEST(!constant.requires_grad());
}

// --- what was saved is the storage it had

BOOST_AUTO_TEST_CASE(a_tensor_that_was_given_other_elements_since_it_was_saved_is_refused) {
  const auto after = [](const auto& change) {
    const Tensor x = scalar(3, {.requires_grad = true});
    Tensor w = scalar(2, {.requires_grad = true});
    const Tensor y = x * w;
    change(w);
    return error<std::logic_error>([&] { y.backward(); });
  };
  const std::string text = "mul: an input saved for backward was given other elements by set_data or Module::to";
  BOOST_TEST(after([](Tensor& w) { w.set_data(scalar(10)); }) == text);
  BOOST_TEST(after([](Tensor& w) { w.set_data(scalar(10, {.dtype = f64})); }) == text);
  BOOST_TEST(after([](Tensor& w) { w.set_data(w.detach()); }) == text);
  // The second takes the memory that the first gives back: addresses alone would not tell.
  BOOST_TEST(after([](Tensor& w) {
               w.set_data(scalar(10));
               w.set_data(scalar(11));
             }) == text);
}

BOOST_AUTO_TEST_CASE(an_output_that_was_given_other_elements_does_not_change_what_its_rule_sees) {
  const Tensor x = scalar(0, {.requires_grad = true});
  const Tensor y = exp(x);
  Tensor handle = y.detach();
  handle.set_data(scalar(7));
  BOOST_CHECK_THROW(y.backward(), std::logic_error);  // by the version of the storage that the handle left
}

BOOST_AUTO_TEST_CASE(a_leaf_that_was_given_other_elements_does_not_lose_its_gradient_silently) {
  const Tensor x = scalar(3, {.requires_grad = true});
  Tensor w = scalar(2, {.requires_grad = true});
  const Tensor y = x + w;  // saves nothing
  w.set_data(scalar(10));
  BOOST_TEST(error<std::logic_error>([&] { y.backward(); }) ==
             "backward: a leaf that requires grad was given other elements by set_data or Module::to since this was "
             "recorded; its gradient belongs to none that is left");
  BOOST_TEST(!w.grad().defined());
  (x + w).backward();
  BOOST_TEST(w.grad().item() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
