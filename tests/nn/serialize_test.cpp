#include <support/expect.h>

#include <numeric>

#include <tapestry/autograd/random.h>
#include <tapestry/nn/activation.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/flatten.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/serialize.h>

#include "text_files.h"

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(serialize_test)

namespace {

nn::Sequential small_model() {
  return nn::Sequential{nn::Conv2d{3, 4, {.kernel = {3, 2}}}, nn::BatchNorm2d{4}, nn::Flatten{},
                        nn::Linear{16, 5, {.flattened = {2, 2}}}};
}

std::vector<nn::NamedTensor> everything(const nn::Module& module) {
  auto all = module.named_parameters();
  for (auto& x : module.named_buffers()) all.push_back(std::move(x));
  return all;
}

bool equal(const nn::Module& a, const nn::Module& b) {
  const auto x = everything(a), y = everything(b);
  bool all = x.size() == y.size();
  for (std::size_t i = 0; all && i < x.size(); ++i) all = x[i].name == y[i].name && same_bits(x[i].tensor, y[i].tensor);
  return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(saving_and_loading_is_bit_exact_and_saving_again_gives_the_same_bytes) {
  const TemporaryFolder folder;
  manual_seed(1);
  for (const Dtype dtype : {f32, f64}) {
    nn::Sequential a = small_model();
    nn::Sequential b = small_model();
    a.to(dtype);
    b.to(dtype);
    BOOST_TEST(a(randn({2, 4, 3, 3}, {.dtype = dtype})).defined());  // moves the running statistics
    BOOST_TEST(!equal(a, b));
    const Tensor handle = b.parameters()[0];
    nn::save(a, folder / "model", {{"epoch", "7"}});
    const nn::Metadata metadata = nn::load(b, folder / "model");
    BOOST_TEST(equal(a, b));
    BOOST_TEST(handle.is_same(b.parameters()[0]));
    BOOST_TEST(metadata.at("epoch") == "7");
    nn::save(b, folder / "again", metadata);
    BOOST_TEST(read_text(folder / "model") == read_text(folder / "again"));
  }
}

BOOST_AUTO_TEST_CASE(keys_and_shapes_in_the_file_are_pytorchs) {
  const auto state = nn::file_state(small_model());
  std::string text;
  for (const auto& [name, x] : state) text += name + ' ' + name_of(x.dtype()) + ' ' + to_string(x.shape()) + '\n';
  BOOST_TEST(text ==
             "0.bias f32 [4]\n0.weight f32 [4, 3, 3, 2]\n1.bias f32 "
             "[4]\n1.num_batches_tracked i64 []\n"
             "1.running_mean f32 [4]\n1.running_var f32 [4]\n1.weight "
             "f32 [4]\n3.bias f32 [5]\n3.weight f32 [5, 16]\n");
}

// A weight [K 2, R 3, S 3, C 2] with distinct values, element by element.
BOOST_AUTO_TEST_CASE(convolution_weights_are_oihw_in_the_file) {
  const nn::Conv2d conv{2, 2, {.kernel = 3, .bias = false}};
  std::vector<float> counting(36);
  std::iota(counting.begin(), counting.end(), 0.F);
  conv.parameters()[0].set_data(tensor(counting, {2, 3, 3, 2}));
  const Tensor file = nn::file_state(conv).at("weight");
  BOOST_TEST(file.shape() == (Shape{2, 2, 3, 3}));
  const float* const at = file.data<float>();
  for (Index k = 0; k < 2; ++k) {
    for (Index c = 0; c < 2; ++c) {
      for (Index r = 0; r < 3; ++r) {
        for (Index s = 0; s < 3; ++s) {
          BOOST_TEST(at[((k * 2 + c) * 3 + r) * 3 + s] == static_cast<float>(((k * 3 + r) * 3 + s) * 2 + c));
        }
      }
    }
  }
}

// Ours: column (h W + w) C + c; PyTorch's: (c H + h) W + w. H 2, W 3, C 2.
BOOST_AUTO_TEST_CASE(columns_behind_a_flatten_are_in_pytorchs_order_in_the_file) {
  const nn::Linear linear{12, 1, {.bias = false, .flattened = {2, 3}}};
  std::vector<float> counting(12);
  std::iota(counting.begin(), counting.end(), 0.F);
  linear.parameters()[0].set_data(tensor(counting, {1, 12}));
  const std::vector<double> file = values(nn::file_state(linear).at("weight"));
  BOOST_TEST(file == (std::vector<double>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(k14_all_missing_unexpected_and_misshapen_tensors_are_listed_at_once_and_nothing_changes) {
  const TemporaryFolder folder;
  nn::Sequential model = small_model();
  auto state = nn::file_state(model);
  const auto before = nn::file_state(model);
  state.erase("0.bias");
  state.erase("1.running_var");
  state["3.weight"] = zeros({5, 17});
  state["0.weight"] = zeros({4, 3, 3, 2}, {.dtype = f64});
  state["fc.weight"] = zeros({1});
  state["1.weight"] = full({4}, 9.0);
  const auto path = folder / "model";
  nn::save_tensors(state, path);
  BOOST_TEST(error<FileError>([&] { nn::load(model, path); }) ==
             path.string() +
                 ": expected the model's tensors; got differences:\n"
                 "  missing: 0.bias\n"
                 "  missing: 1.running_var\n"
                 "  unexpected: fc.weight\n"
                 "  0.weight: the model has f32 [4, 3, 3, 2], the file f64 [4, "
                 "3, 3, 2]\n"
                 "  3.weight: the model has f32 [5, 16], the file f32 [5, 17]");
  BOOST_TEST(error<FileError>([&] { nn::load(model, path, {.strict = false}); }).find("missing") == std::string::npos);
  const auto after = nn::file_state(model);
  for (const auto& [name, x] : before) BOOST_TEST(same_bits(x, after.at(name)), name);
}

BOOST_AUTO_TEST_CASE(loading_that_is_not_strict_takes_what_is_there) {
  const nn::Linear linear{2, 1};
  const Tensor bias = linear.bias().detach();
  const std::vector<double> old = values(bias);
  nn::load_file_state(linear, {{"weight", ones({1, 2})}, {"other", ones({3})}}, {.strict = false});
  BOOST_TEST(values(linear.weight()) == (std::vector<double>{1, 1}), boost::test_tools::per_element());
  BOOST_TEST(values(bias) == old, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(loaded_values_do_not_share_memory_with_their_source) {
  const nn::Linear linear{2, 1, {.bias = false}};
  Tensor source = ones({1, 2});
  nn::load_file_state(linear, {{"weight", source}});
  source.mutable_data<float>()[0] = 5;
  BOOST_TEST(values(linear.weight()) == (std::vector<double>{1, 1}), boost::test_tools::per_element());
  auto state = nn::file_state(linear);
  state.at("weight").mutable_data<float>()[0] = 7;
  BOOST_TEST(values(linear.weight()) == (std::vector<double>{1, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
