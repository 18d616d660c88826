#include <tapestry/nn/train/checkpoint.h>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <limits>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>
#include <tapestry/nn/serialize.h>
#include <tapestry/nn/train/detail/checkpoint_file.h>
#include <tapestry/nn/train/detail/checkpoint_parts.h>

namespace tapestry::nn::train {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostLines = 12;  // of differences per part: beyond that, it is another model altogether
constexpr Index kMostEpochs = std::numeric_limits<std::int32_t>::max();
/// Of a file whose model is another: beyond that many bytes, and so many times the model's, it is not read.
constexpr std::int64_t kSmallFile = 64 << 20, kMostCopies = 4;

/// Differences of a part, under its name and not endlessly many.
std::string under_name(const std::string& part, const std::string& lines) {
  std::string out;
  std::size_t count = 0;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at + 1), lines.size());
    if (count++ < kMostLines) {
      const std::size_t text = std::min(lines.find_first_not_of("\n ", at), end);
      out += fmt::format("\n  {}: {}", part, std::string_view(lines).substr(text, end - text));
    }
    at = end;
  }
  if (count > kMostLines) out += fmt::format("\n  {}: and {} more", part, count - kMostLines);
  return out;
}

[[noreturn]] void throw_differences(const std::string& path, const std::string& differences) {
  throw FileError(path, FileError::nowhere, "a checkpoint of this run", "differences:" + differences);
}

}  // namespace

struct Checkpoint::Impl {
  struct Named {
    std::string name;
    Handle<Part> part;
    [[nodiscard]] bool is(const char* kind) const { return std::string_view(part->kind()) == kind; }
  };

  [[nodiscard]] std::string file(const std::string& name) const {
    return (fs::path(folder) / (name + ".safetensors")).string();
  }

  [[nodiscard]] std::string position_differences(const Position& position) const {
    std::string out;
    if (position.epoch > kMostEpochs)
      out = fmt::format("\n  epoch: {} there, at most {} here", position.epoch, kMostEpochs);
    if (!loader || position.step == 0 || position.step < loader->batches()) return out;
    return out + fmt::format("\n  step: {} there, an epoch has {} steps here", position.step, loader->batches());
  }

  void check(const Position& position) const {
    if (position.epoch < 0 || position.step < 0) {
      throw_invalid("checkpoint: a position must be at least 0; got epoch {}, step {}", position.epoch, position.step);
    }
    if (position.epoch > kMostEpochs) {
      throw_invalid("checkpoint: an epoch must be at most {}; got {}", kMostEpochs, position.epoch);
    }
    if (!position_differences(position).empty()) {
      throw_invalid(
          "checkpoint: a step must be below the {} steps of an epoch, whose end is step 0 of the next one; got {}",
          loader->batches(), position.step);
    }
  }

  /// Everything but the parts: what weights alone have, too.
  [[nodiscard]] Metadata head(const Position& position) const {
    Metadata metadata;
    metadata[kEpochKey] = std::to_string(position.epoch);
    metadata[kStepKey] = std::to_string(position.step);
    for (const auto& [name, value] : options.settings) metadata[kSettingPrefix + name] = value;
    return metadata;
  }

  [[nodiscard]] std::string part_differences(const TensorFile& file) const {
    std::string out;
    for (const Named& one : parts) {
      const auto kind = file.metadata.find(kKindPrefix + one.name);
      if (kind == file.metadata.end())
        out += fmt::format("\n  {}: {} there, a {} here", one.name, kNothing, one.part->kind());
      else if (!one.is(kind->second.c_str()))
        out += fmt::format("\n  {}: a {} there, a {} here", one.name, kind->second, one.part->kind());
      else out += state_differences(file, one);
    }
    for (const auto& [name, kind] : entries_of(file.metadata, kKindPrefix)) {
      const auto same = [&wanted = name](const Named& one) { return one.name == wanted; };
      if (std::none_of(parts.begin(), parts.end(), same))
        out += fmt::format("\n  {}: a {} there, {} here", name, kind, kNothing);
    }
    return out;
  }

  [[nodiscard]] std::string state_differences(const TensorFile& file, const Named& one) const {
    const State state = state_of(file, one.name);
    const std::string count = std::to_string(state.tensors.size());
    const auto saved = file.metadata.find(kTensorsPrefix + one.name);
    std::string lines;
    if (saved == file.metadata.end() || saved->second != count)
      lines = fmt::format("\n  {} tensors there, {} when it was saved", count,
                          saved == file.metadata.end() ? kNothing : saved->second);
    lines += one.part->differences(state);
    if (!is_among(one.name, options.may_differ)) lines += one.part->made_otherwise(state);
    return under_name(one.name, lines);
  }

  [[nodiscard]] std::string setting_differences_of(const Metadata& metadata) const {
    return setting_differences(entries_of(metadata, kSettingPrefix), options.settings, options.may_differ);
  }

  /// Throws for a file of another model that is too large to be read for the sake of a longer list.
  void judge(const TensorFileHeader& header, const std::string& path, bool complete) const {
    std::string differences;
    std::int64_t bytes = 0;
    for (const Named& one : parts) {
      if (!one.is("module")) continue;
      const Module& module = static_cast<const Parts::OfModule&>(*one.part).module();
      for (const Tensor& x : module.parameters()) bytes += x.numel() * item_bytes(x.dtype());
      differences +=
          under_name(one.name, file_state_differences(module, complete ? forms_of(header, one.name) : header.tensors));
    }
    if (differences.empty() || header.data_bytes <= std::max(kSmallFile, kMostCopies * bytes)) return;
    throw_differences(path, setting_differences_of(header.metadata) + differences);
  }

  std::string folder;
  CheckpointOptions options;
  std::vector<Named> parts;
  datasets::Loader* loader = nullptr;
  std::optional<double> best;
};

Checkpoint::Checkpoint(std::string folder, CheckpointOptions options, Here here) : impl_(make_handle<Impl>()) {
  const CallSite site(here);
  impl_->folder = folder.empty() ? "." : std::move(folder);
  impl_->options = std::move(options);
  make_folder(impl_->folder);
  remove_stale_temporaries(impl_->folder);
}

Checkpoint::~Checkpoint() = default;
Checkpoint::Checkpoint(Checkpoint&&) noexcept = default;
Checkpoint& Checkpoint::operator=(Checkpoint&&) noexcept = default;

Checkpoint& Checkpoint::add_part(std::string_view name, Handle<Part> part) {
  for (const char* const taken : {"tapestry", "setting", "note", "checkpoint", "best"}) {
    if (name == taken) throw_invalid("checkpoint: a part must not be named {}, which names something else", name);
  }
  const auto plain = [](unsigned char c) { return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '-'); };
  if (name.empty() || !std::all_of(name.begin(), name.end(), plain)) {
    throw_invalid("checkpoint: a part's name must be of letters, digits, _ and -; got '{}'", name);
  }
  for (const Impl::Named& one : impl_->parts) {
    if (one.name == name) throw_invalid("checkpoint: names of parts must differ; got {} twice", name);
  }
  impl_->parts.push_back({std::string(name), std::move(part)});
  return *this;
}

Checkpoint& Checkpoint::add(std::string_view name, const Module& module, Here here) {
  const CallSite site(here);
  return add_part(name, make_handle<Parts::OfModule>(module));
}
Checkpoint& Checkpoint::add(std::string_view name, optim::Optimizer& optimizer, Here here) {
  const CallSite site(here);
  return add_part(name, make_handle<Parts::OfOptimizer>(optimizer));
}
Checkpoint& Checkpoint::add(std::string_view name, optim::Schedule& schedule, Here here) {
  const CallSite site(here);
  return add_part(name, make_handle<Parts::OfSchedule>(schedule));
}
Checkpoint& Checkpoint::add(std::string_view name, const Generator& generator, Here here) {
  const CallSite site(here);
  return add_part(name, make_handle<Parts::OfGenerator>(generator));
}
Checkpoint& Checkpoint::add(std::string_view name, datasets::Loader& loader, Here here) {
  const CallSite site(here);
  if (impl_->loader) throw_logic("checkpoint: there must be one loader, whose position is the run's; got a second one");
  add_part(name, make_handle<Parts::OfLoader>(loader));
  impl_->loader = &loader;
  return *this;
}
Checkpoint& Checkpoint::add(std::string_view name, double& number, Here here) {
  const CallSite site(here);
  return add_part(name, make_handle<Parts::OfNumber<double>>(number));
}
Checkpoint& Checkpoint::add(std::string_view name, Index& number, Here here) {
  const CallSite site(here);
  return add_part(name, make_handle<Parts::OfNumber<Index>>(number));
}

bool Checkpoint::save(const Position& position, std::optional<double> value, Here here) {
  const CallSite site(here);
  impl_->check(position);
  const bool better =
      value && !std::isnan(*value) &&
      (!impl_->best || (impl_->options.lower_is_better ? *value < *impl_->best : *value > *impl_->best));
  const std::optional<double> best = better ? value : impl_->best;

  TensorFile file{{}, impl_->head(position)};
  for (const auto& [name, text] : impl_->options.notes) file.metadata[kNotePrefix + name] = text;
  for (const Impl::Named& one : impl_->parts) {
    file.metadata[kKindPrefix + one.name] = one.part->kind();
    put_state(file, one.name, one.part->state());
  }
  if (best) file.metadata[kBestKey] = text_of(*best);
  file.metadata[kVersionKey] = kVersion;

  write_into_folder(impl_->folder, [&] {
    // The best first: after a crash between the two, the run goes on from before it and finds the same best again.
    if (better) save_tensors(file.tensors, best_path(), file.metadata);
    save_tensors(file.tensors, last_path(), file.metadata);
    impl_->best = best;
    for (const Impl::Named& one : impl_->parts) {
      if (one.is("module"))
        save_tensors(as_map(state_of(file, one.name)), impl_->file(one.name), impl_->head(position));
    }
  });
  return better;
}

Position Checkpoint::resume(const std::string& path, Here here) {
  const CallSite site(here);
  const TensorFile file =
      load_complete(path, [&](const TensorFileHeader& header) { impl_->judge(header, path, true); });
  Position position;
  std::optional<double> best;
  std::string differences = impl_->setting_differences_of(file.metadata) + refusal([&] {
                              position = position_in(file.metadata);
                              const auto found = file.metadata.find(kBestKey);
                              if (found != file.metadata.end()) best = number_in("best", found->second);
                            });
  differences += impl_->position_differences(position) + impl_->part_differences(file);
  if (!differences.empty()) throw_differences(path, differences);

  // Schedules last: they set the rates that optimizers have just been given.
  for (const bool schedules : {false, true}) {
    for (const Impl::Named& one : impl_->parts) {
      if (one.is("schedule") != schedules) continue;
      const State state = state_of(file, one.name);
      if (is_among(one.name, impl_->options.may_differ)) one.part->load_otherwise(state);
      else one.part->load(state);
    }
  }
  if (impl_->loader) impl_->loader->set_position(static_cast<std::uint64_t>(position.epoch), position.step);
  impl_->best = best;
  return position;
}

Position Checkpoint::resume_weights(const std::string& path, Here here) {
  const CallSite site(here);
  const bool alone = std::count_if(impl_->parts.begin(), impl_->parts.end(),
                                   [](const Impl::Named& one) { return one.is("module"); }) == 1;
  bool complete = false;
  const TensorFile file = load_tensors(path, [&](const TensorFileHeader& header) {
    complete = header.metadata.contains(kVersionKey);
    if (!complete && !alone) throw_logic("checkpoint: weights alone are of one module; this run has several, or none");
    impl_->judge(header, path, complete);
  });
  Position position;
  std::string differences;
  if (!entries_of(file.metadata, kSettingPrefix).empty()) differences = impl_->setting_differences_of(file.metadata);
  // Weights from elsewhere do not say how far their training had come: they are where this one begins.
  if (file.metadata.contains(kEpochKey)) differences += refusal([&] { position = position_in(file.metadata); });
  differences += impl_->position_differences(position);
  const auto weights_of = [&](const Impl::Named& one) {
    return complete ? state_of(file, one.name) : State{as_list(file.tensors), {}};
  };
  for (const Impl::Named& one : impl_->parts) {
    if (one.is("module")) differences += under_name(one.name, one.part->differences(weights_of(one)));
  }
  if (!differences.empty()) throw_differences(path, differences);
  for (const Impl::Named& one : impl_->parts) {
    if (one.is("module")) one.part->load(weights_of(one));
  }
  if (impl_->loader) impl_->loader->set_position(static_cast<std::uint64_t>(position.epoch), position.step);
  return position;
}

bool Checkpoint::exists() const {
  std::error_code ignored;
  return fs::exists(last_path(), ignored);
}
std::string Checkpoint::last_path() const { return impl_->file("checkpoint"); }
std::string Checkpoint::best_path() const { return impl_->file("best"); }
std::optional<double> Checkpoint::best() const noexcept { return impl_->best; }

CheckpointInfo Checkpoint::info(const std::string& path, Here here) {
  const CallSite site(here);
  const TensorFileHeader file = load_header(path);
  CheckpointInfo info;
  info.complete = file.metadata.contains(kVersionKey);
  const std::string differences = refusal([&] {
    if (file.metadata.contains(kEpochKey)) info.position = position_in(file.metadata);
    const auto best = file.metadata.find(kBestKey);
    if (best != file.metadata.end()) info.best = number_in("best", best->second);
  });
  if (!differences.empty()) throw FileError(path, FileError::nowhere, "a checkpoint", "differences:" + differences);
  info.settings = entries_of(file.metadata, kSettingPrefix);
  info.notes = entries_of(file.metadata, kNotePrefix);
  return info;
}

void load_weights(const Module& module, const std::string& path, Here here) {
  const CallSite site(here);
  std::string part;
  const TensorFile file = load_tensors(path, [&](const TensorFileHeader& header) {
    for (const auto& [name, kind] : entries_of(header.metadata, kKindPrefix)) {
      if (kind != "module") continue;
      if (!part.empty()) throw FileError(path, FileError::nowhere, "one module", fmt::format("{} and {}", part, name));
      part = name;
    }
    const auto forms = part.empty() ? header.tensors : forms_of(header, part);
    const std::string differences = file_state_differences(module, forms);
    if (!differences.empty())
      throw FileError(path, FileError::nowhere, "the model's tensors", "differences:" + differences);
  });
  load_file_state(module, part.empty() ? file.tensors : as_map(state_of(file, part)), {}, path);
}

}  // namespace tapestry::nn::train
