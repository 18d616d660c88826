#include <support/temporary_folder.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/tapestry.h>

/// docs/mistakes.md: each of its headings is a mistake that is made here, and below it stands what tapestry says, to
/// the letter but for the line and what a temporary folder is called.
BOOST_AUTO_TEST_SUITE(mistakes_test)

using namespace tapestry;

namespace {

// --- data

void image_with_channels_first() {
  const nn::Conv2d conv(3, 16, {.kernel = 3});
  const Tensor images = ones({8, 3, 32, 32});
  (void)conv(images);
}

void image_without_a_batch() {
  const nn::Conv2d conv(3, 16, {.kernel = 3});
  const Tensor image = ones({32, 32, 3});
  (void)conv(image);
}

void bytes_given_to_a_model() {
  const nn::Conv2d conv(3, 16, {.kernel = 3});
  const datasets::Patterns pictures({.size = 1});
  (void)conv(unsqueeze(pictures.get(0).image, 0));
}

void normalized_before_it_is_a_float() {
  const datasets::Normalize normalize({.5, .5, .5}, {.2, .2, .2});
  const datasets::Patterns pictures({.size = 1, .transform = normalize});
  (void)pictures.get(0);
}

void doubles_beside_floats() {
  const nn::Linear layer(3, 2);
  const Tensor x = tensor({{0.1, 0.2, 0.3}}, {.dtype = f64});
  (void)layer(x);
}

void division_of_integers() {
  const Tensor counts = tensor({1, 2, 3});
  (void)(counts / 2);
}

// --- models

void layer_of_the_wrong_size() {
  const nn::Linear head(8 * 8 * 16, 10);
  const Tensor features = ones({4, 7, 7, 16});
  (void)head(flatten(features));
}

/// The layer is a member, and nothing more.
class Unregistered : public nn::Module {
 public:
  Tensor operator()(const Tensor& x) const { return layer_(x); }

 private:
  nn::Linear layer_{3, 2};
};

void layers_that_are_not_registered() {
  const Unregistered model;  // its layer is a member, but child("layer", ...) was not called
  const optim::SGD sgd(model.parameters(), {.lr = 0.1});
}

void batch_norm_left_in_training_mode() {
  const nn::BatchNorm2d norm(16);
  const Tensor pooled = ones({1, 1, 1, 16});  // one image, and norm.eval() was forgotten
  (void)norm(pooled);
}

void tensor_that_was_never_filled() {
  Tensor weight;
  (void)matmul(ones({2, 3}), weight);
}

// --- losses

void labels_that_are_floats() {
  const Tensor logits = ones({3, 10}), labels = tensor({1.F, 0.F, 2.F});
  (void)cross_entropy(logits, labels);
}

void labels_that_are_one_hot_integers() {
  const Tensor logits = ones({3, 10}), labels = tensor({1, 0, 2});
  (void)cross_entropy(logits, one_hot(labels, 10));
}

void labels_that_count_from_one() {
  const Tensor logits = ones({3, 10}), labels = tensor({1, 10, 2});
  (void)cross_entropy(logits, labels);
}

void targets_that_would_broadcast() {
  const Tensor predicted = ones({8, 1}), target = ones({8});
  (void)mse_loss(predicted, target);
}

// --- gradients

void backward_of_many_numbers() {
  const Tensor x = ones({3}, {.requires_grad = true});
  square(x).backward();
}

void backward_of_what_was_not_recorded() {
  const NoGradGuard guard;
  const Tensor x = ones({3}, {.requires_grad = true});
  sum(square(x)).backward();
}

void state_carried_from_step_to_step() {
  const Tensor w = ones({3}, {.requires_grad = true});
  Tensor state = zeros({3});
  for (int step = 0; step < 2; ++step) {
    state = tanh(state + w);  // reaches back to the first step: state.detach() would end it
    sum(state).backward();
  }
}

void tensor_written_before_backward() {
  const Tensor w = ones({3}, {.requires_grad = true});
  Tensor frame = ones({3});
  const Tensor loss = sum(w * frame);
  frame.mutable_data<float>()[0] = 7;
  loss.backward();
}

void parameter_written_while_recording() {
  Tensor w = ones({3}, {.requires_grad = true});
  w.mutable_data<float>()[0] = 0;
}

void gradient_by_a_copy() {
  const Tensor x = ones({3}, {.requires_grad = true});
  const Tensor copy = x.detach().requires_grad(true);
  (void)grad(sum(square(x)), copy);
}

void gradient_read_before_backward() {
  const Tensor w = ones({3}, {.requires_grad = true});
  (void)sum(w.grad()).item();
}

void part_cut_off_by_detach() {
  const nn::Linear encoder(3, 4), head(4, 2);
  optim::SGD sgd({encoder.weight(), encoder.bias(), head.weight(), head.bias()}, {.lr = 0.1});
  const Tensor features = relu(encoder(ones({1, 3})));
  sum(head(features.detach())).backward();
  sgd.step();
}

void logarithm_of_zero() {
  const AnomalyMode guard;
  const Tensor p = tensor({0.5F, 0.F}, {.requires_grad = true});
  (void)sum(where(gt(p, 0), p * log(p), 0.F));  // where() hides it forward; the gradient would be NaN
}

// --- training

void optimizer_without_a_rate() {
  const nn::Linear model(3, 2);
  const optim::SGD sgd(model.parameters(), {.momentum = 0.9});
}

void optimizer_of_a_result() {
  const Tensor w = 0.01 * randn({3}, {.requires_grad = true});
  const optim::SGD sgd({w}, {.lr = 0.1});
}

void step_before_backward() {
  const nn::Linear model(3, 2);
  optim::AdamW adam(model.parameters());
  adam.step();
}

void weights_of_another_model() {
  const std::string path = "weights.safetensors";  // not in the page, whose reference Doxygen 1.9 would not read
  nn::save(nn::Linear(3, 2), path);
  (void)nn::load(nn::Linear(3, 10), path);
}

void several_numbers_as_one() {
  const Tensor losses = cross_entropy(ones({3, 10}), tensor({1, 0, 2}), {.reduction = Reduction::none});
  (void)losses.item();
}

using Mistake = void (*)();
constexpr Mistake kMistakes[] = {
    image_with_channels_first,
    image_without_a_batch,
    bytes_given_to_a_model,
    normalized_before_it_is_a_float,
    doubles_beside_floats,
    division_of_integers,
    layer_of_the_wrong_size,
    layers_that_are_not_registered,
    batch_norm_left_in_training_mode,
    tensor_that_was_never_filled,
    labels_that_are_floats,
    labels_that_are_one_hot_integers,
    labels_that_count_from_one,
    targets_that_would_broadcast,
    backward_of_many_numbers,
    backward_of_what_was_not_recorded,
    state_carried_from_step_to_step,
    tensor_written_before_backward,
    parameter_written_while_recording,
    gradient_by_a_copy,
    gradient_read_before_backward,
    part_cut_off_by_detach,
    logarithm_of_zero,
    optimizer_without_a_rate,
    optimizer_of_a_result,
    step_before_backward,
    weights_of_another_model,
    several_numbers_as_one,
};

/// What is thrown or, where nothing is, warned of.
std::string said_about(Mistake mistake) {
  std::string text = "nothing";
  const WarningHandler outer = set_warning_handler([&](std::string_view warning) { text = warning; });
  try {
    mistake();
  } catch (const std::exception& error) {
    text = error.what();
  }
  set_warning_handler(outer);
  return text;
}

/// Without the number of any line in this file.
std::string without_lines(std::string text) {
  const std::string file = "mistakes_test.cpp:";
  for (auto at = text.find(file); at != std::string::npos; at = text.find(file, at + 1)) {
    const auto begin = at + file.size();
    text.erase(begin, text.find_first_not_of("0123456789", begin) - begin);
  }
  return text;
}

struct Section {
  std::string title, said;
};

/// The headings "## 7. Title" with the block ```text below each.
std::vector<Section> sections_of_the_page() {
  std::ifstream page(std::filesystem::path(TAPESTRY_SOURCE_DIR) / "docs" / "mistakes.md");
  std::vector<Section> sections;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("### ", 0) == 0) sections.push_back({line.substr(4), ""});
    if (inside && line == "```") inside = false;
    else if (inside) sections.back().said += (sections.back().said.empty() ? "" : "\n") + line;
    if (line == "```text") inside = true;
  }
  return sections;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_page_shows_what_is_said_about_every_mistake) {
  const test::TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const std::vector<Section> sections = sections_of_the_page();
  BOOST_TEST(sections.size() == std::size(kMistakes));
  for (std::size_t i = 0; i < std::min(sections.size(), std::size(kMistakes)); ++i) {
    const std::string number = std::to_string(i + 1) + ". ";
    BOOST_TEST(sections[i].title.rfind(number, 0) == 0U, sections[i].title);
    BOOST_TEST(without_lines(said_about(kMistakes[i])) == without_lines(sections[i].said), sections[i].title);
  }
  std::filesystem::current_path(before);
}

BOOST_AUTO_TEST_CASE(everything_that_is_said_names_a_line_of_the_program) {
  const test::TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  for (const Mistake mistake : kMistakes) {
    const std::string text = said_about(mistake);
    BOOST_TEST(text.find("\n  at mistakes_test.cpp:") != std::string::npos, text);
  }
  std::filesystem::current_path(before);
}

BOOST_AUTO_TEST_SUITE_END()
