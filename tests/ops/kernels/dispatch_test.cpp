#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/kernels/simd/instruction_set.h>

#include <ops/kernels/conv2d_cases.h>
#include <boost/test/unit_test.hpp>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace tapestry;
using namespace tapestry::test;

/// Makes the kernels use one instruction set for as long as it lives.
class Forced {
 public:
  explicit Forced(std::string_view name) : before_(kernels::instruction_set()) {
    BOOST_TEST_REQUIRE(kernels::use_instruction_set(name));
  }
  ~Forced() { kernels::use_instruction_set(before_); }
  Forced(const Forced&) = delete;
  Forced& operator=(const Forced&) = delete;

 private:
  std::string_view before_;
};

/// Results of all kinds of kernels, one after the other: products in all transpositions, the three passes of an
/// ordinary, a strided, a grouped and a depthwise convolution; extents off every vector length.
std::vector<float> everything() {
  std::vector<float> all;
  const auto room = [&](Index count) {
    all.resize(all.size() + static_cast<std::size_t>(count));
    return all.data() + all.size() - count;
  };
  constexpr Index kM = 101, kN = 77, kK = 530;
  const auto a = normals(kM * kK, 1), b = normals(kK * kN, 2), bias = normals(kN, 3);
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      kernels::gemm<float>(ta, tb, kM, kN, kK, a.data(), b.data(), bias.data(), room(kM * kN));
      for (const Index m : {1, 4, 9}) {  // dot products, and tiles that take B as it lies
        kernels::gemm<float>(ta, tb, m, kN, kK, a.data(), b.data(), nullptr, room(m * kN));
      }
    }
  }
  for (const kernels::Conv2dShape& s : {kernels::Conv2dShape{7, 9, 9, 21, 38, 3, 3, 9, 9, 1, 1, 1, 1, 1, 1, 1},
                                        kernels::Conv2dShape{7, 9, 9, 21, 38, 3, 3, 5, 5, 2, 2, 1, 1, 1, 1, 1},
                                        kernels::Conv2dShape{2, 9, 9, 20, 12, 3, 3, 9, 9, 1, 1, 1, 1, 1, 1, 4},
                                        kernels::Conv2dShape{2, 9, 9, 37, 37, 3, 3, 9, 9, 1, 1, 1, 1, 1, 1, 37}}) {
    const Index xs = s.x_size(), ws = s.w_size(), ys = s.y_size();
    const auto x = normals(xs, 4), w = normals(ws, 5), dy = normals(ys, 6);
    plain_conv2d<float>(s, x.data(), w.data(), nullptr, room(ys));
    plain_input_grad<float>(s, dy.data(), w.data(), room(xs));
    plain_weight_grad<float>(s, x.data(), dy.data(), room(ws));
  }
  return all;
}

bool has_avx512() { return kernels::best_instruction_set() >= 2; }

BOOST_AUTO_TEST_SUITE(dispatch_test)

BOOST_AUTO_TEST_CASE(a_forced_instruction_set_is_the_one_in_use) {
  for (std::size_t i = 1; i <= kernels::best_instruction_set(); ++i) {
    const Forced forced(kernels::kInstructionSets[i]);
    BOOST_TEST(std::string(kernels::simd_target()) == (i >= 2 ? "AVX3" : "AVX2"));
  }
  const Forced forced("portable");
  const std::string name = kernels::simd_target();
  BOOST_TEST((name == "SCALAR" || name == "EMU128"), name);  // which of the two depends on the compiler
}

BOOST_AUTO_TEST_CASE(avx2_and_avx512_give_the_same_bits,
                     *boost::unit_test::precondition([](auto) { return has_avx512(); })) {
  std::vector<float> wide, narrow;
  {
    const Forced forced("avx512");
    wide = everything();
  }
  {
    const Forced forced("avx2");
    narrow = everything();
  }
  BOOST_TEST((wide == narrow));
}

BOOST_AUTO_TEST_CASE(the_fallback_without_vectors_agrees_up_to_rounding) {
  const std::vector<float> best = everything();
  const Forced forced("portable");
  const std::vector<float> scalar = everything();
  double worst = 0;
  for (std::size_t i = 0; i < best.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(best[i]) - static_cast<double>(scalar[i])));
  }
  BOOST_TEST(worst < 2e-4);  // sums of up to 567 products of standard normals: some hundred, at 24 bits
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
