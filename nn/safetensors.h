#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/tensor.h>

/// The safetensors format: a little-endian u64, the length of the header; a JSON object with dtype, shape and place of
/// every tensor, strings under "__metadata__"; the elements. Read strictly: what is not exactly that is refused, with
/// path and byte. f32, f64, bf16, i64, i32, u8 and bool.
///
/// Files of ours carry checksums, CRC-32C (Castagnoli) in 8 hexadecimal digits each, as two entries of the metadata:
///
///     tapestry.crc32c           of the length and the header, with these 8 digits taken as zeros
///     tapestry.crc32c.tensors   of each tensor's bytes, in the order in which they lie, with spaces between
///
/// A file that has them must agree with them; one that has only one of them is refused. Files of other programs, which
/// have neither, are read as well.
namespace tapestry::nn {

using Metadata = std::map<std::string, std::string>;

struct TensorFile {
  std::map<std::string, Tensor> tensors;
  Metadata metadata;     ///< without the checksums
  bool checked = false;  ///< it carries checksums, and they are right
};

/// A tensor as the header tells of it.
struct TensorForm {
  Dtype dtype = f32;
  Shape shape = {};  ///< as it lies in the file
};

/// What a file says of itself at its beginning, whatever size it has.
struct TensorFileHeader {
  std::map<std::string, TensorForm> tensors;  ///< by name
  Metadata metadata;                          ///< without the checksums
  bool checked = false;                       ///< the header carries its checksum, and it is right
  std::int64_t data_bytes = 0;                ///< of all tensors
};

/// Sees a header before memory is taken for what it tells of, and throws what it has against it.
using JudgeHeader = Callable<void(const TensorFileHeader&)>;

/// Writes tensors as they are, whole or not at all (AtomicFile), without a second copy of them in memory. The metadata
/// entry "format": "pt", which PyTorch's loaders ask for, and the checksums are added. Equal tensors and metadata give
/// equal bytes. Throws std::invalid_argument for an undefined tensor, for a name that is empty, longer than 1,024
/// bytes, no UTF-8, has a NUL or is "__metadata__", and for metadata with a checksum's key; FileError when the file
/// cannot be written.
void save_tensors(const std::map<std::string, Tensor>& tensors, const std::string& path, const Metadata& metadata = {},
                  Here here = {});

/// Reads such a file, whoever wrote it, elements straight into their tensors. `judge` sees the header, after it was
/// found in order and before memory is taken for what it tells of; what it throws, load_tensors() throws. Throws
/// FileError for a file that is not in order, OutOfMemory, which names the file, for one that memory cannot hold.
[[nodiscard]] TensorFile load_tensors(const std::string& path, const JudgeHeader& judge = {}, Here here = {});

/// Reads the header alone. Throws FileError.
[[nodiscard]] TensorFileHeader load_header(const std::string& path, Here here = {});

/// The same on bytes in memory; `name` stands for the path in errors.
[[nodiscard]] TensorFile parse_tensors(std::span<const std::byte> bytes, const std::string& name, Here here = {});

}  // namespace tapestry::nn
