#include <tapestry/datasets/image_file.h>

#include <malloc.h>

#include <boost/test/unit_test.hpp>

#include "datasets/files.h"
#include "support/child.h"
#include "support/expect.h"
#include "support/jpeg_files.h"
#include "support/malformed_pictures.h"
#include "support/png_files.h"
#include "support/read_picture.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

Tensor picture(Index h, Index w, Index c) {
  Tensor image = empty({h, w, c}, u8);
  auto* byte = image.mutable_data<std::uint8_t>();
  for (Index i = 0; i < image.numel(); ++i) byte[i] = static_cast<std::uint8_t>(i * i * 7 + i * 13);
  return image;
}

ByteVector png_of(const Tensor& image) {
  const TemporaryFolder folder;
  write_png(folder / "x.png", image);
  return get_file(folder / "x.png");
}

/// The error for a file with these bytes, without its name; "accepted" when it is read.
std::string error_of(const ByteVector& bytes) {
  static const TemporaryFolder folder;
  const auto path = folder / "x";
  put_file(path, bytes);
  try {
    (void)read_image(path);
  } catch (const FileError& e) {
    return without_place(e.what()).substr(path.string().size());
  }
  return "accepted";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// An 8 x 8 grey baseline JPEG of one colour: one quantiser table of ones, Huffman tables with the one code that is
/// used (no difference, end of block), one block.
ByteVector grey_jpeg() {
  ByteVector bytes{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0};
  bytes.insert(bytes.end(), 64, 1);
  const ByteVector frame{0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0};
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  for (const std::uint8_t table : {std::uint8_t{0x00}, std::uint8_t{0x10}}) {
    const ByteVector head{0xFF, 0xC4, 0, 20, table, 1};  // one code of one bit, for symbol 0
    bytes.insert(bytes.end(), head.begin(), head.end());
    bytes.insert(bytes.end(), 16, 0);
  }
  const ByteVector scan{0xFF, 0xDA, 0, 8, 1, 1, 0x00, 0, 63, 0, 0x3F, 0xFF, 0xD9};
  bytes.insert(bytes.end(), scan.begin(), scan.end());
  return bytes;
}

/// Pictures that are wrong, and ones that are damaged in any way, of which some can be read.
std::vector<NamedFile> hostile_pictures() {
  std::vector<NamedFile> files = malformed_pngs();
  for (NamedFile& file : malformed_jpegs()) files.push_back(std::move(file));
  const Jpeg colour{.parts = {{1, 2, 2}, {2, 1, 1}, {3, 1, 1}}};
  for (const ByteVector& whole : {colour.file(), colour.progressive()}) {
    for (std::size_t bit = 0; bit < whole.size() * 8; bit += 5) {
      ByteVector bytes = whole;
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      files.push_back({"bit " + std::to_string(bit), bytes});
    }
  }
  return files;
}

/// What reading them gives - a text or pixels - where memory that nobody has written holds `filler`.
std::string outcomes(const std::vector<NamedFile>& files, int filler) {
  ::mallopt(M_PERTURB, filler);
  std::string all;
  for (const NamedFile& file : files) {
    empty_cache();
    all += file.name;
    try {
      const Tensor image = picture_of(file.bytes);
      const auto* pixels = image.data<std::uint8_t>();
      all += ": " + to_string(image.shape()) + std::string(pixels, pixels + image.numel()) + '\n';
    } catch (const std::exception& e) {
      const std::string text = e.what();
      all += text.substr(std::min(text.find(": expected"), text.size())) + '\n';
    }
  }
  return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(image_file_test)

BOOST_AUTO_TEST_CASE(memory_that_nobody_wrote_never_becomes_pixels) {
  const std::vector<NamedFile> files = hostile_pictures();
  const ChildResult one = in_child([&] { return outcomes(files, 0x55); }, {.seconds = 120});
  const ChildResult other = in_child([&] { return outcomes(files, 0x0F); }, {.seconds = 120});
  BOOST_TEST(one.ended_well());
  BOOST_TEST(other.ended_well());
  BOOST_TEST(one.output.size() > 10000U);
  BOOST_TEST((one.output == other.output));
}

BOOST_AUTO_TEST_CASE(no_hostile_file_ends_the_process) {
  const std::vector<NamedFile> files = hostile_pictures();
  const ChildResult child = in_child(
      [&] {
        for (const NamedFile& file : files) (void)picture_error(file.bytes);
        return std::string("alive");
      },
      {.seconds = 120});
  BOOST_TEST(child.signal == 0);
  BOOST_TEST(child.output == "alive");
}

BOOST_AUTO_TEST_CASE(what_is_written_as_png_is_read_back_exactly) {
  const TemporaryFolder folder;
  for (Index channels = 1; channels <= 4; ++channels) {
    for (const auto& [h, w] : {std::pair<Index, Index>{1, 1}, {5, 7}, {32, 32}, {3, 300}}) {
      const Tensor image = picture(h, w, channels);
      write_png(folder / "x.png", image);
      BOOST_TEST(same_bits(read_image(folder / "x.png", {.channels = 0}), image));
    }
  }
}

BOOST_AUTO_TEST_CASE(channels_are_converted_when_asked_for) {
  const TemporaryFolder folder;
  const Tensor grey = picture(2, 3, 1);
  write_png(folder / "x.png", grey);
  const Tensor rgb = read_image(folder / "x.png");
  BOOST_TEST(rgb.shape() == Shape({2, 3, 3}));
  for (Index i = 0; i < 18; ++i) BOOST_TEST(rgb.data<std::uint8_t>()[i] == grey.data<std::uint8_t>()[i / 3]);
  BOOST_TEST(read_image(folder / "x.png", {.channels = 4}).data<std::uint8_t>()[3] == 255);
  BOOST_TEST(error<std::invalid_argument>([&] { (void)read_image(folder / "x.png", {.channels = 5}); }) ==
             "read_image: channels must be in [0, 4]; got 5");
}

BOOST_AUTO_TEST_CASE(a_jpeg_is_read) {
  const TemporaryFolder folder;
  put_file(folder / "x.jpg", grey_jpeg());
  const Tensor image = read_image(folder / "x.jpg");
  BOOST_TEST(image.shape() == Shape({8, 8, 3}));
  BOOST_TEST(values(image) == std::vector<double>(192, 128), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(every_prefix_of_a_png_or_jpeg_is_refused) {
  for (const ByteVector& whole : {png_of(picture(4, 4, 3)), grey_jpeg()}) {
    BOOST_TEST(error_of(whole) == "accepted");
    for (std::size_t n = 0; n < whole.size(); ++n) {
      BOOST_TEST_CONTEXT(n << " of " << whole.size() << " bytes") {
        BOOST_TEST(error_of(ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))) != "accepted");
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_of_a_png_is_refused) {
  ByteVector bytes = png_of(picture(4, 4, 3));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto mask = static_cast<std::uint8_t>(1U << (bit % 8));
    bytes[bit / 8] ^= mask;
    BOOST_TEST_CONTEXT("bit " << bit) { BOOST_TEST(error_of(bytes) != "accepted"); }
    bytes[bit / 8] ^= mask;
  }
}

BOOST_AUTO_TEST_CASE(errors_say_what_is_wrong_and_where) {
  const ByteVector png = png_of(picture(4, 4, 3));
  BOOST_TEST(error_of({}) == ": expected a PNG or JPEG picture; got neither");
  BOOST_TEST(error_of({'G', 'I', 'F', '8', '9', 'a'}) == ": expected a PNG or JPEG picture; got a GIF picture");
  ByteVector bytes = png;
  bytes[30] ^= 1;
  BOOST_TEST(contains(error_of(bytes), ", byte 8: expected a chunk IHDR with the right checksum; got "));
  bytes = png;
  bytes.push_back(0);
  BOOST_TEST(contains(error_of(bytes), "expected the end of the file after IEND; got 1 more bytes"));
  bytes.assign(png.begin(), png.end() - 12);
  BOOST_TEST(contains(error_of(bytes), "expected a chunk of at least 12 bytes; got 0 more bytes"));
  bytes = grey_jpeg();
  bytes[71 + 5] = 0xFF;  // height 65,288
  BOOST_TEST(contains(error_of(bytes), "expected sides from 1 to 16384 pixels; got 8 x 65288"));
  bytes[71 + 5] = 0x3F;
  bytes[71 + 7] = 0x3F;
  BOOST_TEST(contains(error_of(bytes), "bytes can hold; got 16136 x 16136 pixels"));
}

BOOST_AUTO_TEST_CASE(a_file_that_is_missing_or_a_folder_is_refused_with_the_systems_text) {
  const TemporaryFolder folder;
  BOOST_TEST(error<FileError>([&] { (void)read_image(folder / "none.png"); }) ==
             (folder / "none.png").string() + ": cannot be read: no such file or directory");
  BOOST_TEST(error<FileError>([&] { (void)read_image(folder.path()); }) ==
             folder.path().string() + ": expected a regular file; got a folder");
}

BOOST_AUTO_TEST_CASE(only_u8_images_are_written_and_only_where_a_file_can_be) {
  const TemporaryFolder folder;
  const auto refused = [&](const Tensor& x) {
    return error<std::invalid_argument>([&] { write_png(folder / "x.png", x); });
  };
  BOOST_TEST(refused(zeros({2, 2, 3})) ==
             "write_png: image must be u8 [H, W, C] with 1 to 4 channels; got f32 [2, 2, 3]");
  BOOST_TEST(refused(picture(2, 2, 5)) ==
             "write_png: image must be u8 [H, W, C] with 1 to 4 channels; got u8 [2, 2, 5]");
  BOOST_TEST(refused(picture(0, 2, 3)) ==
             "write_png: image must be u8 [H, W, C] with 1 to 4 channels; got u8 [0, 2, 3]");
  BOOST_TEST(std::filesystem::is_empty(folder.path()));
  BOOST_CHECK_THROW(write_png(folder / "none/x.png", picture(1, 1, 1)), FileError);
}

BOOST_AUTO_TEST_SUITE_END()
