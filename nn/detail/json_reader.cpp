#include <tapestry/nn/detail/json_reader.h>

#include <fmt/format.h>

#include <limits>

#include <tapestry/nn/detail/atomic_file.h>

namespace tapestry::nn {
namespace {

void append_utf8(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i++]);
    const int more = first < 0x80 ? 0 : first < 0xC2 ? -1 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : -1;
    if (more < 0) return false;
    std::uint32_t c = more == 0 ? first : first & (0x3FU >> more);
    for (int k = 0; k < more; ++k, ++i) {
      if (i == text.size() || (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return false;
      c = c << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
    }
    const bool overlong = (more == 2 && c < 0x800) || (more == 3 && c < 0x10000);
    if (overlong || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) return false;
  }
  return true;
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else out += c;
  }
  out += '"';
}

void JsonReader::fail(const std::string& expected, const std::string& got) const {
  throw FileError(path_, offset(), "the header must be right: " + expected, got);
}

void JsonReader::fail_here(const std::string& expected) const {
  const int c = peek();
  fail(expected, c < 0                  ? "its end"
                 : c > 0x20 && c < 0x7F ? fmt::format("'{}'", static_cast<char>(c))
                                        : fmt::format("byte 0x{:02x}", c));
}

void JsonReader::skip_space() noexcept {
  while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
}

void JsonReader::expect(char c) {
  skip_space();
  if (peek() != c) fail_here(fmt::format("'{}'", c));
  ++at_;
}

bool JsonReader::accept(char c) {
  skip_space();
  if (peek() != c) return false;
  ++at_;
  return true;
}

void JsonReader::end() {
  skip_space();
  if (peek() >= 0) fail_here("nothing behind the object");
}

std::uint32_t JsonReader::hex4() {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    const int c = peek();
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) fail_here("four hexadecimal digits");
    value = value << 4 | static_cast<std::uint32_t>(digit);
  }
  return value;
}

void JsonReader::escape(std::string& out) {
  static constexpr std::string_view from = "\"\\/bfnrt";
  static constexpr std::string_view to = "\"\\/\b\f\n\r\t";
  const int c = peek();
  if (c == 'u') {
    ++at_;
    std::uint32_t value = hex4();
    if (value >= 0xD800 && value < 0xDC00) {  // the first half of a pair
      if (peek() != '\\') fail_here("the second half of a surrogate pair");
      ++at_;
      if (peek() != 'u') fail_here("the second half of a surrogate pair");
      ++at_;
      const std::uint32_t low = hex4();
      if (low < 0xDC00 || low >= 0xE000) fail("the second half of a surrogate pair", fmt::format("\\u{:04x}", low));
      value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
    } else if (value >= 0xDC00 && value < 0xE000) {
      fail("a character", fmt::format("half a surrogate pair, \\u{:04x}", value));
    }
    append_utf8(out, value);
    return;
  }
  const std::size_t which = c < 0 ? from.npos : from.find(static_cast<char>(c));
  if (which == from.npos) fail_here("an escape");
  out += to[which];
  ++at_;
}

std::string JsonReader::string() {
  expect('"');
  std::string out;
  const std::size_t begin = at_;
  while (peek() != '"') {
    if (peek() < 0x20) fail_here("a string without control characters, closed by '\"'");
    if (peek() == '\\') {
      ++at_;
      escape(out);
    } else {
      out += static_cast<char>(peek());
      ++at_;
    }
  }
  ++at_;
  if (!is_utf8(out)) {
    at_ = begin;
    fail("UTF-8", "other bytes");
  }
  return out;
}

std::int64_t JsonReader::integer() {
  skip_space();
  const std::size_t begin = at_;
  std::int64_t value = 0;
  while (peek() >= '0' && peek() <= '9') {
    const int digit = peek() - '0';
    if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) fail_here("an integer below 2^63");
    value = value * 10 + digit;
    ++at_;
  }
  if (at_ == begin) fail_here("an integer, at least 0");
  if (at_ > begin + 1 && text_[begin] == std::byte{'0'}) fail("an integer without leading zeros", "one with");
  const int next = peek();
  if (next == '.' || next == 'e' || next == 'E') fail_here("an integer");
  return value;
}

}  // namespace tapestry::nn
