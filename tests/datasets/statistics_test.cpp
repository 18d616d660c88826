#include <tapestry/datasets/statistics.h>

#include <boost/test/unit_test.hpp>

#include <cmath>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/datasets/detail/eigen.h>
#include <tapestry/datasets/transforms.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// Images whose neighbours and channels are alike.
Tensor smooth_images(Index count) {
  Generator generator(3);
  Tensor x = randn({count, 6, 6, 3}, {.generator = &generator});
  float* const v = x.mutable_data<float>();
  for (Index i = 1; i < x.numel(); ++i) v[i] = 0.8F * v[i - 1] + 0.5F * v[i] + 0.1F;
  return x;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(statistics_test)

BOOST_AUTO_TEST_CASE(channels_have_means_and_deviations) {
  const Tensor images = tensor(std::vector<float>{1, 10, 3, 30, 5, 20, 7, 20}, {2, 1, 2, 2});
  const ChannelStatistics found = channel_statistics(images);
  BOOST_TEST(all_close(found.mean, {4, 20}, 1e-15));
  BOOST_TEST(all_close(found.std, {std::sqrt(5.0), std::sqrt(50.0)}, 1e-15));
  const ChannelStatistics bytes =
      channel_statistics(tensor(std::vector<std::uint8_t>{0, 255, 51}, {3, 1, 1, 1}, {.dtype = u8}));
  BOOST_TEST(all_close(bytes.mean, {0.4}, 1e-15));
  BOOST_TEST(all_close(bytes.std, {std::sqrt((0.16 + 0.36 + 0.04) / 3)}, 1e-14));
  BOOST_TEST(Normalize(found.mean, found.std).mean()[0] == 4);
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)channel_statistics(zeros({2, 2, 3}));
             }) == "channel_statistics: images must be u8 or f32 [N, H, W, C], not empty; got f32 [2, 2, 3]");
}

BOOST_AUTO_TEST_CASE(a_symmetric_matrix_is_taken_apart) {
  const std::vector<double> a{4, 1, -2, 0.5, 1, 3, 0, 0, -2, 0, 5, 1, 0.5, 0, 1, 2};
  const datasets::detail::Eigen eigen = datasets::detail::eigen_symmetric(a, 4);
  for (std::size_t k = 0; k < 4; ++k) {
    const double* const v = eigen.vectors.data() + 4 * k;
    BOOST_TEST((k == 0 || eigen.values[k] <= eigen.values[k - 1]));
    for (std::size_t i = 0; i < 4; ++i) {
      double product = 0;
      for (std::size_t j = 0; j < 4; ++j) product += a[4 * i + j] * v[j];
      BOOST_TEST(std::abs(product - eigen.values[k] * v[i]) < 1e-12);
      double dot = 0;
      for (std::size_t j = 0; j < 4; ++j) dot += v[j] * eigen.vectors[4 * i + j];
      BOOST_TEST(std::abs(dot - (i == k ? 1 : 0)) < 1e-14);
    }
  }
  const datasets::detail::Eigen twins = datasets::detail::eigen_symmetric(std::vector<double>{2, 0, 0, 2}, 2);
  BOOST_TEST(all_close(twins.values, {2, 2}, 0));
}

BOOST_AUTO_TEST_CASE(whitened_patches_are_uncorrelated_and_of_variance_one) {
  const Tensor images = smooth_images(150);
  const Tensor filters = whitening_filters(images, {.eps = 1e-12});
  BOOST_REQUIRE(filters.shape() == Shape({24, 2, 2, 3}));
  const std::vector<double> f = values(filters);
  const std::vector<double> v = values(images);
  // What the filters answer at every patch, as a convolution would.
  std::vector<double> mean(12);
  std::vector<double> product(144);
  double count = 0;
  for (std::size_t image = 0; image < 150; ++image) {
    for (std::size_t y = 0; y < 5; ++y) {
      for (std::size_t x = 0; x < 5; ++x, ++count) {
        std::array<double, 12> answer{};
        for (std::size_t k = 0; k < 12; ++k) {
          for (std::size_t r = 0; r < 2; ++r) {
            for (std::size_t s = 0; s < 6; ++s)
              answer[k] += f[k * 12 + r * 6 + s] * v[((image * 6 + y + r) * 6 + x) * 3 + s];
          }
          mean[k] += answer[k];
        }
        for (std::size_t i = 0; i < 144; ++i) product[i] += answer[i / 12] * answer[i % 12];
      }
    }
  }
  for (std::size_t i = 0; i < 144; ++i) {
    const double covariance = product[i] / count - mean[i / 12] * mean[i % 12] / count / count;
    BOOST_TEST(std::abs(covariance - (i / 12 == i % 12 ? 1 : 0)) < 2e-4);
  }
}

BOOST_AUTO_TEST_CASE(filters_come_with_their_negatives_largest_eigenvalue_first_and_a_fixed_sign) {
  const std::vector<double> f = values(whitening_filters(smooth_images(80)));
  double before = 0;
  for (std::size_t k = 0; k < 12; ++k) {
    double length = 0;
    double largest = 0;
    for (std::size_t i = 0; i < 12; ++i) {
      BOOST_TEST(f[(12 + k) * 12 + i] == -f[k * 12 + i]);
      length += f[k * 12 + i] * f[k * 12 + i];
      if (std::abs(f[k * 12 + i]) > std::abs(largest)) largest = f[k * 12 + i];
    }
    BOOST_TEST(largest > 0);
    BOOST_TEST(length > before);  // 1 / (eigenvalue + eps)
    before = length;
  }
}

BOOST_AUTO_TEST_CASE(any_number_of_threads_gives_the_same_filters_and_eps_bounds_them) {
  const Tensor images = smooth_images(200);
  const int threads = num_threads();
  set_num_threads(1);
  const Tensor one = whitening_filters(images);
  set_num_threads(5);
  BOOST_TEST(same_bits(whitening_filters(images), one));
  set_num_threads(threads);
  // Equal images have no variance at all: 1 / sqrt(eps) is all that is left.
  const Tensor flat = whitening_filters(ones({2, 3, 3, 1}), {.eps = 0.25});
  for (const double v : values(flat)) BOOST_TEST((v == 0 || std::abs(v) == 2));
}

BOOST_AUTO_TEST_CASE(whitening_refuses_what_has_no_patches) {
  const auto refused = [](const Tensor& x, const WhiteningOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)whitening_filters(x, options); });
  };
  BOOST_TEST(refused(zeros({1, 2, 2, 1}, {.dtype = u8})) ==
             "whitening_filters: images must be f32 [N, H, W, C], not empty; got u8 [1, 2, 2, 1]");
  BOOST_TEST(refused(zeros({1, 2, 3, 1}), {.kernel = 3}) ==
             "whitening_filters: kernel must be in [1, 2], as the images are [1, 2, 3, 1]; got 3");
  BOOST_TEST(refused(zeros({1, 2, 2, 1}), {.eps = 0}) == "whitening_filters: eps must be finite and above 0; got 0");
  BOOST_TEST(refused(zeros({1, 16, 16, 3}), {.kernel = 16}) ==
             "whitening_filters: patches must have at most 512 elements; got 16 x 16 x 3");
}

BOOST_AUTO_TEST_SUITE_END()
