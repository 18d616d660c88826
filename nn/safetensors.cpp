#include <tapestry/nn/safetensors.h>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/json_reader.h>

namespace tapestry::nn {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are written as they lie in memory");

constexpr std::int64_t kPrefix = 8;                    // bytes: the length of the header
constexpr std::int64_t kMaxHeader = 16 * 1024 * 1024;  // bytes; a tensor takes about 100
constexpr std::size_t kMaxEntries = 65'536;
constexpr std::size_t kMaxName = 1024;  // bytes
constexpr std::string_view kMetadata = "__metadata__";

constexpr std::pair<std::string_view, Dtype> kDtypes[] = {{"F32", f32}, {"F64", f64}, {"BF16", bf16},   {"I64", i64},
                                                          {"I32", i32}, {"U8", u8},   {"BOOL", boolean}};

std::string_view code_of(Dtype dtype) {
  return std::find_if(std::begin(kDtypes), std::end(kDtypes), [=](const auto& d) { return d.second == dtype; })->first;
}

/// Empty when the name is fine, else what it must be.
std::string name_fault(std::string_view name) {
  if (name.empty()) return "not be empty";
  if (name.size() > kMaxName) return fmt::format("have at most {} bytes", kMaxName);
  if (name.find('\0') != name.npos) return "have no NUL";
  return "";
}

// --- reading

struct Entry {
  std::string name;
  Dtype dtype = f32;
  Shape shape;
  std::int64_t begin = 0, end = 0;  ///< bytes in the data
  std::int64_t offset = 0;          ///< of its description in the file
};

/// Says what a file that is no safetensors file is instead.
void check_kind(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  using namespace std::string_view_literals;
  static constexpr std::pair<std::string_view, std::string_view> kinds[] = {
      {"PK\x03\x04"sv, "a zip archive (PyTorch's .pt or NumPy's .npz)"},
      {"\x80\x02"sv, "a Python pickle (an old PyTorch file)"},
      {"\x80\x03"sv, "a Python pickle"},
      {"\x80\x04"sv, "a Python pickle"},
      {"\x80\x05"sv, "a Python pickle"},
      {"\x89HDF\r\n\x1a\n"sv, "an HDF5 file"},
      {"\x1f\x8b"sv, "a gzip file"},
      {"\x93NUMPY"sv, "a NumPy .npy file"}};
  for (const auto& [magic, kind] : kinds) {
    if (bytes.size() < magic.size() || std::memcmp(bytes.data(), magic.data(), magic.size()) != 0) continue;
    // A header of 640 bytes and more begins like a pickle: the '{' decides.
    if (bytes.size() > kPrefix && bytes[kPrefix] == std::byte{'{'} && magic.size() == 2) continue;
    throw FileError(path, 0, "it must be a safetensors file", std::string(kind));
  }
}

std::int64_t header_length(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  check_kind(bytes, path);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size < kPrefix)
    throw FileError(path, 0, "it must begin with 8 bytes, the header's length", fmt::format("{} bytes", size));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kPrefix);
  if (length > kMaxHeader)
    throw FileError(path, 0, fmt::format("the header must have at most {} bytes", kMaxHeader),
                    fmt::format("{}", length));
  if (static_cast<std::int64_t>(length) > size - kPrefix) {
    throw FileError(path, 0, fmt::format("the header must end within the file's {} bytes", size),
                    fmt::format("a length of {}", length));
  }
  return static_cast<std::int64_t>(length);
}

Dtype read_dtype(JsonReader& json, const std::string& name) {
  const std::string code = json.string();
  for (const auto& [known, dtype] : kDtypes) {
    if (known == code) return dtype;
  }
  json.fail(fmt::format("the dtype of {} one of F32, F64, BF16, I64, I32, U8, BOOL", name), code);
}

std::vector<std::int64_t> read_integers(JsonReader& json, std::size_t most, const std::string& what) {
  std::vector<std::int64_t> out;
  json.expect('[');
  if (json.accept(']')) return out;
  do {
    if (out.size() == most) json.fail(fmt::format("at most {} numbers in {}", most, what), "more");
    out.push_back(json.integer());
  } while (json.accept(','));
  json.expect(']');
  return out;
}

Shape to_shape(const std::vector<std::int64_t>& extents, const JsonReader& json, const std::string& name) {
  try {
    return Shape(std::span<const Index>(extents));
  } catch (const std::invalid_argument&) {
    json.fail(fmt::format("the elements of {} countable", name), "a shape with more than 2^62");
  }
}

Entry read_entry(JsonReader& json, std::string name) {
  Entry entry;
  entry.name = std::move(name);
  entry.offset = json.offset();
  std::set<std::string> seen;
  std::vector<std::int64_t> offsets;
  json.expect('{');
  do {
    const std::string field = json.string();
    if (!seen.insert(field).second) json.fail("each field once", fmt::format("{} twice for {}", field, entry.name));
    json.expect(':');
    if (field == "dtype") entry.dtype = read_dtype(json, entry.name);
    else if (field == "shape")
      entry.shape = to_shape(read_integers(json, kMaxRank, "the shape of " + entry.name), json, entry.name);
    else if (field == "data_offsets") offsets = read_integers(json, 2, "the data_offsets of " + entry.name);
    else json.fail("fields dtype, shape and data_offsets", field);
  } while (json.accept(','));
  json.expect('}');
  if (seen.size() != 3)
    json.fail(fmt::format("dtype, shape and data_offsets for {}", entry.name), fmt::format("{} of them", seen.size()));
  if (offsets.size() != 2)
    json.fail(fmt::format("two data_offsets for {}", entry.name), fmt::format("{}", offsets.size()));
  entry.begin = offsets[0];
  entry.end = offsets[1];
  return entry;
}

void read_metadata(JsonReader& json, Metadata& metadata) {
  json.expect('{');
  if (json.accept('}')) return;
  do {
    std::string key = json.string();
    json.expect(':');
    std::string value = json.string();
    if (!metadata.emplace(key, std::move(value)).second) json.fail("each key of the metadata once", key + " twice");
    if (metadata.size() > kMaxEntries) json.fail(fmt::format("at most {} entries", kMaxEntries), "more");
  } while (json.accept(','));
  json.expect('}');
}

std::vector<Entry> read_header(JsonReader& json, Metadata& metadata) {
  std::vector<Entry> entries;
  std::set<std::string> names;
  json.expect('{');
  if (!json.accept('}')) {
    do {
      std::string name = json.string();
      if (const std::string fault = name_fault(name); !fault.empty()) {
        json.fail("a tensor's name must " + fault, fmt::format("one of {} bytes", name.size()));
      }
      if (!names.insert(name).second) json.fail("each name once", name + " twice");
      if (names.size() > kMaxEntries) json.fail(fmt::format("at most {} entries", kMaxEntries), "more");
      json.expect(':');
      if (name == kMetadata) read_metadata(json, metadata);
      else entries.push_back(read_entry(json, std::move(name)));
    } while (json.accept(','));
    json.expect('}');
  }
  json.end();
  return entries;
}

/// Every byte of the data belongs to exactly one tensor, and every tensor has the bytes that its shape needs.
void check_places(std::vector<Entry>& entries, std::int64_t data, std::int64_t data_offset,
                  const std::filesystem::path& path) {
  for (const Entry& e : entries) {
    const auto fail = [&](const std::string& expected) {
      throw FileError(path, e.offset, expected, fmt::format("[{}, {}] for {}", e.begin, e.end, e.name));
    };
    if (e.begin > e.end) fail("data_offsets must not run backwards");
    if (e.end > data) fail(fmt::format("data_offsets must end within the {} bytes of data", data));
    if (e.shape.numel() > e.end - e.begin || (e.end - e.begin) != e.shape.numel() * item_bytes(e.dtype)) {
      fail(fmt::format("data_offsets must span the bytes of {} {}", code_of(e.dtype), to_string(e.shape)));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::int64_t at = 0;
  for (const Entry& e : entries) {
    if (e.begin != at) {
      throw FileError(path, data_offset + std::min(at, e.begin),
                      e.begin > at ? "every byte of data must belong to a tensor" : "tensors must not share bytes",
                      fmt::format("{} at data byte {} where {} is next", e.name, e.begin, at));
    }
    at = e.end;
  }
  if (at != data) {
    throw FileError(path, data_offset + at, fmt::format("the data must end with the last tensor, after {} bytes", at),
                    fmt::format("{} bytes", data));
  }
}

Tensor read_tensor(const Entry& e, std::span<const std::byte> data, std::int64_t data_offset,
                   const std::filesystem::path& path) {
  const auto bytes = data.subspan(static_cast<std::size_t>(e.begin), static_cast<std::size_t>(e.end - e.begin));
  if (e.dtype == boolean) {
    const auto bad = std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; });
    if (bad != bytes.end()) {
      throw FileError(path, data_offset + e.begin + (bad - bytes.begin()),
                      fmt::format("a bool of {} must be 0 or 1", e.name),
                      fmt::format("{}", std::to_integer<int>(*bad)));
    }
  }
  Tensor y = empty(e.shape, e.dtype);
  if (!bytes.empty()) std::memcpy(y.impl().bytes(), bytes.data(), bytes.size());
  return y;
}

}  // namespace

TensorFile parse_tensors(std::span<const std::byte> bytes, const std::filesystem::path& name) {
  const std::int64_t length = header_length(bytes, name);
  JsonReader json(bytes.subspan(kPrefix, static_cast<std::size_t>(length)), kPrefix, name);
  if (length == 0 || bytes[kPrefix] != std::byte{'{'})
    json.fail("'{' as its first byte", length == 0 ? "nothing" : "another");
  TensorFile file;
  std::vector<Entry> entries = read_header(json, file.metadata);
  const std::int64_t data_offset = kPrefix + length;
  const auto data = bytes.subspan(static_cast<std::size_t>(data_offset));
  check_places(entries, static_cast<std::int64_t>(data.size()), data_offset, name);
  for (const Entry& e : entries) file.tensors.emplace(e.name, read_tensor(e, data, data_offset, name));
  return file;
}

TensorFile load_tensors(const std::filesystem::path& path) { return parse_tensors(read_file(path), path); }

// --- writing

namespace {

void check_name(const std::string& name) {
  std::string fault = name_fault(name);
  if (fault.empty() && name == kMetadata) fault = "not be that of the metadata";
  if (fault.empty() && !is_utf8(name)) fault = "be UTF-8";
  if (!fault.empty()) throw_invalid("save_tensors: a name must {}; got '{}'", fault, name.substr(0, 80));
}

std::string header_of(const std::vector<std::pair<std::string, Tensor>>& tensors, const Metadata& metadata) {
  std::string out = "{";
  append_json(out, kMetadata);
  out += ":{";
  for (const auto& [key, value] : metadata) {
    if (out.back() != '{') out += ',';
    append_json(out, key);
    out += ':';
    append_json(out, value);
  }
  out += '}';
  std::int64_t at = 0;
  for (const auto& [name, x] : tensors) {
    out += ',';
    append_json(out, name);
    const std::int64_t end = at + x.numel() * item_bytes(x.dtype());
    out += fmt::format(R"(:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", code_of(x.dtype()),
                       fmt::join(x.shape().begin(), x.shape().end(), ","), at, end);
    at = end;
  }
  out += '}';
  while (out.size() % 8 != 0) out += ' ';  // so that the data is aligned
  return out;
}

std::span<const std::byte> bytes_of(const Tensor& x) {
  return {x.impl().bytes(), static_cast<std::size_t>(x.numel() * item_bytes(x.dtype()))};
}

}  // namespace

void save_tensors(const std::map<std::string, Tensor>& tensors, const std::filesystem::path& path,
                  const Metadata& metadata) {
  for (const auto& [name, x] : tensors) {
    check_name(name);
    if (!x.defined()) throw_invalid("save_tensors: {} must be a defined tensor", name);
  }
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value))
      throw_invalid("save_tensors: metadata must be UTF-8; got other bytes at '{}'", key);
  }
  // Wide elements first: then each tensor is aligned to its elements.
  std::vector<std::pair<std::string, Tensor>> ordered(tensors.begin(), tensors.end());
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return item_bytes(a.second.dtype()) > item_bytes(b.second.dtype());
  });
  Metadata all = metadata;
  all.emplace("format", "pt");
  const std::string header = header_of(ordered, all);
  if (static_cast<std::int64_t>(header.size()) > kMaxHeader || tensors.size() >= kMaxEntries) {
    throw_invalid("save_tensors: the header must have at most {} bytes and {} entries; got {} and {}", kMaxHeader,
                  kMaxEntries, header.size(), tensors.size());
  }
  const std::uint64_t length = header.size();
  std::vector<std::span<const std::byte>> pieces{std::as_bytes(std::span(&length, 1)),
                                                 std::as_bytes(std::span(header))};
  for (const auto& [name, x] : ordered) pieces.push_back(bytes_of(x));
  write_file_atomically(path, pieces);
}

}  // namespace tapestry::nn
