#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/shape.h>

/// How ops refuse bad input. A message says what must hold and what came instead; `{}` stands for the arguments in
/// turn. Where the call stands in the source follows on a line of its own:
///
///     conv2d: input has 3 channels, weight expects 4 (input [8, 32, 32, 3], weight [16, 3, 3, 4], groups 1)
///       at model.cpp:42 in layer2.0.conv1
namespace tapestry {

namespace detail {

/// One argument of a message.
class MessageArg {
 public:
  template <std::integral I>
  MessageArg(I value) : value_(static_cast<std::int64_t>(value)) {}
  MessageArg(bool value) : value_(std::string_view(value ? "true" : "false")) {}
  template <std::floating_point F>
  MessageArg(F value) : value_(static_cast<double>(value)) {}
  MessageArg(const char* value) : value_(std::string_view(value)) {}
  MessageArg(std::string_view value) : value_(value) {}
  MessageArg(const std::string& value) : value_(std::string_view(value)) {}
  MessageArg(Dtype value) : value_(std::string_view(name_of(value))) {}
  MessageArg(const Shape& value) : value_(to_string(value)) {}

  [[nodiscard]] const auto& value() const { return value_; }

 private:
  std::variant<std::int64_t, double, std::string_view, std::string> value_;
};

using MessageArgs = std::initializer_list<MessageArg>;

[[nodiscard]] std::string fill_in(std::string_view format, MessageArgs args);
[[noreturn]] void raise_invalid(std::string_view format, MessageArgs args);
[[noreturn]] void raise_out_of_range(std::string_view format, MessageArgs args);
[[noreturn]] void raise_logic(std::string_view format, MessageArgs args);

}  // namespace detail

/// std::invalid_argument: a shape, dtype or option that cannot be.
template <class... Args>
[[noreturn]] void throw_invalid(std::string_view format, const Args&... args) {
  detail::raise_invalid(format, {detail::MessageArg(args)...});
}

/// std::out_of_range: an index or a label outside what it indexes.
template <class... Args>
[[noreturn]] void throw_out_of_range(std::string_view format, const Args&... args) {
  detail::raise_out_of_range(format, {detail::MessageArg(args)...});
}

/// std::logic_error: calls in an order that cannot work.
template <class... Args>
[[noreturn]] void throw_logic(std::string_view format, const Args&... args) {
  detail::raise_logic(format, {detail::MessageArg(args)...});
}

/// The text alone, for errors of other types.
template <class... Args>
[[nodiscard]] std::string format_message(std::string_view format, const Args&... args) {
  return detail::fill_in(format, {detail::MessageArg(args)...});
}

}  // namespace tapestry
