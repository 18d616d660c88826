#include <tapestry/nn/safetensors.h>

#include "fuzz/fuzz.h"
#include "support/malformed_files.h"

using namespace tapestry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run(data, size,
                   [](std::span<const std::uint8_t> bytes) { (void)nn::parse_tensors(std::as_bytes(bytes), "input"); });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  for (const test::NamedFile& file : test::malformed_safetensors()) all.push_back(file.bytes);
  all.push_back(test::safetensors_file(test::safetensors_header(), 24));
  return all;
}
