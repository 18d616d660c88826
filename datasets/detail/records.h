#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/labelled_images.h>

/// The binary format of CIFAR: records without a header, each one or two label bytes, then the red, the green and the
/// blue plane of a 32 x 32 picture, row by row.
namespace tapestry::datasets::records {

inline constexpr Index kSide = 32;
inline constexpr Index kChannels = 3;
inline constexpr Index kPixels = kSide * kSide;
inline constexpr Index kImageBytes = kPixels * kChannels;

struct Format {
  std::string_view name;                  ///< begins messages: "CIFAR-100"
  Index fine_classes;                     ///< fine labels are below this
  std::span<const std::uint8_t> parents;  ///< coarse label of each fine one; empty: records have no coarse label

  [[nodiscard]] Index label_bytes() const { return parents.empty() ? 1 : 2; }
  [[nodiscard]] Index record_bytes() const { return kImageBytes + label_bytes(); }
};

/// Where records go: `images` [count, 32, 32, 3] as bytes, `fine` [count], `coarse` [count] unless there are none.
struct Destination {
  std::uint8_t* images;
  std::uint8_t* fine;
  std::uint8_t* coarse;
};

/// Gives `content` tensors for `count` records; returns where their elements are.
[[nodiscard]] Destination allocate(LabelledContent& content, const Format& format, Index count);

/// How many records the file holds: `expected`, or with `allow_partial` any number from 1 to that. Throws FileError for
/// every other size; the message says what the size or the first bytes remind of.
[[nodiscard]] Index count(FileReader& file, const Format& format, Index expected, bool allow_partial);

/// Reads `count` records, colour planes turned into pixels. Throws FileError, with record and byte, for labels that
/// cannot be; recognises other kinds of files by their first bytes.
void read(FileReader& file, const Format& format, Index count, const Destination& to);

/// Pixels of one picture from its three planes.
void unpack_planes(const std::uint8_t* planes, std::uint8_t* pixels);

/// The lines of a text file, blank ones at the end left out. Throws FileError unless there are `expected`.
[[nodiscard]] std::vector<std::string> read_names(const std::string& path, std::size_t expected,
                                                  const std::string& advice);

}  // namespace tapestry::datasets::records
