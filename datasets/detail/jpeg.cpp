#include <tapestry/datasets/detail/jpeg.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/datasets/detail/exif.h>
#include <tapestry/datasets/detail/jpeg_frame.h>
#include <tapestry/datasets/detail/jpeg_huffman.h>
#include <tapestry/datasets/detail/jpeg_pixels.h>
#include <tapestry/datasets/detail/jpeg_scan.h>

namespace tapestry::datasets::detail {
namespace {

enum Marker : std::uint32_t {
  SOF0 = 0xC0,  // baseline
  SOF1 = 0xC1,  // extended
  SOF2 = 0xC2,  // progressive
  DHT = 0xC4,
  SOF15 = 0xCF,
  EOI = 0xD9,
  SOS = 0xDA,
  DQT = 0xDB,
  DNL = 0xDC,
  DRI = 0xDD,
  APP0 = 0xE0,
  APP15 = 0xEF,
  COM = 0xFE,
};

/// What a frame header that cannot be read announces; null for none.
const char* unread_kind(std::uint32_t marker) {
  switch (marker) {
    case 0xC3: return "a lossless one";
    case 0xC5:
    case 0xC6:
    case 0xC7:
    case 0xDE:
    case 0xDF: return "a hierarchical one";
    case 0xC8: return "one of a later standard";
    case 0xC9:
    case 0xCA:
    case 0xCB:
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case SOF15: return "one with arithmetic codes";
    case DNL: return "one whose height comes later";
    default: return nullptr;
  }
}

/// A segment: the place of its marker, and what it holds.
struct Segment {
  std::size_t at;
  Bytes body;
};

std::uint32_t divide_up(std::uint32_t a, std::uint32_t b) { return (a + b - 1) / b; }

class Decoder {
 public:
  explicit Decoder(const PictureFile& file) : file_(file), bytes_(file.bytes) {}

  Tensor run() {
    std::size_t at = 2;
    for (;;) {
      at = marker_from(at);
      const std::uint32_t marker = bytes_[at + 1];
      if (marker == EOI) break;
      const Segment segment = segment_from(at);
      at += 4 + segment.body.size();
      if (marker == SOS) {
        at = decode_scan(file_, frame_, scan_header(segment), at);
      } else {
        accept(marker, segment);
      }
    }
    finish(at);
    return upright(pixels_of(frame_, colours()), orientation_);
  }

 private:
  /// The place of the marker that stands here, behind fill bytes maybe.
  [[nodiscard]] std::size_t marker_from(std::size_t at) const {
    if (at < bytes_.size() && bytes_[at] != 0xFF) file_.fail(at, "a JPEG marker", "other bytes");
    while (at + 1 < bytes_.size() && bytes_[at + 1] == 0xFF) ++at;
    if (at + 1 >= bytes_.size()) file_.fail(at, "a JPEG marker", "the end of the file");
    return at;
  }

  [[nodiscard]] Segment segment_from(std::size_t at) const {
    const std::uint32_t marker = bytes_[at + 1];
    if (const char* kind = unread_kind(marker)) file_.fail(at, "a baseline or progressive JPEG", kind);
    if (marker > SOF2 && marker != DHT && (marker < SOS || marker > DRI) && (marker < APP0 || marker > APP15) &&
        marker != COM) {
      file_.fail(at, "a marker that begins a segment", format_message("marker {}", marker));
    }
    if (marker < SOF0) file_.fail(at, "a marker that begins a segment", format_message("marker {}", marker));
    const std::size_t left = bytes_.size() - at - 2;
    const std::size_t length = left < 2 ? 0 : big_endian(bytes_, at + 2, 2);
    if (length < 2 || length > left) {
      file_.fail(at, "a whole JPEG segment", format_message("marker {} with {} of {} bytes", marker, left, length));
    }
    return {at, bytes_.subspan(at + 4, length - 2)};
  }

  void accept(std::uint32_t marker, const Segment& segment) {
    switch (marker) {
      case SOF0:
      case SOF1:
      case SOF2: return frame_header(segment, marker == SOF2);
      case DHT: return huffman_tables(segment);
      case DQT: return quantisers(segment);
      case DRI: return restart_interval(segment);
      default: return note(marker, segment.body);
    }
  }

  void frame_header(const Segment& segment, bool progressive) {
    const auto& [at, body] = segment;
    if (!frame_.components.empty()) file_.fail(at, "one JPEG frame header", "two");
    if (body.size() < 6 || body.size() != 6 + 3 * std::size_t{body[5]}) {
      file_.fail(at, "a frame header of 6 bytes and 3 per component", format_message("{} bytes", body.size()));
    }
    if (body[0] != 8) file_.fail(at + 4, "a JPEG of 8 bits", format_message("{} bits", body[0]));
    frame_.progressive = progressive;
    frame_.height = big_endian(body, 1, 2);
    frame_.width = big_endian(body, 3, 2);
    file_.check_sides(at + 5, frame_.width, frame_.height);
    const std::uint32_t count = body[5];
    if (count != 1 && count != 3 && count != 4) file_.fail(at + 9, "1, 3 or 4 components", std::to_string(count));
    // A block of 64 samples takes at least one bit.
    constexpr std::uint64_t kPixelsPerByte = 512;
    const std::size_t left = bytes_.size() - at;
    if (std::uint64_t{frame_.width} * frame_.height > kPixelsPerByte * left) {
      file_.fail(at + 5, format_message("a picture that {} bytes can hold", left),
                 format_message("{} x {} pixels", frame_.width, frame_.height));
    }
    for (std::size_t i = 0; i < count; ++i) component(at + 10 + 3 * i, body.subspan(6 + 3 * i, 3));
    lay_out();
  }

  void component(std::size_t at, Bytes body) {
    Component next;
    next.id = body[0];
    next.h = body[1] >> 4;
    next.v = body[1] & 15U;
    next.quantiser_slot = body[2];
    next.low.fill(-1);
    if (std::ranges::find(frame_.components, next.id, &Component::id) != frame_.components.end()) {
      file_.fail(at, "components of different names", format_message("{} twice", next.id));
    }
    if (next.h < 1 || next.h > 4 || next.v < 1 || next.v > 4) {
      file_.fail(at + 1, "1 to 4 samples across and down", format_message("{} and {}", next.h, next.v));
    }
    if (next.quantiser_slot > 3) {
      file_.fail(at + 2, "a quantiser from 0 to 3", format_message("{}", next.quantiser_slot));
    }
    frame_.h_most = std::max(frame_.h_most, next.h);
    frame_.v_most = std::max(frame_.v_most, next.v);
    frame_.components.push_back(std::move(next));
  }

  void lay_out() {
    frame_.units_across = divide_up(frame_.width, 8 * frame_.h_most);
    frame_.units_down = divide_up(frame_.height, 8 * frame_.v_most);
    for (Component& c : frame_.components) {
      if (frame_.h_most % c.h != 0 || frame_.v_most % c.v != 0) {
        file_.reader.fail(FileError::nowhere,
                          format_message("samples that divide {} and {}", frame_.h_most, frame_.v_most),
                          format_message("{} and {}", c.h, c.v));
      }
      c.width = divide_up(frame_.width * c.h, frame_.h_most);
      c.height = divide_up(frame_.height * c.v, frame_.v_most);
      c.blocks_across = divide_up(c.width, 8);
      c.blocks_down = divide_up(c.height, 8);
      c.stride = frame_.units_across * c.h;
      c.rows = frame_.units_down * c.v;
      const std::size_t all = std::size_t{c.stride} * c.rows * kBlock;
      if (frame_.progressive) {
        c.coefficients.resize(all);
      } else {
        c.samples.resize(all);
      }
    }
  }

  void huffman_tables(const Segment& segment) {
    std::size_t at = segment.at + 4;
    for (Bytes rest = segment.body; !rest.empty();) {
      if (rest.size() < 17) {
        file_.fail(at, "a Huffman table of 17 bytes and its symbols", format_message("{} bytes", rest.size()));
      }
      const std::uint32_t kind = rest[0] >> 4;
      const std::uint32_t slot = rest[0] & 15U;
      if (kind > 1 || slot > 3) {
        file_.fail(at, "Huffman tables 0 to 3 of kinds 0 and 1", format_message("{} of {}", slot, kind));
      }
      const Bytes counts = rest.subspan(1, 16);
      std::size_t symbols = 0;
      int free = 1;  // codes of this length that no shorter one begins
      for (const std::uint8_t count : counts) {
        symbols += count;
        free = std::min(free * 2 - count, 1 << 16);
        if (free < 0) file_.fail(at, "Huffman codes that differ", "too many of one length");
      }
      if (symbols > 256) file_.fail(at, "at most 256 symbols", format_message("{}", symbols));
      if (symbols > rest.size() - 17) {
        file_.fail(at, format_message("{} symbols", symbols), format_message("{} bytes", rest.size() - 17));
      }
      const Bytes values = rest.subspan(17, symbols);
      if (kind == 0 && std::ranges::any_of(values, [](std::uint8_t bits) { return bits > 15; })) {
        file_.fail(at, "differences of at most 15 bits", "more");
      }
      (kind == 0 ? dc_ : ac_)[slot] = HuffmanTable(counts, values);
      rest = rest.subspan(17 + symbols);
      at += 17 + symbols;
    }
  }

  void quantisers(const Segment& segment) {
    std::size_t at = segment.at + 4;
    for (Bytes rest = segment.body; !rest.empty();) {
      const std::size_t wide = rest[0] >> 4;
      const std::uint32_t slot = rest[0] & 15U;
      if (wide > 1 || slot > 3) {
        file_.fail(at, "quantisers 0 to 3 of 8 or 16 bits", format_message("{} of kind {}", slot, wide));
      }
      const std::size_t length = 1 + kBlock * (1 + wide);
      if (rest.size() < length) {
        file_.fail(at, format_message("a quantiser of {} bytes", length), format_message("{}", rest.size()));
      }
      Quantiser steps;
      for (std::size_t k = 0; k < kBlock; ++k) {
        const std::uint32_t step = big_endian(rest, 1 + k * (1 + wide), 1 + static_cast<int>(wide));
        if (step == 0) file_.fail(at, "steps of 1 and more", "0");
        steps[zigzag[k]] = static_cast<std::uint16_t>(step);
      }
      quantisers_[slot] = steps;
      rest = rest.subspan(length);
      at += length;
    }
  }

  void restart_interval(const Segment& segment) {
    if (segment.body.size() != 2) {
      file_.fail(segment.at, "a restart interval of 2 bytes", format_message("{}", segment.body.size()));
    }
    restart_interval_ = big_endian(segment.body, 0, 2);
  }

  void note(std::uint32_t marker, Bytes body) {
    const auto begins = [&](std::string_view text) {
      return body.size() >= text.size() && std::equal(text.begin(), text.end(), body.begin());
    };
    using namespace std::string_view_literals;
    if (marker == APP0 && begins("JFIF\0"sv)) is_jfif_ = true;
    if (marker == APP0 + 14 && body.size() >= 12 && begins("Adobe")) adobe_transform_ = body[11];
    if (marker == APP0 + 1 && begins("Exif\0\0"sv) && !has_exif_) {
      has_exif_ = true;
      orientation_ = exif_orientation(body.subspan(6));
    }
  }

  Scan scan_header(const Segment& segment) {
    const auto& [at, body] = segment;
    if (frame_.components.empty()) file_.fail(at, "a JPEG frame header before the first scan", "none");
    const std::size_t count = body.empty() ? 0 : body[0];
    if (count < 1 || count > frame_.components.size() || body.size() != 4 + 2 * count) {
      file_.fail(at,
                 format_message("a scan of 1 to {} components, with 4 bytes and 2 for each", frame_.components.size()),
                 format_message("{} components, {} bytes", count, body.size()));
    }
    constexpr int kMostScans = 256;  // real files have up to 20 or so; a small file must not cost hours
    if (++scans_ > kMostScans) file_.fail(at, format_message("at most {} scans", kMostScans), "more");
    Scan scan;
    scan.restart_interval = restart_interval_;
    scan.first = body[1 + 2 * count];
    scan.last = body[2 + 2 * count];
    const int high = body[3 + 2 * count] >> 4;  // the lowest bit before; 0: none
    scan.low = body[3 + 2 * count] & 15;
    scan.refines = high != 0;
    const std::size_t range_at = at + 4 + 1 + 2 * count;
    check_range(range_at, scan, high, count);
    for (std::size_t i = 0; i < count; ++i)
      scan.parts.push_back(part(at + 5 + 2 * i, scan, body[1 + 2 * i], body[2 + 2 * i]));
    for (const Scan::Part& p : scan.parts) mark(range_at, scan, high, *p.component);
    return scan;
  }

  void check_range(std::size_t at, const Scan& scan, int high, std::size_t count) const {
    const std::string got =
        format_message("coefficients {} to {}, bits {} and {}", scan.first, scan.last, high, scan.low);
    if (!frame_.progressive) {
      if (scan.first != 0 || scan.last != 63 || high != 0 || scan.low != 0) {
        file_.fail(at, "coefficients 0 to 63, bits 0 and 0 in a baseline scan", got);
      }
      return;
    }
    if (scan.first > scan.last || scan.last > 63 || (scan.first == 0 && scan.last != 0) ||
        (scan.first != 0 && count != 1)) {
      file_.fail(at, "coefficient 0 alone, or others of one component, in a progressive scan", got);
    }
    if (scan.low > 13 || (high != 0 && high != scan.low + 1)) {
      file_.fail(at, "one more bit, from 13 down, in a progressive scan", got);
    }
  }

  Scan::Part part(std::size_t at, const Scan& scan, std::uint32_t id, std::uint32_t tables) {
    const auto component = std::ranges::find(frame_.components, id, &Component::id);
    if (component == frame_.components.end()) {
      file_.fail(at, "a component of the frame header", format_message("{}", id));
    }
    for (const Scan::Part& before : scan.parts) {
      if (before.component == &*component)
        file_.fail(at, "each component once in a scan", format_message("{} twice", id));
    }
    const std::uint32_t dc = tables >> 4;
    const std::uint32_t ac = tables & 15U;
    const bool needs_dc = scan.first == 0 && !scan.refines;
    const bool needs_ac = scan.last != 0;
    if (dc > 3 || ac > 3 || (needs_dc && !dc_[dc].defined()) || (needs_ac && !ac_[ac].defined())) {
      file_.fail(at + 1, "Huffman tables that are defined", format_message("{} and {}", dc, ac));
    }
    if (!component->quantiser) {
      component->quantiser = quantisers_[component->quantiser_slot];
      if (!component->quantiser) {
        file_.fail(at, "a quantiser before the scan", format_message("no {}", component->quantiser_slot));
      }
    }
    return {&*component, &dc_[dc], &ac_[ac]};
  }

  /// Notes what the scan codes of a component; that must be what is missing.
  void mark(std::size_t at, const Scan& scan, int high, Component& component) const {
    if (scan.first != 0 && !component.seen()) file_.fail(at, "coefficient 0 in an earlier scan", "none");
    for (int k = scan.first; k <= scan.last; ++k) {
      std::int8_t& low = component.low[static_cast<std::size_t>(k)];
      if (low != (scan.refines ? high : -1)) {
        file_.fail(at, "what no scan has coded yet",
                   format_message("component {}, coefficient {}, bits {} and {}", component.id, k, high, scan.low));
      }
      low = static_cast<std::int8_t>(scan.low);
    }
  }

  void finish(std::size_t at) {
    if (frame_.components.empty()) file_.fail(at, "a JPEG frame header before the end", "none");
    for (const Component& component : frame_.components) {
      if (!component.seen()) file_.fail(at, format_message("a scan of component {}", component.id), "none");
    }
    const Bytes behind = bytes_.subspan(at + 2);
    const auto other = std::ranges::find_if(behind, [](std::uint8_t byte) { return byte != 0; });
    if (other != behind.end()) {
      const auto place = static_cast<std::size_t>(other - behind.begin());
      const bool second = behind.size() - place >= jpeg_signature.size() &&
                          std::equal(jpeg_signature.begin(), jpeg_signature.end(), other);
      file_.fail(at + 2 + place, "nothing but zeros after the end of the picture",
                 second ? std::string("a second JPEG") : format_message("{} more bytes", behind.size() - place));
    }
    if (!frame_.progressive) return;
    for (Component& c : frame_.components) {
      c.samples.resize(c.coefficients.size());
      const std::int16_t* next = c.coefficients.data();
      for (std::size_t y = 0; y < c.rows; ++y) {
        for (std::size_t x = 0; x < c.stride; ++x, next += kBlock) {
          inverse_dct(next, *c.quantiser, c.samples.data() + (y * 8 * c.stride + x) * 8, std::size_t{c.stride} * 8);
        }
      }
      c.coefficients = {};
    }
  }

  [[nodiscard]] Colours colours() const {
    const auto& components = frame_.components;
    if (components.size() == 1) return Colours::grey;
    if (components.size() == 4) {
      if (adobe_transform_ == 0) return Colours::cmyk;
      if (adobe_transform_ == 2) return Colours::ycck;
      file_.reader.fail(FileError::nowhere, "an Adobe marker that says what four components are, CMYK or YCCK",
                        adobe_transform_ ? format_message("transform {}", *adobe_transform_) : std::string("none"));
    }
    if (is_jfif_) return Colours::ycbcr;
    if (adobe_transform_) return *adobe_transform_ == 0 ? Colours::rgb : Colours::ycbcr;
    const bool named_rgb = components[0].id == 'R' && components[1].id == 'G' && components[2].id == 'B';
    return named_rgb ? Colours::rgb : Colours::ycbcr;
  }

  const PictureFile& file_;
  Bytes bytes_;
  Frame frame_;
  std::array<HuffmanTable, 4> dc_, ac_;
  std::array<std::optional<Quantiser>, 4> quantisers_;
  std::uint32_t restart_interval_ = 0;
  int scans_ = 0;
  int orientation_ = 1;
  bool has_exif_ = false;
  bool is_jfif_ = false;
  std::optional<std::uint32_t> adobe_transform_;
};

}  // namespace

Tensor decode_jpeg(const PictureFile& file) { return Decoder(file).run(); }

}  // namespace tapestry::datasets::detail
