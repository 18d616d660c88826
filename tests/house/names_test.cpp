#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <vector>

#include <tapestry/tapestry.h>

namespace {

// What users may well have called functions of their own. Global ones, as theirs are: inside the suite they would hide
// the library's names instead of meeting them.
int same(int x) { return x + 1; }
int valid(int x) { return x + 2; }
int constant(int x) { return x + 3; }
int reflect(int x) { return x + 4; }
int none(int x) { return x + 5; }
int zero(int x) { return x + 6; }

}  // namespace

/// What names the library takes: a namespace per folder, and no common word that users may want for themselves.
BOOST_AUTO_TEST_SUITE(names_test)

namespace fs = std::filesystem;
using namespace tapestry;

namespace {

struct Header {
  std::string path;  ///< "nn/optim/sgd.h"
  std::string text;
};

std::vector<Header> headers() {
  std::vector<Header> all;
  const fs::path root = TAPESTRY_SOURCE_DIR;
  for (const char* folder : {"autograd", "ops", "nn", "datasets"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().extension() != ".h" || entry.path().filename() == "tapestry.h") continue;
      std::ifstream file(entry.path());
      all.push_back({fs::relative(entry.path(), root).string(), {std::istreambuf_iterator<char>(file), {}}});
    }
  }
  return all;
}

/// "tapestry::nn::optim" for "nn/optim/sgd.h". The tape and the ops are the library itself, and have no name of their
/// own; rooms below them are for those who work on it.
std::string namespace_of_folder(const std::string& path) {
  std::string name = "tapestry";
  for (const fs::path& part : fs::path(path).parent_path()) {
    const std::string folder = part.string();
    if (folder == "detail") continue;
    if (name == "tapestry" && (folder == "autograd" || folder == "ops")) continue;
    if (path.starts_with("autograd/") || (name == "tapestry::kernels")) continue;
    name += "::" + folder;
  }
  return name;
}

/// The namespaces that a header opens at its outermost level, "a::b" also where it says `namespace a { namespace b {`.
/// One that only declares names, or gives one another name, does not count.
std::vector<std::string> namespaces(std::string text) {
  for (const char* declaration : {R"(\n(class|struct) \w+;)", R"(\nnamespace \w+ = [\w:]+;)",
                                  R"(\nnamespace [\w:]+ \{\s*\})", R"(\nnamespace [\w:]+ \{\s*\})"}) {
    text = std::regex_replace(text, std::regex(declaration), "");
  }
  std::vector<std::string> found;
  const std::regex opening(R"(\nnamespace (tapestry[\w:]*) \{\s+(?:namespace (\w+) \{)?)");
  for (std::sregex_iterator at(text.begin(), text.end(), opening), end; at != end; ++at) {
    found.push_back((*at)[1].str());
    if ((*at)[2].matched && (*at)[2] != "detail") found.back() += "::" + (*at)[2].str();
  }
  return found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_namespace_of_a_header_is_that_of_its_folder) {
  const std::vector<Header> all = headers();
  BOOST_TEST(all.size() > 80U);
  for (const Header& header : all) {
    const std::string folder = namespace_of_folder(header.path), stem = fs::path(header.path).stem().string();
    const bool only_names = header.path == "nn/optim/namespace.h" || header.path == "nn/train/namespace.h";
    const std::vector<std::string> found = namespaces(header.text);
    BOOST_TEST((only_names || !found.empty()), header.path << " opens no namespace");
    for (const std::string& name : found) {
      // A header may have a namespace of its own name: nn/init.h has nn::init.
      const bool fits = name == folder || name == folder + "::detail" || name == folder + "::" + stem ||
                        name == folder + "::HWY_NAMESPACE";
      BOOST_TEST(fits, header.path << " opens " << name << ", its folder stands for " << folder);
    }
  }
}

BOOST_AUTO_TEST_CASE(no_words_but_those_of_dtypes_are_exported_from_an_enumeration) {
  for (const Header& header : headers()) {
    if (header.path == "autograd/base/dtype.h") continue;
    BOOST_TEST(header.text.find("using enum") == std::string::npos, header.path);
  }
}

BOOST_AUTO_TEST_CASE(functions_of_a_user_with_common_names_are_found_beside_the_librarys) {
  BOOST_TEST(same(1) == 2);
  BOOST_TEST(valid(1) == 3);
  BOOST_TEST(constant(1) == 4);
  BOOST_TEST(reflect(1) == 5);
  BOOST_TEST(none(1) == 6);
  BOOST_TEST(zero(1) == 7);
}

BOOST_AUTO_TEST_CASE(ops_and_layers_may_be_used_in_one_scope) {
  using namespace tapestry::nn;
  const Conv2d layer{3, 4, {.kernel = 3, .padding = Padding::same}};
  const Conv2dOptions of_the_op{.stride = 2};
  const BatchNorm2d norm{4, {.affine = false}};
  const BatchNormOptions of_the_norm{.eps = 1};
  const LayerNormOptions of_the_rows{.eps = 2};
  const PadOptions border{.mode = PadMode::reflect};
  const datasets::RandomCrop crop{.mode = PadMode::reflect};
  BOOST_TEST(layer(ones({1, 4, 4, 3})).shape()[3] == 4);
  BOOST_TEST(of_the_op.stride.h == 2);
  BOOST_TEST(of_the_norm.eps + of_the_rows.eps == 3);
  BOOST_TEST(!norm.weight().defined());
  BOOST_TEST((border.mode == crop.mode));
}

BOOST_AUTO_TEST_CASE(optimizers_are_called_by_a_short_name_and_live_where_their_folder_says) {
  static_assert(std::is_same_v<optim::SGD, nn::optim::SGD>);
  Tensor x = ones({1}, {.requires_grad = true});
  optim::SGD sgd({x}, {.lr = 0.5});
  sum(3 * x).backward();
  sgd.step();
  BOOST_TEST(x.item() == -0.5);
}

BOOST_AUTO_TEST_SUITE_END()
