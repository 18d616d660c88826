#include <support/expect.h>
#include <support/process_memory.h>
#include <support/temporary_folder.h>

#include <chrono>
#include <cstring>
#include <limits>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>
#include <tapestry/nn/serialize.h>
#include <tapestry/nn/train/checkpoint.h>

#include "text_files.h"

/// What a reader of weights and checkpoints must notice that the form of the file does not show: changed bits, values
/// that no training leaves, tensors that are not the model's and too large for it.
using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(damage_test)

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// A file of one tensor "weight" that claims so many bytes of f32 [N, 2], all zeros, and takes no room on the disk.
std::filesystem::path sparse(const TemporaryFolder& folder, std::int64_t bytes) {
  const std::string end = std::to_string(bytes), rows = std::to_string(bytes / 8);
  const std::string header = R"({"weight":{"dtype":"F32","shape":[)" + rows + R"(,2],"data_offsets":[0,)" + end + "]}}";
  const std::uint64_t length = header.size();
  std::string text(8, '\0');
  std::memcpy(text.data(), &length, 8);
  write_text(folder / "sparse", text + header);
  std::filesystem::resize_file(folder / "sparse", text.size() + header.size() + static_cast<std::uintmax_t>(bytes));
  return folder / "sparse";
}

struct Cost {
  std::string text;
  double seconds;
  std::int64_t bytes;  // resident, at the worst moment
};

/// What f throws, and what it took.
template <class F>
Cost cost_of(const F& f) {
  (void)reset_process_peak();
  const std::int64_t before = process_bytes("VmRSS");
  const auto began = std::chrono::steady_clock::now();
  std::string text = "no error";
  try {
    f();
  } catch (const std::exception& e) {
    text = e.what();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return {text, took.count(), process_bytes("VmHWM") - before};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_changed_bit_anywhere_in_a_file_of_weights_is_refused) {
  const TemporaryFolder folder;
  const nn::Linear model{3, 2};
  const auto path = folder / "model";
  nn::save(model, path, {{"epoch", "7"}});
  const std::string good = read_text(path);
  const auto before = nn::file_state(model);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
    write_text(path, bad);
    BOOST_CHECK_THROW(nn::load(model, path), FileError);
    BOOST_CHECK_THROW((void)nn::load_tensors(path), FileError);
  }
  for (const auto& [name, x] : nn::file_state(model)) BOOST_TEST(same_bits(x, before.at(name)), name);
  write_text(path, good);
  BOOST_TEST((nn::load(model, path) == nn::Metadata{{"epoch", "7"}, {"format", "pt"}}));
}

BOOST_AUTO_TEST_CASE(a_large_file_that_is_not_the_models_is_refused_by_its_header) {
  const TemporaryFolder folder;
  nn::Linear model{2, 3, {.bias = false}};
  for (const std::int64_t bytes : {std::int64_t{3} << 29, std::int64_t{1} << 36}) {
    const auto path = sparse(folder, bytes);
    const Cost load = cost_of([&] { nn::load(model, path); });
    BOOST_TEST(contains(load.text, path.string() + ": expected the model's tensors; got differences:"), load.text);
    BOOST_TEST(load.seconds < 1);
    BOOST_TEST(load.bytes < 64 << 20);
    const Cost info = cost_of([&] { (void)train::Checkpoint::info(path); });
    BOOST_TEST(info.text == "no error");
    BOOST_TEST(info.bytes < 64 << 20);
    train::Checkpoint checkpoint(folder.path());
    checkpoint.add("model", model);
    for (const bool weights : {false, true}) {
      const Cost resume = cost_of([&] { weights ? checkpoint.resume_weights(path) : checkpoint.resume(path); });
      BOOST_TEST(contains(resume.text, path.string() + ": expected a checkpoint"), resume.text);
      BOOST_TEST(resume.bytes < 64 << 20);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_memory_cannot_hold_is_named) {
  const TemporaryFolder folder;
  const auto path = sparse(folder, std::int64_t{1} << 42);
  const Cost load = cost_of([&] { (void)nn::load_tensors(path); });
  BOOST_TEST(contains(load.text, path.string()), load.text);
  BOOST_TEST(load.bytes < 64 << 20);
  // A limit of the user's is one, too; what is thrown is still a std::bad_alloc.
  const Unlimited guard;
  const auto smaller = sparse(folder, 1 << 24);
  set_memory_limit(1 << 20);
  const std::string text = error<OutOfMemory>([&] { (void)nn::load_tensors(smaller); });
  BOOST_TEST(text.starts_with(smaller.string() + ": "), text);
}

BOOST_AUTO_TEST_CASE(k13_weights_that_are_not_finite_are_refused_by_name_and_number) {
  const TemporaryFolder folder;
  const auto path = folder / "model";
  for (const Dtype dtype : {f32, f64}) {
    nn::Sequential model{nn::Linear{2, 3}, nn::BatchNorm2d{3}};
    model.to(dtype);
    auto state = nn::file_state(model);
    const auto before = nn::file_state(model);
    state["0.weight"] = tensor({{1., std::nan("")}, {kInfinity, 0.}, {-kInfinity, 2.}}, {.dtype = dtype});
    state["1.running_var"] = tensor({1., -.5, 0.}, {.dtype = dtype});
    nn::save_tensors(state, path);
    BOOST_TEST(error<FileError>([&] { nn::load(model, path); }) ==
               path.string() +
                   ": expected the model's tensors; got differences:\n"
                   "  0.weight: 3 of 6 values are not finite\n"
                   "  1.running_var: 1 of 3 values are negative");
    for (const auto& [name, x] : nn::file_state(model)) BOOST_TEST(same_bits(x, before.at(name)), name);
  }
}

BOOST_AUTO_TEST_SUITE_END()
