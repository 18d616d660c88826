#include <boost/test/unit_test.hpp>

#include <cmath>
#include <numbers>

#include "support/expect.h"
#include "support/jpeg_files.h"
#include "support/malformed_pictures.h"
#include "support/read_picture.h"

using namespace tapestry;
using namespace tapestry::test;

namespace {

std::vector<int> bytes_of(const Tensor& image) {
  const auto* from = image.data<std::uint8_t>();
  return {from, from + image.numel()};
}

/// Rows and columns of the coefficients in the file's order: diagonals, up and down in turn.
std::array<std::pair<int, int>, 64> zigzag() {
  std::array<std::pair<int, int>, 64> order;
  std::size_t k = 0;
  for (int sum = 0; sum < 15; ++sum) {
    for (int i = 0; i <= sum; ++i) {
      const int row = sum % 2 == 0 ? sum - i : i;
      if (row < 8 && sum - row < 8) order[k++] = {row, sum - row};
    }
  }
  return order;
}

/// A sample by the definition of the transform.
double sample_of(const Block& block, int y, int x) {
  static const auto order = zigzag();
  double sum = 0;
  for (std::size_t k = 0; k < 64; ++k) {
    const auto [v, u] = order[k];
    const double scale = (u == 0 ? std::numbers::sqrt2 / 2 : 1) * (v == 0 ? std::numbers::sqrt2 / 2 : 1) / 4;
    sum += scale * block[k] * std::cos((2 * x + 1) * u * std::numbers::pi / 16) *
           std::cos((2 * y + 1) * v * std::numbers::pi / 16);
  }
  return std::min(255.0, std::max(0.0, sum + 128));
}

const ByteVector kAdobeCmyk = jpeg_segment(0xEE, {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0});
const ByteVector kAdobeYcck = jpeg_segment(0xEE, {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 2});

/// A picture of one colour: components of one value each.
ByteVector plain(const std::vector<int>& values, const ByteVector& segments) {
  Jpeg jpeg{.width = 8, .height = 8, .parts = {}};
  for (std::size_t i = 0; i < values.size(); ++i) jpeg.parts.push_back({static_cast<std::uint8_t>(i + 1), 1, 1});
  jpeg.block = [&](std::size_t part, std::uint32_t, std::uint32_t) {
    Block b{};
    b[0] = 8 * (values[part] - 128);
    return b;
  };
  return joined({kJpegBegin, segments, jpeg_tables(), jpeg.frame(), jpeg.scan(jpeg.all_parts()), kJpegEnd});
}

std::vector<int> first_pixel(const Tensor& image) {
  const std::vector<int> all = bytes_of(image);
  return {all.begin(), all.begin() + image.size(2)};
}

/// An EXIF segment of one entry, which says how the camera was held.
ByteVector exif(std::uint8_t orientation, bool little = false, std::uint8_t type = 3) {
  return jpeg_segment(0xE1, little
                                ? ByteVector{'E',  'x', 'i',  'f', 0, 0, 'I', 'I', 42,          0, 8, 0, 0, 0, 1, 0,
                                             0x12, 1,   type, 0,   1, 0, 0,   0,   orientation, 0, 0, 0, 0, 0, 0, 0}
                                : ByteVector{'E', 'x',  'i', 'f',  0, 0, 'M', 'M', 0, 42,          0, 0, 0, 8, 0, 1,
                                             1,   0x12, 0,   type, 0, 0, 0,   1,   0, orientation, 0, 0, 0, 0, 0, 0});
}

/// 16 x 8: the left block dark, the right one bright.
ByteVector two_blocks(const ByteVector& segments) {
  Jpeg jpeg{.width = 16, .height = 8};
  jpeg.block = [](std::size_t, std::uint32_t x, std::uint32_t) {
    Block b{};
    b[0] = x == 0 ? -400 : 400;
    b[2] = 80;  // in the file's order the first coefficient down: brighter above
    return b;
  };
  return joined({kJpegBegin, segments, jpeg_tables(), jpeg.frame(), jpeg.scan({0}), kJpegEnd});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(jpeg_test)

// Rows J1, J2, J4 to J13, J15.
BOOST_AUTO_TEST_CASE(what_the_standard_forbids_is_refused) {
  for (const NamedFile& file : malformed_jpegs()) {
    BOOST_TEST_CONTEXT(file.name) { BOOST_TEST(picture_error(file.bytes) != "accepted"); }
  }
}

// Row J3.
BOOST_AUTO_TEST_CASE(every_prefix_is_refused) {
  const Jpeg colour{.parts = {{1, 2, 2}, {2, 1, 1}, {3, 1, 1}}, .restart_interval = 1};
  for (const ByteVector& whole : {colour.file(), colour.progressive()}) {
    BOOST_TEST(picture_error(whole) == "accepted");
    for (std::size_t n = 0; n < whole.size(); ++n) {
      BOOST_TEST_CONTEXT(n << " of " << whole.size() << " bytes") {
        BOOST_TEST(picture_error(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))) !=
                   "accepted");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(samples_are_those_of_the_definition) {
  const Jpeg jpeg{.width = 45, .height = 19};
  const Tensor image = picture_of(jpeg.file());
  BOOST_TEST(image.shape() == Shape({19, 45, 1}));
  const std::vector<int> pixels = bytes_of(image);
  for (int y = 0; y < 19; ++y) {
    for (int x = 0; x < 45; ++x) {
      const Block block = jpeg.block(0, static_cast<std::uint32_t>(x / 8), static_cast<std::uint32_t>(y / 8));
      const double expected = sample_of(block, y % 8, x % 8);
      BOOST_TEST_CONTEXT(y << ", " << x << ": " << expected) {
        BOOST_TEST(std::abs(pixels[static_cast<std::size_t>(y * 45 + x)] - expected) < 1);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_same_coefficients_in_any_scans_are_the_same_picture) {
  for (const std::vector<Jpeg::Part>& parts : {std::vector<Jpeg::Part>{{1, 1, 1}},
                                               {{1, 2, 2}},
                                               {{1, 1, 1}, {2, 1, 1}, {3, 1, 1}},
                                               {{1, 2, 1}, {2, 1, 1}, {3, 1, 1}},
                                               {{1, 1, 2}, {2, 1, 1}, {3, 1, 1}},
                                               {{1, 2, 2}, {2, 1, 1}, {3, 1, 1}},
                                               {{1, 4, 2}, {2, 1, 1}, {3, 2, 2}},
                                               {{1, 2, 2}, {2, 2, 1}, {3, 1, 2}}}) {
    for (const auto& [w, h] : {std::pair{1U, 1U}, {16U, 16U}, {17U, 33U}, {70U, 20U}}) {
      const Jpeg jpeg{.width = w, .height = h, .parts = parts};
      const Tensor image = picture_of(jpeg.file());
      BOOST_TEST_CONTEXT(parts.size() << " parts, " << int{parts[0].h} << " x " << int{parts[0].v} << ", " << w << " x "
                                      << h) {
        BOOST_TEST(image.size(0) == h);
        BOOST_TEST(image.size(1) == w);
        BOOST_TEST(same_bits(picture_of(jpeg.progressive()), image));
        ByteVector separate = joined({kJpegBegin, jpeg_tables(), jpeg.frame()});
        for (const std::size_t i : jpeg.all_parts()) append(separate, jpeg.scan({i}));
        BOOST_TEST(same_bits(picture_of(joined({separate, kJpegEnd})), image));
        for (const std::uint32_t interval : {1U, 3U, 100U}) {
          Jpeg restarts = jpeg;
          restarts.restart_interval = interval;
          BOOST_TEST(same_bits(picture_of(restarts.file()), image));
          BOOST_TEST(same_bits(picture_of(restarts.progressive()), image));
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(half_resolution_is_interpolated) {
  Jpeg jpeg{.width = 16, .height = 16, .parts = {{'R', 2, 2}, {'G', 1, 1}, {'B', 1, 1}}};
  jpeg.block = [](std::size_t part, std::uint32_t, std::uint32_t) {
    Block b{};
    b[1] = part == 1 ? 300 : 0;  // green rises from one side to the other
    return b;
  };
  const Tensor image = picture_of(jpeg.file());
  Block b{};
  b[1] = 300;
  for (int x = 0; x < 16; ++x) {
    const double near = std::round(sample_of(b, 0, x / 2));
    const double far = std::round(sample_of(b, 0, std::min(7, std::max(0, x % 2 == 0 ? x / 2 - 1 : x / 2 + 1))));
    const auto pixel = image.data<std::uint8_t>() + 3 * (5 * 16 + x);
    BOOST_TEST(std::abs(pixel[1] - (3 * near + far) / 4) <= 1);
    BOOST_TEST(int{pixel[0]} == 128);
  }
}

BOOST_AUTO_TEST_CASE(colours_are_converted) {
  const auto near = [](const std::vector<int>& got, const std::vector<double>& expected) {
    BOOST_REQUIRE(got.size() == expected.size());
    for (std::size_t i = 0; i < got.size(); ++i) BOOST_TEST(std::abs(got[i] - expected[i]) <= 1);
  };
  near(first_pixel(picture_of(plain({100, 90, 200}, {}))),
       {100 + 1.402 * 72, 100 - 0.344136 * -38 - 0.714136 * 72, 100 + 1.772 * -38});
  // Adobe writes 255 minus the ink: with white paper, light is what neither the ink nor the black takes.
  near(first_pixel(picture_of(plain({200, 100, 50, 128}, kAdobeCmyk))),
       {200 * 128 / 255.0, 100 * 128 / 255.0, 50 * 128 / 255.0});
  near(first_pixel(picture_of(plain({255, 255, 255, 255}, kAdobeCmyk))), {255, 255, 255});
  near(first_pixel(picture_of(plain({255, 255, 255, 0}, kAdobeCmyk))), {0, 0, 0});
  // YCCK: the three inks as a YCbCr picture of them; black as before.
  near(first_pixel(picture_of(plain({60, 128, 128, 255}, kAdobeYcck))), {195, 195, 195});
  near(first_pixel(picture_of(plain({100, 90, 150, 128}, kAdobeYcck))),
       {(255 - (100 + 1.402 * 22)) * 128 / 255, (255 - (100 + 0.344136 * 38 - 0.714136 * 22)) * 128 / 255,
        (255 - (100 - 1.772 * 38)) * 128 / 255});
}

BOOST_AUTO_TEST_CASE(orientation_is_applied) {
  const auto corners = [](const Tensor& image) {  // 0 dark, 1 bright: above left, above right, below left, below right
    const auto at = [&](Index y, Index x) { return int{image.data<std::uint8_t>()[y * image.size(1) + x]}; };
    return std::vector<int>{at(0, 0), at(0, image.size(1) - 1), at(image.size(0) - 1, 0),
                            at(image.size(0) - 1, image.size(1) - 1)};
  };
  const std::vector<int> c = corners(picture_of(two_blocks({})));
  BOOST_REQUIRE((c[0] != c[1] && c[0] != c[2] && c[1] != c[3]));
  // Where the corners of the file's picture come to lie: EXIF 2.3, "the 0th row is the visual top" and so on.
  const std::vector<std::vector<int>> expected{
      {c[0], c[1], c[2], c[3]}, {c[1], c[0], c[3], c[2]}, {c[3], c[2], c[1], c[0]}, {c[2], c[3], c[0], c[1]},
      {c[0], c[2], c[1], c[3]}, {c[2], c[0], c[3], c[1]}, {c[3], c[1], c[2], c[0]}, {c[1], c[3], c[0], c[2]}};
  for (std::uint8_t orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {false, true}) {
      const Tensor image = picture_of(two_blocks(exif(orientation, little)));
      BOOST_TEST_CONTEXT("orientation " << int{orientation}) {
        BOOST_TEST(image.shape() == (orientation < 5 ? Shape({8, 16, 1}) : Shape({16, 8, 1})));
        BOOST_TEST(corners(image) == expected[orientation - 1U], boost::test_tools::per_element());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(exif_without_sense_is_ignored) {
  const Tensor image = picture_of(two_blocks({}));
  for (const ByteVector& segment :
       {exif(0), exif(9), exif(6, false, 4), jpeg_segment(0xE1, {'E', 'x', 'i', 'f', 0, 0}),
        jpeg_segment(0xE1, {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 255, 255, 255, 255}),
        jpeg_segment(0xE1, {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 255, 255, 1})}) {
    BOOST_TEST(same_bits(picture_of(two_blocks(segment)), image));
  }
  BOOST_TEST(same_bits(picture_of(two_blocks(joined({exif(1), exif(6)}))), image));  // the first counts
}

BOOST_AUTO_TEST_CASE(zeros_may_follow_and_fill_bytes_stand_before_markers) {
  const Jpeg jpeg;
  const Tensor image = picture_of(jpeg.file());
  BOOST_TEST(same_bits(picture_of(joined({jpeg.file(), ByteVector(4096)})), image));
  BOOST_TEST(same_bits(
      picture_of(joined({kJpegBegin, jpeg_tables(), {0xFF, 0xFF}, jpeg.frame(), jpeg.scan({0}), {0xFF}, kJpegEnd})),
      image));
  BOOST_TEST(same_bits(
      picture_of(joined({kJpegBegin, jpeg_tables(), jpeg.frame(), jpeg.scan({0}), {0, 0, 0}, kJpegEnd})), image));
  BOOST_TEST(
      same_bits(picture_of(joined({kJpegBegin, jpeg_segment(0xFE, {'h', 'i'}), jpeg_segment(0xE2, ByteVector(300)),
                                   jpeg_tables(), jpeg.frame(), jpeg.scan({0}), kJpegEnd})),
                image));
}

// Row J14.
BOOST_AUTO_TEST_CASE(values_beyond_any_picture_are_undefined_nowhere) {
  Jpeg jpeg;
  jpeg.block = [](std::size_t, std::uint32_t x, std::uint32_t y) {
    Block b{};
    for (std::size_t k = 0; k < 64; ++k) b[k] = (x + y + k) % 2 == 0 ? 1023 : -1023;
    return b;
  };
  ByteVector quantiser{0x10};  // 16 bits
  quantiser.insert(quantiser.end(), 128, 0xFF);
  const ByteVector bytes = joined({kJpegBegin, jpeg_segment(0xDB, quantiser), jpeg_dc_table(), jpeg_ac_table(),
                                   jpeg.frame(), jpeg.scan({0}), kJpegEnd});
  BOOST_TEST(same_bits(picture_of(bytes), picture_of(bytes)));
}

BOOST_AUTO_TEST_CASE(errors_name_the_place_and_the_reason) {
  const Jpeg jpeg;
  const std::string size = std::to_string(jpeg.file().size());
  BOOST_TEST(picture_error(joined({jpeg.file(), jpeg.file()})) ==
             ", byte " + size + ": expected nothing but zeros after the end of the picture; got a second JPEG");
  const std::string four = picture_error(Jpeg{.parts = {{1, 1, 1}, {2, 1, 1}, {3, 1, 1}, {4, 1, 1}}}.file());
  BOOST_TEST(four == ": expected an Adobe marker that says what four components are, CMYK or YCCK; got none");
  BOOST_TEST(picture_error(with_byte(jpeg.file(), 2 + jpeg_tables().size() + 1, 0xC9)) ==
             ", byte " + std::to_string(2 + jpeg_tables().size()) +
                 ": expected a baseline or progressive JPEG; got one with arithmetic codes");
}

BOOST_AUTO_TEST_SUITE_END()
