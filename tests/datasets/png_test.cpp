#include <boost/test/unit_test.hpp>

#include "support/expect.h"
#include "support/malformed_pictures.h"
#include "support/png_files.h"
#include "support/read_picture.h"

using namespace tapestry;
using namespace tapestry::test;

namespace {

std::vector<int> bytes_of(const Tensor& image) {
  const auto* from = image.data<std::uint8_t>();
  return {from, from + image.numel()};
}

/// A picture of random samples, its rows filtered with all filters in turn, and what must come of it.
struct Case {
  Png png;
  std::vector<int> expected;
};

/// Pixel (x, y) of a picture: its samples, of `depth` bits.
using Sample = std::uint32_t (*)(std::uint32_t x, std::uint32_t y, std::uint32_t c);

std::uint32_t noise(std::uint32_t x, std::uint32_t y, std::uint32_t c) {
  std::uint32_t z = x * 0x9E3779B9U + y * 0x85EBCA6BU + c * 0xC2B2AE35U;
  z = (z ^ z >> 15) * 0x2C1B3C6DU;
  return z ^ z >> 13;
}

/// The rows of one pass, filtered.
void append_pass(ByteVector& raw, const Png& png, std::uint32_t samples, std::uint32_t left, std::uint32_t top,
                 std::uint32_t step_x, std::uint32_t step_y) {
  if (left >= png.width || top >= png.height) return;
  const std::size_t step = std::max<std::size_t>(1, png.bits_per_pixel() / 8);
  ByteVector above;
  std::uint8_t filter = 0;
  for (std::uint32_t y = top; y < png.height; y += step_y, filter = static_cast<std::uint8_t>((filter + 1) % 5)) {
    ByteVector row;
    std::size_t bit = 0;
    for (std::uint32_t x = left; x < png.width; x += step_x) {
      for (std::uint32_t c = 0; c < samples; ++c) {
        const std::uint32_t value = noise(x, y, c) & ((1U << png.depth) - 1);
        for (int b = png.depth - 1; b >= 0; --b, ++bit) {
          if (bit % 8 == 0) row.push_back(0);
          row.back() = static_cast<std::uint8_t>(row.back() | (value >> b & 1U) << (7 - bit % 8));
        }
      }
    }
    above.resize(row.size());
    raw.push_back(filter);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const int a = i >= step ? row[i - step] : 0;
      const int b = above[i];
      const int c = i >= step ? above[i - step] : 0;
      const int p = a + b - c;
      const int nearest = std::abs(p - a) <= std::abs(p - b) && std::abs(p - a) <= std::abs(p - c) ? a
                          : std::abs(p - b) <= std::abs(p - c)                                     ? b
                                                                                                   : c;
      const std::array<int, 5> guesses{0, a, b, (a + b) / 2, nearest};
      raw.push_back(static_cast<std::uint8_t>(row[i] - guesses[filter]));
    }
    above = row;
  }
}

Case make(std::uint32_t width, std::uint32_t height, std::uint8_t depth, std::uint8_t type, bool interlaced) {
  Case made{.png = {.width = width, .height = height, .depth = depth, .type = type, .interlaced = interlaced},
            .expected = {}};
  Png& png = made.png;
  const std::uint32_t samples = png.bits_per_pixel() / depth;
  if (type == 3) {
    for (std::uint32_t i = 0; i < 3U << depth; ++i) png.palette.push_back(static_cast<std::uint8_t>(noise(i, 7, 9)));
  }
  if (interlaced) {
    for (const auto& [l, t, sx, sy] : {std::array{0U, 0U, 8U, 8U},
                                       {4U, 0U, 8U, 8U},
                                       {0U, 4U, 4U, 8U},
                                       {2U, 0U, 4U, 4U},
                                       {0U, 2U, 2U, 4U},
                                       {1U, 0U, 2U, 2U},
                                       {0U, 1U, 1U, 2U}}) {
      append_pass(png.raw, png, samples, l, t, sx, sy);
    }
  } else {
    append_pass(png.raw, png, samples, 0, 0, 1, 1);
  }
  for (std::uint32_t y = 0; y < height; ++y) {
    for (std::uint32_t x = 0; x < width; ++x) {
      for (std::uint32_t c = 0; c < samples; ++c) {
        const std::uint32_t value = noise(x, y, c) & ((1U << depth) - 1);
        if (type == 3) {
          for (std::uint32_t k = 0; k < 3; ++k) made.expected.push_back(png.palette[3 * value + k]);
        } else {
          made.expected.push_back(static_cast<int>(depth == 16 ? value >> 8 : value * 255 / ((1U << depth) - 1)));
        }
      }
    }
  }
  return made;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(png_test)

// Rows P3 to P17.
BOOST_AUTO_TEST_CASE(what_the_standard_forbids_is_refused) {
  for (const NamedFile& file : malformed_pngs()) {
    BOOST_TEST_CONTEXT(file.name) { BOOST_TEST(picture_error(file.bytes) != "accepted"); }
  }
}

// Row P18.
BOOST_AUTO_TEST_CASE(every_kind_and_depth_is_read_exactly) {
  const std::vector<std::pair<int, int>> kinds{{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1},
                                               {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
  for (const auto& [type, depth] : kinds) {
    for (const bool interlaced : {false, true}) {
      for (const auto& [w, h] : {std::pair{1U, 1U}, {2U, 3U}, {5U, 1U}, {1U, 9U}, {13U, 11U}, {33U, 20U}}) {
        const Case c = make(w, h, static_cast<std::uint8_t>(depth), static_cast<std::uint8_t>(type), interlaced);
        BOOST_TEST_CONTEXT("type " << type << ", " << depth << " bits, " << w << " x " << h
                                   << (interlaced ? ", interlaced" : "")) {
          const Tensor image = picture_of(c.png.file());
          BOOST_TEST(image.size(0) == h);
          BOOST_TEST(image.size(1) == w);
          BOOST_TEST(bytes_of(image) == c.expected, boost::test_tools::per_element());
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(transparent_colours_become_alpha) {
  const Png grey{.width = 2, .height = 1, .transparency = {0, 7}, .raw = {0, 7, 8}};
  BOOST_TEST(bytes_of(picture_of(grey.file())) == std::vector<int>({7, 0, 8, 255}), boost::test_tools::per_element());
  const Png rgb{.width = 2, .height = 1, .type = 2, .transparency = {0, 1, 0, 2, 0, 3}, .raw = {0, 1, 2, 3, 1, 2, 4}};
  BOOST_TEST(bytes_of(picture_of(rgb.file())) == std::vector<int>({1, 2, 3, 0, 1, 2, 4, 255}),
             boost::test_tools::per_element());
  const Png palette{
      .width = 2, .height = 1, .type = 3, .palette = {1, 2, 3, 4, 5, 6}, .transparency = {9}, .raw = {0, 0, 1}};
  BOOST_TEST(bytes_of(picture_of(palette.file())) == std::vector<int>({1, 2, 3, 9, 4, 5, 6, 255}),
             boost::test_tools::per_element());
  const Png wide{.width = 1, .height = 1, .depth = 16, .transparency = {1, 2}, .raw = {0, 1, 3}};  // differs below
  BOOST_TEST(bytes_of(picture_of(wide.file())) == std::vector<int>({1, 255}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(all_kinds_of_compression_are_read) {
  const Case c = make(40, 30, 8, 2, false);
  const ByteVector& raw = c.png.raw;
  const auto expect = [&](const ByteVector& stream) {
    BOOST_TEST(bytes_of(picture_of(c.png.with_stream(stream))) == c.expected, boost::test_tools::per_element());
  };
  expect(zlib_frame(deflate_stored(raw), raw));
  expect(zlib_frame(deflate_fixed(raw), raw));
  const ByteVector whole = zlib_frame(deflate_fixed(raw), raw);  // one byte in each IDAT, some IDATs empty
  ByteVector bytes = png_of_chunks({c.png.ihdr()});
  for (const std::uint8_t byte : whole)
    append(bytes, joined({png_chunk("IDAT", ByteVector{byte}), png_chunk("IDAT", {})}));
  append(bytes, Png::iend());
  BOOST_TEST(bytes_of(picture_of(bytes)) == c.expected, boost::test_tools::per_element());

  Png zeros{.width = 258, .height = 1};  // 259 zeros: one, and a copy of 258
  DeflateBits bits = fixed_block();
  bits.put_fixed(0);
  bits.put_fixed(285);
  bits.put_code(0, 5);
  bits.put_fixed(256);
  BOOST_TEST(
      bytes_of(picture_of(zeros.with_stream(zlib_frame(bits.bytes(), zeros.rows())))) == std::vector<int>(258, 0),
      boost::test_tools::per_element());
}

// Row P19.
BOOST_AUTO_TEST_CASE(a_million_empty_chunks_and_long_texts_are_skipped) {
  const Png png;
  ByteVector bytes = png_of_chunks({png.ihdr()});
  const ByteVector empty_chunk = png_chunk("tEXt", {});
  for (int i = 0; i < 1000000; ++i) append(bytes, empty_chunk);
  append(bytes, png_chunk("zTXt", ByteVector(1 << 22, 'x')));
  append(bytes, joined({png.idat(), Png::iend()}));
  BOOST_TEST(picture_of(bytes).shape() == Shape({8, 8, 1}));
}

BOOST_AUTO_TEST_CASE(errors_name_the_place_in_the_file) {
  const Png grey;
  BOOST_TEST(picture_error(grey.with_stream(zlib_frame({7}, grey.rows()))) ==
             ", byte 44: expected a stored block or one with codes; got kind 3");
  BOOST_TEST(picture_error(png_of_chunks({grey.ihdr(), png_chunk("ABCD", {}), grey.idat(), Png::iend()})) ==
             ", byte 33: expected IHDR, PLTE, IDAT, IEND as critical chunks; got ABCD");
  BOOST_TEST(picture_error(Png{.width = 1, .height = 1, .type = 3, .palette = ByteVector(6), .raw = {0, 9}}.file()) ==
             ": expected pixels below the palette's 2 entries; got 9");
}

BOOST_AUTO_TEST_SUITE_END()
