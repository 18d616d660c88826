/// What libFuzzer does, without it: a target's own files and changes of them, the same ones every time.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "fuzz/fuzz.h"

int main(int argc, char** argv) {
  if (argc == 2) {
    std::ifstream in(argv[1], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (!in) return std::fprintf(stderr, "cannot read %s\n", argv[1]), 2;
    return LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  const auto seeds = tapestry::fuzz::seeds();
  if (argc == 3 && std::string(argv[1]) == "--write") {
    std::filesystem::create_directories(argv[2]);
    for (std::size_t i = 0; i < seeds.size(); ++i) {
      std::ofstream out(std::filesystem::path(argv[2]) / std::to_string(i), std::ios::binary);
      out.write(reinterpret_cast<const char*>(seeds[i].data()), static_cast<std::streamsize>(seeds[i].size()));
      if (!out.flush()) return std::fprintf(stderr, "cannot write to %s\n", argv[2]), 2;
    }
    return 0;
  }
  if (argc != 1) return std::fprintf(stderr, "usage: %s [FILE | --write FOLDER]\n", argv[0]), 2;
  std::mt19937_64 random(1);
  constexpr std::size_t kLong = 65536;  // bytes; of longer files one change is enough
  std::size_t runs = 0;
  for (const auto& seed : seeds) {
    LLVMFuzzerTestOneInput(seed.data(), seed.size());
    const int changes = seed.size() < kLong ? 100 : 1;
    for (int i = 0; i < changes && !seed.empty(); ++i, ++runs) {
      auto bytes = seed;
      for (std::uint64_t n = 1 + random() % 4; n > 0; --n) {
        bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random() % 4 == 0 ? 255 : random());
      }
      if (random() % 8 == 0) bytes.resize(random() % bytes.size());
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
  }
  std::printf("%zu files, %zu changes of them\n", seeds.size(), runs);
}
