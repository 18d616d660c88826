#include <tapestry/nn/safetensors.h>

#include <string>

#include "fuzz/fuzz.h"
#include "support/malformed_files.h"

using namespace tapestry;

// JSON is read as the header of safetensors: the input is that header, its length is right, and 24 bytes follow.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run(data, size, [](std::span<const std::uint8_t> text) {
    const auto bytes = test::safetensors_file(std::string(text.begin(), text.end()), 24);
    (void)nn::parse_tensors(std::as_bytes(std::span(bytes)), "input");
  });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  for (const test::NamedFile& file : test::malformed_json())
    all.emplace_back(file.bytes.begin() + 8, file.bytes.end() - 24);
  const std::string right = test::safetensors_header();
  all.emplace_back(right.begin(), right.end());
  return all;
}
