#include <tapestry/autograd/base/call_site.h>

#include <fmt/format.h>

#include <mutex>
#include <set>

namespace tapestry {

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
