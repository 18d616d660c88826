#pragma once

#include <string>
#include <vector>

#include "support/malformed_pictures.h"

/// Files of records and tensors that must be refused, one for each way in which we know that a file can be wrong.
namespace tapestry::test {

/// Records of CIFAR-100: any whole number of them would be taken.
[[nodiscard]] std::vector<NamedFile> malformed_cifars();
/// Pickles of CIFAR-100's python version: any number of images would be taken.
[[nodiscard]] std::vector<NamedFile> malformed_pickles();
/// IDX files of unsigned bytes, plain and in gzip's frame.
[[nodiscard]] std::vector<NamedFile> malformed_idx();
/// Safetensors whose header is JSON, of which the places, shapes or names are wrong, or the frame around it.
[[nodiscard]] std::vector<NamedFile> malformed_safetensors();
/// Safetensors whose header is not the JSON that it should be.
[[nodiscard]] std::vector<NamedFile> malformed_json();

/// A safetensors file: the length of the header, the header, so many bytes of data.
[[nodiscard]] ByteVector safetensors_file(const std::string& header, std::size_t data_bytes);
/// A header that is right, for 24 bytes of data.
[[nodiscard]] std::string safetensors_header();

}  // namespace tapestry::test
