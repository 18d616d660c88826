#include <tapestry/autograd/base/check.h>

#include <fmt/args.h>
#include <fmt/format.h>

#include <stdexcept>

#include <tapestry/autograd/base/call_site.h>

namespace tapestry {
namespace detail {

std::string fill_in(std::string_view format, MessageArgs args) {
  fmt::dynamic_format_arg_store<fmt::format_context> store;
  for (const MessageArg& arg : args) {
    std::visit([&](const auto& value) { store.push_back(value); }, arg.value());
  }
  return fmt::vformat(fmt::string_view(format.data(), format.size()), store);
}

void raise_invalid(std::string_view format, MessageArgs args) {
  throw std::invalid_argument(fill_in(format, args) + place_lines());
}

void raise_out_of_range(std::string_view format, MessageArgs args) {
  throw std::out_of_range(fill_in(format, args) + place_lines());
}

void raise_logic(std::string_view format, MessageArgs args) {
  throw std::logic_error(fill_in(format, args) + place_lines());
}

}  // namespace detail

}  // namespace tapestry
