#include <support/expect.h>

#include <support/temporary_folder.h>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/functional_call.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/optim/averaging.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/serialize.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(averaging_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;
using optim::ExponentialMovingAverage;
using optim::StochasticWeightAverage;

void set(const Tensor& x, double value) {
  const NoGradGuard guard;
  Tensor to = x;
  visit_float(x.dtype(), [&]<class T>() { std::fill_n(to.mutable_data<T>(), x.numel(), static_cast<T>(value)); });
}

Tensor shadow(const optim::Average& average, const std::string& name) {
  for (const auto& list : {average.averages().named_parameters(), average.averages().named_buffers()}) {
    for (const auto& x : list) {
      if (x.name == name) return x.tensor;
    }
  }
  return {};
}

nn::Sequential small_model(std::uint64_t seed) {
  manual_seed(seed);
  return nn::Sequential{nn::Conv2d{2, 3, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{3, {.relu = true}},
                        nn::Flatten{}, nn::Linear{48, 5, {.flattened = {4, 4}}}};
}

}  // namespace

// Computed: decay 0.9, from 1 over 0.9, 0.7, 0.4: 0.99, 0.961, 0.9049.
BOOST_AUTO_TEST_CASE(an_exponential_average_is_its_formula) {
  const Tensor theta = ones({1}, {.dtype = f64, .requires_grad = true});
  ExponentialMovingAverage average(optim::Parameters({theta}), {.decay = .9});
  Doubles path;
  for (const double value : {.9, .7, .4}) {
    set(theta, value);
    average.update();
    path.push_back(shadow(average, "0").item());
  }
  BOOST_TEST(all_close(path, {.99, .961, .9049}, 1e-14));
  BOOST_TEST(theta.item() == .4);
  BOOST_TEST(average.updates() == 3);
}

BOOST_AUTO_TEST_CASE(a_warm_up_forgets_the_beginning_sooner) {
  const Tensor theta = ones({1}, {.dtype = f64, .requires_grad = true});
  ExponentialMovingAverage average(optim::Parameters({theta}), {.decay = .2, .warmup = true});
  set(theta, 0);
  average.update();
  BOOST_TEST(all_close(shadow(average, "0"), Doubles{2. / 11}, 1e-14));
  average.update();  // 3 / 12 would be above the decay
  BOOST_TEST(all_close(shadow(average, "0"), Doubles{2. / 11 * .2}, 1e-14));
}

BOOST_AUTO_TEST_CASE(a_stochastic_average_is_the_mean_of_what_it_was_shown) {
  const Tensor theta = full({3}, 100, {.dtype = f64, .requires_grad = true});
  StochasticWeightAverage average(optim::Parameters({theta}));
  for (const double value : {.1, .7, .4}) {
    set(theta, value);
    average.update();
    if (value == .1) BOOST_TEST(values(shadow(average, "0")) == Doubles(3, .1), boost::test_tools::per_element());
  }
  BOOST_TEST(all_close(shadow(average, "0"), Doubles(3, .4), 1e-15));
  average.reset();
  BOOST_TEST(average.updates() == 0);
}

BOOST_AUTO_TEST_CASE(two_swaps_restore_every_bit_and_one_gives_the_averages) {
  const nn::Sequential model = small_model(1), copy = nn::clone(model);
  ExponentialMovingAverage average(model, {.decay = .75});
  for (const Tensor& p : model.parameters()) set(p, 3);
  average.update();
  average.swap();
  BOOST_TEST(average.is_swapped());
  const auto now = model.parameters(), first = copy.parameters();
  for (std::size_t i = 0; i < now.size(); ++i) {
    Doubles expected = values(first[i]);
    for (double& v : expected) v += .25 * (3 - v);
    BOOST_TEST(all_close(now[i], expected, 1e-6));
    BOOST_TEST(now[i].requires_grad());
  }
  BOOST_TEST(error<std::logic_error>([&] { average.update(); }) ==
             "ExponentialMovingAverage: the model holds the averages; swap() must come first");
  BOOST_TEST(error<std::logic_error>([&] { average.reset(); }) ==
             "ExponentialMovingAverage: the model holds the averages; swap() must come first");
  average.swap();
  for (const Tensor& p : model.parameters()) BOOST_TEST(values(p) == Doubles(values(p).size(), 3));
}

BOOST_AUTO_TEST_CASE(buffers_of_floats_are_averaged_and_those_of_integers_copied) {
  const nn::Sequential model = small_model(1);
  ExponentialMovingAverage average(model, {.decay = .5});
  for (const auto& x : model.named_buffers()) {
    if (x.name == "1.running_mean") set(x.tensor, 4);
    if (x.name == "1.num_batches_tracked") *Tensor(x.tensor).mutable_data<Index>() = 9;
  }
  average.update();
  BOOST_TEST(values(shadow(average, "1.running_mean")) == Doubles(3, 2));
  BOOST_TEST(values(shadow(average, "1.running_var")) == Doubles(3, 1));
  BOOST_TEST(shadow(average, "1.num_batches_tracked").item<Index>() == 9);
  BOOST_TEST(StochasticWeightAverage(model).averages().named_buffers().empty());
}

BOOST_AUTO_TEST_CASE(averages_have_the_models_keys_and_are_saved_loaded_and_gone_on_with) {
  const TemporaryFolder folder;
  const std::string weights = (folder / "weights.safetensors").string(), all = (folder / "all.safetensors").string();
  const nn::Sequential model = small_model(1), straight_model = nn::clone(model), loaded = small_model(2);
  ExponentialMovingAverage straight(straight_model, {.decay = .9}), first(model, {.decay = .9, .warmup = false});
  const auto show = [](const nn::Sequential& m, ExponentialMovingAverage& average, int from, int to) {
    for (int i = from; i < to; ++i) {
      Generator generator(static_cast<std::uint64_t>(i));
      const NoGradGuard guard;
      for (Tensor p : m.parameters()) {
        const Tensor x = randn(p.shape(), {.generator = &generator});
        std::copy_n(x.data<float>(), p.numel(), p.mutable_data<float>());
      }
      average.update();
    }
  };
  show(straight_model, straight, 0, 5);
  show(model, first, 0, 2);
  nn::save(first, all);
  ExponentialMovingAverage second(model, {.decay = .9});
  nn::load(second, all);
  BOOST_TEST(second.updates() == 2);
  show(model, second, 2, 5);
  second.swap();
  straight.swap();
  const auto a = straight_model.parameters(), b = model.parameters();
  for (std::size_t i = 0; i < a.size(); ++i) BOOST_TEST(same_bits(a[i], b[i]));
  second.swap();
  nn::save(second.averages(), weights);
  nn::load(loaded, weights);
  const auto c = loaded.parameters();
  for (std::size_t i = 0; i < a.size(); ++i) BOOST_TEST(same_bits(a[i], c[i]));
  for (const Tensor& p : second.parameters()) BOOST_TEST(!p.requires_grad());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_averaged_is_refused) {
  const Tensor x = ones({2}, {.requires_grad = true});
  using optim::Parameters;
  const auto refused = [](const Parameters& p, double decay = .9) {
    return error<Invalid>([&] { ExponentialMovingAverage(p, {.decay = decay}); });
  };
  BOOST_TEST(refused({x}, 1.5) == "ExponentialMovingAverage: decay must be in [0, 1]; got 1.5");
  BOOST_TEST(refused({x}, std::nan("")) == "ExponentialMovingAverage: decay must be in [0, 1]; got nan");
  BOOST_TEST(refused(Parameters(std::vector<Tensor>{})) ==
             "ExponentialMovingAverage: there must be something to average; got an empty list");
  BOOST_TEST(refused({Tensor()}) == "ExponentialMovingAverage: 0 must be defined");
  BOOST_TEST(refused({zeros({2}, {.dtype = bf16})}) ==
             "ExponentialMovingAverage: 0 must be f32, f64 or of integers; got bf16");
  BOOST_TEST(error<Invalid>([&] { StochasticWeightAverage(Parameters(std::vector<nn::NamedTensor>{})); }) ==
             "StochasticWeightAverage: there must be something to average; got an empty list");
  nn::Linear linear{2, 2};
  ExponentialMovingAverage average(linear);
  linear.to(f64);
  const std::string other =
      "ExponentialMovingAverage: a tensor must be what it was at first, f32 [2, 2]; got f64 [2, 2]";
  BOOST_TEST(error<std::logic_error>([&] { average.update(); }) == other);
  BOOST_TEST(error<std::logic_error>([&] { average.swap(); }) == other);
  BOOST_TEST(average.updates() == 0);
}

// --- statistics of batch normalisation

BOOST_AUTO_TEST_CASE(update_bn_takes_the_mean_of_all_batches_whatever_the_momentum) {
  for (const std::optional<double> momentum : {std::optional<double>(.1), std::optional<double>(.9), {}}) {
    nn::Sequential model{nn::BatchNorm1d{2, {.momentum = momentum}}, nn::Dropout{.5}};
    model.eval();
    (void)nn::Sequential{nn::BatchNorm1d{2}}(randn({4, 2}));
    const std::vector<Tensor> batches{tensor({{0.F, 1.F}, {2.F, 5.F}}), tensor({{4.F, 0.F}, {4.F, 4.F}}),
                                      tensor({{1.F, 1.F}, {3.F, 1.F}})};
    optim::update_bn(model, batches);
    const auto buffers = model.named_buffers();
    BOOST_TEST(all_close(buffers[0].tensor, Doubles{7. / 3, 2}, 1e-6));
    BOOST_TEST(all_close(buffers[1].tensor, Doubles{4. / 3, 16. / 3}, 1e-6));
    BOOST_TEST(buffers[2].tensor.item<Index>() == 3);
    BOOST_TEST(!model.is_training());
    BOOST_TEST(!nn::CumulativeStatistics::is_active());
  }
}

BOOST_AUTO_TEST_CASE(update_bn_puts_back_which_parts_were_training_also_when_the_model_throws) {
  nn::BatchNorm1d frozen{2};
  nn::Sequential model{nn::Linear{2, 2}, frozen};
  frozen.eval();
  optim::update_bn(model, std::vector<Tensor>{randn({4, 2})});
  BOOST_TEST(model.is_training());
  BOOST_TEST(!frozen.is_training());
  BOOST_CHECK_THROW(optim::update_bn(model, std::vector<Tensor>{randn({4, 3})}), Invalid);
  BOOST_TEST(!frozen.is_training());
  BOOST_TEST(!nn::CumulativeStatistics::is_active());
  BOOST_TEST(is_grad_enabled());
}

BOOST_AUTO_TEST_CASE(update_bn_reads_the_images_of_batches) {
  struct Batch {
    Tensor images, targets;
  };
  const nn::BatchNorm2d norm{1};
  optim::update_bn(norm, std::vector<Batch>{{tensor(std::vector<float>{0, 2}, {2, 1, 1, 1}), {}}});
  BOOST_TEST(all_close(norm.running_mean(), Doubles{1}, 1e-6));
  BOOST_TEST(all_close(norm.running_var(), Doubles{2}, 1e-6));
}

BOOST_AUTO_TEST_SUITE_END()
