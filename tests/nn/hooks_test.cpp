#include <support/expect.h>
#include <support/live.h>

#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/warning.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/functional_call.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(hooks_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

std::vector<double> list(std::initializer_list<double> v) { return v; }
Tensor leaf(std::initializer_list<double> v) { return tensor(v, {.dtype = f64, .requires_grad = true}); }

/// y = 3 x.
class Triple : public nn::Module {
 public:
  Tensor operator()(const Tensor& x, Here here = {}) const {
    const nn::LayerScope scope(*this, here);
    return scope.output(3 * scope.input(x));
  }
};

/// Two of them.
class Ninefold : public nn::Module {
 public:
  Tensor operator()(const Tensor& x, Here here = {}) const {
    const nn::LayerScope scope(*this, here);
    return scope.output(b_(a_(scope.input(x))));
  }
  Triple a() const { return a_; }
  Triple b() const { return b_; }

 private:
  Triple a_ = child("a", Triple{});
  Triple b_ = child("b", Triple{});
};

}  // namespace

BOOST_AUTO_TEST_CASE(hooks_see_what_goes_in_and_what_comes_out) {
  Triple model;
  std::vector<double> in, out;
  model.register_forward_pre_hook([&](const nn::Module& m, const Tensor& x) {
    BOOST_TEST(m.is_same(model));
    in = values(x);
    return Tensor();
  });
  model.register_forward_hook([&](const nn::Module&, const Tensor& x, const Tensor& y) {
    BOOST_TEST(values(x) == in);
    out = values(y);
    return Tensor();
  });
  BOOST_TEST(values(model(tensor({1., 2.}))) == list({3, 6}));
  BOOST_TEST(in == list({1, 2}));
  BOOST_TEST(out == list({3, 6}));
}

BOOST_AUTO_TEST_CASE(hooks_replace_input_and_result_in_the_order_of_registration_until_removed) {
  Triple model;
  auto plus = model.register_forward_pre_hook([](const nn::Module&, const Tensor& x) { return x + 1; });
  model.register_forward_pre_hook([](const nn::Module&, const Tensor& x) { return x * 10; });
  model.register_forward_hook([](const nn::Module&, const Tensor& x, const Tensor& y) { return x + y; });
  auto minus = model.register_forward_hook([](const nn::Module&, const Tensor&, const Tensor& y) { return -y; });
  const Tensor x = leaf({1});
  const Tensor y = model(x);
  BOOST_TEST(values(y) == list({-80}));
  y.backward();
  BOOST_TEST(values(x.grad()) == list({-40}));
  plus.remove(), minus.remove();
  plus.remove();
  BOOST_TEST(values(model(x)) == list({40}));
}

BOOST_AUTO_TEST_CASE(a_backward_hook_gets_both_gradients_whole_and_replaces_that_of_the_input) {
  Triple model;
  std::vector<std::vector<double>> seen;
  HookHandle handle = model.register_full_backward_hook([&](const nn::Module&, const Tensor& dx, const Tensor& dy) {
    seen.push_back(values(dx));
    seen.push_back(values(dy));
    return dx * 100;
  });
  const Tensor x = leaf({1, 2});
  const Tensor y = model(x);
  sum(y * y + y).backward();  // dy = 2 y + 1
  BOOST_TEST((seen == std::vector<std::vector<double>>{list({21, 39}), list({7, 13})}));
  BOOST_TEST(values(x.grad()) == list({2100, 3900}));
  handle.remove();
  BOOST_TEST(values(grad(sum(model(x)), x)) == list({3, 3}));
  BOOST_TEST(seen.size() == 2U);
}

BOOST_AUTO_TEST_CASE(where_the_input_needs_no_gradient_the_hook_gets_dy_alone) {
  manual_seed(1);
  nn::Linear model(2, 1);
  model.to(f64);
  int calls = 0;
  model.register_full_backward_hook([&](const nn::Module&, const Tensor& dx, const Tensor& dy) {
    ++calls;
    BOOST_TEST(!dx.defined());
    BOOST_TEST(values(dy) == list({1}));
    return dy;  // nothing is there for it to replace
  });
  const Tensor x = tensor({{1., 2.}}, {.dtype = f64});
  sum(model(x)).backward();
  BOOST_TEST(calls == 1);
  BOOST_TEST(values(model.weight().grad()) == list({1, 2}));
  // Nothing is recorded, nothing is called.
  no_grad([&] { return model(x); });
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(outer_and_inner_modules_come_in_the_order_that_is_promised) {
  Ninefold model;
  std::string order;
  const auto watch = [&](nn::Module m, const std::string& name) {
    m.register_forward_pre_hook(
        [&order, name](const nn::Module&, const Tensor&) { return order += "<" + name, Tensor(); });
    m.register_forward_hook(
        [&order, name](const nn::Module&, const Tensor&, const Tensor&) { return order += name + ">", Tensor(); });
    m.register_full_backward_hook(
        [&order, name](const nn::Module&, const Tensor&, const Tensor&) { return order += "~" + name, Tensor(); });
  };
  watch(model, "m"), watch(model.a(), "a"), watch(model.b(), "b");
  const Tensor x = leaf({1});
  model(x).backward();
  BOOST_TEST(order == "<m<aa><bb>m>~b~a~m");
  BOOST_TEST(values(x.grad()) == list({9}));
}

BOOST_AUTO_TEST_CASE(derivatives_of_every_order_pass_hooks) {
  class Cube : public nn::Module {
   public:
    Tensor operator()(const Tensor& x, Here here = {}) const {
      const nn::LayerScope scope(*this, here);
      const Tensor at = scope.input(x);
      return scope.output(at * at * at);
    }
  };
  Cube model;
  model.register_full_backward_hook([](const nn::Module&, const Tensor& dx, const Tensor&) { return dx * 2; });
  const Tensor x = leaf({2});
  const Tensor first = grad(sum(model(x)), x, {.create_graph = true});
  BOOST_TEST(values(first) == list({2 * 12}));
  BOOST_TEST(values(grad(sum(first), x)) == list({2 * 12}));  // of 2 * 3 x^2
  model.register_full_backward_hook([](const nn::Module&, const Tensor& dx, const Tensor&) { return dx.detach(); });
  BOOST_CHECK_THROW((void)grad(sum(model(x)), x, {.create_graph = true}), std::logic_error);
  BOOST_TEST(values(grad(sum(model(x)), x)) == list({24}));
  // Forward mode takes no notice of them.
  const Tensor tangent = jvp([&](const Tensor& at) { return model(at); }, x, ones({1}, {.dtype = f64}));
  BOOST_TEST(values(tangent) == list({12}));
}

BOOST_AUTO_TEST_CASE(what_a_hook_throws_or_returns_wrongly_is_an_error_and_nothing_is_lost) {
  const Tensor x = leaf({1, 2});
  {
    const std::int64_t before = memory_stats().live_bytes;
    Triple model;
    auto bad = model.register_full_backward_hook(
        [](const nn::Module&, const Tensor&, const Tensor&) { return ones({3}, {.dtype = f64}); });
    BOOST_TEST(
        error<std::logic_error>([&] { sum(model(x)).backward(); }) ==
        "register_full_backward_hook: a hook must return a gradient of the input's shape and dtype, f64 [2]; got "
        "f64 [3]");
    bad.remove();
    for (const bool backward : {false, true}) {
      const auto thrower = [](const nn::Module&, const Tensor&, const Tensor&) -> Tensor {
        throw std::runtime_error("a hook's own");
      };
      HookHandle handle = backward ? model.register_full_backward_hook(thrower) : model.register_forward_hook(thrower);
      BOOST_TEST(error<std::runtime_error>([&] { sum(model(x)).backward(); }) == "a hook's own");
      handle.remove();
    }
    BOOST_TEST(values(grad(sum(model(x)), x)) == list({3, 3}));
    BOOST_TEST(memory_stats().live_bytes == before);
  }
}

// dy, with the graph that it has under create_graph, would wait in that graph for a dx that never comes.
BOOST_AUTO_TEST_CASE(a_module_whose_result_does_not_depend_on_its_input_leaks_nothing) {
  class Deaf : public nn::Module {
   public:
    explicit Deaf(const Tensor& w) : w_(w) {}
    Tensor operator()(const Tensor& x, Here here = {}) const {
      const nn::LayerScope scope(*this, here);
      (void)scope.input(x);
      return scope.output(w_ * w_);
    }

   private:
    Tensor w_;
  };
  const Tensor x = leaf({1, 2}), w = leaf({3, 4});
  const Live before;
  {
    Deaf model(w);
    int calls = 0;
    model.register_full_backward_hook([&](const nn::Module&, const Tensor& dx, const Tensor&) {
      BOOST_TEST(!dx.defined());
      return ++calls, Tensor();
    });
    const Tensor y = model(x * 2);
    BOOST_TEST(values(grad(sum(y * y), w, {.create_graph = true})) == list({4 * 27, 4 * 64}));
    BOOST_TEST(calls == 1);
  }
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_CASE(a_hook_may_remove_itself_and_outlive_its_module) {
  HookHandle handle;
  int calls = 0;
  {
    Triple model;
    handle = model.register_forward_hook([&](const nn::Module&, const Tensor&, const Tensor&) {
      ++calls;
      handle.remove();
      return Tensor();
    });
    (void)model(ones({1}));
    (void)model(ones({1}));
    BOOST_TEST(calls == 1);
    handle = model.register_forward_hook([&](const nn::Module&, const Tensor&, const Tensor&) { return Tensor(); });
  }
  handle.remove();
}

BOOST_AUTO_TEST_CASE(a_clone_begins_with_the_hooks_and_goes_its_own_way) {
  Triple model;
  int calls = 0;
  const auto count = [&](const nn::Module&, const Tensor&) { return ++calls, Tensor(); };
  HookHandle first = model.register_forward_pre_hook(count);
  Triple copy = nn::clone(model);
  (void)copy(ones({1}));
  BOOST_TEST(calls == 1);
  copy.register_forward_pre_hook(count);
  first.remove();
  (void)model(ones({1}));
  BOOST_TEST(calls == 1);
  (void)copy(ones({1}));
  BOOST_TEST(calls == 3);
}

BOOST_AUTO_TEST_CASE(a_module_that_passes_by_its_hooks_is_warned_of) {
  class Deaf : public nn::Module {
   public:
    Tensor operator()(const Tensor& x, Here here = {}) const {
      const nn::LayerScope scope(*this, here);
      return x * 2;
    }
  };
  std::string heard;
  const WarningHandler before = set_warning_handler([&](std::string_view text) { heard += text; });
  Deaf model;
  (void)model(ones({1}));
  BOOST_TEST(heard.empty());
  model.register_forward_pre_hook([](const nn::Module&, const Tensor&) { return Tensor(); });
  (void)model(ones({1}));
  set_warning_handler(before);
  BOOST_TEST(
      heard ==
      "hooks: not all of module '' are called; its call operator must pass its input through LayerScope::input and "
      "its result through LayerScope::output");
}

// Every layer and model here calls its hooks, once each in a step.
BOOST_AUTO_TEST_CASE(all_modules_of_the_zoo_call_their_hooks_with_and_without_checkpoints) {
  for (const std::string& name : nn::models::names()) {
    // long, and of the same layers as others
    if (name == "vgg16_bn" || name == "resnet18" || name == "resnet56_a" || name == "wrn_28_10" || name == "vit_small")
      continue;
    for (const bool checkpointing : {false, true}) {
      manual_seed(3);
      nn::AnyModule model = nn::models::make(name, 10);
      const Tensor x = randn({2, 32, 32, 3});
      manual_seed(4);  // for what drops at random
      Tensor plain = model(x);
      model.set_checkpointing(checkpointing);
      std::map<std::string, int> before, after, backward;
      for (auto& [key, module] : model.named_modules()) {
        const std::string k = key;
        module.register_forward_pre_hook(
            [&before, k](const nn::Module&, const Tensor&) { return ++before[k], Tensor(); });
        module.register_forward_hook(
            [&after, k](const nn::Module&, const Tensor&, const Tensor&) { return ++after[k], Tensor(); });
        module.register_full_backward_hook(
            [&backward, k](const nn::Module&, const Tensor&, const Tensor&) { return ++backward[k], Tensor(); });
      }
      manual_seed(4);
      const Tensor y = model(x);
      BOOST_TEST(same_bits(y, plain));
      sum(y).backward();
      for (const auto& [key, module] : model.named_modules()) {
        BOOST_TEST_CONTEXT(name << " " << key << " checkpointing " << checkpointing) {
          BOOST_TEST(before[key] >= 1);
          BOOST_TEST(before[key] <= (checkpointing ? 2 : 1));
          BOOST_TEST(before[key] == after[key]);
          BOOST_TEST(backward[key] == 1);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
