#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <tapestry/tapestry.h>

/// The picture in docs/seeing.md. TAPESTRY_UPDATE_DOCS=1 writes it anew.
BOOST_AUTO_TEST_SUITE(seeing_test)

using namespace tapestry;

namespace {

class LeNet : public nn::Module {
 public:
  LeNet()
      : conv1_{child("conv1", nn::Conv2d{1, 6, {.kernel = 5, .padding = 2}})},
        conv2_{child("conv2", nn::Conv2d{6, 16, {.kernel = 5}})},
        fc1_{child("fc1", nn::Linear{5 * 5 * 16, 120})},
        fc2_{child("fc2", nn::Linear{120, 84})},
        fc3_{child("fc3", nn::Linear{84, 10})} {}

  Tensor operator()(Tensor x) const {
    x = max_pool2d(relu(conv1_(x)), {.kernel = 2});
    x = max_pool2d(relu(conv2_(x)), {.kernel = 2});
    return fc3_(relu(fc2_(relu(fc1_(flatten(x))))));
  }

 private:
  nn::Conv2d conv1_, conv2_;
  nn::Linear fc1_, fc2_, fc3_;
};

Tensor loss_of_lenet(const LeNet& model = {}) {
  return cross_entropy(model(ones({32, 28, 28, 1})), zeros({32}, {.dtype = i64}));
}

std::string without_lines(std::string text) {
  const std::string file = "seeing_test.cpp:";
  for (auto at = text.find(file); at != std::string::npos; at = text.find(file, at + 1)) {
    const auto begin = at + file.size();
    text.erase(begin, text.find_first_not_of("0123456789", begin) - begin);
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_picture_of_the_page_is_the_one_that_is_drawn) {
  const std::filesystem::path path = std::filesystem::path(TAPESTRY_SOURCE_DIR) / "docs" / "lenet.svg";
  const std::string drawn = Tape::of(loss_of_lenet()).to_svg();
  if (const char* const update = std::getenv("TAPESTRY_UPDATE_DOCS"); update && *update == '1') {
    std::ofstream(path) << drawn;
  }
  std::ifstream file(path);
  const std::string shown{std::istreambuf_iterator<char>(file), {}};
  BOOST_TEST((without_lines(drawn) == without_lines(shown)),
             "docs/lenet.svg is not what is drawn: TAPESTRY_UPDATE_DOCS=1 writes it");
}

BOOST_AUTO_TEST_CASE(every_tool_for_seeing_has_something_to_say_of_a_network) {
  const LeNet model;
  Profile profile;
  const Tensor loss = loss_of_lenet(model);
  const std::string report = Tape::of(loss).memory_report();
  loss.backward();
  profile.stop();
  BOOST_TEST_MESSAGE(report);
  BOOST_TEST_MESSAGE(profile.table());
  BOOST_TEST(report.find("conv2d") != std::string::npos);
  BOOST_TEST(report.find("  conv2\n") != std::string::npos);
  BOOST_TEST(profile.table().find("max_pool2d") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
