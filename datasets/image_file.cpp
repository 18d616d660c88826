#include <tapestry/datasets/image_file.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/datasets/detail/jpeg.h>
#include <tapestry/datasets/detail/picture_file.h>
#include <tapestry/datasets/detail/png.h>

// The one file that sees stb, which compresses what is written. Its decoders are not used: they read hostile files out
// of bounds, and damaged ones as pictures. Its functions are static here: the packaged library exports the same names.
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace tapestry::datasets {
namespace {

constexpr std::int64_t kLargestFile = 1 << 30;  // bytes

Tensor decode(const detail::PictureFile& file) {
  const auto begins_with = [&](const auto& signature) {
    return file.bytes.size() >= signature.size() && std::ranges::equal(file.bytes.first(signature.size()), signature);
  };
  if (begins_with(detail::png_signature)) return decode_png(file);
  if (begins_with(detail::jpeg_signature)) return decode_jpeg(file);
  const std::string kind = file_kind(std::as_bytes(file.bytes));
  file.reader.fail(FileError::nowhere, "a PNG or JPEG picture", kind.empty() ? "neither" : kind);
}

/// Grey or RGB, each with or without alpha.
Tensor convert(const Tensor& image, Index channels) {
  const Index given = image.size(2);
  if (channels == given) return image;
  const Index pixels = image.size(0) * image.size(1);
  Tensor converted = empty({image.size(0), image.size(1), channels}, u8);
  const auto* from = image.data<std::uint8_t>();
  auto* to = converted.mutable_data<std::uint8_t>();
  const Index colours = given >= 3 ? 3 : 1;
  for (Index i = 0; i < pixels; ++i, from += given, to += channels) {
    if (channels >= 3) {
      for (Index c = 0; c < 3; ++c) to[c] = from[colours == 3 ? c : 0];
    } else {  // weights of red, green and blue in 256ths
      to[0] = colours == 1 ? from[0] : static_cast<std::uint8_t>((from[0] * 77 + from[1] * 150 + from[2] * 29) / 256);
    }
    if (channels % 2 == 0) to[channels - 1] = given % 2 == 0 ? from[given - 1] : std::uint8_t{255};
  }
  return converted;
}

struct Free {
  void operator()(unsigned char* bytes) const noexcept { std::free(bytes); }
};
using Pixels = std::unique_ptr<unsigned char, Free>;

}  // namespace

Tensor read_image(const std::string& path, ReadImageOptions options, Here here) {
  const CallSite site(here);
  if (options.channels < 0 || options.channels > 4) {
    throw_invalid("read_image: channels must be in [0, 4]; got {}", options.channels);
  }
  FileReader file(path);
  if (file.size() > kLargestFile) {
    file.fail(FileError::nowhere, format_message("at most {} bytes", kLargestFile), format_message("{}", file.size()));
  }
  CountedVector<std::uint8_t> bytes(static_cast<std::size_t>(file.size()));
  file.read(std::as_writable_bytes(std::span(bytes)));
  file.expect_end();
  const Tensor image = decode({file, bytes});
  return convert(image, options.channels == 0 ? image.size(2) : options.channels);
}

void write_png(const std::string& path, const Tensor& image, Here here) {
  const CallSite site(here);
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
