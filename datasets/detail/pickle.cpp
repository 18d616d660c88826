#include <tapestry/datasets/detail/pickle.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>

namespace tapestry::datasets::detail {
namespace {

constexpr std::uint8_t kProtocol = 2;
constexpr std::size_t kLongestLine = 64;  // of a name of Python's

struct Opcode {
  std::uint8_t code;
  const char* name;
};

/// Those that there are up to protocol 5, for messages.
constexpr std::array kOpcodes{Opcode{'(', "MARK"},
                              Opcode{'.', "STOP"},
                              Opcode{'0', "POP"},
                              Opcode{'1', "POP_MARK"},
                              Opcode{'2', "DUP"},
                              Opcode{'F', "FLOAT"},
                              Opcode{'I', "INT"},
                              Opcode{'J', "BININT"},
                              Opcode{'K', "BININT1"},
                              Opcode{'L', "LONG"},
                              Opcode{'M', "BININT2"},
                              Opcode{'N', "NONE"},
                              Opcode{'P', "PERSID"},
                              Opcode{'Q', "BINPERSID"},
                              Opcode{'R', "REDUCE"},
                              Opcode{'S', "STRING"},
                              Opcode{'T', "BINSTRING"},
                              Opcode{'U', "SHORT_BINSTRING"},
                              Opcode{'V', "UNICODE"},
                              Opcode{'X', "BINUNICODE"},
                              Opcode{'a', "APPEND"},
                              Opcode{'b', "BUILD"},
                              Opcode{'c', "GLOBAL"},
                              Opcode{'d', "DICT"},
                              Opcode{'}', "EMPTY_DICT"},
                              Opcode{'e', "APPENDS"},
                              Opcode{'g', "GET"},
                              Opcode{'h', "BINGET"},
                              Opcode{'i', "INST"},
                              Opcode{'j', "LONG_BINGET"},
                              Opcode{'l', "LIST"},
                              Opcode{']', "EMPTY_LIST"},
                              Opcode{'o', "OBJ"},
                              Opcode{'p', "PUT"},
                              Opcode{'q', "BINPUT"},
                              Opcode{'r', "LONG_BINPUT"},
                              Opcode{'s', "SETITEM"},
                              Opcode{'t', "TUPLE"},
                              Opcode{')', "EMPTY_TUPLE"},
                              Opcode{'u', "SETITEMS"},
                              Opcode{'G', "BINFLOAT"},
                              Opcode{0x80, "PROTO"},
                              Opcode{0x81, "NEWOBJ"},
                              Opcode{0x82, "EXT1"},
                              Opcode{0x83, "EXT2"},
                              Opcode{0x84, "EXT4"},
                              Opcode{0x85, "TUPLE1"},
                              Opcode{0x86, "TUPLE2"},
                              Opcode{0x87, "TUPLE3"},
                              Opcode{0x88, "NEWTRUE"},
                              Opcode{0x89, "NEWFALSE"},
                              Opcode{0x8A, "LONG1"},
                              Opcode{0x8B, "LONG4"},
                              Opcode{'B', "BINBYTES"},
                              Opcode{'C', "SHORT_BINBYTES"},
                              Opcode{0x8C, "SHORT_BINUNICODE"},
                              Opcode{0x8D, "BINUNICODE8"},
                              Opcode{0x8E, "BINBYTES8"},
                              Opcode{0x8F, "EMPTY_SET"},
                              Opcode{0x90, "ADDITEMS"},
                              Opcode{0x91, "FROZENSET"},
                              Opcode{0x92, "NEWOBJ_EX"},
                              Opcode{0x93, "STACK_GLOBAL"},
                              Opcode{0x94, "MEMOIZE"},
                              Opcode{0x95, "FRAME"},
                              Opcode{0x96, "BYTEARRAY8"},
                              Opcode{0x97, "NEXT_BUFFER"},
                              Opcode{0x98, "READONLY_BUFFER"}};

std::string describe(std::uint8_t code) {
  const auto* found = std::ranges::find(kOpcodes, code, &Opcode::code);
  if (found == kOpcodes.end()) return format_message("byte {}, which is no opcode", int{code});
  return format_message("opcode {}", found->name);
}

}  // namespace

std::string printable(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

Pickle::Pickle(FileReader& file, const std::string& what) : file_(file) {
  end_ = static_cast<std::size_t>(std::min<std::int64_t>(file.size(), file_kind_bytes));
  file.read(std::as_writable_bytes(std::span(buffer_).first(end_)));
  if (end_ >= 2 && buffer_[0] == 0x80 && buffer_[1] == kProtocol) {
    next_ = 2;
    return;
  }
  const std::string wanted = format_message("{} of protocol {}", what, int{kProtocol});
  if (end_ >= 2 && buffer_[0] == 0x80) fail(1, wanted, format_message("protocol {}", int{buffer_[1]}));
  const std::string kind = file_kind(std::as_bytes(std::span(buffer_).first(end_)));
  fail(0, wanted, !kind.empty() ? kind : end_ == 0 ? "an empty file" : "other bytes");
}

std::uint8_t Pickle::byte() {
  if (next_ == end_) {
    const std::int64_t left = file_.size() - file_.offset();
    if (left <= 0) fail(file_.offset(), "more of the pickle", "the end of the file");
    next_ = 0;
    end_ = static_cast<std::size_t>(std::min<std::int64_t>(left, static_cast<std::int64_t>(buffer_.size())));
    file_.read(std::as_writable_bytes(std::span(buffer_).first(end_)));
  }
  return buffer_[next_++];
}

std::int64_t Pickle::offset() {
  (void)peek();
  return file_.offset() - static_cast<std::int64_t>(end_ - next_);
}

std::uint32_t Pickle::number(int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value |= std::uint32_t{byte()} << (8 * i);
  return value;
}

std::uint8_t Pickle::peek() {
  for (;;) {
    const std::uint8_t code = byte();
    if (!may_put_ || (code != 'q' && code != 'r')) {
      --next_;
      return code;
    }
    (void)number(code == 'q' ? 1 : 4);
    may_put_ = false;
  }
}

void Pickle::refuse(const std::string& expected) {
  const std::uint8_t code = peek();
  fail(offset(), expected, describe(code));
}

void Pickle::expect(std::uint8_t opcode, const char* what) {
  if (peek() != opcode) refuse(what);
  (void)byte();
  constexpr std::string_view kNothingToPut("(eub", 4);  // what is there then was put where it began
  may_put_ = kNothingToPut.find(static_cast<char>(opcode)) == std::string_view::npos;
}

void Pickle::tuple(int size) {
  constexpr std::array<std::uint8_t, 4> codes{'t', 0x85, 0x86, 0x87};
  constexpr std::array<const char*, 4> names{"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"};
  expect(codes[static_cast<std::size_t>(size)], names[static_cast<std::size_t>(size)]);
}

void Pickle::stop() {
  expect('.', "STOP");
  const std::int64_t left = file_.size() - file_.offset() + static_cast<std::int64_t>(end_ - next_);
  if (left != 0) {
    fail(file_.offset() - static_cast<std::int64_t>(end_ - next_), "the end of the file after STOP",
         format_message("{} more bytes", left));
  }
  file_.expect_end();
}

std::int64_t Pickle::integer() {
  const std::uint8_t code = peek();
  if (code != 'K' && code != 'M' && code != 'J') refuse("an integer");
  (void)byte();
  may_put_ = false;  // numbers are never put away
  if (code == 'J') return static_cast<std::int32_t>(number(4));
  return number(code == 'K' ? 1 : 2);
}

void Pickle::integer(std::int64_t wanted) {
  const std::int64_t at = offset();
  if (const std::int64_t value = integer(); value != wanted) {
    fail(at, format_message("the number {}", wanted), format_message("{}", value));
  }
}

std::string Pickle::string() {
  expect('U', "a string");
  std::string text(byte(), '\0');
  for (char& c : text) c = static_cast<char>(byte());
  return text;
}

void Pickle::string(std::string_view wanted) {
  const std::int64_t at = offset();
  if (const std::string text = string(); text != wanted) {
    fail(at, format_message("the string '{}'", wanted), format_message("'{}'", printable(text)));
  }
}

void Pickle::pass_over_one() {
  switch (peek()) {
    case 'K':
    case 'M':
    case 'J': (void)integer(); break;
    case 'U': (void)string(); break;
    case 'h':
    case 'j':
      (void)number(byte() == 'h' ? 1 : 4);
      may_put_ = false;
      break;
    default: refuse("a number, a string or a list of them");
  }
}

void Pickle::pass_over() {
  if (!next_is(']')) return pass_over_one();
  list([&] { pass_over_one(); });
}

std::string Pickle::line() {
  std::string text;
  for (char c = static_cast<char>(byte()); c != '\n'; c = static_cast<char>(byte())) {
    if (text.size() == kLongestLine) break;
    text.push_back(c);
  }
  return text;
}

void Pickle::global(std::string_view module, std::string_view name) {
  const std::int64_t at = offset();
  const std::string wanted = format_message("the name {}.{}", module, name);
  if (peek() != 'c') refuse(wanted);
  (void)byte();
  const std::string first = line();
  const std::string second = line();
  if (first != module || second != name) fail(at, wanted, printable(first) + '.' + printable(second));
  may_put_ = true;
}

void Pickle::long_string(std::int64_t wanted) {
  const std::int64_t at = offset();
  expect('T', "BINSTRING");
  const std::int64_t length = static_cast<std::int32_t>(number(4));
  if (length != wanted) fail(at, format_message("a string of {} bytes", wanted), format_message("{}", length));
}

void Pickle::bytes(std::span<std::uint8_t> to) {
  const std::size_t held = std::min(end_ - next_, to.size());
  std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(next_), held, to.begin());
  next_ += held;
  file_.read(std::as_writable_bytes(to.subspan(held)));
}

}  // namespace tapestry::datasets::detail
