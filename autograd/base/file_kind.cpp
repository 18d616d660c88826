#include <tapestry/autograd/base/file.h>

#include <algorithm>

namespace tapestry {
namespace {

using namespace std::string_view_literals;

struct Kind {
  std::size_t offset;
  std::string_view magic;  ///< letters in either case where it is text
  std::string_view name;
};

constexpr std::string_view kPickle = "a Python pickle (an old PyTorch file, or data of a Python version)";
constexpr std::string_view kPage = "a web page (a download that failed?)";

// The first that fits is taken: long magic numbers stand before short ones.
constexpr Kind kKinds[] = {
    {257, "ustar"sv, "a tar archive (unpack it first)"},
    {0, "version https://git-lfs"sv, "a pointer of Git LFS (git lfs pull fetches the file itself)"},
    {0, "<!doctype html"sv, kPage},
    {0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file"},
    {0, "\x89PNG\r\n\x1A\n"sv, "a PNG picture"},
    {0, "\x93NUMPY"sv, "a NumPy .npy file"},
    {0,
     "\xFD"
     "7zXZ"sv,
     "an xz file (unpack it first)"},
    {0, "<html"sv, kPage},
    {0, "<?xml"sv, "an XML file"},
    {0, "%PDF-"sv, "a PDF file"},
    {0, "PK\x03\x04"sv, "a zip archive (as PyTorch's .pt and NumPy's .npz are)"},
    {0, "\x28\xB5\x2F\xFD"sv, "a zstd file (unpack it first)"},
    {0,
     "\x7F"
     "ELF"sv,
     "a program"},
    {0, "GIF8"sv, "a GIF picture"},
    {0, "8BPS"sv, "a PSD picture"},
    {8, "WEBP"sv, "a WebP picture"},
    {0, "RIFF"sv, "a RIFF file"},
    {0, "\xFF\xD8\xFF"sv, "a JPEG picture"},
    {0, "BZh"sv, "a bzip2 file (unpack it first)"},
    {0, "BM"sv, "a BMP picture"},
    {0, "P5"sv, "a PNM picture"},
    {0, "P6"sv, "a PNM picture"},
    {0, "\x1F\x8B"sv, "a gzip file (unpack it first)"},
    {0, "\x80\x02"sv, kPickle},
    {0, "\x80\x03"sv, kPickle},
    {0, "\x80\x04"sv, kPickle},
    {0, "\x80\x05"sv, kPickle},
    {0, "<"sv, "text that begins with '<' (a web page?)"},
};

constexpr char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool fits(std::span<const std::byte> beginning, const Kind& kind) {
  if (beginning.size() < kind.offset + kind.magic.size()) return false;
  const bool text = kind.magic[0] == '<';
  return std::ranges::equal(beginning.subspan(kind.offset, kind.magic.size()), kind.magic,
                            [=](std::byte byte, char wanted) {
                              const char c = static_cast<char>(byte);
                              return c == wanted || (text && lower(c) == wanted);
                            });
}

}  // namespace

std::string file_kind(std::span<const std::byte> beginning) {
  const std::size_t byte_order_mark = beginning.size() >= 3 && beginning[0] == std::byte{0xEF} &&
                                              beginning[1] == std::byte{0xBB} && beginning[2] == std::byte{0xBF}
                                          ? 3
                                          : 0;
  beginning = beginning.subspan(byte_order_mark);
  for (const Kind& kind : kKinds) {
    if (fits(beginning, kind)) return std::string(kind.name);
  }
  return {};
}

}  // namespace tapestry
