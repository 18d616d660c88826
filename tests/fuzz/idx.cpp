#include <algorithm>
#include <string>

#include <tapestry/datasets/detail/idx_file.h>

#include "fuzz/fuzz.h"
#include "support/idx_files.h"
#include "support/malformed_files.h"

using namespace tapestry;

// The first byte chooses: the file as it is, or a frame of gzip around the rest as deflated bytes, with a length that
// it gives too. Contents are looked at before their checksum is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run(data, size, [](std::span<const std::uint8_t> input) {
    if (input.empty()) return;
    std::vector<std::uint8_t> bytes(input.begin() + 1, input.end());
    if (input[0] % 2 != 0) {
      test::Gzip gzip{.deflated = bytes, .raw = {}};
      const std::size_t wanted = std::min<std::size_t>(std::size_t{input[0]} * 16, bytes.size());
      gzip.raw.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(wanted));
      bytes = gzip.file();
    }
    fuzz::Memory source(bytes);
    datasets::detail::IdxFile file(FileReader("input", static_cast<std::int64_t>(bytes.size()), source), 1 << 24);
    (void)file.read();
  });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  const auto add = [&](std::vector<std::uint8_t> bytes, std::uint8_t choice) {
    bytes.insert(bytes.begin(), choice);
    all.push_back(std::move(bytes));
  };
  for (const test::NamedFile& file : test::malformed_idx()) add(file.bytes, 0);
  for (const auto& contents : {test::idx_images(1), test::idx_labels(40)}) {
    add(contents, 0);
    add(test::gzip_fixed(contents), 0);
    add(test::deflate_fixed(contents), 3);
    add(test::deflate_stored(contents), 3);
  }
  return all;
}
