#include <tapestry/datasets/idx.h>

#include <boost/test/unit_test.hpp>

#include <numeric>

#include "datasets/files.h"
#include "support/expect.h"
#include "support/idx_files.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// One file in a folder of its own.
struct OneFile : TemporaryFolder {
  explicit OneFile(const ByteVector& bytes) { put_file(path(), bytes); }
  std::filesystem::path path() const { return *this / "file"; }
  Tensor read(ReadIdxOptions options = {}) const { return read_idx(path(), options); }

  /// The error without the name of the temporary folder.
  std::string error_of(ReadIdxOptions options = {}) const {
    const std::string text = error<FileError>([&] { (void)read(options); });
    const std::string folder = TemporaryFolder::path().string() + "/";
    return text.rfind(folder, 0) == 0 ? text.substr(folder.size()) : text;
  }
};

std::string refusal(const ByteVector& bytes, ReadIdxOptions options = {}) { return OneFile(bytes).error_of(options); }

ByteVector counted(std::size_t n) {
  ByteVector bytes(n);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(idx_test)

BOOST_AUTO_TEST_CASE(files_of_one_to_four_sides_are_read_plain_and_packed) {
  const std::vector<std::vector<std::uint32_t>> shapes{{1}, {3}, {24}, {2, 3}, {2, 3, 4}, {1, 2, 3, 4}};
  for (const auto& sides : shapes) {
    const Shape shape(std::vector<Index>(sides.begin(), sides.end()));
    const ByteVector elements = counted(static_cast<std::size_t>(shape.numel()));
    const ByteVector plain = idx_file(sides, elements);
    for (const ByteVector& bytes : {plain, gzip_stored(plain), gzip_fixed(plain)}) {
      const Tensor x = OneFile(bytes).read();
      BOOST_TEST(x.shape() == shape);
      BOOST_TEST(x.dtype() == u8);
      BOOST_TEST(x.to_vector<std::uint8_t>() == elements, boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(contents_that_refer_back_into_the_header_are_unpacked) {
  // 0 0 8 1 0 0 0 9, then nine bytes of which a copy from 8 bytes before gives the first ones.
  DeflateBits bits = fixed_block();
  const ByteVector beginning{0, 0, 8, 1, 0, 0, 0, 9};
  for (const std::uint8_t byte : beginning) bits.put_fixed(byte);
  bits.put_fixed(263);  // nine bytes ...
  bits.put_code(5, 5);  // ... from 7 or 8 bytes before,
  bits.put(1, 1);       // 8
  bits.put_fixed(256);
  ByteVector raw = beginning;
  append(raw, ByteVector{0, 0, 8, 1, 0, 0, 0, 9, 0});
  BOOST_TEST(OneFile(Gzip{bits.bytes(), raw}.file()).read().to_vector<std::uint8_t>() ==
                 ByteVector({0, 0, 8, 1, 0, 0, 0, 9, 0}),
             boost::test_tools::per_element());
}

// --- files that are not what they should be; the numbers are those of the list of malformed inputs

BOOST_AUTO_TEST_CASE(i1_every_cut_inside_the_header_is_refused) {
  const ByteVector whole = idx_file({2, 3}, counted(6));
  BOOST_TEST(refusal({}) == "file, byte 0: expected an IDX header; got 0 bytes in all");
  BOOST_TEST(refusal({0, 0, 8}) == "file, byte 0: expected an IDX header; got 3 bytes in all");
  for (std::ptrdiff_t n = 4; n < 12; ++n) {
    BOOST_TEST(refusal(ByteVector(whole.begin(), whole.begin() + n)) ==
               std::string("file, byte 4: expected a header of 12 bytes; got ")
                   .append(std::to_string(n))
                   .append(" bytes in all"));
  }
}

BOOST_AUTO_TEST_CASE(i2_i3_other_types_are_refused_and_those_that_exist_are_named) {
  ByteVector bytes = idx_file({2}, counted(2));
  bytes[1] = 1;
  BOOST_TEST(refusal(bytes) == "file, byte 0: expected an IDX header, which begins with two zeros; got 0 1 8 1");
  BOOST_TEST(refusal(idx_file({2}, counted(2), 7)) == "file, byte 2: expected type 8, unsigned bytes; got 7");
  BOOST_TEST(refusal(idx_file({2}, counted(2), 9)) ==
             "file, byte 2: expected type 8, unsigned bytes; got 9, signed bytes");
  BOOST_TEST(refusal(idx_file({1}, counted(4), 0x0D)) ==
             "file, byte 2: expected type 8, unsigned bytes; got 13, floats of 32 bits");
}

BOOST_AUTO_TEST_CASE(i4_no_sides_and_five_of_them_are_refused) {
  BOOST_TEST(refusal(idx_file({}, counted(1))) == "file, byte 3: expected 1 to 4 sides; got 0");
  BOOST_TEST(refusal(idx_file({1, 1, 1, 1, 1}, counted(1))) == "file, byte 3: expected 1 to 4 sides; got 5");
}

BOOST_AUTO_TEST_CASE(i5_sides_of_nothing_or_beyond_all_memory_are_refused_before_memory_is_asked_for) {
  BOOST_TEST(refusal(idx_file({2, 0}, {})) ==
             "file, byte 8: expected sides of at least 1 and of at most 1073741824 elements in all; got 0 for side 1");
  BOOST_TEST(refusal(idx_file({0xFFFFFFFF}, {})) ==
             "file, byte 4: expected sides of at least 1 and of at most 1073741824 elements in all; got 4294967295 for "
             "side 0");
  BOOST_TEST(refusal(idx_file({65536, 65536, 65536, 65536}, {})) ==
             "file, byte 8: expected sides of at least 1 and of at most 1073741824 elements in all; got 65536 for side "
             "1");
  BOOST_TEST(refusal(idx_file({4, 5}, counted(20)), {.limit = 31}) ==
             "file, byte 8: expected sides of at least 1 and of at most 31 elements in all; got 5 for side 1");
  BOOST_TEST(OneFile(idx_file({4, 5}, counted(20))).read({.limit = 32}).numel() == 20);
}

BOOST_AUTO_TEST_CASE(i6_one_byte_less_or_more_than_the_header_says_is_refused) {
  BOOST_TEST(refusal(idx_file({2, 3}, counted(5))) ==
             "file: expected 18 bytes for [2, 3] after a header of 12; got 17");
  BOOST_TEST(refusal(idx_file({2, 3}, counted(7))) ==
             "file: expected 18 bytes for [2, 3] after a header of 12; got 19");
  BOOST_TEST(refusal(gzip_stored(idx_file({2, 3}, counted(7)))) ==
             "file, byte 38: expected 18 bytes when unpacked for [2, 3] after a header of 12; got 19");
}

BOOST_AUTO_TEST_CASE(i7_a_header_in_the_wrong_order_of_bytes_is_recognised) {
  BOOST_TEST(
      refusal({3, 8, 0, 0, 1, 0, 0, 0, 7}) ==
      "file, byte 0: expected an IDX header, which begins with two zeros; got 3 8 0 0, a header in reverse order");
}

BOOST_AUTO_TEST_CASE(files_of_other_kinds_are_named) {
  ByteVector bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n', 0, 0, 0, 13};
  BOOST_TEST(refusal(bytes) == "file, byte 0: expected an IDX header, which begins with two zeros; got a PNG picture");
  BOOST_TEST(refusal(gzip_stored({'a', 'b', 'c', 'd', 'e'})) ==
             "file: expected an IDX header, which begins with two zeros; got 97 98 99 100 at byte 0 of the unpacked "
             "contents");
}

// --- gzip's frame

BOOST_AUTO_TEST_CASE(headers_of_gzip_may_have_all_the_parts_that_there_are) {
  const ByteVector raw = idx_file({3}, {7, 8, 9});
  Gzip gzip{deflate_fixed(raw), raw, 4 | 8 | 16 | 2, {3, 0, 'x', 0, 'y', 'n', 'a', 'm', 'e', 0, 'c', 0}};
  ByteVector header{0x1F, 0x8B, 8, gzip.flags, 1, 2, 3, 4, 0, 3};
  append(header, gzip.parts);
  append_little_endian(gzip.parts, png_crc(header) & 0xFFFF, 2);
  const ByteVector right = gzip.file();
  BOOST_TEST(OneFile(right).read().to_vector<std::uint8_t>() == ByteVector({7, 8, 9}),
             boost::test_tools::per_element());
  gzip.parts.back() ^= 1;
  BOOST_TEST(refusal(gzip.file()).find("file, byte 22: expected a header with the right checksum; got ") == 0U);
  for (std::ptrdiff_t n = 2; n < 24 + 8; ++n) {
    BOOST_TEST(
        refusal(ByteVector(right.begin(), right.begin() + n)) ==
        std::string("file, byte ")
            .append(std::to_string(n))
            .append(": expected gzip's header, compressed data and 8 bytes behind them; got the end of the file"));
  }
}

BOOST_AUTO_TEST_CASE(a_frame_that_does_not_hold_what_it_says_is_refused) {
  const ByteVector raw = idx_file({3}, {7, 8, 9});
  const ByteVector right = gzip_stored(raw);
  BOOST_REQUIRE(right.size() == 34U);
  const auto with = [&](std::size_t at, std::uint8_t value) {
    ByteVector bytes = right;
    bytes[at] = value;
    return refusal(bytes);
  };
  BOOST_TEST(with(2, 7) == "file, byte 2: expected method 8, deflate; got 7");
  BOOST_TEST(with(3, 32) == "file, byte 3: expected flags below 32; got 32");
  BOOST_TEST(with(30, 12) == "file, byte 26: expected at least 12 bytes; got 11");
  BOOST_TEST(
      with(33, 1).find("file, byte 30: expected a length that 16 compressed bytes can hold; got 16777227 bytes") == 0U);
  BOOST_TEST(with(24, 6).find("file, byte 26: expected contents with the right CRC-32; got ") == 0U);
  BOOST_TEST(
      with(26, static_cast<std::uint8_t>(right[26] ^ 1)).find("file, byte 26: expected contents with the right") == 0U);
  BOOST_TEST(with(22, 4) == "file, byte 30: expected 12 bytes when unpacked for [4] after a header of 8; got 11");
}

BOOST_AUTO_TEST_CASE(what_is_behind_the_compressed_data_or_missing_from_it_is_refused) {
  const ByteVector raw = idx_file({3}, {7, 8, 9});
  BOOST_TEST(refusal(Gzip{.deflated = deflate_stored(raw), .raw = raw, .behind = {0}}.file()) ==
             "file, byte 26: expected the end of the data; got 1 more bytes");
  ByteVector two = gzip_stored(raw);
  append(two, gzip_stored(raw));
  BOOST_TEST(refusal(two) == "file, byte 26: expected the end of the data; got 34 more bytes");
  ByteVector shorter = raw;
  shorter.pop_back();
  BOOST_TEST(refusal(Gzip{deflate_stored(shorter), raw}.file()) == "file, byte 25: expected at least 11 bytes; got 10");
  ByteVector longer = raw;
  longer.push_back(1);
  BOOST_TEST(refusal(Gzip{deflate_stored(longer), raw}.file()) == "file, byte 27: expected 11 bytes in all; got more");
  BOOST_TEST(refusal(gzip_stored({})) ==
             "file: expected an IDX header; got 0 bytes in all at byte 0 of the unpacked "
             "contents");
}

BOOST_AUTO_TEST_CASE(a_packed_file_longer_than_any_contents_within_the_limit_is_not_read) {
  const OneFile file(gzip_stored(idx_file({1}, {0})));
  std::filesystem::resize_file(file.path(), 70'000);
  BOOST_TEST(file.error_of({.limit = 1000}) == "file: expected at most 66536 bytes; got 70000");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)file.read({.limit = -1}); }) ==
             "read_idx: limit must be in [0, 1099511627776]; got -1");
}

BOOST_AUTO_TEST_SUITE_END()
