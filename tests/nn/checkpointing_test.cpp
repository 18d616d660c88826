#include <support/expect.h>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/dropout.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/cross_entropy.h>

BOOST_AUTO_TEST_SUITE(checkpointing_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

struct Step {
  std::vector<Tensor> results;  // loss, gradients, buffers
  std::int64_t peak;            // bytes of tensors beyond those before
};

Step step(const nn::AnyModule& model, Index batch) {
  const Tensor images = rand({batch, 32, 32, 3});
  const Tensor labels = randint(0, 10, {batch});
  reset_peak_bytes();
  const std::int64_t before = memory_stats().live_bytes;
  const Tensor loss = cross_entropy(model(images), labels);
  loss.backward();
  Step out{{loss.detach()}, memory_stats().peak_bytes - before};
  for (const Tensor& p : model.parameters()) {
    if (p.requires_grad()) out.results.push_back(p.grad());
  }
  for (const auto& b : model.named_buffers()) out.results.push_back(b.tensor);
  return out;
}

Step step_of(const std::string& name, bool checkpointing, Index batch = 4) {
  manual_seed(4);
  nn::AnyModule model = nn::models::make(name, 10);
  model.set_checkpointing(checkpointing);
  return step(model, batch);
}

void check_same(const Step& a, const Step& b, const std::string& what) {
  BOOST_REQUIRE(a.results.size() == b.results.size());
  for (std::size_t i = 0; i < a.results.size(); ++i)
    BOOST_TEST(same_bits(a.results[i], b.results[i]), what << ", " << i);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_model_of_the_zoo_gives_the_same_bits_with_less_memory) {
  for (const std::string& name : nn::models::names()) {
    // resnet32, resnet20_a, wrn_16_4 and vit_mini once more, longer
    if (name == "resnet44" || name == "resnet56" || name == "resnet56_a" || name == "wrn_28_10" || name == "vit_small")
      continue;
    const Step plain = step_of(name, false), spared = step_of(name, true);
    check_same(spared, plain, name);
    // These are at their peak within the first section.
    const bool small = name == "mlp" || name == "lecture_mini" || name == "lenet5";
    if (!small) BOOST_TEST(spared.peak < plain.peak, name << ": " << spared.peak << " of " << plain.peak);
  }
}

BOOST_AUTO_TEST_CASE(with_the_convolutions_kept_the_bits_are_the_same_and_the_memory_lies_between) {
  const Step plain = step_of("resnet20", false), spared = step_of("resnet20", true);
  manual_seed(4);
  nn::AnyModule model = nn::models::make("resnet20", 10);
  model.set_checkpointing(true, {.keep_ops = {"conv2d"}});
  const Step kept = step(model, 4);
  check_same(kept, plain, "resnet20");
  BOOST_TEST(kept.peak > spared.peak);
  BOOST_TEST(kept.peak < plain.peak);
}

BOOST_AUTO_TEST_CASE(under_autocast_too) {
  const Autocast autocast(bf16);
  check_same(step_of("lecture_cnn_bn", true), step_of("lecture_cnn_bn", false), "lecture_cnn_bn");
}

BOOST_AUTO_TEST_CASE(a_sequential_in_any_number_of_segments_gives_the_same_bits) {
  const auto run = [](std::size_t segments) {
    manual_seed(4);
    const nn::Sequential net{nn::Linear{6, 8}, nn::ReLU{}, nn::Dropout{0.3},
                             nn::Linear{8, 8}, nn::Tanh{}, nn::Linear{8, 3}};
    const Tensor x = randn({5, 6}, {.requires_grad = true});
    const Tensor loss = cross_entropy(segments == 0 ? net(x) : net.in_segments(x, segments), randint(0, 3, {5}));
    loss.backward();
    Step out{{loss.detach(), x.grad()}, 0};
    for (const Tensor& p : net.parameters()) out.results.push_back(p.grad());
    return out;
  };
  for (const std::size_t segments : {1, 2, 3, 6, 100}) check_same(run(segments), run(0), std::to_string(segments));
  BOOST_TEST(error<std::invalid_argument>([] { (void)nn::Sequential{nn::ReLU{}}.in_segments(ones({2}), 0); }) ==
             "in_segments: there must be at least one segment; got 0");
}

BOOST_AUTO_TEST_CASE(a_sequential_that_is_told_to_divides_itself) {
  const auto kept = [](bool checkpointing) {
    manual_seed(4);
    nn::Sequential net;
    for (int i = 0; i < 9; ++i) net.append(nn::Tanh{});
    net.set_checkpointing(checkpointing);
    const Tensor x = randn({100}, {.requires_grad = true});
    const std::int64_t before = memory_stats().live_storages;
    const Tensor y = net(x);
    return memory_stats().live_storages - before;
  };
  BOOST_TEST(kept(false) == 9);
  BOOST_TEST(kept(true) == 3);
}

BOOST_AUTO_TEST_SUITE_END()
