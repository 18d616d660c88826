#include <common/checkpoint.h>

#include <charconv>
#include <map>
#include <stdexcept>

#include <fmt/format.h>
#include <tapestry/nn/safetensors.h>
#include <tapestry/nn/serialize.h>

namespace tapestry::examples {

namespace {

constexpr std::string_view kModelPrefix = "model.", kOptimizerPrefix = "optimizer.";

/// What must be the same for the position in a run to mean the same.
std::map<std::string, std::string> settings_of(const TrainOptions& options) {
  return {{"model", options.model},         {"labels", options.labels},
          {"data", options.data_name()},    {"train-size", options.data ? "all" : std::to_string(*options.train_size)},
          {"augment", *options.augment},    {"batch", std::to_string(*options.batch)},
          {"optimizer", options.optimizer}, {"seed", std::to_string(options.seed)}};
}

nn::Metadata metadata_of(const TrainOptions& options, const TrainPosition& position) {
  nn::Metadata metadata = settings_of(options);
  metadata["epoch"] = std::to_string(position.epoch);
  metadata["step"] = std::to_string(position.step);
  return metadata;
}

Index number_in(const nn::Metadata& metadata, const std::string& key, const std::filesystem::path& file) {
  const auto found = metadata.find(key);
  const std::string text = found == metadata.end() ? "" : found->second;
  Index value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    throw std::runtime_error(
        fmt::format("{} says not how far its training had come; only files that train_cifar100 wrote can be resumed",
                    file.string()));
  }
  return value;
}

void check_settings(const nn::Metadata& metadata, const TrainOptions& options, const std::filesystem::path& file) {
  std::string differences;
  for (const auto& [name, ours] : settings_of(options)) {
    const auto theirs = metadata.find(name);
    if (theirs == metadata.end() || theirs->second == ours) continue;
    differences += fmt::format("\n  {}: {} there, {} here", name, theirs->second, ours);
  }
  if (!differences.empty()) {
    throw std::runtime_error(fmt::format("{} comes from a run with other settings:{}", file.string(), differences));
  }
}

/// The tensors whose keys begin with `prefix`, without it.
std::map<std::string, Tensor> part_of(const std::map<std::string, Tensor>& tensors, std::string_view prefix) {
  std::map<std::string, Tensor> part;
  for (const auto& [key, tensor] : tensors) {
    if (key.starts_with(prefix)) part.emplace(key.substr(prefix.size()), tensor);
  }
  return part;
}

}  // namespace

void save_checkpoint(const std::filesystem::path& folder, const TrainOptions& options, const nn::Module& model,
                     const optim::Optimizer& optimizer, const TrainPosition& position) {
  const nn::Metadata metadata = metadata_of(options, position);
  std::map<std::string, Tensor> all;
  for (const auto& [key, tensor] : nn::file_state(model)) all.emplace(std::string(kModelPrefix) + key, tensor);
  for (const auto& [key, tensor] : optimizer.state()) all.emplace(std::string(kOptimizerPrefix) + key, tensor);
  nn::save_tensors(all, folder / "checkpoint.safetensors", metadata);
  nn::save(model, folder / "model.safetensors", metadata);
}

TrainPosition load_checkpoint(const std::filesystem::path& file, const TrainOptions& options, const nn::Module& model,
                              optim::Optimizer& optimizer) {
  const nn::TensorFile loaded = nn::load_tensors(file);
  check_settings(loaded.metadata, options, file);
  const TrainPosition position{number_in(loaded.metadata, "epoch", file), number_in(loaded.metadata, "step", file)};
  const std::map<std::string, Tensor> weights = part_of(loaded.tensors, kModelPrefix);
  nn::load_file_state(model, weights.empty() ? loaded.tensors : weights, {}, file);
  if (!weights.empty()) optimizer.load_state(part_of(loaded.tensors, kOptimizerPrefix));
  return position;
}

std::string resume_command(const std::vector<std::string>& command_line, const std::filesystem::path& file) {
  const auto for_shell = [](const std::string& word) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+";
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
    std::string out = "'";
    for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out + "'";
  };
  std::string command;
  for (std::size_t i = 0; i < command_line.size(); ++i) {
    if (command_line[i].starts_with("--resume=")) continue;
    if (command_line[i] == "--resume") {
      ++i;
      continue;
    }
    command += for_shell(command_line[i]) + " ";
  }
  return command + "--resume " + for_shell(file.string());
}

}  // namespace tapestry::examples
