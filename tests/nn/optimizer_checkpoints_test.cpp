#include <support/expect.h>

#include <support/temporary_folder.h>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/optim/adagrad.h>
#include <tapestry/nn/optim/averaging.h>
#include <tapestry/nn/optim/lbfgs.h>
#include <tapestry/nn/optim/lookahead.h>
#include <tapestry/nn/optim/muon.h>
#include <tapestry/nn/optim/rmsprop.h>
#include <tapestry/nn/optim/sam.h>
#include <tapestry/nn/optim/schedules.h>
#include <tapestry/nn/optim/sgd.h>
#include <tapestry/nn/optim/split.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/train/checkpoint.h>
#include <tapestry/ops/loss.h>

using namespace tapestry;
using namespace tapestry::test;

/// What optimizers, averages and a plateau remember, through a file: a run that is stopped and resumed ends with the
/// bits of one that was not.
BOOST_AUTO_TEST_SUITE(optimizer_checkpoints_test)

namespace {

nn::Sequential small_model(std::uint64_t seed) {
  manual_seed(seed);
  return nn::Sequential{nn::Linear{4, 8}, nn::BatchNorm1d{8, {.relu = true}}, nn::Linear{8, 3}};
}

/// A small model, its average, and whatever trains it.
struct Run {
  explicit Run(std::uint64_t seed)
      : model(small_model(seed)), average(model, optim::ExponentialMovingAverageOptions{.decay = .9, .warmup = true}) {}
  virtual ~Run() = default;
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  virtual void step(const Callable<Tensor()>& loss) = 0;
  virtual void add_to(train::Checkpoint& checkpoint) = 0;

  void go(int from, int to) {
    for (int i = from; i < to; ++i) {
      Generator generator(static_cast<std::uint64_t>(i));
      const Tensor x = randn({6, 4}, {.generator = &generator}), y = randn({6, 3}, {.generator = &generator});
      step([&] { return mse_loss(model(x), y); });
      average.update();
    }
  }
  void keep_in(train::Checkpoint& checkpoint) {
    checkpoint.add("model", model).add("average", average);
    add_to(checkpoint);
  }
  [[nodiscard]] std::vector<Tensor> values_of_all() const {
    std::vector<Tensor> all;
    for (const nn::Module& module : {nn::Module(model), nn::Module(average)}) {
      for (const auto& list : {module.named_parameters(), module.named_buffers()}) {
        for (const auto& x : list) all.push_back(x.tensor);
      }
    }
    return all;
  }

  nn::Sequential model;
  optim::ExponentialMovingAverage average;
};

template <class O, class Options>
struct With : Run {
  With(std::uint64_t seed, const Options& options) : Run(seed), optimizer(model.named_parameters(), options) {}
  void step(const Callable<Tensor()>& loss) override {
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
  }
  void add_to(train::Checkpoint& checkpoint) override { checkpoint.add("optimizer", optimizer); }
  O optimizer;
};

struct WithRMSprop : With<optim::RMSprop, optim::RMSpropOptions> {
  explicit WithRMSprop(std::uint64_t seed) : With(seed, {.momentum = .9, .centered = true}) {}
};

struct WithAdagrad : With<optim::Adagrad, optim::AdagradOptions> {
  explicit WithAdagrad(std::uint64_t seed) : With(seed, {.lr_decay = .1}) {}
};

struct WithMuon : Run {
  explicit WithMuon(std::uint64_t seed)
      : Run(seed),
        split(optim::split_parameters(model.named_parameters(), optim::is_weight)),
        muon(split.chosen, {.lr = .02}),
        sgd(split.others, {.lr = .01, .momentum = .9}) {}
  void step(const Callable<Tensor()>& loss) override {
    model.zero_grad();
    loss().backward();
    muon.step();
    sgd.step();
  }
  void add_to(train::Checkpoint& checkpoint) override { checkpoint.add("muon", muon).add("sgd", sgd); }
  optim::SplitParameters split;
  optim::Muon muon;
  optim::SGD sgd;
};

struct WithLookahead : Run {
  explicit WithLookahead(std::uint64_t seed)
      : Run(seed), sgd(model.named_parameters(), {.lr = .05, .momentum = .9}), lookahead(sgd, {.k = 3}) {}
  void step(const Callable<Tensor()>& loss) override {
    lookahead.zero_grad();
    loss().backward();
    lookahead.step();
  }
  void add_to(train::Checkpoint& checkpoint) override { checkpoint.add("optimizer", lookahead); }
  optim::SGD sgd;
  optim::Lookahead lookahead;
};

struct WithLBFGS : Run {
  explicit WithLBFGS(std::uint64_t seed)
      : Run(seed),
        lbfgs(model.named_parameters(),
              {.max_iter = 3, .history_size = 4, .line_search_fn = optim::LineSearch::strong_wolfe}) {}
  void step(const Callable<Tensor()>& loss) override {
    lbfgs.step([&] {
      lbfgs.zero_grad();
      const Tensor value = loss();
      value.backward();
      return value;
    });
  }
  void add_to(train::Checkpoint& checkpoint) override { checkpoint.add("optimizer", lbfgs); }
  optim::LBFGS lbfgs;
};

struct WithSAMAndAPlateau : Run {
  explicit WithSAMAndAPlateau(std::uint64_t seed)
      : Run(seed), sgd(model.named_parameters(), {.lr = .1}), sam(sgd), plateau(sgd, {.factor = .5, .patience = 0}) {}
  void step(const Callable<Tensor()>& loss) override { plateau.step(sam.step(loss).item()); }
  void add_to(train::Checkpoint& checkpoint) override {
    checkpoint.add("optimizer", sgd).add("plateau_best", plateau.memory().best);
    checkpoint.add("plateau_bad", plateau.memory().num_bad_epochs);
    checkpoint.add("plateau_cooldown", plateau.memory().cooldown_counter);
  }
  optim::SGD sgd;
  optim::SAM sam;
  optim::ReduceLROnPlateau plateau;
};

template <class R>
void check_resumed() {
  const TemporaryFolder folder;
  R straight(1), stopped(1), resumed(2);
  straight.go(0, 8);
  stopped.go(0, 4);
  {
    train::Checkpoint checkpoint(folder.path().string());
    stopped.keep_in(checkpoint);
    checkpoint.save({.epoch = 0, .step = 4});
  }
  train::Checkpoint checkpoint(folder.path().string());
  resumed.keep_in(checkpoint);
  BOOST_TEST(checkpoint.resume().step == 4);
  resumed.go(4, 8);
  const auto a = straight.values_of_all(), b = resumed.values_of_all();
  BOOST_TEST(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) BOOST_TEST(same_bits(a[i], b[i]), "tensor " << i);
}

}  // namespace

BOOST_AUTO_TEST_CASE(rmsprop_goes_on_bit_for_bit) { check_resumed<WithRMSprop>(); }
BOOST_AUTO_TEST_CASE(adagrad_goes_on_bit_for_bit) { check_resumed<WithAdagrad>(); }
BOOST_AUTO_TEST_CASE(muon_beside_sgd_goes_on_bit_for_bit) { check_resumed<WithMuon>(); }
BOOST_AUTO_TEST_CASE(lookahead_goes_on_bit_for_bit) { check_resumed<WithLookahead>(); }
BOOST_AUTO_TEST_CASE(lbfgs_goes_on_bit_for_bit) { check_resumed<WithLBFGS>(); }
BOOST_AUTO_TEST_CASE(sam_with_a_plateau_goes_on_bit_for_bit) { check_resumed<WithSAMAndAPlateau>(); }

BOOST_AUTO_TEST_SUITE_END()
