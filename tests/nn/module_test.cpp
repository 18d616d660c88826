#include <support/expect.h>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(module_test)

namespace {

// A model in the form that the README shows.
class LectureNet : public nn::Module {
 public:
  explicit LectureNet(Index classes)
      : conv1_{child("conv1", nn::Conv2d{3, 32, {.kernel = 3, .padding = 1}})},
        conv2_{child("conv2", nn::Conv2d{32, 64, {.kernel = 3, .padding = 1}})},
        fc_{child("fc", nn::Linear{8 * 8 * 64, classes})} {}

  Tensor operator()(Tensor x) const {                // x [N, 32, 32, 3]
    x = max_pool2d(relu(conv1_(x)), {.kernel = 2});  //   [N, 16, 16, 32]
    x = max_pool2d(relu(conv2_(x)), {.kernel = 2});  //   [N, 8, 8, 64]
    return fc_(flatten(x));                          //   [N, classes]
  }

 private:
  nn::Conv2d conv1_, conv2_;
  nn::Linear fc_;
};

/// A layer of a user's own.
class Product : public nn::Module {
 public:
  explicit Product(Index in) : weight_{param("weight", ones({in, 2}))} {}
  Tensor operator()(const Tensor& x, Here here = {}) const {
    const nn::LayerScope scope(*this, here);
    return relu(matmul(x, weight_));
  }

 private:
  Tensor weight_;
};

/// The second line of the error that f throws.
template <class F>
std::string place_of_error(const F& f) {
  try {
    f();
  } catch (const std::exception& e) {
    const std::string text = e.what();
    return text.substr(text.find('\n') + 1);
  }
  return "no error";
}

/// Gives access to what derived classes may call.
struct Open : nn::Module {
  using nn::Module::buffer;
  using nn::Module::child;
  using nn::Module::describe;
  using nn::Module::param;
};

std::vector<std::string> keys(const std::vector<nn::NamedTensor>& list) {
  std::vector<std::string> out;
  for (const auto& x : list) out.push_back(x.name);
  return out;
}

using Strings = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_CASE(the_model_of_the_readme_runs_and_all_its_parameters_get_gradients) {
  const auto model = LectureNet(100);
  const Tensor y = model(ones({2, 32, 32, 3}));
  BOOST_TEST(y.shape() == (Shape{2, 100}));
  sum(y).backward();
  for (const auto& x : model.named_parameters()) BOOST_TEST(x.tensor.grad().defined(), x.name);
  BOOST_TEST(model.count_parameters() == 896 + 18'496 + 409'700);
}

BOOST_AUTO_TEST_CASE(keys_join_names_by_dots_in_order_of_registration) {
  Open inner, middle, outer;
  inner.param("weight", ones({2}));
  inner.buffer("mean", zeros({2}));
  middle.child("0", inner);
  middle.param("scale", ones({}));
  outer.param("bias", zeros({3}));
  outer.child("layer1", middle);
  BOOST_TEST(keys(outer.named_parameters()) == (Strings{"bias", "layer1.scale", "layer1.0.weight"}),
             boost::test_tools::per_element());
  BOOST_TEST(keys(outer.named_buffers()) == (Strings{"layer1.0.mean"}), boost::test_tools::per_element());
  Strings modules;
  for (const auto& [key, module] : outer.named_modules()) modules.push_back(key);
  BOOST_TEST(modules == (Strings{"", "layer1", "layer1.0"}), boost::test_tools::per_element());
  BOOST_TEST(outer.named_children().size() == 1U);
  BOOST_TEST(outer.parameters().size() == 3U);
  BOOST_TEST(outer.count_parameters() == 6);
}

BOOST_AUTO_TEST_CASE(registering_returns_the_argument_and_makes_a_parameter_a_leaf_that_requires_grad) {
  Open module;
  const Tensor x = ones({2});
  BOOST_TEST(module.param("x", x).is_same(x));
  BOOST_TEST(x.requires_grad());
  const Tensor b = zeros({2}, {.dtype = i64});
  BOOST_TEST(module.buffer("b", b).is_same(b));
  BOOST_TEST(!b.requires_grad());
  const nn::Linear linear{2, 3};
  BOOST_TEST(module.child("linear", linear).is_same(linear));
}

BOOST_AUTO_TEST_CASE(copies_are_handles_on_the_same_module) {
  Open module;
  const Open copy = module;
  module.param("x", ones({2}));
  BOOST_TEST(copy.named_parameters().size() == 1U);
  BOOST_TEST(copy.is_same(module));
  module.eval();
  BOOST_TEST(!copy.is_training());
}

BOOST_AUTO_TEST_CASE(what_is_registered_twice_counts_once_under_its_first_key) {
  Open module;
  const nn::Linear shared{2, 2, {.bias = false}};
  module.child("a", shared);
  module.child("b", shared);
  Open other;
  other.param("weight", shared.weight());
  module.child("c", other);
  BOOST_TEST(keys(module.named_parameters()) == (Strings{"a.weight"}), boost::test_tools::per_element());
  BOOST_TEST(module.count_parameters() == 4);
  BOOST_TEST(module.named_modules().size() == 3U);
}

BOOST_AUTO_TEST_CASE(bad_names_tensors_and_children_are_refused_and_change_nothing) {
  Open module;
  module.param("x", ones({2}));
  using Invalid = std::invalid_argument;
  BOOST_TEST(error<Invalid>([&] { module.param("", ones({2})); }) == "param: the name must not be empty");
  BOOST_TEST(error<Invalid>([&] { module.buffer("a.b", ones({2})); }) ==
             "buffer: the name must have no dot, which joins names to keys; got 'a.b'");
  BOOST_TEST(error<Invalid>([&] { module.child("x", Open()); }) ==
             "child: the name must be new in its module; got 'x' twice");
  BOOST_TEST(error<Invalid>([&] { module.param("y", Tensor()); }) == "param: 'y' must be a defined tensor");
  BOOST_TEST(error<Invalid>([&] { module.buffer("y", Tensor()); }) == "buffer: 'y' must be a defined tensor");
  BOOST_TEST(error<Invalid>([&] { module.param("y", ones({2}, {.dtype = i64})); }) ==
             "requires_grad: the dtype must be a float; got i64");
  BOOST_TEST(error<Invalid>([&] { module.child("y", module); }) ==
             "child: 'y' must not be the module that it is added to, nor contain it");
  Open outer;
  outer.child("inner", module);
  BOOST_TEST(error<Invalid>([&] { module.child("y", outer); }) ==
             "child: 'y' must not be the module that it is added to, nor contain it");
  const Tensor result = module.parameters()[0] * 2;
  BOOST_TEST(error<std::logic_error>([&] { module.param("y", result); }) ==
             "requires_grad: only a leaf can be changed; this tensor is the result of mul, use detach()");
  BOOST_TEST(module.named_parameters().size() == 1U);
  BOOST_TEST(module.named_buffers().empty());
  BOOST_TEST(module.named_children().empty());
}

BOOST_AUTO_TEST_CASE(train_and_eval_reach_all_children) {
  nn::Sequential model{nn::Linear{2, 2}, nn::Sequential{nn::Dropout{0.5}}};
  BOOST_TEST(model.is_training());
  model.eval();
  for (const auto& [key, module] : model.named_modules()) BOOST_TEST(!module.is_training(), key);
  model.train();
  for (const auto& [key, module] : model.named_modules()) BOOST_TEST(module.is_training(), key);
}

BOOST_AUTO_TEST_CASE(to_converts_parameters_and_float_buffers_for_all_handles) {
  nn::BatchNorm2d norm{3};
  const Tensor weight = norm.weight();
  norm.to(f64);
  BOOST_TEST(weight.dtype() == f64);
  BOOST_TEST(weight.requires_grad());
  BOOST_TEST(norm.running_var().dtype() == f64);
  BOOST_TEST(norm.named_buffers()[2].tensor.dtype() == i64);
  BOOST_TEST(norm(ones({1, 2, 2, 3}, {.dtype = f64})).dtype() == f64);
  BOOST_TEST(error<std::invalid_argument>([&] { norm.to(i64); }) == "to: a module's dtype must be a float; got i64");
}

BOOST_AUTO_TEST_CASE(zero_grad_makes_gradients_undefined_and_frozen_parameters_get_none) {
  nn::Linear linear{2, 3};
  sum(linear(ones({1, 2}))).backward();
  BOOST_TEST(linear.weight().grad().defined());
  linear.zero_grad();
  BOOST_TEST(!linear.weight().grad().defined());
  linear.requires_grad(false);
  BOOST_TEST(!linear(ones({1, 2})).requires_grad());
  linear.requires_grad(true);
  BOOST_TEST(linear(ones({1, 2})).requires_grad());
}

BOOST_AUTO_TEST_CASE(a_layer_of_the_users_own_says_where_it_is_and_from_which_line_it_was_called) {
  Open model;
  const Product product = model.child("head", Product{3});
  const int line = __LINE__ + 1;
  const std::string inside = place_of_error([&] { (void)product(ones({1, 2})); });
  BOOST_TEST(inside == std::string("  at module_test.cpp:").append(std::to_string(line)).append(" in head"));
  const int line_after = __LINE__ + 1;  // the scope has ended with the call, also by an exception
  const std::string after = place_of_error([&] { (void)matmul(ones({1, 2}), ones({3, 2})); });
  BOOST_TEST(after == std::string("  at module_test.cpp:").append(std::to_string(line_after)));
  const Tape tape = Tape::of(product(ones({1, 3})));
  for (const auto& entry : tape.entries())
    BOOST_TEST(entry.where.substr(entry.where.find("in ")).starts_with("in head"));
}

BOOST_AUTO_TEST_CASE(modules_know_their_place_and_errors_and_the_tape_name_it) {
  Open model;
  const nn::Conv2d conv{3, 4, {.kernel = 3}};
  BOOST_TEST(conv.path() == nullptr);
  Open block;
  block.child("conv1", conv);
  BOOST_TEST(std::string(conv.path()) == "conv1");
  Open layer;
  layer.child("0", block);
  model.child("layer2", layer);
  BOOST_TEST(std::string(conv.path()) == "layer2.0.conv1");

  std::string text;
  const int line = __LINE__ + 2;
  try {
    const Tensor y = conv(ones({1, 8, 8, 2}));
    BOOST_TEST(y.defined());
  } catch (const std::invalid_argument& e) {
    text = e.what();
  }
  BOOST_TEST(text.substr(text.find('\n')) == "\n  at module_test.cpp:" + std::to_string(line) + " in layer2.0.conv1");

  const Tape tape = Tape::of(conv(ones({1, 8, 8, 3})));
  Strings where;
  for (const auto& entry : tape.entries())
    where.push_back(entry.op + ' ' + entry.where.substr(entry.where.find("in ")));
  BOOST_TEST(
      where == (Strings{"leaf in layer2.0.conv1.weight", "leaf in layer2.0.conv1.bias", "conv2d in layer2.0.conv1"}),
      boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_summary_lists_layers_shapes_counts_and_the_total) {
  const nn::Sequential model{nn::Conv2d{3, 8, {.kernel = 3, .stride = 2, .bias = false}}, nn::BatchNorm2d{8},
                             nn::ReLU{}, nn::Flatten{}, nn::Linear{1152, 1000}};
  const std::string text = model.summary();
  BOOST_TEST_MESSAGE(text);
  BOOST_TEST(text.find("Conv2d 3 -> 8, kernel 3x3, stride 2x2") != text.npos);
  BOOST_TEST(text.find("[1000, 1152] [1000]") != text.npos);
  BOOST_TEST(text.find("1,153,000\n") != text.npos);
  BOOST_TEST(text.find("total  1,153,232 trainable") != text.npos);
  BOOST_TEST(text.find("17 elements in buffers") != text.npos);
}

// --- Sequential and AnyModule

BOOST_AUTO_TEST_CASE(sequential_takes_anything_callable_and_keys_are_positions) {
  nn::Sequential model{nn::Linear{2, 3}, [](const Tensor& x) { return x * 2; }, nn::Linear{3, 1}};
  BOOST_TEST(keys(model.named_parameters()) == (Strings{"0.weight", "0.bias", "2.weight", "2.bias"}),
             boost::test_tools::per_element());
  BOOST_TEST(model.size() == 3U);
  const nn::Sequential copy = model;
  model.append(nn::Linear{1, 5});
  BOOST_TEST(copy.size() == 4U);
  BOOST_TEST(copy(ones({7, 2})).shape() == (Shape{7, 5}));
}

BOOST_AUTO_TEST_CASE(an_empty_sequential_returns_its_input) {
  const Tensor x = ones({2});
  BOOST_TEST(nn::Sequential{}(x).is_same(x));
}

BOOST_AUTO_TEST_CASE(any_module_is_a_handle_on_the_model_that_can_be_called) {
  const LectureNet model(10);
  nn::AnyModule any = model;
  BOOST_TEST(any.is_same(model));
  BOOST_TEST(same_bits(any(ones({1, 32, 32, 3})), model(ones({1, 32, 32, 3}))));
  const nn::AnyModule copy = any;
  any.eval();
  BOOST_TEST(!copy.is_training());
}

// --- a change of dtype between forward and backward

BOOST_AUTO_TEST_CASE(gradients_of_a_model_that_changed_its_dtype_since_are_refused) {
  for (const bool input_wants_gradient : {false, true}) {
    nn::Linear model{2, 3};
    const Tensor x = ones({1, 2}, {.requires_grad = input_wants_gradient});
    const Tensor y = sum(model(x));
    model.to(f64);
    const std::string text = error<std::logic_error>([&] { y.backward(); });
    BOOST_TEST(text.find("was given other elements by set_data or Module::to") != std::string::npos, text);
    BOOST_TEST(!model.parameters()[0].grad().defined());
    sum(model(ones({1, 2}, {.dtype = f64}))).backward();
    BOOST_TEST(values(model.parameters()[1].grad()) == std::vector<double>({1, 1, 1}));
  }
}

BOOST_AUTO_TEST_SUITE_END()
