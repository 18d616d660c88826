#pragma once

#include <map>
#include <string>

#include <tapestry/nn/module.h>
#include <tapestry/nn/safetensors.h>

/// Parameters and buffers of a module in a safetensors file, under PyTorch's keys and in PyTorch's layout, so that
/// Python can read what we write and the other way round:
///
///     4-dimensional tensors   [K, R, S, C] here, [K, C, R, S] in the file (so for convolutions of both kinds)
///     Linear behind a flatten columns in the order (h, w, C) here, (C, h, w) in the file, if its layer was made with
///                             .flattened = {h, w}
///     everything else         as it is
namespace tapestry::nn {

/// The module's state in the file's layout: copies, by key.
[[nodiscard]] std::map<std::string, Tensor> file_state(const Module& module, Here here = {});

/// Writes parameters and buffers, in one step: a reader finds the old file or the new one, whole. `metadata` comes back
/// from load(). Throws FileError when the file cannot be written.
void save(const Module& module, const std::string& path, const Metadata& metadata = {}, Here here = {});

struct LoadOptions {
  bool strict = true;  ///< the file's keys must be the module's; else missing and unexpected ones are passed over
  /// Values that no training leaves are refused: NaN and infinities, and variances (running_var) below 0.
  bool check_values = true;
};

/// Copies a file's values into the module's parameters and buffers and returns the file's metadata. Throws FileError
/// for a file that is not in order, and one that lists every key that is missing, unexpected, or has another shape or
/// dtype, before anything but the header is read, or values that are refused; the module is unchanged then.
Metadata load(const Module& module, const std::string& path, const LoadOptions& options = {}, Here here = {});

/// What load() would object to in tensors in the file's layout, a line each, "\n  missing: conv1.weight"; empty for
/// nothing.
[[nodiscard]] std::string file_state_differences(const Module& module, const std::map<std::string, Tensor>& state,
                                                 const LoadOptions& options = {});
/// The same of a header, which tells nothing of values.
[[nodiscard]] std::string file_state_differences(const Module& module, const std::map<std::string, TensorForm>& state,
                                                 const LoadOptions& options = {});

/// load() from tensors in the file's layout. `source` stands for the path in errors.
void load_file_state(const Module& module, const std::map<std::string, Tensor>& state, const LoadOptions& options = {},
                     const std::string& source = "state", Here here = {});

}  // namespace tapestry::nn
