#include <tapestry/nn/train/detail/checkpoint_file.h>

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <span>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>

namespace tapestry::nn::train {
namespace {

/// FNV-1a (Fowler, Noll, Vo) on words of 8 bytes. Each step maps the 2^64 states one to one, so a change of a single
/// word is never lost.
class Checksum {
 public:
  void add(std::span<const std::byte> bytes) {
    word(bytes.size());  // so that the end of one piece is not the beginning of the next
    while (!bytes.empty()) {
      const std::size_t count = std::min<std::size_t>(bytes.size(), sizeof(std::uint64_t));
      std::uint64_t value = 0;
      std::memcpy(&value, bytes.data(), count);
      word(value);
      bytes = bytes.subspan(count);
    }
  }
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
  void word(std::uint64_t value) {
    constexpr std::uint64_t kPrime = 0x100000001B3;
    state_ = (state_ ^ value) * kPrime;
  }
  [[nodiscard]] std::string text() const { return fmt::format("{:016x}", state_); }

 private:
  std::uint64_t state_ = 0xCBF29CE484222325;
};

std::span<const std::byte> bytes_of(const Tensor& x) {
  return visit(x.dtype(), [&]<class T>() { return std::as_bytes(x.span<T>()); });
}

Index whole_number(const Metadata& metadata, const char* key, const char* field) {
  const auto found = metadata.find(key);
  const std::string text = found == metadata.end() ? "nothing" : found->second;
  Index value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    throw_invalid("{}: must be a whole number of at least 0; got {}", field, text);
  }
  return value;
}

}  // namespace

std::string checksum_of(const TensorFile& file) {
  Checksum sum;
  for (const auto& [name, x] : file.tensors) {
    sum.add(name);
    sum.add(name_of(x.dtype()));
    for (const Index extent : x.shape()) sum.word(static_cast<std::uint64_t>(extent));
    sum.add(bytes_of(x));
  }
  for (const auto& [key, value] : file.metadata) {
    if (key == kChecksumKey) continue;
    sum.add(key);
    sum.add(value);
  }
  return sum.text();
}

TensorFile load_complete(const std::string& path) {
  TensorFile file = load_tensors(path);
  const auto version = file.metadata.find(kVersionKey);
  const auto checksum = file.metadata.find(kChecksumKey);
  if (version == file.metadata.end() || checksum == file.metadata.end()) {
    throw FileError(path, FileError::nowhere, "a checkpoint, as train::Checkpoint writes it",
                    "tensors without a run's state");
  }
  if (version->second != kVersion) {
    throw FileError(path, FileError::nowhere, fmt::format("a checkpoint of form {}", kVersion), version->second);
  }
  const std::string sum = checksum_of(file);
  if (checksum->second != sum) {
    throw FileError(path, FileError::nowhere, fmt::format("contents with its checksum, {}", checksum->second), sum);
  }
  return file;
}

Position position_in(const Metadata& metadata) {
  return {whole_number(metadata, kEpochKey, "epoch"), whole_number(metadata, kStepKey, "step")};
}

std::string text_of(double number) { return fmt::format("{}", number); }

double number_in(const std::string& field, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw_invalid("{}: must be a number; got {}", field, text);
  }
  return value;
}

Settings entries_of(const Metadata& metadata, const std::string& prefix) {
  Settings out;
  for (auto entry = metadata.lower_bound(prefix); entry != metadata.end() && entry->first.starts_with(prefix); ++entry)
    out.emplace_back(entry->first.substr(prefix.size()), entry->second);
  return out;
}

State state_of(const TensorFile& file, const std::string& part) {
  const std::string prefix = part + ".";
  State state;
  for (auto x = file.tensors.lower_bound(prefix); x != file.tensors.end() && x->first.starts_with(prefix); ++x)
    state.tensors.push_back({x->first.substr(prefix.size()), x->second});
  state.texts = entries_of(file.metadata, prefix);
  return state;
}

void put_state(TensorFile& file, const std::string& part, const State& state) {
  for (const NamedTensor& x : state.tensors) {
    if (!file.tensors.emplace(part + "." + x.name, x.tensor).second) {
      throw_invalid("checkpoint: names of tensors in {} must differ; got {} twice", part, x.name);
    }
  }
  for (const auto& [name, text] : state.texts) {
    if (!file.metadata.emplace(part + "." + name, text).second) {
      throw_invalid("checkpoint: names of texts in {} must differ; got {} twice", part, name);
    }
  }
}

}  // namespace tapestry::nn::train
