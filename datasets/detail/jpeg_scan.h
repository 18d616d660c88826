#pragma once

#include <cstdint>
#include <vector>

#include <tapestry/datasets/detail/jpeg_frame.h>
#include <tapestry/datasets/detail/jpeg_huffman.h>

namespace tapestry::datasets::detail {

/// A scan header, checked.
struct Scan {
  struct Part {
    Component* component;
    const HuffmanTable* dc;
    const HuffmanTable* ac;
  };

  std::vector<Part> parts;
  std::uint32_t restart_interval = 0;  ///< units between restart markers; 0: there are none
  int first = 0, last = 63;            ///< coefficients, in the file's order
  int low = 0;                         ///< the lowest bit of them that is coded
  bool refines = false;                ///< codes that bit alone
};

/// Decodes the scan whose bits begin at `at`: baseline into samples, progressive into coefficients. The place of the
/// marker behind it. Throws FileError for a code that is none, a value that cannot be, bits that are missing or left,
/// restart markers that are not where they should be.
std::size_t decode_scan(const PictureFile& file, const Frame& frame, const Scan& scan, std::size_t at);

}  // namespace tapestry::datasets::detail
