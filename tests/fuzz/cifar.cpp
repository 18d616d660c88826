#include <tapestry/datasets/cifar.h>
#include <tapestry/datasets/detail/records.h>

#include "fuzz/fuzz.h"
#include "support/malformed_files.h"

using namespace tapestry;
namespace records = tapestry::datasets::records;

// The first byte chooses between CIFAR-100 and CIFAR-10.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run(data, size, [](std::span<const std::uint8_t> input) {
    if (input.empty()) return;
    const bool hundred = input[0] % 2 == 0;
    const records::Format format{.name = hundred ? "CIFAR-100" : "CIFAR-10",
                                 .fine_classes = hundred ? 100 : 10,
                                 .parents = hundred
                                                ? std::span<const std::uint8_t>(datasets::CIFAR100::coarse_of_fine())
                                                : std::span<const std::uint8_t>()};
    const auto bytes = input.subspan(1);
    fuzz::Memory source(bytes);
    FileReader reader("input", static_cast<std::int64_t>(bytes.size()), source);
    const Index count = records::count(reader, format, 10000, true);
    std::vector<std::uint8_t> images(static_cast<std::size_t>(count * records::kImageBytes));
    std::vector<std::uint8_t> fine(static_cast<std::size_t>(count));
    std::vector<std::uint8_t> coarse(static_cast<std::size_t>(count));
    records::read(reader, format, count, {images.data(), fine.data(), hundred ? coarse.data() : nullptr});
  });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  for (const test::NamedFile& file : test::malformed_cifars()) {
    all.push_back(file.bytes);
    all.back().insert(all.back().begin(), 0);
  }
  all.push_back(test::cifar100_records(1));
  all.back().insert(all.back().begin(), 0);
  all.push_back(test::cifar10_records(1));
  all.back().insert(all.back().begin(), 1);
  return all;
}
