// Two models in two threads, with everything that hangs on a tape, give the bits that each gives alone.
#include <support/expect.h>
#include <support/live.h>

#include <atomic>
#include <thread>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/hooks.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/coverage.h>
#include <tapestry/nn/functional_call.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/nn/per_sample.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/reduce.h>

BOOST_AUTO_TEST_SUITE(safety_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// A few steps of research on one model: all results in a row.
std::vector<Tensor> research(const std::string& name, std::uint64_t seed, int steps) {
  std::vector<Tensor> results;
  Generator generator(seed);
  nn::AnyModule model = nn::models::make(name, 10);
  for (const Tensor& p : model.parameters()) {
    Tensor values = p;
    values.set_data(randn(p.shape(), {.generator = &generator}) * 0.05);
  }
  model.set_checkpointing(true, {.keep_ops = {"conv2d"}});
  std::atomic<Index> calls = 0;  // samples are played on several threads
  model.register_forward_hook([&](const nn::Module&, const Tensor&, const Tensor&) { return ++calls, Tensor(); });
  model.register_full_backward_hook([&](const nn::Module&, const Tensor&, const Tensor&) { return ++calls, Tensor(); });
  optim::SGD sgd(model.parameters(), {.lr = 0.01});
  for (int step = 0; step < steps; ++step) {
    const Tensor x = randn({4, 32, 32, 3}, {.generator = &generator});
    const Tensor y = randint(0, 10, {4}, {.generator = &generator});
    sgd.zero_grad();
    const Tensor loss = cross_entropy(model(x), y);
    loss.backward();
    results.push_back(loss.detach());
    std::vector<Tensor> at, direction;
    for (const Tensor& p : model.parameters()) {
      at.push_back(p.detach());
      direction.push_back(p.grad().detach());
    }
    const auto of_parameters = [&](const std::vector<Tensor>& ps) {
      return cross_entropy(nn::functional_call(model, ps, x), y);
    };
    results.push_back(jvp(of_parameters, at, direction));
    for (const Tensor& h : hvp(of_parameters, at, direction)) results.push_back(h);
    const auto each = nn::per_sample_grads(
        [](const auto& m, const std::vector<Tensor>& s) { return cross_entropy(m(s[0]), s[1]); }, model, {x, y});
    results.insert(results.end(), each.begin(), each.end());
    sgd.step();
  }
  for (const Tensor& p : model.parameters()) results.push_back(p.detach());
  results.push_back(scalar(static_cast<double>(calls.load())));
  return results;
}

}  // namespace

BOOST_AUTO_TEST_CASE(two_models_in_two_threads_give_the_bits_of_each_alone) {
  const std::vector<Tensor> a = research("lecture_cnn", 1, 3), b = research("lecture_cnn_bn", 2, 3);
  std::vector<Tensor> a_beside, b_beside;
  std::thread first([&] { a_beside = research("lecture_cnn", 1, 3); });
  std::thread second([&] { b_beside = research("lecture_cnn_bn", 2, 3); });
  first.join(), second.join();
  for (const auto& [alone, beside] : {std::pair(&a, &a_beside), std::pair(&b, &b_beside)}) {
    BOOST_REQUIRE(alone->size() == beside->size());
    for (std::size_t i = 0; i < alone->size(); ++i) BOOST_TEST(same_bits((*alone)[i], (*beside)[i]), "result " << i);
  }
}

BOOST_AUTO_TEST_CASE(steps_of_research_leave_the_counters_where_they_are) {
  (void)research("lecture_cnn_bn", 1, 1);
  const Live before;
  for (int i = 0; i < 5; ++i) (void)research("lecture_cnn_bn", 1, 1);
  BOOST_TEST(Live() == before);
}

BOOST_AUTO_TEST_SUITE_END()
