#include <tapestry/datasets/detail/jpeg_huffman.h>

#include <algorithm>

namespace tapestry::datasets::detail {

HuffmanTable::HuffmanTable(Bytes counts, Bytes symbols) : defined_(true) {
  std::ranges::copy(symbols, symbols_.begin());
  std::uint32_t code = 0;
  std::int32_t at = 0;
  for (int length = 1; length <= 16; ++length, code *= 2) {
    const std::size_t i = static_cast<std::size_t>(length) - 1;
    place_[i] = at - static_cast<std::int32_t>(code);
    for (int left = counts[i]; left > 0; --left, ++code, ++at) {
      if (length > kFastBits) continue;
      const auto entries = fast_.begin() + static_cast<std::ptrdiff_t>(code << (kFastBits - length));
      std::fill_n(entries, 1 << (kFastBits - length),
                  Entry{static_cast<std::uint8_t>(length), symbols_[static_cast<std::size_t>(at)]});
    }
    end_[i] = code;
  }
}

std::uint32_t HuffmanTable::next_of_long(ScanBits& in, std::uint32_t bits) const {
  for (int length = kFastBits + 1; length <= 16; ++length) {
    const std::uint32_t code = bits >> (16 - length);
    const std::size_t i = static_cast<std::size_t>(length) - 1;
    if (code >= end_[i]) continue;
    in.skip(length);
    return symbols_[static_cast<std::size_t>(place_[i] + static_cast<std::int32_t>(code))];
  }
  in.fail("a code of the scan's Huffman table", "bits that are none");
}

}  // namespace tapestry::datasets::detail
