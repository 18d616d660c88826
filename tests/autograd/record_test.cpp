#include <support/expect.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/record.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
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

// --- tangents, several outputs, rules that are not differentiable again

namespace {
Tensor numbers(std::initializer_list<double> v) { return tensor(v, {.dtype = f64}); }
}  // namespace

BOOST_AUTO_TEST_CASE(a_stated_tangent_is_used_and_a_derived_one_agrees) {
  int calls = 0;
  const auto cube = [&](const Tensor& x, bool stated) {
    Tensor y = no_grad([&] { return x * x * x; });
    const auto rule = [x = saved(x)](const Tensor& dy) { return 3 * dy * x() * x(); };
    const auto tangent = [&](const Tensor& t) {
      ++calls;
      return 3 * t * x * x;
    };
    return stated ? record("cube", std::move(y), wrt(x, rule, tangent)) : record("cube", std::move(y), wrt(x, rule));
  };
  const Tensor x = numbers({1, 2}), u = numbers({1, 10});
  const Tensor derived = jvp([&](const Tensor& t) { return cube(t, false); }, x, u);
  BOOST_TEST(calls == 0);
  BOOST_TEST(all_close(jvp([&](const Tensor& t) { return cube(t, true); }, x, u), derived, 1e-14));
  BOOST_TEST(calls == 1);
  BOOST_TEST(all_close(derived, {3, 120}, 1e-14));
}

BOOST_AUTO_TEST_CASE(a_tangent_rule_of_the_wrong_shape_is_refused_and_names_its_op) {
  const auto f = [](const Tensor& x) {
    Tensor y = no_grad([&] { return x * 2; });
    return record("twice", std::move(y),
                  wrt(
                      x, [](const Tensor& dy) { return dy * 2; }, [](const Tensor& t) { return sum(t); }));
  };
  BOOST_TEST(error<std::logic_error>([&] {
               (void)jvp(f, numbers({1, 2}), numbers({1, 1}));
             }) ==
             "twice: its tangent rule must return a tangent of the output's shape and dtype, f64 [2]; got f64 []");
  BOOST_TEST(all_close(jvp([](const Tensor& x) { return x * 3; }, numbers({1, 2}), numbers({1, 1})), {3, 3}, 0));
}

BOOST_AUTO_TEST_CASE(a_rule_declared_once_gives_first_derivatives_and_refuses_others) {
  const auto op = [](const Tensor& x) {
    Tensor y = no_grad([&] { return x * x; });
    return record("opaque", std::move(y), wrt(x, once([x = saved(x)](const Tensor& dy) {
                                                Tensor dx = empty_like(dy);
                                                for (Index i = 0; i < dx.numel(); ++i) {
                                                  dx.mutable_data<double>()[i] =
                                                      2 * dy.data<double>()[i] * x().data<double>()[i];
                                                }
                                                return dx;
                                              })));
  };
  const Tensor x = numbers({1, 2}).requires_grad(true);
  BOOST_TEST(all_close(grad(sum(op(x)), x), {2, 4}, 0));
  BOOST_TEST(error<std::logic_error>([&] { (void)grad(sum(op(x)), x, {.create_graph = true}); }) ==
             "opaque: its gradient rule was declared `once` and cannot be differentiated again");
  BOOST_TEST(all_close(grad(sum(op(x)), x), {2, 4}, 0));
}

BOOST_AUTO_TEST_CASE(an_op_of_several_outputs_has_one_rule) {
  int calls = 0;
  const auto sum_and_difference = [&](const Tensor& a, const Tensor& b) {
    const std::vector<Tensor> ys = no_grad([&] { return std::vector<Tensor>{a + b, a - b}; });
    return record_many("both", ys, {a, b}, [&](const std::vector<Tensor>& d, const std::vector<bool>&) {
      ++calls;
      return std::vector<Tensor>{d[0] + d[1], d[0] - d[1]};
    });
  };
  const Tensor a = numbers({1, 2}).requires_grad(true), b = numbers({3, 5}).requires_grad(true);
  const std::vector<Tensor> ys = sum_and_difference(a, b);
  BOOST_TEST(values(ys[0]) == values(numbers({4, 7})));
  BOOST_TEST(values(ys[1]) == values(numbers({-2, -3})));
  const std::vector<Tensor> g = grad({sum(ys[0]), sum(3 * ys[1])}, {a, b}, {.retain_graph = true});
  BOOST_TEST(calls == 1);
  BOOST_TEST(values(g[0]) == values(numbers({4, 4})));
  BOOST_TEST(values(g[1]) == values(numbers({-2, -2})));
  BOOST_TEST(values(grad(sum(ys[1]), b)) == values(numbers({-1, -1})));  // the other output: zeros
  BOOST_TEST(!sum_and_difference(a.detach(), b.detach())[0].requires_grad());
  const MapFunction f = [&](const std::vector<Tensor>& x) { return sum_and_difference(x[0], x[1]); };
  const std::vector<Tensor> t = jvp(f, {a.detach(), b.detach()}, {numbers({1, 1}), numbers({1, 0})});
  BOOST_TEST(values(t[0]) == values(numbers({2, 1})));
  BOOST_TEST(values(t[1]) == values(numbers({0, 1})));
}

BOOST_AUTO_TEST_CASE(outputs_and_gradients_that_do_not_fit_are_refused) {
  const Tensor x = numbers({1, 2}).requires_grad(true);
  const auto none = [](const std::vector<Tensor>&, const std::vector<bool>&) { return std::vector<Tensor>{}; };
  const std::vector<Tensor> ys = record_many("pair", {numbers({1}), numbers({2})}, {x}, none);
  BOOST_TEST(error<std::logic_error>([&] { sum(ys[0]).backward(); }) ==
             "pair: its rule must return one gradient per input, 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)record_many("pair", {numbers({1}), Tensor()}, {x}, none);
             }) == "pair: every output must be defined; output 1 is not");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)record_many("pair", {numbers({1}), ones({1})}, {x}, none);
             }) == "pair: the outputs must have one float dtype; output 1 is f32, output 0 is f64");
  sum(x * 2).backward();  // the tape still works
  BOOST_TEST(values(x.grad()) == values(numbers({2, 2})));
}

BOOST_AUTO_TEST_SUITE_END()
