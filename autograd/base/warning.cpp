#include <tapestry/autograd/base/warning.h>

#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

#include <tapestry/autograd/base/fork.h>

namespace tapestry {
namespace {

struct Warnings {
  std::mutex mutex;
  WarningHandler handler = warnings_to_stderr();
  Warnings() { detail::hold_during_fork(mutex); }
  static Warnings& instance() {
    static Warnings* const warnings = new Warnings;
    return *warnings;
  }
};

}  // namespace

WarningHandler warnings_to_stderr() {
  return [](std::string_view text) {
    const std::string line = "warning: " + std::string(text) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
  };
}

WarningHandler set_warning_handler(WarningHandler handler) {
  Warnings& all = Warnings::instance();
  const std::scoped_lock lock(all.mutex);
  return std::exchange(all.handler, std::move(handler));
}

void warn(std::string_view text) {
  const WarningHandler handler = [] {
    Warnings& all = Warnings::instance();
    const std::scoped_lock lock(all.mutex);
    return all.handler;
  }();
  if (handler) handler(text);
}

}  // namespace tapestry
