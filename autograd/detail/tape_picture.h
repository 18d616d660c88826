#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tapestry/autograd/tape.h>

/// How a tape becomes a picture: entries are folded to boxes, boxes get places, places become SVG.
namespace tapestry::detail {

/// A box of the picture.
struct TapeBox {
  std::vector<std::string> lines = {};  ///< of text; the first is the title
  enum class Kind { leaf, op, group, note } kind = Kind::op;
  std::vector<std::size_t> inputs = {};  ///< numbers of boxes, all of them before this one
};

/// The entries as boxes, in an order in which inputs come first: one each or, beyond `most`, one per module.
[[nodiscard]] std::vector<TapeBox> folded(const std::vector<Tape::Entry>& entries, Index most);

/// The boxes in layers, from the top down, and the lines between them.
[[nodiscard]] std::string picture_of(const std::vector<TapeBox>& boxes);

}  // namespace tapestry::detail
