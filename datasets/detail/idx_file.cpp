#include <tapestry/datasets/detail/idx_file.h>

#include <algorithm>
#include <span>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/gzip.h>

namespace tapestry::datasets::detail {
namespace {

constexpr std::uint8_t kUnsignedBytes = 8;
constexpr int kMostSides = 4;

/// The type of elements that a header's third byte names; null for a byte that names none.
const char* name_of_type(std::uint8_t type) {
  switch (type) {
    case kUnsignedBytes: return "unsigned bytes";
    case 0x09: return "signed bytes";
    case 0x0B: return "integers of 16 bits";
    case 0x0C: return "integers of 32 bits";
    case 0x0D: return "floats of 32 bits";
    case 0x0E: return "floats of 64 bits";
    default: return nullptr;
  }
}

std::int64_t big_endian(std::span<const std::uint8_t> bytes) {
  std::int64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8 | byte;
  return value;
}

}  // namespace

IdxFile::IdxFile(FileReader file, std::int64_t limit) : file_(std::move(file)), contents_(file_.size()) {
  known_ = static_cast<std::size_t>(std::min<std::int64_t>(file_.size(), kLongestHeader));
  file_.read(std::as_writable_bytes(std::span(beginning_).first(known_)));
  if (is_gzip(std::span(beginning_).first(known_))) read_packed(limit);
  read_header(limit);
}

void IdxFile::read_packed(std::int64_t limit) {
  // What deflate cannot make smaller it makes longer by 5 bytes in 65,535; the frame may hold a name.
  const std::int64_t most = limit + limit / 1024 + 65536;
  if (file_.size() > most) {
    file_.fail(FileError::nowhere, format_message("at most {} bytes", most), format_message("{}", file_.size()));
  }
  is_packed_ = true;
  packed_.resize(static_cast<std::size_t>(file_.size()));
  std::copy_n(beginning_.begin(), known_, packed_.begin());
  file_.read(std::as_writable_bytes(std::span(packed_).subspan(known_)));
  file_.expect_end();
  try {
    const GzipFile gzip(packed_);
    contents_ = gzip.unpacked_bytes();
    known_ = static_cast<std::size_t>(std::min<std::int64_t>(contents_, kLongestHeader));
    gzip.unpack_beginning(std::span(beginning_).first(known_));
  } catch (const StreamFault& fault) {
    file_.fail(static_cast<std::int64_t>(fault.offset), fault.expected, fault.got);
  }
}

void IdxFile::read_header(std::int64_t limit) {
  const std::span<const std::uint8_t> bytes = std::span(beginning_).first(known_);
  const auto first_four = [&] {
    return format_message("{} {} {} {}", int{bytes[0]}, int{bytes[1]}, int{bytes[2]}, int{bytes[3]});
  };
  if (bytes.size() < 4) fail(0, "an IDX header", format_message("{} bytes in all", bytes.size()));
  if (bytes[0] != 0 || bytes[1] != 0) {
    const bool is_reversed = bytes[3] == 0 && bytes[2] == 0 && name_of_type(bytes[1]) != nullptr;
    const std::string kind = is_packed_ ? "" : file_kind(std::as_bytes(bytes));
    fail(0, "an IDX header, which begins with two zeros",
         is_reversed     ? first_four() + ", a header in reverse order"
         : !kind.empty() ? kind
                         : first_four());
  }
  if (bytes[2] != kUnsignedBytes) {
    const char* name = name_of_type(bytes[2]);
    fail(2, "type 8, unsigned bytes",
         name == nullptr ? format_message("{}", int{bytes[2]}) : format_message("{}, {}", int{bytes[2]}, name));
  }
  const int sides = bytes[3];
  if (sides < 1 || sides > kMostSides) {
    fail(3, format_message("1 to {} sides", kMostSides), format_message("{}", sides));
  }
  const std::size_t header = 4 + 4 * static_cast<std::size_t>(sides);
  if (bytes.size() < header) {
    fail(4, format_message("a header of {} bytes", header), format_message("{} bytes in all", bytes.size()));
  }
  std::array<Index, kMostSides> extents{};
  std::int64_t elements = 1;
  for (std::size_t d = 0; d < static_cast<std::size_t>(sides); ++d) {
    const std::size_t at = 4 + 4 * d;
    extents[d] = big_endian(bytes.subspan(at, 4));
    const std::int64_t most = (limit - static_cast<std::int64_t>(header)) / elements;
    if (extents[d] < 1 || extents[d] > most) {
      fail(static_cast<std::int64_t>(at),
           format_message("sides of at least 1 and of at most {} elements in all", limit),
           format_message("{} for side {}", extents[d], d));
    }
    elements *= extents[d];
  }
  shape_ = Shape(std::span<const Index>(extents).first(static_cast<std::size_t>(sides)));
  const std::int64_t wanted = elements + static_cast<std::int64_t>(header);
  if (contents_ != wanted) {
    file_.fail(is_packed_ ? file_.size() - 4 : FileError::nowhere,
               format_message("{} bytes{} for {} after a header of {}", wanted, is_packed_ ? " when unpacked" : "",
                              shape_, header),
               format_message("{}", contents_));
  }
}

Tensor IdxFile::read() {
  const auto header = static_cast<std::size_t>(header_bytes());
  if (!is_packed_) {
    Tensor all = empty(shape_, u8);
    const std::span<std::uint8_t> to(all.mutable_data<std::uint8_t>(), static_cast<std::size_t>(all.numel()));
    const std::size_t came = known_ - header;  // with the header
    std::copy_n(beginning_.begin() + static_cast<std::ptrdiff_t>(header), came, to.begin());
    file_.read(std::as_writable_bytes(to.subspan(came)));
    file_.expect_end();
    return all;
  }
  // Unpacked with the header in front, to which what follows may refer.
  Tensor all = empty({contents_}, u8);
  try {
    GzipFile(packed_).unpack({all.mutable_data<std::uint8_t>(), static_cast<std::size_t>(contents_)});
  } catch (const StreamFault& fault) {
    file_.fail(static_cast<std::int64_t>(fault.offset), fault.expected, fault.got);
  }
  packed_ = {};
  return tapestry::detail::alias(all, shape_, static_cast<Index>(header));
}

void IdxFile::fail(std::int64_t offset, const std::string& expected, const std::string& got) const {
  if (!is_packed_) file_.fail(offset, expected, got);
  file_.fail(FileError::nowhere, expected, format_message("{} at byte {} of the unpacked contents", got, offset));
}

}  // namespace tapestry::datasets::detail
