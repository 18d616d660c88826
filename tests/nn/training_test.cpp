#include <support/expect.h>

#include <sys/resource.h>

#include <memory>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/nn/optim/adamw.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(training_test)

namespace {

/// The share of rows whose largest logit is the label's.
double accuracy(const Tensor& logits, const Tensor& labels) {
  const std::vector<double> chosen = values(argmax(logits)), right = values(labels);
  double hits = 0;
  for (std::size_t i = 0; i < right.size(); ++i) hits += chosen[i] == right[i];
  return hits / static_cast<double>(right.size());
}

/// Bits of every loss and, at the end, of all parameters and buffers, after 20
/// steps.
std::vector<Tensor> train(const std::string& name, bool adamw) {
  manual_seed(3);
  const nn::AnyModule model = nn::models::make(name, 10);
  const nn::Dropout dropout{0.1};
  std::unique_ptr<optim::Optimizer> optimizer;
  if (adamw) optimizer = std::make_unique<optim::AdamW>(model.parameters());
  else
    optimizer = std::make_unique<optim::SGD>(
        model.parameters(), optim::SGDOptions{.lr = .05, .momentum = .9, .weight_decay = 5e-4, .nesterov = true});
  std::vector<Tensor> out;
  constexpr int kSteps = detail::kUnderSanitizer ? 2 : 20;  // there each takes twenty times as long
  for (int step = 0; step < kSteps; ++step) {
    const Tensor loss = cross_entropy(model(dropout(randn({12, 32, 32, 3}))), randint(0, 10, {12}));
    optimizer->zero_grad();
    loss.backward();
    optimizer->step();
    out.push_back(loss.detach());
  }
  for (const Tensor& x : model.parameters()) out.push_back(x);
  for (const auto& x : model.named_buffers()) out.push_back(x.tensor);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(twenty_steps_give_the_same_bits_with_1_2_3_and_7_threads) {
  const int before = num_threads();
  for (const auto& [name, adamw] : {std::pair("lecture_cnn_bn", true), std::pair("resnet20", false)}) {
    set_num_threads(1);
    const std::vector<Tensor> expected = train(name, adamw);
    for (const int threads : {2, 3, 7}) {
      set_num_threads(threads);
      const std::vector<Tensor> got = train(name, adamw);
      BOOST_REQUIRE(got.size() == expected.size());
      std::size_t different = 0;
      for (std::size_t i = 0; i < got.size(); ++i) different += !same_bits(got[i], expected[i]);
      BOOST_TEST(different == 0U,
                 name << " with " << threads << " threads: " << different << " of " << got.size() << " differ");
    }
  }
  set_num_threads(before);
}

BOOST_AUTO_TEST_CASE(a_steady_training_step_asks_the_system_for_nothing,
                     *boost::unit_test::precondition([](auto) { return !detail::kUnderSanitizer; })) {
  const auto page_faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  for (const char* name : {"lecture_cnn", "resnet20", "vgg16_bn"}) {
    const nn::AnyModule model = nn::models::make(name, 100);
    optim::SGD sgd(model.parameters(), {.lr = .01, .momentum = .9});
    const Tensor images = randn({16, 32, 32, 3}), labels = randint(0, 100, {16});
    const auto step = [&] {
      sgd.zero_grad();
      cross_entropy(model(images), labels).backward();
      sgd.step();
    };
    // Which thread runs which task varies, and with it how much working memory each has asked for so far. It settles:
    // there must soon be a step without.
    std::int64_t blocks = -1;
    long faults = -1;
    for (int i = 0; i < 30 && (blocks != 0 || faults != 0); ++i) {
      const std::int64_t blocks_before = memory_stats().system_blocks;
      const long faults_before = page_faults();
      step();
      faults = page_faults() - faults_before;
      blocks = memory_stats().system_blocks - blocks_before;
      BOOST_TEST_MESSAGE(name << " step " << i << ": " << faults << " page faults, " << blocks << " blocks");
    }
    BOOST_TEST(blocks == 0, name << ": " << blocks << " blocks asked of the system in a step");
    BOOST_TEST(faults == 0, name << ": " << faults << " page faults in a step");
    const std::int64_t live = memory_stats().live_bytes;
    step();
    BOOST_TEST(memory_stats().live_bytes == live, name << ": live bytes must be the same after every step");
  }
}

BOOST_AUTO_TEST_CASE(two_hundred_and_fifty_six_images_are_learned_by_heart) {
  manual_seed(4);
  const Tensor images = randn({256, 32, 32, 3});
  const Tensor labels = randint(0, 100, {256});
  const nn::AnyModule model = nn::models::make("lecture_cnn_bn", 100);
  optim::SGD sgd(model.parameters(), {.lr = .01, .momentum = .9, .nesterov = true});
  double reached = 0;
  for (int epoch = 0; epoch < 40 && reached <= .99; ++epoch) {
    double hits = 0;
    for (Index i = 0; i < 4; ++i) {
      const Tensor x = slice(images, {.begin = 64 * i, .end = 64 * (i + 1)});
      const Tensor y = slice(labels, {.begin = 64 * i, .end = 64 * (i + 1)});
      const Tensor logits = model(x);
      sgd.zero_grad();
      cross_entropy(logits, y).backward();
      sgd.step();
      hits += accuracy(logits.detach(), y) / 4;
    }
    reached = hits;
  }
  BOOST_TEST(reached > .99);
}

BOOST_AUTO_TEST_SUITE_END()
