#include <support/expect.h>

#include <optional>
#include <stdexcept>
#include <thread>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/functional_call.h>
#include <tapestry/nn/models/models.h>
#include <tapestry/nn/per_sample.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(functional_call_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

/// A model with every kind of member: a tensor, layers, a container, an optional, a function that captured a layer.
class Mixed : public nn::Module {
 public:
  Mixed()
      : scale_{param("scale", full({4}, 2.0))},
        shift_{buffer("shift", full({4}, 1.0))},
        first_{child("first", nn::Linear{4, 4})},
        more_{child("more", nn::Sequential{nn::Linear{4, 4}, [](const Tensor& x) { return tanh(x); }})} {
    list_.push_back(child("listed", nn::Linear{4, 4}));
    maybe_ = child("maybe", nn::BatchNorm2d{4});
    captured_ = [layer = first_](const Tensor& x) { return layer(x); };
  }
  Tensor operator()(const Tensor& x) const {  // [N, 4]
    Tensor y = more_(first_(x) * scale_ + shift_) + captured_(x);
    y = list_[0](y);
    return flatten((*maybe_)(reshape(y, Shape{y.size(0), 1, 1, 4})));
  }

 private:
  Tensor scale_, shift_;
  nn::Linear first_;
  nn::Sequential more_;
  std::vector<nn::Linear> list_;
  std::optional<nn::BatchNorm2d> maybe_;
  Callable<Tensor(const Tensor&)> captured_;
};

std::vector<std::vector<double>> all_values(const nn::Module& model) {
  std::vector<std::vector<double>> out;
  for (const auto& x : model.named_parameters()) out.push_back(values(x.tensor));
  for (const auto& x : model.named_buffers()) out.push_back(values(x.tensor));
  return out;
}

std::vector<Tensor> scaled(const nn::Module& model, double factor) {
  std::vector<Tensor> out;
  for (const Tensor& p : model.parameters()) out.push_back(p.detach() * factor);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_clone_has_the_values_and_shares_nothing) {
  manual_seed(1);
  const Mixed model;
  const Mixed copy = nn::clone(model);
  const Tensor x = randn({3, 4});
  const auto before = all_values(model);
  BOOST_TEST((all_values(copy) == before));
  const auto names = [](const nn::Module& m) {
    std::vector<std::string> out;
    for (const auto& p : m.named_parameters()) out.push_back(p.name);
    return out;
  };
  BOOST_TEST(names(copy) == names(model));
  BOOST_TEST(copy.summary() == model.summary());
  // Training the copy moves the copy alone: gradients, weights, running statistics.
  sum(copy(x)).backward();
  for (const Tensor& p : copy.parameters()) {
    BOOST_TEST(p.grad().defined());
    const NoGradGuard guard;
    Tensor q = p;
    for (Index i = 0; i < q.numel(); ++i) q.mutable_data<float>()[i] += 1;
  }
  BOOST_TEST((all_values(model) == before));
  for (const Tensor& p : model.parameters()) BOOST_TEST(!p.grad().defined());
  BOOST_TEST((all_values(copy) != before));
  // And the model moves without the copy.
  const auto of_copy = all_values(copy);
  static_cast<void>(model(x));
  BOOST_TEST((all_values(copy) == of_copy));
  BOOST_TEST((all_values(model) != before));  // running statistics
}

BOOST_AUTO_TEST_CASE(a_clone_computes_what_the_model_computes) {
  manual_seed(1);
  const Mixed model;
  const Tensor x = randn({3, 4});
  const Mixed copy = nn::clone(model);
  BOOST_TEST(same_bits(copy(x), model(x)));
  for (const std::string& name : nn::models::names()) {
    if (name == "wrn_28_10") continue;  // wrn_16_4 once more, longer
    nn::AnyModule of_zoo = nn::models::make(name, 10);
    of_zoo.eval();
    const nn::AnyModule twin = nn::clone(of_zoo);
    const Tensor images = rand({1, 32, 32, 3});
    BOOST_TEST(!twin.is_training(), name);
    BOOST_TEST(same_bits(twin(images), of_zoo(images)), name);
    Tensor first = of_zoo.parameters().front();
    first.set_data(first.detach() + 1);
    BOOST_TEST(!same_bits(twin(images), of_zoo(images)), name);
  }
}

BOOST_AUTO_TEST_CASE(other_tensors_take_the_parameters_places_and_the_model_stays_as_it_is) {
  manual_seed(1);
  const Mixed model;
  const Tensor x = randn({3, 4});
  const auto before = all_values(model);
  const Mixed twin = nn::clone(model);
  for (const Tensor& p : twin.parameters()) {
    Tensor q = p;
    q.set_data(p.detach() * 2);
  }
  BOOST_TEST(same_bits(nn::functional_call(model, scaled(model, 2), x), twin(x)));
  BOOST_TEST((all_values(model) == before));  // running statistics too
  // By key: those that are not named are the model's own.
  const std::vector<nn::NamedTensor> one{{"scale", full({4}, 7.0)}};
  const Mixed other = nn::clone(model);
  Tensor scale = other.parameters()[0];
  scale.set_data(full({4}, 7.0));
  BOOST_TEST(same_bits(nn::functional_call(model, one, x), other(x)));
}

BOOST_AUTO_TEST_CASE(derivatives_by_the_tensors_given) {
  manual_seed(1);
  nn::Sequential model{nn::Linear{3, 5}, nn::Tanh{}, nn::Linear{5, 2}};
  model.to(f64);
  const Tensor x = randn({4, 3}, {.dtype = f64});
  const ListFunction loss = [&](const std::vector<Tensor>& p) { return sum(square(nn::functional_call(model, p, x))); };
  const ListFunction closure = [&](const std::vector<Tensor>&) { return sum(square(model(x))); };
  std::vector<Tensor> u;
  for (const Tensor& p : model.parameters()) u.push_back(randn(p.shape(), {.dtype = f64}));
  const std::vector<Tensor> hv = hvp(loss, model.parameters(), u), by_closure = hvp(closure, model.parameters(), u);
  for (std::size_t i = 0; i < hv.size(); ++i) BOOST_TEST(all_close(hv[i], by_closure[i], 1e-12));
  BOOST_TEST(all_close(jvp(loss, model.parameters(), u), jvp(closure, model.parameters(), u), 1e-12));
  const std::vector<Tensor> detached = scaled(model, 1);
  BOOST_TEST(all_close(jvp(loss, detached, u), jvp(closure, model.parameters(), u), 1e-12));
  for (const Tensor& p : model.parameters()) BOOST_TEST(!p.grad().defined());
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused_by_key) {
  const nn::Linear model{3, 2};
  const auto text = [&](const std::vector<nn::NamedTensor>& tensors) {
    return error<std::invalid_argument>([&] { (void)nn::with_tensors(model, tensors); });
  };
  BOOST_TEST(text({{"weigth", ones({2, 3})}}) == "with_tensors: the model must have a tensor 'weigth'");
  BOOST_TEST(text({{"weight", ones({3, 2})}}) == "with_tensors: 'weight' must be f32 [2, 3]; got f32 [3, 2]");
  BOOST_TEST(text({{"weight", Tensor()}}) == "with_tensors: 'weight' must be f32 [2, 3]; got an undefined tensor");
  BOOST_TEST(text({{"bias", ones({2})}, {"bias", ones({2})}}) ==
             "with_tensors: each key must be given once; got 'bias' twice");
  BOOST_TEST(error<std::invalid_argument>([&] {
               (void)nn::with_tensors(model, std::vector<Tensor>{ones({2, 3})});
             }) == "with_tensors: there must be one tensor per parameter, 2; got 1");
  BOOST_TEST(same_bits(model(ones({1, 3})), model(ones({1, 3}))));  // and the model still works
}

BOOST_AUTO_TEST_CASE(other_threads_see_the_model_itself_meanwhile) {
  manual_seed(1);
  const nn::AnyModule model = nn::models::make("mlp", 10);
  const Tensor x = rand({1, 32, 32, 3});
  const Tensor expected = model(x);
  const std::vector<Tensor> zeroed = scaled(model, 0);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        if (t % 2 == 0) {
          wrong[t] += values(nn::functional_call(model, zeroed, x)) != std::vector<double>(10, 0.0);
        } else {
          const nn::AnyModule handle = model;
          const Tensor p = model.parameters().front();
          wrong[t] += !same_bits(handle(x), expected) || !p.is_same(model.parameters().front());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(wrong == std::vector<int>(4, 0));
}

BOOST_AUTO_TEST_CASE(an_ensemble_is_one_model_on_many_sets_of_parameters) {
  manual_seed(1);
  const nn::Sequential model{nn::Linear{3, 5}, nn::Tanh{}, nn::Linear{5, 2}};
  const Tensor x = randn({4, 3});
  for (const double factor : {0.5, 1.0, 2.0}) {
    const nn::Sequential member = nn::with_tensors(model, scaled(model, factor));
    const std::vector<Tensor> p = scaled(model, factor);
    const Tensor by_hand = linear(tanh(linear(x, p[0], p[1])), p[2], p[3]);
    BOOST_TEST(same_bits(member(x), by_hand));
  }
}

// --- gradients of each sample

namespace {

struct Samples {
  Tensor images = rand({7, 32, 32, 3});
  Tensor labels = tensor({3, 1, 4, 1, 5, 9, 2});
};

Tensor loss_of(const nn::AnyModule& model, const std::vector<Tensor>& s) { return cross_entropy(model(s[0]), s[1]); }

}  // namespace

BOOST_AUTO_TEST_CASE(gradients_per_sample_are_those_of_batches_of_one_bit_by_bit) {
  for (const std::string name : {"mlp", "lecture_cnn", "lecture_cnn_bn", "resnet20"}) {
    manual_seed(2);
    nn::AnyModule model = nn::models::make(name, 10);
    model.eval();
    const Samples samples;
    const std::vector<Tensor> all = nn::per_sample_grads(loss_of, model, {samples.images, samples.labels});
    const std::vector<Tensor> parameters = model.parameters();
    BOOST_REQUIRE(all.size() == parameters.size());
    for (Index i = 0; i < 7; ++i) {
      const std::vector<Tensor> g = grad(loss_of(model, {slice(samples.images, {.begin = i, .end = i + 1}),
                                                         slice(samples.labels, {.begin = i, .end = i + 1})}),
                                         parameters);
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        BOOST_TEST(same_bits(select(all[p], {.dim = 0, .index = i}), g[p]),
                   name << ", sample " << i << ", parameter " << p);
      }
    }
    for (const Tensor& p : parameters) BOOST_TEST(!p.grad().defined());
    // Their mean is the gradient of the batch.
    const std::vector<Tensor> whole = grad(loss_of(model, {samples.images, samples.labels}), parameters);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      double largest = 0;
      for (const double v : values(whole[p])) largest = std::max(largest, std::abs(v));
      BOOST_TEST(all_close(mean(all[p], {.dim = 0}), whole[p], 0, 1e-5 * std::max(largest, 1e-2)), name << ", " << p);
    }
  }
}

BOOST_AUTO_TEST_CASE(frozen_parameters_have_no_gradients_per_sample_and_statistics_stay) {
  nn::AnyModule model = nn::models::make("lecture_cnn_bn", 10);
  Tensor frozen = model.parameters().front();
  frozen.requires_grad(false);
  const auto before = all_values(model);
  const Samples samples;
  const std::vector<Tensor> all = nn::per_sample_grads(loss_of, model, {samples.images, samples.labels});
  BOOST_TEST(!all.front().defined());
  BOOST_TEST(all.back().defined());
  BOOST_TEST((all_values(model) == before));
}

BOOST_AUTO_TEST_CASE(batches_and_losses_that_do_not_fit_are_refused) {
  const nn::Linear model{3, 2};
  const auto whole = [](const nn::Linear& m, const std::vector<Tensor>& s) { return sum(m(s[0])); };
  const auto text = [&](const auto& loss, const std::vector<Tensor>& batch) {
    return error<std::invalid_argument>([&] { (void)nn::per_sample_grads(loss, model, batch); });
  };
  BOOST_TEST(text(whole, {}) == "per_sample_grads: the batch must have a tensor; got an empty list");
  BOOST_TEST(text(whole, {ones({2, 3}), ones({3})}) ==
             "per_sample_grads: all tensors of the batch must have the same number of rows; tensor 0 is [2, 3], tensor "
             "1 is [3]");
  const auto rows = [](const nn::Linear& m, const std::vector<Tensor>& s) { return m(s[0]); };
  BOOST_TEST(text(rows, {ones({2, 3})}) ==
             "per_sample_grads: the loss of a sample must have one element; got shape [1, 2]");
}

BOOST_AUTO_TEST_SUITE_END()
