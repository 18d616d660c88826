#include <tapestry/nn/detail/safetensors_header.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <set>
#include <span>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include <tapestry/nn/detail/crc32c.h>

namespace tapestry::nn::detail {
namespace {

using nlohmann::json;

constexpr std::pair<std::string_view, Dtype> kDtypes[] = {{"F32", f32}, {"F64", f64}, {"BF16", bf16},   {"I64", i64},
                                                          {"I32", i32}, {"U8", u8},   {"BOOL", boolean}};

/// Of a header's length and text.
std::uint32_t header_sum(std::string_view text) {
  const std::uint64_t length = text.size();
  return crc32c(std::as_bytes(std::span(text)), crc32c(std::as_bytes(std::span(&length, 1))));
}

/// The number in `digits`, which must be as crc_text() writes it.
bool read_sum(std::string_view digits, std::uint32_t& sum) {
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), sum, 16);
  return error == std::errc() && crc_text(sum) == digits;
}

/// The characters of a text; `*taken` counts those the parser has asked for. It tells its listener of no places: with
/// this, the listener knows them.
class Taken {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Taken(const char* at, std::size_t* taken) : at_(at), taken_(taken) {}
  reference operator*() const { return *at_; }
  Taken& operator++() {
    ++at_;
    ++*taken_;
    return *this;
  }
  friend bool operator==(const Taken& a, const Taken& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  std::size_t* taken_;
};

/// What a message quotes of a file: a string there may have megabytes.
std::string shortened(const std::string& text) {
  std::size_t most = 200;  // bytes: two lines
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;  // inside a character
  return text.substr(0, most) + "...";
}

/// Listens to the parser and builds the header. What does not belong at its place is refused the moment it appears: so
/// nothing nests deeper than the format does, and nothing is kept that was not asked for.
class HeaderBuilder final : public nlohmann::json_sax<json> {
 public:
  HeaderBuilder(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Header build() {
    json::sax_parse(Taken(text_.data(), &taken_), Taken(text_.data() + text_.size(), nullptr), this);
    // The parser takes a zero byte for the end of the text.
    const std::size_t rest = text_.find_first_not_of(" \t\r\n", end_);
    if (rest != text_.npos) {
      fail_at(rest, "nothing behind the header's object", fmt::format("{} bytes", text_.size() - rest));
    }
    check_sums();
    return std::move(header_);
  }

  bool start_object(std::size_t) override {
    token();
    if (place_ == Place::text) return enter(Place::header);
    if (place_ != Place::header) unexpected("an object");
    if (name_ == kMetadata) return enter(Place::metadata);
    fields_.clear();
    entry_ = Entry{name_, f32, {}, 0, 0, kPrefix + static_cast<std::int64_t>(begin_)};
    return enter(Place::entry);
  }

  bool key(std::string& key) override {
    token();
    if (place_ == Place::header) begin_name(key);
    else if (place_ == Place::entry) begin_field(key);
    else begin_metadata(key);
    return true;
  }

  bool string(std::string& value) override {
    token();
    if (place_ == Place::metadata) {
      if (field_ == kHeaderSum) digits_ = begin_ + 1;  // behind the quotation mark
      return header_.metadata.emplace(field_, std::move(value)).second;
    }
    if (place_ != Place::entry || field_ != "dtype") unexpected("a string");
    const auto* const known =
        std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const auto& d) { return d.first == value; });
    if (known == std::end(kDtypes)) {
      fail(fmt::format("F32, F64, BF16, I64, I32, U8 or BOOL as the dtype of {}", name_), value);
    }
    entry_.dtype = known->second;
    return true;
  }

  bool start_array(std::size_t) override {
    token();
    if (place_ != Place::entry || field_ == "dtype") unexpected("a list");
    numbers_.clear();
    return enter(field_ == "shape" ? Place::shape : Place::offsets);
  }

  bool number_unsigned(std::uint64_t value) override {
    number_token();
    if (place_ != Place::shape && place_ != Place::offsets) unexpected(std::to_string(value));
    const std::size_t most = place_ == Place::shape ? kMaxRank : 2;
    if (numbers_.size() == most) fail(fmt::format("at most {} numbers in the {} of {}", most, field_, name_), "more");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(fmt::format("integers below 2^63 in the {} of {}", field_, name_), std::to_string(value));
    }
    numbers_.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool end_array() override {
    token();
    if (place_ == Place::shape) {
      entry_.shape = shape();
    } else {
      if (numbers_.size() != 2) fail(fmt::format("two data_offsets for {}", name_), std::to_string(numbers_.size()));
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    return enter(Place::entry);
  }

  bool end_object() override {
    token();
    if (place_ == Place::header) return enter(Place::end);
    if (place_ == Place::entry) {
      if (fields_.size() != 3) {
        fail(fmt::format("dtype, shape and data_offsets for {}", name_), fmt::format("{} of them", fields_.size()));
      }
      header_.entries.push_back(std::move(entry_));
    }
    return enter(Place::header);
  }

  bool null() override { return token(), unexpected("null"); }
  bool boolean(bool value) override { return token(), unexpected(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) override { return number_token(), unexpected(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return number_token(), unexpected(text); }
  bool binary(json::binary_t&) override { return unexpected("bytes"); }  // JSON as text has none

  /// The parser's text is "... - unexpected WHAT; expected WHAT" or "... - FAULT; last read: ...".
  bool parse_error(std::size_t position, const std::string&, const json::exception& e) override {
    constexpr std::string_view kDash = " - ", kExpected = "; expected ", kUnexpected = "unexpected ";
    std::string_view got = e.what();
    std::string_view expected = "valid JSON";
    if (const auto dash = got.find(kDash); dash != got.npos) got.remove_prefix(dash + kDash.size());
    else if (const auto id = got.find("] "); id != got.npos) got.remove_prefix(id + 2);
    if (const auto last_read = got.find("; last read: "); last_read != got.npos) {
      got = got.substr(0, last_read);
    } else if (const auto end = got.find(kExpected); end != got.npos) {
      expected = got.substr(end + kExpected.size());
      got = got.substr(0, end);
      if (got.starts_with(kUnexpected)) got.remove_prefix(kUnexpected.size());
    }
    fail_at(position > 0 ? position - 1 : 0, fmt::format("{} in the header", expected), std::string(got));
  }

 private:
  enum class Place { text, header, metadata, entry, shape, offsets, end };  ///< the innermost that is open

  bool enter(Place place) {
    place_ = place;
    return true;
  }

  void begin_name(const std::string& name) {
    if (const std::string fault = name_fault(name); !fault.empty()) {
      fail("a tensor's name to " + fault, fmt::format("one of {} bytes", name.size()));
    }
    if (!names_.insert(name).second) fail("each name once", name + " twice");
    if (names_.size() > kMaxEntries) fail(fmt::format("at most {} entries", kMaxEntries), "more");
    name_ = name;
  }

  void begin_field(const std::string& field) {
    if (field != "dtype" && field != "shape" && field != "data_offsets") {
      fail(fmt::format("dtype, shape and data_offsets for {}", name_), field);
    }
    if (!fields_.insert(field).second) fail(fmt::format("each field of {} once", name_), field + " twice");
    field_ = field;
  }

  void begin_metadata(const std::string& key) {
    if (header_.metadata.contains(key)) fail("each key of the metadata once", key + " twice");
    if (header_.metadata.size() == kMaxEntries) fail(fmt::format("at most {} entries", kMaxEntries), "more");
    field_ = key;
  }

  /// Takes the checksums out of the metadata.
  void check_sums() {
    const auto own = header_.metadata.extract(std::string(kHeaderSum));
    const auto tensors = header_.metadata.extract(std::string(kTensorSums));
    if (own.empty() && tensors.empty()) return;
    if (own.empty() || tensors.empty()) {
      fail_at(0, fmt::format("both {} and {} in the metadata, or neither", kHeaderSum, kTensorSums), "one of them");
    }
    // With any escape in them the digits would be longer in the file than in memory.
    std::string zeroed(text_);
    zeroed.replace(digits_, std::min(kCrcDigits, zeroed.size() - digits_), kCrcDigits, '0');
    const std::string right = crc_text(header_sum(zeroed));
    if (own.mapped() != right || text_.substr(digits_, kCrcDigits) != right) {
      fail_at(digits_, "a header with its checksum, " + own.mapped(), "one with " + right);
    }
    header_.checked = true;
    for (std::string_view rest = tensors.mapped(); !rest.empty();) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      std::uint32_t& sum = header_.sums.emplace_back();
      if (!read_sum(rest.substr(0, end), sum)) fail_at(0, "checksums of 8 digits", std::string(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    if (header_.sums.size() != header_.entries.size()) {
      fail_at(0, fmt::format("a checksum for each of {} tensors", header_.entries.size()),
              std::to_string(header_.sums.size()));
    }
  }

  [[nodiscard]] Shape shape() const {
    try {
      return Shape(std::span<const Index>(numbers_));
    } catch (const std::invalid_argument&) {
      fail(fmt::format("at most 2^59 elements in {}", name_), fmt::format("shape [{}]", fmt::join(numbers_, ", ")));
    }
  }

  /// Finds the token that the parser tells of: it ends where the parser stands.
  void token() {
    begin_ = text_.find_first_not_of(" \t\r\n,:", end_);
    end_ = taken_;
  }
  /// The same for a number, behind which the parser has looked at another character.
  void number_token() {
    begin_ = text_.find_first_not_of(" \t\r\n,:", end_);
    end_ = std::min(text_.find_first_not_of("0123456789+-.eE", begin_), text_.size());
  }

  /// What the format has where the parser stands.
  [[nodiscard]] std::string wanted() const {
    switch (place_) {
      case Place::header: return "an object for " + name_;
      case Place::metadata: return fmt::format("a string for {} of the metadata", field_);
      case Place::entry:
        return fmt::format("{} as the {} of {}", field_ == "dtype" ? "a string" : "a list", field_, name_);
      case Place::shape:
      case Place::offsets: return fmt::format("integers, at least 0, in the {} of {}", field_, name_);
      default: return "an object";
    }
  }

  [[noreturn]] bool unexpected(const std::string& got) const { fail(wanted(), got); }
  [[noreturn]] void fail(const std::string& expected, const std::string& got) const { fail_at(begin_, expected, got); }
  [[noreturn]] void fail_at(std::size_t at, const std::string& expected, const std::string& got) const {
    throw FileError(path_, kPrefix + static_cast<std::int64_t>(at), expected, shortened(got));
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t taken_ = 0;            ///< characters the parser has asked for
  std::size_t begin_ = 0, end_ = 0;  ///< the latest token in the text
  std::size_t digits_ = 0;           ///< of the header's own checksum, if it has one
  Place place_ = Place::text;
  std::string name_;   ///< latest key of the header
  std::string field_;  ///< latest key of an entry or of the metadata
  std::set<std::string> names_, fields_;
  std::vector<std::int64_t> numbers_;
  Entry entry_;
  Header header_;
};

}  // namespace

std::string_view code_of(Dtype dtype) {
  return std::find_if(std::begin(kDtypes), std::end(kDtypes), [=](const auto& d) { return d.second == dtype; })->first;
}

std::string name_fault(std::string_view name) {
  if (name.empty()) return "not be empty";
  if (name.size() > kMaxName) return fmt::format("have at most {} bytes", kMaxName);
  if (name.find('\0') != name.npos) return "have no NUL";
  return "";
}

bool is_utf8(std::string_view text) {
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

Header parse_header(std::string_view text, const std::string& path) { return HeaderBuilder(text, path).build(); }

std::string header_text(const Header& header) {
  // Only texts are made by the library: the destructor of its objects allocates, and ends the program when it cannot.
  const auto quoted = [](const std::string& text) { return json(text).dump(); };
  // The header's own sum comes first, so that its place is known.
  std::string out = fmt::format(R"({{"{}":{{"{}":")", kMetadata, kHeaderSum);
  const std::size_t digits = out.size();
  std::vector<std::string> sums;
  std::transform(header.sums.begin(), header.sums.end(), std::back_inserter(sums), crc_text);
  Metadata rest = header.metadata;
  rest[std::string(kTensorSums)] = fmt::format("{}", fmt::join(sums, " "));
  out += std::string(kCrcDigits, '0') + '"';
  for (const auto& [key, value] : rest) out += fmt::format(",{}:{}", quoted(key), quoted(value));
  out += '}';
  for (const Entry& e : header.entries) {
    out += fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", quoted(e.name), code_of(e.dtype),
                       fmt::join(e.shape.begin(), e.shape.end(), ","), e.begin, e.end);
  }
  out += '}';
  constexpr std::size_t kAlignment = 8;  // bytes, of the data behind it
  out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return out.replace(digits, kCrcDigits, crc_text(header_sum(out)));
}

}  // namespace tapestry::nn::detail
