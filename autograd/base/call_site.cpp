#include <tapestry/autograd/base/call_site.h>

#include <fmt/format.h>

#include <mutex>
#include <set>

#include <tapestry/autograd/base/fork.h>

namespace tapestry {
namespace {

struct Texts {
  std::mutex mutex;
  std::set<std::string, std::less<>> texts;
  Texts() { detail::hold_during_fork(mutex); }
  static Texts& instance() {
    static Texts* const texts = new Texts;
    return *texts;
  }
};

}  // namespace

const char* intern(std::string_view text) {
  Texts& all = Texts::instance();
  const std::scoped_lock lock(all.mutex);
  auto found = all.texts.find(text);
  if (found == all.texts.end()) found = all.texts.emplace(text).first;
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
