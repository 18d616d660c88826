#include <tapestry/datasets/detail/jpeg_scan.h>

#include <cstdlib>

#include <tapestry/datasets/detail/jpeg_pixels.h>

namespace tapestry::datasets::detail {
namespace {

class ScanDecoder {
 public:
  ScanDecoder(const PictureFile& file, const Frame& frame, const Scan& scan, std::size_t at)
      : file_(file), frame_(frame), scan_(scan), in_(file, at) {}

  std::size_t run() {
    // Of one component alone the scan has the blocks that belong to the picture; of several, whole units.
    const bool alone = scan_.parts.size() == 1;
    const Component& first = *scan_.parts[0].component;
    const std::uint32_t across = alone ? first.blocks_across : frame_.units_across;
    const std::uint32_t down = alone ? first.blocks_down : frame_.units_down;
    std::uint32_t units = 0;
    for (std::uint32_t y = 0; y < down; ++y) {
      for (std::uint32_t x = 0; x < across; ++x, ++units) {
        if (scan_.restart_interval != 0 && units != 0 && units % scan_.restart_interval == 0) restart();
        if (alone) {
          block(0, x, y);
        } else {
          unit(x, y);
        }
      }
    }
    return in_.end();
  }

 private:
  void unit(std::uint32_t x, std::uint32_t y) {
    for (std::size_t i = 0; i < scan_.parts.size(); ++i) {
      const Component& component = *scan_.parts[i].component;
      for (std::uint32_t v = 0; v < component.v; ++v) {
        for (std::uint32_t h = 0; h < component.h; ++h) block(i, x * component.h + h, y * component.v + v);
      }
    }
  }

  void restart() {
    std::size_t at = in_.end();
    const Bytes bytes = file_.bytes;
    while (at + 1 < bytes.size() && bytes[at + 1] == 0xFF) ++at;  // fill bytes
    const std::uint32_t wanted = 0xD0 + restarts_ % 8;
    if (at + 1 >= bytes.size() || bytes[at + 1] != wanted) {
      file_.fail(
          at, format_message("restart marker {}", wanted),
          at + 1 >= bytes.size() ? std::string("the end of the file") : format_message("marker {}", bytes[at + 1]));
    }
    ++restarts_;
    in_.begin(at + 2);
    previous_ = {};
    blocks_to_skip_ = 0;
  }

  void block(std::size_t part, std::uint32_t x, std::uint32_t y) {
    Component& component = *scan_.parts[part].component;
    const std::size_t at = std::size_t{y} * component.stride + x;
    if (!frame_.progressive) {
      std::array<std::int16_t, kBlock> coefficients{};
      whole_block(part, coefficients.data());
      inverse_dct(coefficients.data(), *component.quantiser,
                  component.samples.data() + (std::size_t{y} * 8 * component.stride + x) * 8,
                  std::size_t{component.stride} * 8);
      return;
    }
    std::int16_t* const coefficients = component.coefficients.data() + at * kBlock;
    if (scan_.first == 0) {
      dc(part, coefficients);
    } else if (scan_.refines) {
      refine_ac(coefficients);
    } else {
      first_ac(coefficients);
    }
  }

  /// A value of which the file has `bits` bits, which mean 2^(bits-1) and above, or the negatives of that.
  int take_signed(std::uint32_t bits) {
    if (bits == 0) return 0;
    const int value = static_cast<int>(in_.take(static_cast<int>(bits)));
    return value >> (bits - 1) != 0 ? value : value - (1 << bits) + 1;
  }

  /// `value` with the scan's low bits, as a coefficient.
  std::int16_t coefficient(int value) const {
    const int shifted = value * (1 << scan_.low);
    if (std::abs(shifted) > INT16_MAX) in_.fail("coefficients of at most 15 bits", format_message("{}", shifted));
    return static_cast<std::int16_t>(shifted);
  }

  int next_dc(std::size_t part) {
    int& previous = previous_[part];
    previous += take_signed(scan_.parts[part].dc->next(in_));
    (void)coefficient(previous);  // before the next sum
    return previous;
  }

  void whole_block(std::size_t part, std::int16_t* block) {
    block[0] = coefficient(next_dc(part));
    const HuffmanTable& table = *scan_.parts[part].ac;
    for (int k = 1; k < kBlock; ++k) {
      const std::uint32_t symbol = table.next(in_);
      const std::uint32_t bits = symbol & 15U;
      if (bits == 0 && symbol != 0xF0) return;  // the rest are zeros
      k = behind_zeros(k, symbol >> 4, kBlock - 1);
      block[zigzag[k]] = coefficient(take_signed(bits));
    }
  }

  int behind_zeros(int k, std::uint32_t zeros, int last) const {
    k += static_cast<int>(zeros);
    if (k > last) in_.fail(format_message("coefficients up to {}", last), format_message("{}", k));
    return k;
  }

  void dc(std::size_t part, std::int16_t* block) {
    if (!scan_.refines) {
      block[0] = coefficient(next_dc(part));
    } else if (in_.take(1) != 0) {
      block[0] = static_cast<std::int16_t>(block[0] | 1 << scan_.low);
    }
  }

  void first_ac(std::int16_t* block) {
    if (blocks_to_skip_ > 0) {
      --blocks_to_skip_;
      return;
    }
    for (int k = scan_.first; k <= scan_.last; ++k) {
      const std::uint32_t symbol = scan_.parts[0].ac->next(in_);
      const std::uint32_t bits = symbol & 15U;
      if (bits == 0 && symbol != 0xF0) {
        blocks_to_skip_ = run_of_blocks(symbol >> 4) - 1;
        return;
      }
      k = behind_zeros(k, symbol >> 4, scan_.last);
      block[zigzag[k]] = coefficient(take_signed(bits));
    }
  }

  std::uint32_t run_of_blocks(std::uint32_t bits) { return (1U << bits) + in_.take(static_cast<int>(bits)); }

  void refine_ac(std::int16_t* block) {
    int k = scan_.first;
    if (blocks_to_skip_ == 0) {
      for (; k <= scan_.last; ++k) {
        const std::uint32_t symbol = scan_.parts[0].ac->next(in_);
        const std::uint32_t bits = symbol & 15U;
        if (bits > 1) in_.fail("a coefficient of one bit in a refining scan", format_message("{} bits", bits));
        if (bits == 0 && symbol != 0xF0) {
          blocks_to_skip_ = run_of_blocks(symbol >> 4);
          break;
        }
        const int value = bits == 0 ? 0 : in_.take(1) != 0 ? 1 : -1;
        k = refine_until(block, k, symbol >> 4);
        if (k > scan_.last) in_.fail(format_message("coefficients up to {}", scan_.last), format_message("{}", k));
        if (value != 0) block[zigzag[k]] = coefficient(value);
      }
    }
    if (blocks_to_skip_ > 0) {
      refine_until(block, k, kBlock);
      --blocks_to_skip_;
    }
  }

  /// Gives a bit to each coefficient from k on that is not 0, until so many zeros are behind; the place of the next
  /// one.
  int refine_until(std::int16_t* block, int k, std::uint32_t zeros) {
    for (; k <= scan_.last; ++k) {
      std::int16_t& value = block[zigzag[k]];
      if (value == 0) {
        if (zeros == 0) return k;
        --zeros;
      } else if (in_.take(1) != 0) {
        value = static_cast<std::int16_t>(value + (value > 0 ? 1 : -1) * (1 << scan_.low));
      }
    }
    return k;
  }

  const PictureFile& file_;
  const Frame& frame_;
  const Scan& scan_;
  ScanBits in_;
  std::array<int, 4> previous_{};  // DC of the block before, of each part
  std::uint32_t blocks_to_skip_ = 0;
  std::uint32_t restarts_ = 0;
};

}  // namespace

std::size_t decode_scan(const PictureFile& file, const Frame& frame, const Scan& scan, std::size_t at) {
  return ScanDecoder(file, frame, scan, at).run();
}

}  // namespace tapestry::datasets::detail
