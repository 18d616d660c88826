#include <support/temporary_folder.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

/// The catalogue of errors, docs/errors.md: each of its headings is a message, and each message is provoked here. Both
/// must name the same ones. `...` in a heading stands for what depends on the machine.
BOOST_AUTO_TEST_SUITE(errors_test)

using namespace tapestry;

namespace {

/// What f throws, all of it.
std::string text_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

/// The first line of what f throws, with the test's own folder left out of it.
std::string message_of(const std::function<void()>& f, const std::string& folder) {
  std::string text = text_of(f);
  text = text.substr(0, text.find('\n'));
  for (auto at = text.find(folder); at != std::string::npos; at = text.find(folder)) text.erase(at, folder.size() + 1);
  return text.substr(text.find_first_not_of(' '));
}

const Tensor kLabels = tensor({0, 1});

Tensor leaf(const Shape& shape) { return ones(shape, {.requires_grad = true}); }

/// Its rule plays another of its kind.
Tensor endless() {
  const EnableGradGuard on;
  return record("endless", ones({}), wrt(leaf({}), [](const Tensor& dy) {
                  endless().backward();
                  return dy;
                }));
}

class Two : public nn::Module {
 public:
  Two() { (void)param("weight", ones({1})), (void)param("weight", ones({1})); }
};

const std::vector<std::function<void()>> kShapes{
    [] {
      (void)(ones({2, 3}) + ones({2, 4}));
    },
    [] {
      (void)matmul(ones({3, 4}), ones({5, 6}));
    },
    [] {
      (void)linear(ones({2, 3072}), ones({10, 3000}));
    },
    [] {
      (void)conv2d(ones({8, 32, 32, 3}), ones({16, 3, 3, 4}));
    },
    [] {
      (void)conv2d(ones({8, 3, 32, 32}), ones({16, 3, 3, 3}));
    },
    [] {
      (void)conv2d(ones({32, 32, 3}), ones({16, 3, 3, 3}));
    },
    [] {
      (void)conv2d(ones({8, 2, 2, 3}), ones({16, 5, 5, 3}));
    },
    [] {
      (void)conv2d(ones({8, 32, 32, 3}), ones({16, 3, 3, 3}), {}, {.stride = 2, .padding = Padding::same});
    },
    [] {
      (void)reshape(ones({2, 3}), {4, 2});
    },
    [] {
      (void)sum(ones({2, 3}), {.dim = 2});
    },
    [] {
      (void)cat({ones({2, 3}), ones({2, 4})});
    },
    [] {
      (void)tensor({{1, 2}, {3}});
    },
    [] {
      (void)ones({2, 3}).item();
    },
    [] {
      (void)select(ones({2, 3}), {.dim = 0, .index = 2});
    },
};

const std::vector<std::function<void()>> kTypes{
    [] { (void)(ones({2}) + ones({2}, {.dtype = f64})); },
    [] { (void)(arange(3) + 0.5); },
    [] { (void)(arange(3) / 2); },
    [] { (void)exp(arange(3)); },
    [] { (void)ones({2}).data<double>(); },
    [] { (void)arange(3).requires_grad(true); },
    [] { (void)where(ones({2}), 1, 2.F); },
};

const std::vector<std::function<void()>> kTape{
    [] { ones({}).backward(); },
    [] { (2 * leaf({3})).backward(); },
    [] {
      const Tensor loss = sum(square(leaf({3})));
      loss.backward();
      loss.backward();
    },
    [] { (void)leaf({3}).mutable_data<float>(); },
    [] {
      Tensor y = 2 * leaf({3});
      (void)y.mutable_data<float>();
    },
    [] {
      Tensor kept = 2 * ones({3});
      const Tensor loss = sum(leaf({3}) * kept);
      kept.mutable_data<float>()[0] = 7;
      loss.backward();
    },
    [] {
      Tensor kept = ones({3});
      const Tensor loss = sum(leaf({3}) * kept);
      kept.set_data(ones({3}));
      loss.backward();
    },
    [] {
      Tensor replaced = leaf({3});
      const Tensor loss = sum(replaced + 1);
      replaced.set_data(ones({3}));
      loss.backward();
    },
    [] { endless().backward(); },
    [] {
      const Tensor used = leaf({3}), unused = leaf({3});
      (void)grad(sum(used), unused);
    },
    [] { (void)Tensor().shape(); },
    [] {
      (void)conv2d({}, ones({16, 3, 3, 3}));
    },
    [] {
      const Tensor x = leaf({3});
      const Tensor y = record("frozen", no_grad([&] { return 2 * x; }),
                              wrt(x, [](const Tensor& dy) { return no_grad([&] { return 2 * dy; }); }));
      (void)grad(sum(y), x, {.create_graph = true});
    },
    [] {
      const Tensor x = leaf({3});
      const Tensor y = record("half", no_grad([&] { return 2 * x; }),
                              wrt(x, [](const Tensor& dy) { return slice(dy, {.end = 1}); }));
      sum(y).backward();
    },
    [] {
      check_grads(nn::Linear{3, 2}, {ones({2, 3}, {.dtype = f64})});
    },
    [] {
      const Tensor x = ones({2}, {.dtype = f64});
      check_grads([&](const Tensor&) { return sum(x); }, {x});
    },
};

const std::vector<std::function<void()>> kNetworks{
    [] {
      (void)cross_entropy(ones({2, 10}), tensor({3, 10}));
    },
    [] {
      (void)cross_entropy(ones({2, 10}), tensor({3, 4, 5}));
    },
    [] {
      (void)cross_entropy(ones({2, 10}), tensor({3.F, 4.F}));
    },
    [] {
      (void)cross_entropy(ones({2, 10}), one_hot(tensor({3, 4}), 10));
    },
    [] {
      (void)batch_norm(ones({1, 1, 1, 8}), {.running_mean = zeros({8}), .running_var = ones({8})}, {.training = true});
    },
    [] {
      (void)nn::BatchNorm2d(8)(ones({2, 4, 4, 16}));
    },
    [] { (void)optim::SGD(std::vector<Tensor>{leaf({3})}, {}); },
    [] { (void)optim::SGD(std::vector<Tensor>{2 * leaf({3})}, {.lr = 0.1}); },
    [] { (void)optim::SGD(std::vector<Tensor>{}, {.lr = 0.1}); },
    [] { (void)Two(); },
    [] { (void)nn::models::make("resnet21", 100); },
    [] {
      const Tensor x = leaf({1});
      sum(log(x - 1)).backward();
      (void)optim::clip_grad_norm({x}, 1);
    },
};

const std::vector<std::function<void(const std::string&)>> kFiles{
    [](const std::string& folder) {
      (void)nn::load(nn::Linear{2, 2}, folder + "/missing.safetensors");
    },
    [](const std::string& folder) {
      nn::save(nn::Linear{2, 2}, folder + "/model.safetensors");
      (void)nn::load(nn::Linear{2, 3}, folder + "/model.safetensors");
    },
    [](const std::string& folder) {
      std::ofstream(folder + "/text.safetensors") << "no tensors";
      (void)nn::load_tensors(folder + "/text.safetensors");
    },
    [](const std::string& folder) { (void)datasets::CIFAR100(folder); },
    [](const std::string& folder) {
      std::ofstream(folder + "/text.png") << "no picture";
      (void)datasets::read_image(folder + "/text.png");
    },
};

const std::vector<std::function<void()>> kLoading{
    [] {
      const auto crop = [](const Tensor& image, const datasets::SampleKey& key) {
        const auto size = static_cast<Index>(31 + key.index);
        return datasets::RandomCrop{.padding = 4, .height = size, .width = size}(image, key);
      };
      for (auto batch : datasets::Loader(datasets::Patterns({.size = 4, .transform = crop}), {.batch = 4})) (void)batch;
    },
    [] {
      const datasets::Normalize normalize({.5, .5, .5}, {.2, .2, .2});
      (void)datasets::Patterns({.size = 1, .transform = normalize}).get(0);
    },
    [] { (void)datasets::Patterns({.size = 60'000}); },
};

const std::vector<std::function<void()>> kMachine{
    [] {
      const std::int64_t outer = memory_limit();
      empty_cache();
      set_memory_limit(memory_stats().live_bytes + (64 << 20));
      try {
        (void)ones({1024, 1024, 1024});
      } catch (...) {
        set_memory_limit(outer);
        throw;
      }
    },
    [] { set_num_threads(0); },
    [] { set_instruction_set("sse2"); },
};

/// Whether `text` is `pattern`, where `...` stands for anything.
bool matches(const std::string& text, const std::string& pattern) {
  const auto gap = pattern.find("...");
  // "[..., in]" is part of a message; the gaps of the catalogue stand behind a blank.
  if (gap == std::string::npos || gap == 0 || pattern[gap - 1] != ' ') return text == pattern;
  const std::string head = pattern.substr(0, gap);
  if (text.rfind(head, 0) != 0) return false;
  for (auto at = head.size(); at <= text.size(); ++at) {
    if (matches(text.substr(at), pattern.substr(gap + 3))) return true;
  }
  return false;
}

/// The headings of docs/errors.md that are messages: ### `message`, in more backticks where it has some itself.
std::vector<std::string> catalogue() {
  std::ifstream page(std::filesystem::path(TAPESTRY_SOURCE_DIR) / "docs" / "errors.md");
  std::vector<std::string> messages;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("### `", 0) != 0) continue;
    line.erase(0, line.find_first_not_of("# `"));
    line.erase(line.find_last_not_of('`') + 1);
    messages.push_back(line);
  }
  return messages;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_catalogue_is_what_is_thrown) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path().string();
  std::vector<std::string> thrown;
  for (const auto* cases : {&kShapes, &kTypes, &kTape, &kNetworks, &kLoading, &kMachine}) {
    for (const auto& f : *cases) thrown.push_back(message_of(f, path));
  }
  for (const auto& f : kFiles) thrown.push_back(message_of([&] { f(path); }, path));

  const std::vector<std::string> listed = catalogue();
  for (const std::string& message : thrown) {
    const auto count = std::count_if(listed.begin(), listed.end(), [&](const auto& m) { return matches(message, m); });
    BOOST_TEST(count == 1, "docs/errors.md should have one heading ### `" + message + "`");
  }
  for (const std::string& heading : listed) {
    const bool is_thrown =
        std::any_of(thrown.begin(), thrown.end(), [&](const auto& m) { return matches(m, heading); });
    BOOST_TEST(is_thrown, "nothing here throws what docs/errors.md lists: " + heading);
  }
}

BOOST_AUTO_TEST_CASE(every_error_of_the_catalogue_names_the_line_of_the_caller) {
  const test::TemporaryFolder folder;
  std::vector<std::string> texts;
  for (const auto* cases : {&kShapes, &kTypes, &kTape, &kNetworks, &kLoading, &kMachine}) {
    for (const auto& f : *cases) texts.push_back(text_of(f));
  }
  for (const auto& f : kFiles) texts.push_back(text_of([&] { f(folder.path().string()); }));
  const std::string place = "\n  at errors_test.cpp:";
  for (const std::string& text : texts) {
    const auto at = text.find(place);
    BOOST_TEST(at != std::string::npos, text);
    BOOST_TEST((at == std::string::npos || text.find(place, at + 1) == std::string::npos), "twice: " + text);
  }
  BOOST_TEST(texts.size() == catalogue().size());
}

BOOST_AUTO_TEST_CASE(an_error_in_a_gradient_rule_names_the_line_that_recorded_and_the_line_that_plays) {
  Tensor kept = 2 * ones({3});
  const int recorded = __LINE__ + 1;
  const Tensor loss = sum(leaf({3}) * kept);
  kept.mutable_data<float>()[0] = 7;
  const int played = __LINE__ + 1;
  const std::string text = text_of([&] { loss.backward(); });
  BOOST_TEST(text == "mul: an input saved for backward was modified in place (saved at version 1, now 2)\n  at " +
                         ("errors_test.cpp:" + std::to_string(recorded)) +
                         "\n  in the backward pass of errors_test.cpp:" + std::to_string(played));
}

BOOST_AUTO_TEST_CASE(a_second_backward_names_the_line_that_recorded_and_the_line_that_plays) {
  const int recorded = __LINE__ + 1;
  const Tensor loss = sum(square(leaf({3})));
  loss.backward();
  const int played = __LINE__ + 1;
  const std::string text = text_of([&] { loss.backward(); });
  BOOST_TEST(
      text ==
      "backward: what sum recorded has been played and released; pass .retain_graph = true the first time to play "
      "it again\n  at errors_test.cpp:" +
          std::to_string(recorded) + "\n  in the backward pass of errors_test.cpp:" + std::to_string(played));
}

BOOST_AUTO_TEST_CASE(an_input_that_is_not_reached_because_of_a_detach_is_told_the_line) {
  const Tensor x = leaf({3}), w = leaf({3});
  const int line = __LINE__ + 1;
  const Tensor y = (x * 2).detach() * w;
  const std::string text = text_of([&] { (void)grad(sum(y), x); });
  BOOST_TEST(text.substr(0, text.find('\n')) ==
             "grad: every input must be reached from the outputs; input 0 is not, it was detached at errors_test.cpp:" +
                 std::to_string(line) + " (.allow_unused = true makes its gradient undefined)");
}

BOOST_AUTO_TEST_CASE(seeds_that_do_not_fit_are_refused_with_what_they_must_be) {
  const Tensor y = 2 * leaf({3});
  const auto first_line = [](const std::string& text) { return text.substr(0, text.find('\n')); };
  BOOST_TEST(first_line(text_of([&] { y.backward({.gradient = ones({2})}); })) ==
             "backward: the gradient must have the shape and dtype of the tensor, f32 [3]; got f32 [2]");
  BOOST_TEST(first_line(text_of([&] {
               (void)grad({y, y}, {y}, {.grad_outputs = {ones({3})}});
             })) == "grad: grad_outputs must be one per output, 2; got 1");
  BOOST_TEST(first_line(text_of([&] { (void)grad(y, ones({3})); })) ==
             "grad: every input must require grad; input 0 does not");
}

BOOST_AUTO_TEST_CASE(a_message_ends_with_the_line_of_the_caller_and_the_layer) {
  nn::Sequential model{nn::Conv2d{3, 8, {.kernel = 3}}, nn::Conv2d{4, 8, {.kernel = 3}}};
  std::string text;
  try {
    (void)model(ones({1, 8, 8, 3}));
  } catch (const std::invalid_argument& error) {
    text = error.what();
  }
  BOOST_TEST(text.find("conv2d: input has 8 channels, weight expects 4") == 0U);
  BOOST_TEST(text.find("\n  at errors_test.cpp:") != std::string::npos, text);
  BOOST_TEST(text.find(" in 1") != std::string::npos, text);
}

BOOST_AUTO_TEST_SUITE_END()
