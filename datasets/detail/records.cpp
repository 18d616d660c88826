#include <tapestry/datasets/detail/records.h>

#include <algorithm>
#include <array>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>

namespace tapestry::datasets::records {
namespace {

constexpr Index kRecordsPerRead = 1024;  // 3 MB: the only memory a load needs beside its result
constexpr Index kRecordsPerTask = 64;    // about 100 us

/// ", the size of ..." or ", a gzip file, ...": what a file of the wrong size may be. Reads its first bytes.
std::string resemblance(FileReader& file) {
  if (file.size() == 153'700'000) return ", the size of CIFAR-100's train.bin";
  if (file.size() == 30'740'000) return ", the size of CIFAR-100's test.bin";
  if (file.size() == 30'730'000) return ", the size of a CIFAR-10 file";
  std::array<std::byte, file_kind_bytes> head;
  const auto known = std::span(head).first(std::min(static_cast<std::size_t>(file.size()), head.size()));
  file.read(known);
  const std::string kind = file_kind(known);
  return kind.empty() ? kind : ", " + kind;
}

void check_labels(const FileReader& file, const Format& format, std::span<const std::uint8_t> chunk, Index first) {
  const Index bytes = format.record_bytes();
  const Index labels = format.label_bytes();
  const Index records = static_cast<Index>(chunk.size()) / bytes;
  for (Index i = 0; i < records; ++i) {
    const std::uint8_t* record = chunk.data() + i * bytes;
    const Index offset = (first + i) * bytes;
    const Index fine = record[labels - 1];
    if (fine >= format.fine_classes) {
      file.fail(offset + labels - 1,
                format_message("record {} with a {}label below {}", first + i, labels == 2 ? "fine " : "",
                               format.fine_classes),
                std::to_string(fine));
    }
    if (labels == 2 && record[0] != format.parents[static_cast<std::size_t>(fine)]) {
      file.fail(offset,
                format_message("record {} with coarse label {}, that of fine label {}", first + i,
                               int{format.parents[static_cast<std::size_t>(fine)]}, fine),
                std::to_string(record[0]));
    }
  }
}

void unpack(const std::uint8_t* record, Index labels, Index position, const Destination& to) {
  to.fine[position] = record[labels - 1];
  if (labels == 2) to.coarse[position] = record[0];
  unpack_planes(record + labels, to.images + position * kImageBytes);
}

}  // namespace

void unpack_planes(const std::uint8_t* planes, std::uint8_t* pixels) {
  for (Index p = 0; p < kPixels; ++p) {
    for (Index c = 0; c < kChannels; ++c) pixels[p * kChannels + c] = planes[c * kPixels + p];
  }
}

Destination allocate(LabelledContent& content, const Format& format, Index count) {
  content.data = empty({count, kSide, kSide, kChannels}, u8);
  content.fine = empty({count}, u8);
  if (format.label_bytes() == 2) content.coarse = empty({count}, u8);
  return {content.data.mutable_data<std::uint8_t>(), content.fine.mutable_data<std::uint8_t>(),
          content.coarse.defined() ? content.coarse.mutable_data<std::uint8_t>() : nullptr};
}

Index count(FileReader& file, const Format& format, Index expected, bool allow_partial) {
  const Index record = format.record_bytes();
  const Index whole = expected * record;
  const Index size = file.size();
  if (size == whole) return expected;
  const Index records = size / record;
  const Index rest = size % record;
  if (allow_partial && rest == 0 && size > 0 && size < whole) return records;
  const std::string contents = rest == 0 ? format_message("{} records", records)
                                         : format_message("record {} is cut after {} of {}", records, rest, record);
  file.fail(FileError::nowhere, format_message("{} bytes ({} {} records of {})", whole, expected, format.name, record),
            format_message("{} bytes{} ({})", size, resemblance(file), contents));
}

void read(FileReader& file, const Format& format, Index count, const Destination& to) {
  const Index bytes = format.record_bytes();
  std::vector<std::uint8_t> chunk;
  for (Index first = 0; first < count; first += kRecordsPerRead) {
    const Index records = std::min(kRecordsPerRead, count - first);
    chunk.resize(static_cast<std::size_t>(records * bytes));
    file.read(std::as_writable_bytes(std::span(chunk)));
    if (first == 0) {
      const std::string kind = file_kind(std::as_bytes(std::span(chunk)));
      if (!kind.empty()) file.fail(FileError::nowhere, format_message("{} records", format.name), kind);
    }
    check_labels(file, format, chunk, first);
    parallel_for(records, kRecordsPerTask, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) unpack(chunk.data() + i * bytes, format.label_bytes(), first + i, to);
    });
  }
}

std::vector<std::string> read_names(const std::string& path, std::size_t expected, const std::string& advice) {
  constexpr std::int64_t kLargest = 1 << 16;  // bytes; the longest real one has 700
  const std::string text = read_text_file(path, {.limit = kLargest, .advice = advice});
  std::vector<std::string> names(1);
  for (const char c : text) {
    if (c == '\n') names.emplace_back();
    else if (c != '\r') names.back().push_back(c);
  }
  while (!names.empty() && names.back().empty()) names.pop_back();
  if (names.size() != expected) {
    throw FileError(path, FileError::nowhere, format_message("{} lines with class names", expected),
                    format_message("{} lines", names.size()), advice);
  }
  return names;
}

}  // namespace tapestry::datasets::records
