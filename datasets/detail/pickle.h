#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <tapestry/autograd/base/file.h>

/// Python's pickles, as far as the python version of CIFAR uses them.
namespace tapestry::datasets::detail {

/// Text of a file for a message: all but printed ASCII becomes question marks.
[[nodiscard]] std::string printable(std::string text);

/// A pickle of protocol 2, read front to back by one who knows what comes: nothing is executed, looked up or kept, and
/// a name of Python's is text that has to be the expected one. Where a value is put into the pickle's memo, that is
/// passed over; what is taken out of it can only be passed over too. Every function throws FileError, with the byte and
/// the opcode, for anything else than what it is asked for.
class Pickle {
 public:
  /// Reads the opcode PROTO. `what` names the file in messages about files that are no pickles: "a CIFAR-100 pickle".
  Pickle(FileReader& file, const std::string& what);

  // --- opcodes without a value
  void dict() { expect('}', "a dictionary"); }
  void mark() { expect('(', "MARK"); }
  void set_items() { expect('u', "SETITEMS"); }
  void reduce() { expect('R', "REDUCE"); }
  void build() { expect('b', "BUILD"); }
  void none() { expect('N', "None"); }
  void no() { expect(0x89, "False"); }
  /// A tuple of the values before: of one, two or three, or of all down to the last MARK (0).
  void tuple(int size);
  /// STOP, and the end of the file.
  void stop();

  // --- values
  [[nodiscard]] std::int64_t integer();
  void integer(std::int64_t wanted);
  [[nodiscard]] std::string string();  ///< of at most 255 bytes
  void string(std::string_view wanted);
  void global(std::string_view module, std::string_view name);
  /// The head of a string of `wanted` bytes, which the calls of bytes() after this read.
  void long_string(std::int64_t wanted);
  void bytes(std::span<std::uint8_t> to);

  /// A number, a string of at most 255 bytes, something from the memo, or a list of such, unread.
  void pass_over();

  /// A list: item() is called where each of its items begins, and reads it.
  template <class Item>
  void list(const Item& item) {
    expect(']', "a list");
    while (next_is('(')) {
      mark();
      while (!next_is('e')) item();
      expect('e', "APPENDS");
    }
  }

  /// Whether the next opcode is this one, values that are put away passed over.
  [[nodiscard]] bool next_is(std::uint8_t opcode) { return peek() == opcode; }

  /// Of the next opcode.
  [[nodiscard]] std::int64_t offset();
  [[noreturn]] void fail(std::int64_t offset, const std::string& expected, const std::string& got) const {
    file_.fail(offset, expected, got);
  }

 private:
  void pass_over_one();
  std::uint8_t peek();  ///< the next opcode that is not a put
  void expect(std::uint8_t opcode, const char* what);
  [[noreturn]] void refuse(const std::string& expected);
  std::uint8_t byte();
  std::uint32_t number(int count);  ///< the least significant byte first
  std::string line();

  FileReader& file_;
  std::array<std::uint8_t, 4096> buffer_;
  std::size_t next_ = 0, end_ = 0;  // in the buffer
  bool may_put_ = false;            // whether a value has just come
};

}  // namespace tapestry::datasets::detail
