#include <tapestry/datasets/patterns.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/detail/draw_pattern.h>
#include <tapestry/datasets/detail/records.h>

namespace tapestry::datasets {
namespace {

constexpr std::size_t kFullTrain = 50'000;
constexpr std::size_t kFullTest = 10'000;
constexpr int kCoarse = 20;
constexpr int kFine = 100;
constexpr Index kPerTask = 16;  // images, about 1 ms

struct Names {
  std::vector<std::string> fine, coarse;
};

const Names& names() {
  static const Names all = [] {
    Names n;
    for (const char* colour : {"amber", "azure", "green", "red", "violet"}) {
      for (const char* texture : {"checked", "dotted", "plain", "striped"}) {
        n.coarse.push_back(std::string(colour) + '_' + texture);
      }
    }
    for (const char* shape : {"cross", "disc", "ring", "square", "triangle"}) {
      for (const std::string& rest : n.coarse) n.fine.push_back(std::string(shape) + '_' + rest);
    }
    return n;
  }();
  return all;
}

constexpr std::array<std::uint8_t, kFine> kCoarseOfFine = [] {
  std::array<std::uint8_t, kFine> table{};
  for (std::size_t fine = 0; fine < table.size(); ++fine) table[fine] = static_cast<std::uint8_t>(fine % kCoarse);
  return table;
}();

const records::Format kFormat{"Patterns", kFine, kCoarseOfFine};

std::size_t checked_size(const char* what, std::size_t size, std::size_t full) {
  if (size > full) throw_invalid("patterns: {} must be at most {}; got {}", what, full, size);
  return size;
}

/// Record `index` of a split, in CIFAR-100's format.
void draw_record(std::uint64_t seed, bool train, Index index, std::uint8_t* record) {
  const int fine = static_cast<int>(index * 37 % kFine);
  const int coarse = fine % kCoarse;
  record[0] = static_cast<std::uint8_t>(coarse);
  record[1] = static_cast<std::uint8_t>(fine);
  const std::uint64_t stream = (train ? 0 : 1ULL << 40) + static_cast<std::uint64_t>(index);
  draw_pattern(seed, stream, {fine / kCoarse, coarse / 4, coarse % 4}, std::span<std::uint8_t, 3072>(record + 2, 3072));
}

/// The records of a split as if they lay in a file. Every read must ask for whole records.
class DrawnRecords final : public ByteSource {
 public:
  DrawnRecords(std::uint64_t seed, bool train, std::size_t size)
      : seed_(seed), train_(train), size_(static_cast<Index>(size)) {}

  [[nodiscard]] FileReader file() {
    return {train_ ? "drawn train.bin" : "drawn test.bin", size_ * kFormat.record_bytes(), *this};
  }

  std::int64_t read_some(std::byte* to, std::size_t wanted) override {
    const Index bytes = kFormat.record_bytes();
    const Index count = std::min(static_cast<Index>(wanted) / bytes, size_ - next_);
    auto* const records = reinterpret_cast<std::uint8_t*>(to);
    parallel_for(count, kPerTask, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) draw_record(seed_, train_, next_ + i, records + i * bytes);
    });
    next_ += count;
    return count * bytes;
  }

 private:
  std::uint64_t seed_;
  bool train_;
  Index size_;
  Index next_ = 0;
};

LabelledContent draw_all(const PatternsOptions& options, const Here& here) {
  const CallSite site(here);
  const std::size_t full = options.train ? kFullTrain : kFullTest;
  const std::size_t size = options.size == 0 ? full : checked_size("size", options.size, full);
  LabelledContent content;
  content.fine_classes = names().fine;
  content.coarse_classes = names().coarse;
  DrawnRecords drawn(options.seed, options.train, size);
  FileReader file = drawn.file();
  const auto count = static_cast<Index>(size);
  records::read(file, kFormat, count, records::allocate(content, kFormat, count));
  return content;
}

void write_records(const std::string& path, DrawnRecords drawn) {
  FileReader records = drawn.file();
  AtomicFile file(path);
  std::vector<std::byte> chunk;
  while (records.offset() < records.size()) {
    const Index most = 1024 * kFormat.record_bytes();  // 3 MB
    chunk.resize(static_cast<std::size_t>(std::min(most, records.size() - records.offset())));
    records.read(chunk);
    file.write(chunk);
  }
  file.commit();
}

void write_names(const std::string& path, std::span<const std::string> lines) {
  std::string text;
  for (const std::string& line : lines) text += line + '\n';
  write_file(path, text);
}

}  // namespace

Patterns::Patterns(Options options, Here here)
    : LabelledImages(draw_all(options, here), options.labels, std::move(options.transform),
                     std::move(options.target_transform)) {}

std::span<const std::string> Patterns::fine_names() { return names().fine; }
std::span<const std::string> Patterns::coarse_names() { return names().coarse; }
std::span<const std::uint8_t, 100> Patterns::coarse_of_fine() noexcept { return kCoarseOfFine; }

void write_patterns(const std::string& folder, const WritePatternsOptions& options, Here here) {
  const CallSite site(here);
  for (const auto& [what, size, full] : {std::tuple{"train_size", options.train_size, kFullTrain},
                                         std::tuple{"test_size", options.test_size, kFullTest}}) {
    if (checked_size(what, size, full) == 0) throw_invalid("patterns: {} must be at least 1; got 0", what);
  }
  make_folder(folder);
  const std::filesystem::path in = folder;
  write_names(in / "fine_label_names.txt", names().fine);
  write_names(in / "coarse_label_names.txt", names().coarse);
  write_records(in / "train.bin", {options.seed, true, options.train_size});
  write_records(in / "test.bin", {options.seed, false, options.test_size});
}

}  // namespace tapestry::datasets
