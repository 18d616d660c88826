#include <tapestry/datasets/detail/png.h>

#include <algorithm>

#include "fuzz/fuzz.h"
#include "support/malformed_pictures.h"
#include "support/png_files.h"

using namespace tapestry;

// Checksums would stop a search at once: behind one byte that chooses, those of all chunks are put right.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run(data, size, [](std::span<const std::uint8_t> input) {
    if (input.empty()) return;
    const bool mended = input[0] != 0;
    std::vector<std::uint8_t> bytes(input.begin() + 1, input.end());
    const auto& signature = datasets::detail::png_signature;
    if (bytes.size() < signature.size()) return;
    std::ranges::copy(signature, bytes.begin());
    for (std::size_t at = 8; mended && bytes.size() - at >= 12;) {
      const std::size_t length = datasets::detail::big_endian(bytes, at, 4);
      if (length > bytes.size() - at - 12) break;
      const std::uint32_t crc = test::png_crc(std::span(bytes).subspan(at + 4, length + 4));
      for (std::size_t i = 0; i < 4; ++i) bytes[at + 8 + length + i] = static_cast<std::uint8_t>(crc >> (24 - 8 * i));
      at += length + 12;
    }
    fuzz::Memory none({});
    const FileReader reader("input", static_cast<std::int64_t>(bytes.size()), none);
    (void)datasets::detail::decode_png({reader, bytes});
  });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  const auto add = [&](std::vector<std::uint8_t> bytes) {
    bytes.insert(bytes.begin(), 1);
    all.push_back(std::move(bytes));
  };
  for (const test::NamedFile& file : test::malformed_pngs()) add(file.bytes);
  add(test::Png{}.file());
  add(test::Png{.width = 9, .height = 5, .type = 3, .palette = test::ByteVector(768, 7), .transparency = {1, 2}}
          .file());
  const test::Png wide{.width = 3, .height = 2, .depth = 16, .type = 6};
  add(wide.with_stream(test::zlib_frame(test::deflate_fixed(wide.rows()), wide.rows())));
  return all;
}
