#include <tapestry/nn/safetensors.h>

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/nn/detail/crc32c.h>
#include <tapestry/nn/detail/safetensors_header.h>

namespace tapestry::nn {
namespace {

using detail::Entry;
using detail::kPrefix;

static_assert(std::endian::native == std::endian::little, "elements are written as they lie in memory");

std::int64_t bytes_of(const Entry& e) { return e.shape.numel() * item_bytes(e.dtype); }

std::span<const std::byte> bytes_of(const Tensor& x) {
  return {x.impl().bytes(), static_cast<std::size_t>(x.numel() * item_bytes(x.dtype()))};
}

// --- reading

class Memory final : public ByteSource {
 public:
  explicit Memory(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::int64_t read_some(std::byte* to, std::size_t most) override {
    const std::size_t count = std::min(most, bytes_.size());
    std::copy_n(bytes_.begin(), count, to);
    bytes_ = bytes_.subspan(count);
    return static_cast<std::int64_t>(count);
  }

 private:
  std::span<const std::byte> bytes_;
};

/// Refuses a file whose beginning, of which `seen` has been read, is wrong: says what it is instead where that can be
/// told.
[[noreturn]] void refuse_beginning(FileReader& file, std::string seen, std::int64_t at, const std::string& expected,
                                   const std::string& got) {
  const std::size_t before = seen.size();
  const auto there = static_cast<std::size_t>(std::min<std::int64_t>(file.size(), file_kind_bytes));
  if (there > before) {
    seen.resize(there);
    file.read(std::as_writable_bytes(std::span(seen)).subspan(before));
  }
  const std::string kind = file_kind(std::as_bytes(std::span(seen)));
  if (!kind.empty()) file.fail(FileError::nowhere, "a safetensors file", kind);
  file.fail(at, expected, got);
}

/// The JSON at the beginning.
std::string read_header_text(FileReader& file) {
  if (file.size() < kPrefix) {
    refuse_beginning(file, "", 0, "8 bytes with the header's length", fmt::format("{} bytes", file.size()));
  }
  std::string prefix(kPrefix, '\0');
  file.read(std::as_writable_bytes(std::span(prefix)));
  std::uint64_t length = 0;
  std::memcpy(&length, prefix.data(), kPrefix);
  if (length > detail::kMaxHeader) {
    refuse_beginning(file, prefix, 0, fmt::format("a header of at most {} bytes", detail::kMaxHeader),
                     fmt::format("a length of {}", length));
  }
  if (static_cast<std::int64_t>(length) > file.size() - kPrefix) {
    refuse_beginning(file, prefix, 0, fmt::format("a header that ends within the file's {} bytes", file.size()),
                     fmt::format("a length of {}", length));
  }
  std::string text(static_cast<std::size_t>(length), '\0');
  file.read(std::as_writable_bytes(std::span(text)));
  if (!text.starts_with('{')) {
    refuse_beginning(file, prefix + text, kPrefix, "'{' as the header's first byte",
                     text.empty() ? "an empty header" : "another");
  }
  return text;
}

/// Every byte of the data belongs to exactly one tensor, and every tensor has the bytes that its shape needs. Sorts the
/// tensors by place.
void check_places(std::vector<Entry>& entries, std::int64_t data, const FileReader& file) {
  for (const Entry& e : entries) {
    const auto fail = [&](const std::string& expected) {
      file.fail(e.offset, expected, fmt::format("[{}, {}] for {}", e.begin, e.end, e.name));
    };
    if (e.begin > e.end) fail("data_offsets that do not run backwards");
    if (e.end > data) fail(fmt::format("data_offsets that end within the {} bytes of data", data));
    if (e.shape.numel() > e.end - e.begin || (e.end - e.begin) != bytes_of(e)) {
      fail(fmt::format("data_offsets that span the bytes of {} {}", detail::code_of(e.dtype), to_string(e.shape)));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  const std::int64_t data_offset = file.size() - data;
  std::int64_t at = 0;
  for (const Entry& e : entries) {
    if (e.begin != at) {
      file.fail(data_offset + std::min(at, e.begin),
                e.begin > at ? "a tensor for every byte of data" : "tensors that share no bytes",
                fmt::format("{} at data byte {} where {} is next", e.name, e.begin, at));
    }
    at = e.end;
  }
  if (at != data) {
    file.fail(data_offset + at, fmt::format("the end of the data after the last tensor, {} bytes", at),
              fmt::format("{} bytes", data));
  }
}

Tensor read_tensor(const Entry& e, FileReader& file) {
  const std::int64_t offset = file.offset();
  Tensor y = empty(e.shape, e.dtype);
  const std::span<std::byte> bytes(y.impl().bytes(), static_cast<std::size_t>(bytes_of(e)));
  file.read(bytes);
  if (e.dtype == boolean) {
    const auto bad = std::ranges::find_if(bytes, [](std::byte b) { return b > std::byte{1}; });
    if (bad != bytes.end()) {
      file.fail(offset + (bad - bytes.begin()), fmt::format("0 or 1 as a bool of {}", e.name),
                fmt::format("{}", std::to_integer<int>(*bad)));
    }
  }
  return y;
}

detail::Header read_header(FileReader& file) {
  detail::Header header = detail::parse_header(read_header_text(file), file.path());
  check_places(header.entries, file.size() - file.offset(), file);
  return header;
}

/// What others see of it.
TensorFileHeader told(const detail::Header& header, std::int64_t data_bytes) {
  TensorFileHeader out{{}, header.metadata, header.checked, data_bytes};
  for (const Entry& e : header.entries) out.tensors.emplace(e.name, TensorForm{e.dtype, e.shape});
  return out;
}

/// Systems promise more memory than they have, and end the program that takes them at their word.
void check_memory(const FileReader& file, std::int64_t data) {
  const std::int64_t machine = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  if (machine > 0 && data > machine) {
    throw OutOfMemory(
        fmt::format("{}: no room for tensors of {} bytes; this machine has {}", file.path(), data, machine));
  }
}

TensorFile read_tensors(FileReader& file, const JudgeHeader& judge) {
  try {
    detail::Header header = read_header(file);
    const std::int64_t data = file.size() - file.offset();
    if (judge) judge(told(header, data));
    check_memory(file, data);
    TensorFile out{{}, std::move(header.metadata), header.checked};
    for (std::size_t i = 0; i < header.entries.size(); ++i) {
      const Entry& e = header.entries[i];
      const Tensor& x = out.tensors.emplace(e.name, read_tensor(e, file)).first->second;
      if (!out.checked) continue;
      if (const std::uint32_t sum = detail::crc32c(bytes_of(x)); sum != header.sums[i]) {
        file.fail(file.offset() - bytes_of(e),
                  fmt::format("{} with its checksum, {}", e.name, detail::crc_text(header.sums[i])),
                  "bytes with " + detail::crc_text(sum));
      }
    }
    file.expect_end();
    return out;
  } catch (const std::bad_alloc& e) {
    if (std::string_view(e.what()).starts_with(file.path())) throw;
    throw OutOfMemory(file.path() + ": " + e.what());
  }
}

}  // namespace

TensorFile parse_tensors(std::span<const std::byte> bytes, const std::string& name, Here here) {
  const CallSite site(here);
  Memory memory(bytes);
  FileReader file(name, static_cast<std::int64_t>(bytes.size()), memory);
  return read_tensors(file, {});
}

TensorFile load_tensors(const std::string& path, const JudgeHeader& judge, Here here) {
  const CallSite site(here);
  FileReader file(path);
  return read_tensors(file, judge);
}

TensorFileHeader load_header(const std::string& path, Here here) {
  const CallSite site(here);
  FileReader file(path);
  const detail::Header header = read_header(file);
  return told(header, file.size() - file.offset());
}

// --- writing

namespace {

void check_name(const std::string& name) {
  std::string fault = detail::name_fault(name);
  if (fault.empty() && name == detail::kMetadata) fault = "not be that of the metadata";
  if (fault.empty() && !detail::is_utf8(name)) fault = "be UTF-8";
  if (!fault.empty()) throw_invalid("save_tensors: a name must {}; got '{}'", fault, name.substr(0, 80));
}

}  // namespace

void save_tensors(const std::map<std::string, Tensor>& tensors, const std::string& path, const Metadata& metadata,
                  Here here) {
  const CallSite site(here);
  for (const auto& [name, x] : tensors) {
    check_name(name);
    if (!x.defined()) throw_invalid("save_tensors: {} must be a defined tensor", name);
  }
  for (const auto& [key, value] : metadata) {
    if (!detail::is_utf8(key) || !detail::is_utf8(value))
      throw_invalid("save_tensors: metadata must be UTF-8; got other bytes at '{}'", key);
    if (key == detail::kHeaderSum || key == detail::kTensorSums)
      throw_invalid("save_tensors: metadata must not have the key of a checksum; got {}", key);
  }
  // Wide elements first: then each tensor is aligned to its elements.
  std::vector<std::pair<std::string, Tensor>> ordered(tensors.begin(), tensors.end());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return item_bytes(a.second.dtype()) > item_bytes(b.second.dtype());
  });
  detail::Header header{{}, metadata, true};
  header.metadata.emplace("format", "pt");
  std::int64_t at = 0;
  for (const auto& [name, x] : ordered) {
    Entry e{name, x.dtype(), x.shape(), at, 0, 0};
    at = e.end = at + bytes_of(e);
    header.entries.push_back(std::move(e));
    header.sums.push_back(detail::crc32c(bytes_of(x)));
  }
  const std::string text = detail::header_text(header);
  if (static_cast<std::int64_t>(text.size()) > detail::kMaxHeader || tensors.size() >= detail::kMaxEntries) {
    throw_invalid("save_tensors: the header must have at most {} bytes and {} entries; got {} and {}",
                  detail::kMaxHeader, detail::kMaxEntries, text.size(), tensors.size());
  }
  AtomicFile file(path);
  const std::uint64_t length = text.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& [name, x] : ordered) file.write(bytes_of(x));
  file.commit();
}

}  // namespace tapestry::nn
