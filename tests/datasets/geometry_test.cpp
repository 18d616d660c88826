#include <tapestry/datasets/geometry.h>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cmath>
#include <set>

#include <tapestry/datasets/detail/warp.h>

#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// Element i is factor i mod modulus.
Tensor image_of(const Shape& shape, Dtype dtype = f32, int factor = 7, int modulus = 64) {
  std::vector<double> v(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < v.size(); ++i)
    v[i] = static_cast<double>(i * static_cast<std::size_t>(factor) % static_cast<std::size_t>(modulus));
  return tensor(std::span<const double>(v), shape, {.dtype = dtype});
}

double at(const Tensor& x, Index row, Index column, Index c = 0) {
  return values(x)[static_cast<std::size_t>((row * x.size(1) + column) * x.size(2) + c)];
}

template <class F>
std::string refused(F&& f) {
  return error<std::invalid_argument>(std::forward<F>(f));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(geometry_test)

BOOST_AUTO_TEST_CASE(resize_gives_pillows_values_in_both_directions) {
  BOOST_TEST(
      all_close(resize(image_of({7, 5, 1}), 3, 2), {23.2857, 37.2857, 32.7701, 35.8182, 34.8961, 30.1948}, 1e-5));
  BOOST_TEST(all_close(resize(image_of({4, 4, 1}), 7, 6),
                       {0,       3.5,  8.16667, 12.8333, 17.5,    21,      10,      13.5, 18.1667, 22.8333, 27.5,
                        31,      26,   29.5,    34.1667, 38.8333, 43.5,    47,      42,   45.5,    44.8333, 28.1667,
                        27.5,    31,   53.4286, 56.9286, 51.6905, 16.7381, 11.5,    15,   32.8571, 36.3571, 37.2143,
                        26.6429, 27.5, 31,      20,      23.5,    28.1667, 32.8333, 37.5, 41},
                       1e-5));
}

BOOST_AUTO_TEST_CASE(resize_of_a_batch_is_that_of_its_images_and_bytes_are_rounded) {
  const Tensor batch = image_of({3, 6, 5, 2}, u8, 31, 251);
  const Tensor small = resize(batch, 4, 3);
  BOOST_TEST(small.shape() == Shape({3, 4, 3, 2}));
  for (Index i = 0; i < 3; ++i) {
    const Tensor one = tapestry::detail::alias(batch, {6, 5, 2}, i * 60);
    BOOST_TEST(same_bits(tapestry::detail::alias(small, {4, 3, 2}, i * 24), resize(one, 4, 3)));
    std::vector<float> floats;
    for (const double v : values(one)) floats.push_back(static_cast<float>(v));
    const Tensor exact = resize(tensor(floats, {6, 5, 2}), 4, 3);
    std::vector<double> rounded = values(exact);
    for (double& v : rounded) v = std::floor(v + 0.5);
    BOOST_TEST(values(resize(one, 4, 3)) == rounded, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(resize_without_antialias_and_nearest_look_at_few_pixels) {
  const Tensor row = tensor(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}, {1, 8, 1});
  BOOST_TEST(all_close(resize(row, 1, 2, {.antialias = false}), {1.5, 5.5}, 1e-6));
  BOOST_TEST(all_close(resize(row, 1, 2, {.interpolation = Interpolation::nearest}), {2, 6}, 0));
  BOOST_TEST(all_close(resize(row, 1, 3, {.interpolation = Interpolation::nearest}), {1, 4, 6}, 0));
  BOOST_TEST(same_bits(resize(row, 1, 8), row));
  BOOST_TEST(all_close(resize(full({9, 7, 3}, 100, {.dtype = u8}), 4, 13), std::vector<double>(156, 100), 0));
}

BOOST_AUTO_TEST_CASE(resize_refuses_what_it_cannot_do) {
  BOOST_TEST(refused([] {
               (void)resize(zeros({2, 2}), 1, 1);
             }) == "resize: images must be u8 or f32 [H, W, C] or [B, H, W, C], not empty; got f32 [2, 2]");
  BOOST_TEST(refused([] {
               (void)resize(zeros({2, 2, 0}), 1, 1);
             }) == "resize: images must be u8 or f32 [H, W, C] or [B, H, W, C], not empty; got f32 [2, 2, 0]");
  BOOST_TEST(refused([] {
               (void)resize(zeros({2, 2, 1}), 0, 65537);
             }) == "resize: sides must be in [1, 65536]; got 0 x 65537");
  BOOST_TEST(refused([] {
               (void)Resize{}(zeros({2, 2, 1}));
             }) == "resize: height and width must be at least 0, and one of them above; got 0 and 0");
}

BOOST_AUTO_TEST_CASE(the_transform_keeps_proportions_where_one_side_is_given) {
  const Tensor image = image_of({6, 9, 1});
  BOOST_TEST(Resize{.height = 4}(image).shape() == Shape({4, 6, 1}));
  BOOST_TEST(Resize{.width = 3}(image).shape() == Shape({2, 3, 1}));
  BOOST_TEST(same_bits(Resize{.height = 4, .width = 5}(image), resize(image, 4, 5)));
}

BOOST_AUTO_TEST_CASE(a_center_crop_is_the_window_in_the_middle) {
  const Tensor image = image_of({5, 6, 2}, u8, 1, 251);
  const Tensor crop = CenterCrop{.height = 3, .width = 3}(image);
  BOOST_TEST(crop.shape() == Shape({3, 3, 2}));
  for (Index y = 0; y < 3; ++y) {
    for (Index x = 0; x < 3; ++x) BOOST_TEST(at(crop, y, x, 1) == at(image, y + 1, x + 1, 1));
  }
  BOOST_TEST(refused([&] { (void)CenterCrop{.height = 6, .width = 3}(image); }) ==
             "center_crop: window must have pixels and fit into the image; got 6 x 3 for [5, 6, 2]");
}

BOOST_AUTO_TEST_CASE(a_random_resized_crop_shows_windows_of_the_allowed_sizes) {
  // Of an image that is its own coordinates the crop tells which window it shows.
  constexpr Index kSide = 40;
  std::vector<float> where;
  for (Index y = 0; y < kSide; ++y) {
    for (Index x = 0; x < kSide; ++x) {
      where.push_back(static_cast<float>(y));
      where.push_back(static_cast<float>(x));
    }
  }
  const Tensor image = tensor(where, {kSide, kSide, 2});
  const RandomResizedCrop crop{.height = 8, .width = 8, .scale = {0.25, 0.5}, .options = {.antialias = false}};
  std::set<long> areas;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const Tensor y = crop(image, {.index = i});
    BOOST_REQUIRE(y.shape() == Shape({8, 8, 2}));
    const double height = (at(y, 7, 0, 0) - at(y, 0, 0, 0)) / 7 * 8;  // of the window, by its steps
    const double width = (at(y, 0, 7, 1) - at(y, 0, 0, 1)) / 7 * 8;
    const double area = height * width / (kSide * kSide);
    BOOST_REQUIRE((area > 0.22 && area < 0.54));
    BOOST_REQUIRE((width / height > 0.68 && width / height < 1.45));
    areas.insert(std::lround(area * 1000));
  }
  BOOST_TEST(areas.size() > 30U);
  // A strip, of which no window has the proportions and the area: the largest in the middle.
  const Tensor strip = image_of({2, 64, 1});
  const Tensor middle = RandomResizedCrop{.height = 2, .width = 3, .scale = {1, 1}}(strip, {});
  BOOST_TEST(all_close(
      middle, resize(tapestry::detail::alias(CenterCrop{.height = 2, .width = 3}(strip), {2, 3, 1}), 2, 3), 0));
  BOOST_TEST(refused([&] {
               (void)RandomResizedCrop{.scale = {0.5, 1.5}}(strip, {});
             }) ==
             "random_resized_crop: scale must be two numbers above 0 and up to 1, the smaller first; got 0.5 and 1.5");
}

BOOST_AUTO_TEST_CASE(warps_by_whole_pixels_and_quarter_turns_are_exact) {
  for (const Dtype dtype : {u8, f32}) {
    for (const Interpolation interpolation : {Interpolation::nearest, Interpolation::bilinear}) {
      const Tensor image = image_of({4, 4, 3}, dtype, 5, 251);
      const auto warped = [&](const datasets::detail::Affine& affine) {
        return datasets::detail::warp(image, to_source(affine), interpolation, 9);
      };
      BOOST_TEST(same_bits(warped({}), image));
      const Tensor moved = warped({.move_x = 1, .move_y = -2});
      const Tensor turned = warped({.degrees = 90, .centre_x = 2, .centre_y = 2});
      for (Index y = 0; y < 4; ++y) {
        for (Index x = 0; x < 4; ++x) {
          const double wanted = x - 1 >= 0 && y + 2 < 4 ? at(image, y + 2, x - 1, 1) : 9;
          BOOST_TEST(at(moved, y, x, 1) == wanted);
          // Clockwise: what was on the left is above.
          BOOST_TEST(at(turned, y, x, 2) == at(image, 3 - x, y, 2), boost::test_tools::tolerance(1e-4));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(an_affine_map_and_its_matrix_agree) {
  // The point that the result shows at (x, y), by the steps in order: shear, turn, enlarge, move about the centre.
  const datasets::detail::Affine affine{.degrees = 25,
                                        .shear_x = 12,
                                        .shear_y = -7,
                                        .scale = 1.3,
                                        .move_x = 3,
                                        .move_y = -2,
                                        .centre_x = 10,
                                        .centre_y = 6};
  const auto m = to_source(affine);
  const double degree = std::acos(-1.0) / 180;
  for (const auto& [x, y] : {std::pair{1.0, 2.0}, std::pair{-4.0, 9.0}, std::pair{10.0, 6.0}}) {
    double u = x - affine.centre_x;
    double v = y - affine.centre_y;
    u -= v * std::tan(affine.shear_x * degree);  // x by y
    v -= u * std::tan(affine.shear_y * degree);  // then y by the new x
    const double a = affine.degrees * degree;
    const double turned_u = std::cos(a) * u - std::sin(a) * v;
    const double turned_v = std::sin(a) * u + std::cos(a) * v;
    const double to_x = affine.scale * turned_u + affine.centre_x + affine.move_x;
    const double to_y = affine.scale * turned_v + affine.centre_y + affine.move_y;
    BOOST_TEST(m[0] * to_x + m[1] * to_y + m[2] == x, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(m[3] * to_x + m[4] * to_y + m[5] == y, boost::test_tools::tolerance(1e-9));
  }
}

BOOST_AUTO_TEST_CASE(bilinear_warps_mix_neighbours_and_the_fill) {
  const Tensor row = tensor(std::vector<float>{10, 20, 40}, {1, 3, 1});
  const datasets::detail::Projection half{1, 0, 0.5, 0, 1, 0, 0, 0, 1};
  BOOST_TEST(all_close(datasets::detail::warp(row, half, Interpolation::bilinear, 100), {15, 30, 70}, 1e-6));
  BOOST_TEST(all_close(datasets::detail::warp(row, half, Interpolation::nearest, 100), {20, 40, 100}, 1e-6));
  const datasets::detail::Projection behind{1, 0, 0, 0, 1, 0, 0, 0, -1};
  BOOST_TEST(all_close(datasets::detail::warp(row, behind, Interpolation::nearest, 7), {7, 7, 7}, 0));
}

BOOST_AUTO_TEST_CASE(rotations_stay_within_their_angle_and_go_both_ways) {
  Tensor image = zeros({33, 33, 1});
  image.mutable_data<float>()[16 * 33 + 31] = 1;  // right of the middle
  int clockwise = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const std::vector<double> y =
        values(RandomRotation{.degrees = 30, .interpolation = Interpolation::bilinear}(image, {.index = i}));
    const auto most = std::max_element(y.begin(), y.end()) - y.begin();
    const double angle = std::atan2(static_cast<double>(most / 33 - 16), static_cast<double>(most % 33 - 16));
    BOOST_REQUIRE(std::abs(angle) < 0.57);
    clockwise += angle > 0 ? 1 : 0;
  }
  BOOST_TEST((clockwise > 25 && clockwise < 75));
  const Tensor color = image_of({8, 8, 3}, u8);
  BOOST_TEST(same_bits(RandomRotation{.degrees = 0}(color, {}), color));
  BOOST_TEST(refused([&] { (void)RandomRotation{.degrees = 361}(color, {}); }) ==
             "random_rotation: degrees must be in [0, 360]; got 361");
  BOOST_TEST(refused([&] {
               (void)RandomRotation{}(zeros({2, 2, 1}, {.dtype = f64}), {});
             }) == "random_rotation: image must be u8 or f32; got f64");
}

BOOST_AUTO_TEST_CASE(random_affine_moves_by_whole_pixels_up_to_its_part) {
  const Tensor image = image_of({10, 20, 1}, u8, 1, 251);
  std::set<std::pair<Index, Index>> moves;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const Tensor y = RandomAffine{.translate = {0.1, 0.2}, .fill = 255}(image, {.index = i});
    // The pixel in the middle says from where it came.
    const auto from = static_cast<Index>(at(y, 5, 10));
    const Index dx = 10 - from % 20;
    const Index dy = 5 - from / 20;
    BOOST_REQUIRE((std::abs(dx) <= 2 && std::abs(dy) <= 2));
    moves.insert({dx, dy});
  }
  BOOST_TEST(moves.size() == 25U);
  BOOST_TEST(same_bits(RandomAffine{}(image, {}), image));
  BOOST_TEST(refused([&] {
               (void)RandomAffine{.shear = {90, 0}}(image, {});
             }) == "random_affine: shear must be in [0, 90); got 90");
  BOOST_TEST(refused([&] {
               (void)RandomAffine{.translate = {0, 2}}(image, {});
             }) == "random_affine: translate must be in [0, 1]; got 2");
  BOOST_TEST(refused([&] {
               (void)RandomAffine{.scale = {0, 1}}(image, {});
             }) ==
             "random_affine: scale must be two numbers above 0 and up to 1000000, the smaller first; got 0 and 1");
}

BOOST_AUTO_TEST_CASE(a_perspective_moves_corners_inwards_and_keeps_lines_straight) {
  const Tensor white = full({32, 48, 1}, 255, {.dtype = u8});
  int changed = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const RandomPerspective transform{.interpolation = Interpolation::nearest};
    const Tensor y = transform(white, {.index = i});
    if (same_bits(y, white)) continue;
    ++changed;
    BOOST_REQUIRE(at(y, 16, 24) == 255);  // beyond the corners' reach
    // A convex quadrilateral: white in every row is one interval.
    for (Index row = 0; row < 32; ++row) {
      int edges = 0;
      for (Index x = 1; x < 48; ++x) edges += at(y, row, x) != at(y, row, x - 1) ? 1 : 0;
      BOOST_REQUIRE(edges <= 2);
    }
  }
  BOOST_TEST((changed > 70 && changed < 130));
  const Tensor image = image_of({16, 16, 3}, f32);
  BOOST_TEST(all_close(RandomPerspective{.distortion_scale = 0, .p = 1}(image, {}), image, 1e-4, 1e-3));
  BOOST_TEST(refused([&] { (void)RandomPerspective{.distortion_scale = 1}(image, {}); }) ==
             "random_perspective: distortion_scale must be in [0, 1); got 1");
}

BOOST_AUTO_TEST_SUITE_END()
