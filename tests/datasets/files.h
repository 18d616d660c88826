#pragma once

#include <support/temporary_folder.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <tapestry/datasets/cifar.h>

namespace tapestry::test {

using ByteVector = std::vector<std::uint8_t>;

inline void put_file(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

inline ByteVector get_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  const std::string bytes = text.str();
  return {bytes.begin(), bytes.end()};
}

/// A file of that size which takes no room on the disk.
inline void put_sparse_file(const std::filesystem::path& path, std::uintmax_t bytes) {
  put_file(path, {});
  std::filesystem::resize_file(path, bytes);
}

inline void put_names(const std::filesystem::path& path, int count, const std::string& prefix) {
  std::ofstream out(path);
  for (int i = 0; i < count; ++i) out << prefix << i << '\n';
  out << '\n';
}

/// CIFAR-100 records with fine classes 0, 1, ... and pixel bytes that tell record, channel and position apart.
inline ByteVector cifar100_records(int count) {
  ByteVector bytes;
  for (int i = 0; i < count; ++i) {
    const auto fine = static_cast<std::uint8_t>(i % 100);
    bytes.push_back(datasets::CIFAR100::coarse_of_fine()[fine]);
    bytes.push_back(fine);
    for (int k = 0; k < 3072; ++k) bytes.push_back(static_cast<std::uint8_t>(i * 31 + k / 1024 * 50 + k % 1024 % 7));
  }
  return bytes;
}

inline ByteVector cifar10_records(int count) {
  ByteVector bytes;
  for (int i = 0; i < count; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(i % 10));
    for (int k = 0; k < 3072; ++k) bytes.push_back(static_cast<std::uint8_t>(i * 31 + k / 1024 * 50 + k % 1024 % 7));
  }
  return bytes;
}

/// CRC-32C (Castagnoli), continued from `crc`; 0 to begin with.
inline std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t crc = 0) {
  static const std::vector<std::uint32_t> table = [] {
    std::vector<std::uint32_t> t(256);
    for (std::uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = (t[i] >> 1) ^ ((t[i] & 1U) != 0 ? 0x82F63B78U : 0U);
    }
    return t;
  }();
  crc = ~crc;
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 255U] ^ (crc >> 8);
  return ~crc;
}

}  // namespace tapestry::test
