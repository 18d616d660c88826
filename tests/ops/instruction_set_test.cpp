#include <support/expect.h>

#include <string>

#include <tapestry/autograd/random.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/instruction_set.h>
#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/matmul.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(instruction_set_test)

namespace {

/// Back to what it was, whatever a test does.
struct Restore {
  std::string before{instruction_set()};
  ~Restore() { set_instruction_set(before); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_set_offered_can_be_chosen_and_gives_the_same_results) {
  const Restore restore;
  manual_seed(1);
  const Tensor a = randn({33, 70}), b = randn({70, 21});
  const Tensor expected = relu(matmul(a, b));
  BOOST_TEST(instruction_sets().back() == "portable");
  for (const std::string_view name : instruction_sets()) {
    set_instruction_set(name);
    BOOST_TEST(instruction_set() == name);
    const std::string kernel = kernels::simd_target();
    BOOST_TEST((name == "amx" || name == "avx512" ? kernel == "AVX3"
                : name == "avx2"                  ? kernel == "AVX2"
                                                  : kernel == "SCALAR" || kernel == "EMU128"),
               kernel);
    BOOST_TEST(all_close(relu(matmul(a, b)), expected, 1e-5, 1e-5));
  }
}

BOOST_AUTO_TEST_CASE(an_unknown_name_is_refused_and_nothing_changes) {
  const std::string before{instruction_set()};
  std::string offered;
  for (const std::string_view name : instruction_sets()) offered += (offered.empty() ? "" : ", ") + std::string(name);
  BOOST_TEST(error<std::invalid_argument>([] { set_instruction_set("sse9"); }) ==
             "set_instruction_set: the name must be one of those that this CPU offers, " + offered + "; got \"sse9\"");
  BOOST_TEST(instruction_set() == before);
}

BOOST_AUTO_TEST_SUITE_END()
