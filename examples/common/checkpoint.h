#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <common/train_options.h>
#include <tapestry/nn/module.h>
#include <tapestry/nn/optim/optimizer.h>

namespace tapestry::examples {

/// How far a training has come: epochs finished, and steps done in the one after them.
struct TrainPosition {
  Index epoch = 0;
  Index step = 0;
};

/// Writes two files, each in one step: model.safetensors with the weights alone, for any other program, and
/// checkpoint.safetensors with the optimizer's state and the position too, from which training goes on bit for bit.
void save_checkpoint(const std::filesystem::path& folder, const TrainOptions& options, const nn::Module& model,
                     const optim::Optimizer& optimizer, const TrainPosition& position);

/// Puts model and optimizer into the state that `file` has kept. From a file with weights alone, momentum starts anew.
/// Throws std::runtime_error when the file belongs to a run with other settings, listing them.
[[nodiscard]] TrainPosition load_checkpoint(const std::filesystem::path& file, const TrainOptions& options,
                                            const nn::Module& model, optim::Optimizer& optimizer);

/// The command line again, quoted for a shell, with --resume of this file.
[[nodiscard]] std::string resume_command(const std::vector<std::string>& command_line,
                                         const std::filesystem::path& file);

}  // namespace tapestry::examples
