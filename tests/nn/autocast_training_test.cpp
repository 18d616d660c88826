#include <support/expect.h>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/kernels/gemm/testing.h>
#include <tapestry/ops/precision.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(autocast_training_test)

namespace {

constexpr int kSteps = 12;

/// Losses of a few steps on one batch, then all parameters.
std::vector<Tensor> train(const char* name, Dtype dtype) {
  manual_seed(3);
  const nn::AnyModule model = nn::models::make(name, 10);
  optim::SGD optimizer(model.parameters(), {.lr = .05, .momentum = .9});
  const Tensor images = randn({16, 32, 32, 3}), labels = randint(0, 10, {16});
  std::vector<Tensor> out;
  for (int step = 0; step < kSteps; ++step) {
    Tensor loss;
    {
      const Autocast scope(dtype);
      loss = cross_entropy(model(images), labels);
    }
    optimizer.zero_grad();
    loss.backward();
    for (const Tensor& p : model.parameters()) BOOST_TEST_REQUIRE(p.grad().dtype() == f32);
    optimizer.step();
    out.push_back(loss.detach());
  }
  for (const Tensor& p : model.parameters()) out.push_back(p.detach());
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_network_with_batch_norm_learns_under_autocast_nearly_as_it_does_in_f32) {
  const auto lower = train("resnet20", bf16), full = train("resnet20", f32);
  BOOST_TEST(lower[0].item<float>() == full[0].item<float>(), boost::test_tools::tolerance(0.02F));
  BOOST_TEST(lower[kSteps - 1].item<float>() < 0.5F * lower[0].item<float>());
}

BOOST_AUTO_TEST_CASE(a_network_with_pooling_and_dropout_learns_under_autocast) {
  const auto lower = train("lecture_cnn", bf16);
  BOOST_TEST(lower[kSteps - 1].item<float>() < lower[0].item<float>());
}

BOOST_AUTO_TEST_CASE(steps_under_autocast_give_the_same_bits_for_any_number_of_threads) {
  const int before = num_threads();
  for (const bool products : {true, false}) {
    kernels::enable_bf16_products(products);
    set_num_threads(1);
    const auto expected = train("resnet20", bf16);
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      const auto got = train("resnet20", bf16);
      for (std::size_t i = 0; i < got.size(); ++i) BOOST_TEST(same_bits(got[i], expected[i]), i << ", " << threads);
    }
  }
  kernels::enable_bf16_products(true);
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(a_network_learns_at_medium_precision) {
  const MatmulPrecisionGuard scope(MatmulPrecision::medium);
  const auto losses = train("resnet20", f32);
  BOOST_TEST(losses[kSteps - 1].item<float>() < 0.5F * losses[0].item<float>());
}

BOOST_AUTO_TEST_SUITE_END()
