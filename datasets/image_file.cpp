#include <tapestry/datasets/image_file.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tapestry/autograd/base/check.h>

// The one file that sees stb. Its functions are static here: the packaged library exports the same names, with decoders
// for formats nobody asked for. Its texts for failures are composed in a buffer that threads would share: ours instead.
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_FAILURE_STRINGS
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace tapestry::datasets {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::int64_t kLargestFile = 1 << 30;  // bytes: stb counts with int
constexpr std::uint32_t kLargestSide = STBI_MAX_DIMENSIONS;

struct Header {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

std::uint32_t big_endian(Bytes bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = (value << 8) | bytes[at + static_cast<std::size_t>(i)];
  return value;
}

/// CRC-32 of PNG and zlib (polynomial 0xEDB88320, reflected).
std::uint32_t crc32(Bytes bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      t[i] = i;
      for (int bit = 0; bit < 8; ++bit) t[i] = (t[i] >> 1) ^ ((t[i] & 1U) != 0 ? 0xEDB88320U : 0U);
    }
    return t;
  }();
  std::uint32_t crc = ~0U;
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 255U] ^ (crc >> 8);
  return ~crc;
}

void check_sides(const FileReader& file, std::size_t offset, Header header) {
  if (header.width < 1 || header.height < 1 || header.width > kLargestSide || header.height > kLargestSide) {
    file.fail(offset, format_message("sides from 1 to {} pixels", kLargestSide),
              format_message("{} x {}", header.width, header.height));
  }
}

/// Channels of a pixel of a PNG colour type; nothing for a pair of type and depth that does not exist.
std::optional<std::uint32_t> samples_per_pixel(std::uint32_t type, std::uint32_t depth) {
  const bool any_depth = depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
  const bool bytes = depth == 8 || depth == 16;
  if (type == 0 && any_depth) return 1;
  if (type == 3 && any_depth && depth != 16) return 1;
  if (type == 2 && bytes) return 3;
  if (type == 4 && bytes) return 2;
  if (type == 6 && bytes) return 4;
  return std::nullopt;
}

/// Walks all chunks of a PNG: stb looks at no checksum and takes files that end early.
class PngWalk {
 public:
  PngWalk(const FileReader& file, Bytes bytes) : file_(file), bytes_(bytes) {}

  Header run() {
    std::size_t at = 8;
    for (bool first = true; !ended_; first = false) at += chunk(at, first);
    if (at != bytes_.size()) file_.fail(at, "the end of the file after IEND", left(at));
    if (data_bytes_ == 0) file_.fail(at, "an IDAT chunk", "none");
    constexpr std::uint64_t kMostInflation = 1032;  // deflate's limit
    if (raw_bytes_ > kMostInflation * data_bytes_) {
      file_.fail(8, format_message("a picture that {} bytes of IDAT can hold", data_bytes_),
                 format_message("{} x {} pixels of {} bytes in all", header_.width, header_.height, raw_bytes_));
    }
    return header_;
  }

 private:
  std::string left(std::size_t at) const { return format_message("{} more bytes", bytes_.size() - at); }

  /// Checks the chunk at `at`; its length, frame included.
  std::size_t chunk(std::size_t at, bool first) {
    if (bytes_.size() - at < 12) file_.fail(at, "a chunk of at least 12 bytes", left(at));
    const std::size_t length = big_endian(bytes_, at, 4);
    if (length > bytes_.size() - at - 12) file_.fail(at, format_message("a chunk of {} bytes", length + 12), left(at));
    const std::string name(bytes_.begin() + static_cast<std::ptrdiff_t>(at) + 4,
                           bytes_.begin() + static_cast<std::ptrdiff_t>(at) + 8);
    const bool letters =
        std::ranges::all_of(name, [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); });
    const std::uint32_t wanted = big_endian(bytes_, at + 8 + length, 4);
    const std::uint32_t found = crc32(bytes_.subspan(at + 4, length + 4));
    if (!letters || wanted != found) {
      file_.fail(at, letters ? "a chunk " + name + " with the right checksum" : "a chunk name of four letters",
                 letters ? format_message("{} instead of {}", found, wanted) : "other bytes");
    }
    if (first != (name == "IHDR")) file_.fail(at, first ? "IHDR as the first chunk" : "one IHDR", name);
    if (first) begin(at, length);
    if (name == "IDAT") data_bytes_ += length;
    ended_ = name == "IEND";
    if (ended_ && length != 0) file_.fail(at, "an empty IEND", format_message("{} bytes", length));
    const bool critical = name[0] >= 'A' && name[0] <= 'Z';
    if (critical && !first && name != "IDAT" && name != "IEND" && name != "PLTE") {
      file_.fail(at, "IHDR, PLTE, IDAT, IEND as critical chunks", name);
    }
    return length + 12;
  }

  void begin(std::size_t at, std::size_t length) {
    if (length != 13) file_.fail(at, "an IHDR of 13 bytes", format_message("{} bytes", length));
    const std::size_t body = at + 8;
    header_ = {big_endian(bytes_, body, 4), big_endian(bytes_, body + 4, 4)};
    check_sides(file_, body, header_);
    const std::uint32_t depth = bytes_[body + 8];
    const std::uint32_t type = bytes_[body + 9];
    const auto samples = samples_per_pixel(type, depth);
    if (!samples) {
      file_.fail(body + 8, "a depth and colour type of the PNG standard", format_message("{} and {}", depth, type));
    }
    raw_bytes_ = (std::uint64_t{header_.width} * *samples * depth + 7) / 8 * header_.height;
  }

  const FileReader& file_;
  Bytes bytes_;
  Header header_;
  std::uint64_t data_bytes_ = 0;
  std::uint64_t raw_bytes_ = 0;
  bool ended_ = false;
};

/// Walks a JPEG's markers up to its first scan, and asks for the end marker.
Header check_jpeg(const FileReader& file, Bytes bytes) {
  std::optional<Header> header;
  for (std::size_t at = 2;;) {
    if (bytes.size() - at < 4 || bytes[at] != 0xFF)
      file.fail(at, "a JPEG marker", "other bytes or the end of the file");
    const std::uint32_t marker = bytes[at + 1];
    if (marker == 0xFF) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0xDA) {
      if (!header) file.fail(at, "a JPEG frame header before the first scan", "none");
      break;
    }
    const std::uint32_t length = big_endian(bytes, at + 2, 2);
    if (marker < 0xC0 || (marker >= 0xD0 && marker <= 0xD9) || length < 2 || length > bytes.size() - at - 2) {
      file.fail(at, "a whole JPEG segment", format_message("marker {} with {} bytes", marker, length));
    }
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) {
      if (header) file.fail(at, "one JPEG frame header", "two");
      if (marker > 0xC2 || length < 8 || bytes[at + 4] != 8) {
        file.fail(at, "a baseline or progressive JPEG of 8 bits", "a kind that is not supported");
      }
      header = Header{big_endian(bytes, at + 7, 2), big_endian(bytes, at + 5, 2)};
      check_sides(file, at + 5, *header);
      const std::uint32_t components = bytes[at + 9];
      if (components != 1 && components != 3) file.fail(at + 9, "1 or 3 colour components", std::to_string(components));
    }
    at += 2 + length;
  }
  // A block of 64 pixels takes two bits; twice that room for what progressive files save.
  constexpr std::uint64_t kPixelsPerByte = 512;
  if (std::uint64_t{header->width} * header->height > kPixelsPerByte * bytes.size()) {
    file.fail(FileError::nowhere, format_message("a picture that {} bytes can hold", bytes.size()),
              format_message("{} x {} pixels", header->width, header->height));
  }
  if (bytes[bytes.size() - 2] != 0xFF || bytes[bytes.size() - 1] != 0xD9) {
    file.fail(bytes.size() - 2, "the end-of-image marker as the last two bytes", "other bytes");
  }
  return *header;
}

Header check_header(const FileReader& file, Bytes bytes) {
  constexpr std::array<std::uint8_t, 8> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr std::array<std::uint8_t, 3> jpeg{0xFF, 0xD8, 0xFF};
  if (bytes.size() >= png.size() && std::equal(png.begin(), png.end(), bytes.begin()))
    return PngWalk(file, bytes).run();
  if (bytes.size() >= 6 && std::equal(jpeg.begin(), jpeg.end(), bytes.begin())) return check_jpeg(file, bytes);
  const std::string kind = file_kind(std::as_bytes(bytes));
  file.fail(FileError::nowhere, "a PNG or JPEG picture", kind.empty() ? "neither" : kind);
}

struct Free {
  void operator()(unsigned char* bytes) const noexcept { std::free(bytes); }
};
using Pixels = std::unique_ptr<unsigned char, Free>;

}  // namespace

Tensor read_image(const std::string& path, ReadImageOptions options) {
  if (options.channels < 0 || options.channels > 4) {
    throw_invalid("read_image: channels must be in [0, 4]; got {}", options.channels);
  }
  FileReader file(path);
  if (file.size() > kLargestFile) {
    file.fail(FileError::nowhere, format_message("at most {} bytes", kLargestFile), format_message("{}", file.size()));
  }
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(file.size()));
  file.read(std::as_writable_bytes(std::span(bytes)));
  file.expect_end();
  const Header header = check_header(file, bytes);
  int width = 0;
  int height = 0;
  int in_file = 0;
  const Pixels pixels(stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &in_file,
                                            static_cast<int>(options.channels)));
  if (!pixels || width != static_cast<int>(header.width) || height != static_cast<int>(header.height)) {
    file.fail(FileError::nowhere, format_message("a picture of {} x {} pixels", header.width, header.height),
              "data that cannot be decoded");
  }
  const Index channels = options.channels == 0 ? in_file : options.channels;
  Tensor image = empty({height, width, channels}, u8);
  std::copy_n(pixels.get(), image.numel(), image.mutable_data<std::uint8_t>());
  return image;
}

void write_png(const std::string& path, const Tensor& image) {
  if (image.dtype() != u8 || image.dim() != 3 || image.numel() == 0 || image.size(2) > 4) {
    throw_invalid("write_png: image must be u8 [H, W, C] with 1 to 4 channels; got {} {}", image.dtype(),
                  image.shape());
  }
  constexpr Index kMost = Index{1} << 30;  // bytes: stb counts with int
  if (image.numel() > kMost) throw_invalid("write_png: image must have at most {} bytes; got {}", kMost, image.shape());
  const auto width = static_cast<int>(image.size(1));
  const auto channels = static_cast<int>(image.size(2));
  int length = 0;
  const Pixels encoded(stbi_write_png_to_mem(image.data<std::uint8_t>(), width * channels, width,
                                             static_cast<int>(image.size(0)), channels, &length));
  if (!encoded) throw std::bad_alloc();
  write_file(path, std::as_bytes(std::span(encoded.get(), static_cast<std::size_t>(length))));
}

}  // namespace tapestry::datasets
