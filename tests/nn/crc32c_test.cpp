#include <support/expect.h>

#include <vector>

#include <tapestry/nn/detail/crc32c.h>

using namespace tapestry;
using nn::detail::crc32c;
using nn::detail::crc32c_by_table;

BOOST_AUTO_TEST_SUITE(crc32c_test)

namespace {

using Bytes = std::vector<std::byte>;

Bytes counting(std::size_t count, int first = 0) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(first + static_cast<int>(i));
  return bytes;
}

/// The definition: bit after bit, divided by the polynomial.
std::uint32_t by_definition(std::span<const std::byte> bytes) {
  std::uint32_t sum = 0xFFFFFFFF;
  for (const std::byte byte : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const std::uint32_t carry = (sum ^ std::to_integer<std::uint32_t>(byte) >> bit) & 1;
      sum = sum >> 1 ^ (carry ? 0x82F63B78U : 0);
    }
  }
  return ~sum;
}

}  // namespace

// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
BOOST_AUTO_TEST_CASE(published_values) {
  for (const auto sum : {&crc32c, &crc32c_by_table}) {
    BOOST_TEST(sum(std::as_bytes(std::span("123456789", 9)), 0) == 0xE3069283U);
    BOOST_TEST(sum(Bytes(32), 0) == 0x8A9136AAU);
    BOOST_TEST(sum(Bytes(32, std::byte{0xFF}), 0) == 0x62A8AB43U);
    BOOST_TEST(sum(counting(32), 0) == 0x46DD794EU);
    BOOST_TEST(sum({}, 0) == 0U);
  }
}

BOOST_AUTO_TEST_CASE(both_ways_give_the_definitions_sum_at_every_length_and_place) {
  const Bytes all = counting(200, 77);
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t count = 0; count < 70; ++count) {
      const std::span<const std::byte> part(all.data() + begin, count);
      const std::uint32_t expected = by_definition(part);
      BOOST_TEST(crc32c(part) == expected);
      BOOST_TEST(crc32c_by_table(part) == expected);
      // In two pieces.
      BOOST_TEST(crc32c(part.subspan(count / 3), crc32c(part.first(count / 3))) == expected);
    }
  }
}

BOOST_AUTO_TEST_CASE(as_text_it_has_eight_digits) {
  BOOST_TEST(nn::detail::crc_text(0x1A) == "0000001a");
  BOOST_TEST(nn::detail::crc_text(0xFFFFFFFF) == "ffffffff");
}

BOOST_AUTO_TEST_SUITE_END()
