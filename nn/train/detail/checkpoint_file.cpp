#include <tapestry/nn/train/detail/checkpoint_file.h>

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>

namespace tapestry::nn::train {
namespace {

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

TensorFile load_complete(const std::string& path, const JudgeHeader& judge) {
  return load_tensors(path, [&](const TensorFileHeader& header) {
    const auto version = header.metadata.find(kVersionKey);
    if (version == header.metadata.end()) {
      throw FileError(path, FileError::nowhere, "a checkpoint, as train::Checkpoint writes it",
                      "tensors without a run's state");
    }
    if (version->second != kVersion) {
      throw FileError(path, FileError::nowhere, fmt::format("a checkpoint of form {}", kVersion), version->second);
    }
    // Were they not asked for, a file whose damage hit their keys would pass for one that never had any.
    if (!header.checked) throw FileError(path, FileError::nowhere, "a checkpoint with checksums", "one without");
    judge(header);
  });
}

Position position_in(const Metadata& metadata) {
  return {whole_number(metadata, kEpochKey, "epoch"), whole_number(metadata, kStepKey, "step")};
}

std::string text_of(double number) { return fmt::format("{}", number); }

double number_in(const std::string& field, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || std::isnan(value)) {
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

std::map<std::string, TensorForm> forms_of(const TensorFileHeader& header, const std::string& part) {
  const std::string prefix = part + ".";
  std::map<std::string, TensorForm> forms;
  for (auto x = header.tensors.lower_bound(prefix); x != header.tensors.end() && x->first.starts_with(prefix); ++x)
    forms.emplace(x->first.substr(prefix.size()), x->second);
  return forms;
}

void put_state(TensorFile& file, const std::string& part, const State& state) {
  file.metadata[kTensorsPrefix + part] = std::to_string(state.tensors.size());
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
