#include <tapestry/autograd/check.h>

#include <fmt/args.h>
#include <fmt/format.h>

#include <mutex>
#include <set>
#include <stdexcept>

#include <tapestry/autograd/call_site.h>

namespace tapestry {
namespace detail {

std::string fill_in(std::string_view format, MessageArgs args) {
  fmt::dynamic_format_arg_store<fmt::format_context> store;
  for (const MessageArg& arg : args) {
    std::visit([&](const auto& value) { store.push_back(value); }, arg.value());
  }
  return fmt::vformat(fmt::string_view(format.data(), format.size()), store);
}

namespace {

std::string with_location(std::string message) {
  const std::string where = to_string(CallSite::current());
  return where.empty() ? message : message + "\n  at " + where;
}

}  // namespace

void raise_invalid(std::string_view format, MessageArgs args) {
  throw std::invalid_argument(with_location(fill_in(format, args)));
}

void raise_out_of_range(std::string_view format, MessageArgs args) {
  throw std::out_of_range(with_location(fill_in(format, args)));
}

void raise_logic(std::string_view format, MessageArgs args) {
  throw std::logic_error(with_location(fill_in(format, args)));
}

}  // namespace detail

const char* intern(std::string_view text) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> texts;
  const std::scoped_lock lock(mutex);
  auto found = texts.find(text);
  if (found == texts.end()) found = texts.emplace(text).first;
  return found->c_str();
}

std::string to_string(const Location& location) {
  std::string text;
  if (location.file) {
    const std::string_view path = location.file;
    text = fmt::format("{}:{}", path.substr(path.find_last_of('/') + 1), location.line);
  }
  if (location.module) text += fmt::format("{}in {}", text.empty() ? "" : " ", location.module);
  return text;
}

}  // namespace tapestry
