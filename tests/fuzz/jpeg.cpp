#include <tapestry/datasets/detail/jpeg.h>

#include "fuzz/fuzz.h"
#include "support/jpeg_files.h"
#include "support/malformed_pictures.h"

using namespace tapestry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run(data, size, [](std::span<const std::uint8_t> bytes) {
    if (bytes.size() < 3) return;
    fuzz::Memory none({});
    const FileReader reader("input", static_cast<std::int64_t>(bytes.size()), none);
    (void)datasets::detail::decode_jpeg({reader, bytes});
  });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  for (const test::NamedFile& file : test::malformed_jpegs()) all.push_back(file.bytes);
  const test::Jpeg colour{.parts = {{1, 2, 2}, {2, 1, 1}, {3, 1, 1}}, .restart_interval = 1};
  all.push_back(colour.file());
  all.push_back(colour.progressive());
  all.push_back(test::Jpeg{.width = 8, .height = 8}.progressive());
  return all;
}
