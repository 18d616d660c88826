#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace tapestry::nn {

/// True for well-formed UTF-8: no overlong forms, surrogates or values beyond U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// Appends text as a JSON string, quotes included.
void append_json(std::string& out, std::string_view text);

/// Reads JSON token by token. The caller says what must come next, so that depth and kind of every value are known
/// beforehand and nothing is read recursively. Errors are FileErrors with the offset in the file.
class JsonReader {
 public:
  JsonReader(std::span<const std::byte> text, std::int64_t offset, const std::filesystem::path& path)
      : text_(text), offset_(offset), path_(path) {}

  /// Takes the character, after white space, or throws.
  void expect(char c);
  /// Takes the character, after white space, if it is the next one.
  [[nodiscard]] bool accept(char c);
  /// A string with all escapes resolved. Throws for control characters, bad escapes and what is no UTF-8.
  [[nodiscard]] std::string string();
  /// An integer in [0, 2^63), without sign, fraction, exponent or leading zeros.
  [[nodiscard]] std::int64_t integer();
  /// Nothing but white space may be left.
  void end();

  [[nodiscard]] std::int64_t offset() const noexcept { return offset_ + static_cast<std::int64_t>(at_); }
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const;

 private:
  [[nodiscard]] int peek() const noexcept { return at_ < text_.size() ? std::to_integer<int>(text_[at_]) : -1; }
  void skip_space() noexcept;
  [[noreturn]] void fail_here(const std::string& expected) const;
  void escape(std::string& out);
  [[nodiscard]] std::uint32_t hex4();

  std::span<const std::byte> text_;
  std::int64_t offset_;
  const std::filesystem::path& path_;
  std::size_t at_ = 0;
};

}  // namespace tapestry::nn
