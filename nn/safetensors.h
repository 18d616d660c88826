#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/tensor.h>

/// The safetensors format: a little-endian u64, the length of the header; a JSON object with dtype, shape and place of
/// every tensor, strings under "__metadata__"; the elements. Read strictly: what is not exactly that is refused, with
/// path and byte. f32, f64, bf16, i64, i32, u8 and bool.
namespace tapestry::nn {

using Metadata = std::map<std::string, std::string>;

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  Metadata metadata;
};

/// Writes tensors as they are, whole or not at all (AtomicFile), without a second copy of them in memory. The metadata
/// entry "format": "pt", which PyTorch's loaders ask for, is added. Equal tensors and metadata give equal bytes. Throws
/// std::invalid_argument for an undefined tensor and for a name that is empty, longer than 1,024 bytes, no UTF-8, has a
/// NUL or is "__metadata__"; FileError when the file cannot be written.
void save_tensors(const std::map<std::string, Tensor>& tensors, const std::string& path, const Metadata& metadata = {});

/// Reads such a file, whoever wrote it, elements straight into their tensors. Throws FileError.
[[nodiscard]] TensorFile load_tensors(const std::string& path);

/// The same on bytes in memory; `name` stands for the path in errors.
[[nodiscard]] TensorFile parse_tensors(std::span<const std::byte> bytes, const std::string& name);

}  // namespace tapestry::nn
