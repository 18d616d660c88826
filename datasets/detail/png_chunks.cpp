#include <tapestry/datasets/detail/png_chunks.h>

#include <algorithm>
#include <array>
#include <string>

#include <tapestry/autograd/base/crc.h>

namespace tapestry::datasets::detail {
namespace {

constexpr std::uint32_t kCrc32 = 0xEDB88320;  // PNG's polynomial, bits reversed

constexpr bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool is_letter(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }

class Walk {
 public:
  explicit Walk(const PictureFile& file) : file_(file), bytes_(file.bytes) {}

  PngChunks run() {
    std::size_t at = 8;
    for (bool first = true; !ended_; first = false) at += chunk(at, first);
    if (at != bytes_.size()) file_.fail(at, "the end of the file after IEND", left(at));
    if (data_bytes_ == 0) file_.fail(at, "an IDAT chunk", "none");
    for (const PngPass& pass : passes_of(found_.header)) {
      found_.raw_bytes += (1 + found_.header.row_bytes(pass.width)) * pass.height;
    }
    constexpr std::uint64_t kMostInflation = 1032;  // deflate's limit
    if (found_.raw_bytes > kMostInflation * data_bytes_) {
      file_.fail(8, format_message("a picture that {} bytes of IDAT can hold", data_bytes_),
                 format_message("{} x {} pixels of {} bytes in all", found_.header.width, found_.header.height,
                                found_.raw_bytes));
    }
    found_.data.reserve(data_bytes_);
    for (const Bytes piece : data_) {
      found_.pieces.push_back({found_.data.size(), static_cast<std::size_t>(piece.data() - bytes_.data())});
      found_.data.insert(found_.data.end(), piece.begin(), piece.end());
    }
    return std::move(found_);
  }

 private:
  std::string left(std::size_t at) const { return format_message("{} more bytes", bytes_.size() - at); }

  /// Checks the chunk at `at`; its length, frame included.
  std::size_t chunk(std::size_t at, bool first) {
    if (bytes_.size() - at < 12) file_.fail(at, "a chunk of at least 12 bytes", left(at));
    const std::size_t length = big_endian(bytes_, at, 4);
    if (length > bytes_.size() - at - 12) file_.fail(at, format_message("a chunk of {} bytes", length + 12), left(at));
    const std::string name(reinterpret_cast<const char*>(bytes_.data()) + at + 4, 4);
    if (!std::ranges::all_of(name, is_letter)) file_.fail(at, "a chunk name of four letters", "other bytes");
    const std::uint32_t wanted = big_endian(bytes_, at + 8 + length, 4);
    const std::uint32_t found =
        tapestry::detail::crc_by_table<kCrc32>(std::as_bytes(bytes_.subspan(at + 4, length + 4)));
    if (wanted != found) {
      file_.fail(at, "a chunk " + name + " with the right checksum", format_message("{} instead of {}", found, wanted));
    }
    if (first != (name == "IHDR")) file_.fail(at, first ? "IHDR as the first chunk" : "one IHDR", name);
    accept(name, at, bytes_.subspan(at + 8, length));
    last_was_data_ = name == "IDAT";
    return length + 12;
  }

  void accept(const std::string& name, std::size_t at, Bytes body) {
    if (name == "IHDR") {
      begin(at, body);
    } else if (name == "PLTE") {
      palette(at, body);
    } else if (name == "tRNS") {
      transparency(at, body);
    } else if (name == "IDAT") {
      if (!data_.empty() && !last_was_data_) file_.fail(at, "IDATs without other chunks between them", "another IDAT");
      if (found_.header.type == PngHeader::palette && found_.palette.empty())
        file_.fail(at, "PLTE before IDAT", "none");
      data_.push_back(body);
      data_bytes_ += body.size();
    } else if (name == "IEND") {
      if (!body.empty()) file_.fail(at, "an empty IEND", format_message("{} bytes", body.size()));
      ended_ = true;
    } else if (is_upper(name[0])) {
      file_.fail(at, "IHDR, PLTE, IDAT, IEND as critical chunks", name);
    }
  }

  void begin(std::size_t at, Bytes body) {
    if (body.size() != 13) file_.fail(at, "an IHDR of 13 bytes", format_message("{} bytes", body.size()));
    PngHeader& header = found_.header;
    header.width = big_endian(body, 0, 4);
    header.height = big_endian(body, 4, 4);
    header.depth = body[8];
    header.type = body[9];
    file_.check_sides(at + 8, header.width, header.height);
    if (header.samples() == 0) {
      file_.fail(at + 16, "a depth and colour type of the PNG standard",
                 format_message("{} and {}", header.depth, header.type));
    }
    if (body[10] != 0 || body[11] != 0 || body[12] > 1) {
      file_.fail(at + 18, "compression 0, filters 0, interlacing 0 or 1",
                 format_message("{}, {}, {}", body[10], body[11], body[12]));
    }
    header.interlaced = body[12] == 1;
  }

  void palette(std::size_t at, Bytes body) {
    const PngHeader& header = found_.header;
    if (header.type == PngHeader::grey || header.type == PngHeader::grey_alpha) {
      file_.fail(at, "no PLTE in a grey picture", "PLTE");
    }
    if (has_palette_) file_.fail(at, "one PLTE", "two");
    if (!data_.empty()) file_.fail(at, "PLTE before IDAT", "IDAT first");
    if (found_.transparency) file_.fail(at, "PLTE before tRNS", "tRNS first");
    const std::size_t most = header.type == PngHeader::palette ? std::size_t{1} << header.depth : 256;
    if (body.empty() || body.size() % 3 != 0 || body.size() / 3 > most) {
      file_.fail(at, format_message("a PLTE of 1 to {} entries of 3 bytes", most),
                 format_message("{} bytes", body.size()));
    }
    has_palette_ = true;
    found_.palette.assign(body.begin(), body.end());
  }

  void transparency(std::size_t at, Bytes body) {
    const PngHeader& header = found_.header;
    if (header.type == PngHeader::grey_alpha || header.type == PngHeader::rgb_alpha) {
      file_.fail(at, "no tRNS in a picture with alpha", "tRNS");
    }
    if (found_.transparency) file_.fail(at, "one tRNS", "two");
    if (!data_.empty()) file_.fail(at, "tRNS before IDAT", "IDAT first");
    if (header.type == PngHeader::palette) {
      if (!has_palette_) file_.fail(at, "PLTE before tRNS", "none");
      const std::size_t entries = found_.palette.size() / 3;
      if (body.empty() || body.size() > entries) {
        file_.fail(at, format_message("a tRNS of 1 to {} bytes", entries), format_message("{}", body.size()));
      }
    } else if (const std::size_t needed = 2 * std::size_t{header.samples()}; body.size() != needed) {
      file_.fail(at, format_message("a tRNS of {} bytes", needed), format_message("{}", body.size()));
    }
    found_.transparency = body;
  }

  const PictureFile& file_;
  Bytes bytes_;
  PngChunks found_;
  std::vector<Bytes> data_;
  std::uint64_t data_bytes_ = 0;
  bool has_palette_ = false;
  bool last_was_data_ = false;
  bool ended_ = false;
};

}  // namespace

std::uint32_t PngHeader::samples() const {
  const bool any_depth = depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
  const bool whole_bytes = depth == 8 || depth == 16;
  if (type == grey && any_depth) return 1;
  if (type == palette && any_depth && depth != 16) return 1;
  if (type == rgb && whole_bytes) return 3;
  if (type == grey_alpha && whole_bytes) return 2;
  if (type == rgb_alpha && whole_bytes) return 4;
  return 0;
}

std::vector<PngPass> passes_of(const PngHeader& header) {
  if (!header.interlaced) return {{0, 0, 1, 1, header.width, header.height}};
  constexpr std::array<std::array<std::uint32_t, 4>, 7> adam7{
      {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
  std::vector<PngPass> passes;
  for (const auto& [left, top, step_x, step_y] : adam7) {
    if (left >= header.width || top >= header.height) continue;
    passes.push_back({left, top, step_x, step_y, (header.width - left + step_x - 1) / step_x,
                      (header.height - top + step_y - 1) / step_y});
  }
  return passes;
}

std::size_t PngChunks::place_in_file(std::size_t at) const {
  // The last of the pieces that begin at `at` or before: empty ones begin where the next does.
  const auto after = std::ranges::upper_bound(pieces, at, {}, &Piece::in_data);
  const Piece& piece = *std::prev(after);
  return piece.in_file + (at - piece.in_data);
}

PngChunks read_png_chunks(const PictureFile& file) { return Walk(file).run(); }

}  // namespace tapestry::datasets::detail
