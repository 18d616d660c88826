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

namespace {

std::string line_of(const char* file, int line) {
  const std::string_view path = file;
  return fmt::format("{}:{}", path.substr(path.find_last_of('/') + 1), line);
}

}  // namespace

std::string to_string(const Location& location) {
  std::string text;
  if (location.file) text = line_of(location.file, location.line);
  if (location.module) text += fmt::format("{}in {}", text.empty() ? "" : " ", location.module);
  return text;
}

std::string place_lines() {
  Location location = CallSite::current();
  const Here& outer = detail::outer_site;
  if (!location.file) {
    location.file = outer.file;
    location.line = outer.line;
  }
  std::string text = to_string(location);
  if (!text.empty()) text = "\n  at " + text;
  const Here& playing = detail::playing_site;
  if (location.rule_of && playing.file) text += "\n  in the backward pass of " + line_of(playing.file, playing.line);
  return text;
}

std::string without_place(std::string_view message) { return std::string(message.substr(0, message.find("\n  at "))); }

}  // namespace tapestry
