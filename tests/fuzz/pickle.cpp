#include <tapestry/datasets/cifar.h>
#include <tapestry/datasets/detail/pickled_records.h>

#include "fuzz/fuzz.h"
#include "support/cifar_pickles.h"
#include "support/malformed_files.h"

using namespace tapestry;
namespace records = tapestry::datasets::records;
namespace pickled_records = tapestry::datasets::pickled_records;

// The first byte chooses between CIFAR-100 and CIFAR-10, and between images and names.
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
    datasets::LabelledContent content;
    if (input[0] % 4 >= 2) return pickled_records::read_names(reader, format, content);
    const Index room = pickled_records::room_for(reader, format, 10000, true);
    (void)pickled_records::read(reader, format, room, true, records::allocate(content, format, room));
  });
}

std::vector<std::vector<std::uint8_t>> fuzz::seeds() {
  std::vector<std::vector<std::uint8_t>> all;
  const auto add = [&](std::vector<std::uint8_t> bytes, std::uint8_t choice) {
    bytes.insert(bytes.begin(), choice);
    all.push_back(std::move(bytes));
  };
  for (const test::NamedFile& file : test::malformed_pickles()) add(file.bytes, 0);
  add(test::PickledBatch::of_records(test::cifar100_records(1), true).file(), 0);
  add(test::PickledBatch::of_records(test::cifar10_records(1), false).file(), 1);
  add(test::pickled_names(test::numbered_names("f", 100), test::numbered_names("c", 20)), 2);
  add(test::pickled_names(test::numbered_names("n", 10), {}), 3);
  return all;
}
