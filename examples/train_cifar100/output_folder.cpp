#include "output_folder.h"

#include <fmt/format.h>

#include <stdexcept>
#include <system_error>
#include <utility>

#include <tapestry/autograd/base/file.h>

namespace tapestry::examples {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(fs::path path) : path_(std::move(path)) {
  std::error_code error;
  fs::path missing = path_;
  while (!missing.empty() && !fs::exists(missing, error) && !error) {
    outermost_made_ = missing;
    if (missing == missing.parent_path()) break;
    missing = missing.parent_path();
  }
  try {
    make_folder(path_.string());
  } catch (const FileError& refusal) {
    throw std::runtime_error(fmt::format("cannot make the output folder {}: {}", path_.string(), refusal.got()));
  }
  try {
    AtomicFile probe((path_ / ".probe").string());  // never committed, so that nothing is left, whatever happens
    probe.write("can this folder be written to?");
  } catch (const FileError& refusal) {
    throw std::runtime_error(fmt::format("cannot write into the output folder {}: {}", path_.string(), refusal.got()));
  }
}

OutputFolder::~OutputFolder() {
  if (outermost_made_.empty()) return;
  std::error_code error;
  // remove() takes an empty folder only.
  for (fs::path folder = path_; fs::remove(folder, error) && folder != outermost_made_; folder = folder.parent_path()) {
  }
}

}  // namespace tapestry::examples
