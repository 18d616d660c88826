#pragma once

#include <map>
#include <string>

#include <tapestry/nn/safetensors.h>
#include <tapestry/nn/train/checkpoint.h>

/// The form of a checkpoint's file: which keys its metadata has.
namespace tapestry::nn::train {

// Keys of the metadata. Parts have keys "part.name", and none of them is named as one of these begins.
inline constexpr const char *kVersionKey = "tapestry.version", *kEpochKey = "tapestry.epoch",
                            *kStepKey = "tapestry.step", *kBestKey = "tapestry.best", *kKindPrefix = "tapestry.part.",
                            *kTensorsPrefix = "tapestry.tensors.", *kSettingPrefix = "setting.", *kNotePrefix = "note.";

inline constexpr const char* kVersion = "2";  // of this form; a reader refuses others

/// A file that must be complete and carry checksums. `judge` sees its header first. Throws FileError.
[[nodiscard]] TensorFile load_complete(const std::string& path, const JudgeHeader& judge);

/// Where the run was. Throws std::invalid_argument "step: ..." for what is no position.
[[nodiscard]] Position position_in(const Metadata& metadata);

/// The shortest text from which number_in() gives back the very number, and back. Throws std::invalid_argument.
[[nodiscard]] std::string text_of(double number);
[[nodiscard]] double number_in(const std::string& field, const std::string& text);

/// Entries whose keys begin with `prefix`, without it.
[[nodiscard]] Settings entries_of(const Metadata& metadata, const std::string& prefix);

/// What a part has kept in the file.
[[nodiscard]] State state_of(const TensorFile& file, const std::string& part);
[[nodiscard]] std::map<std::string, TensorForm> forms_of(const TensorFileHeader& header, const std::string& part);
void put_state(TensorFile& file, const std::string& part, const State& state);

}  // namespace tapestry::nn::train
