#include <tapestry/datasets/image_folder.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/file.h>
#include <tapestry/datasets/image_file.h>

namespace tapestry::datasets {
namespace {

namespace fs = std::filesystem;

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_picture(const fs::path& file) {
  std::string extension = file.extension().string();
  std::ranges::transform(extension, extension.begin(), lower);
  constexpr std::array<std::string_view, 3> known{".png", ".jpg", ".jpeg"};
  return std::ranges::find(known, extension) != known.end();
}

[[noreturn]] void cannot_list(const fs::path& folder, const std::error_code& error) {
  throw FileError::refused(folder, "be listed", error.value());
}

/// What an iterator over a folder visits, one step at a time, with errors as FileError. An entry that cannot be looked
/// at is visited too: who reads it gets the reason.
template <class Iterator, class Visit>
void walk(const fs::path& folder, const Visit& visit) {
  std::error_code error;
  Iterator at(folder, error);
  if (error) cannot_list(folder, error);
  for (const Iterator end; at != end;) {
    visit(*at);
    at.increment(error);
    if (error) cannot_list(folder, error);
  }
}

std::vector<std::string> class_folders(const fs::path& root) {
  std::vector<std::string> names;
  walk<fs::directory_iterator>(root, [&](const fs::directory_entry& entry) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) names.push_back(entry.path().filename());
  });
  std::ranges::sort(names);
  if (names.empty()) throw FileError(root, FileError::nowhere, "a folder for each class", "no folders");
  return names;
}

/// Paths of the pictures of a class, from its folder on.
std::vector<std::string> pictures(const fs::path& folder) {
  std::vector<std::string> names;
  walk<fs::recursive_directory_iterator>(folder, [&](const fs::directory_entry& entry) {
    std::error_code ignored;
    if (is_picture(entry.path()) && !entry.is_directory(ignored)) {
      names.push_back(entry.path().lexically_relative(folder));
    }
  });
  std::ranges::sort(names);
  if (names.empty()) {
    throw FileError(folder, FileError::nowhere, "pictures whose names end in .png, .jpg or .jpeg", "none");
  }
  return names;
}

}  // namespace

struct ImageFolder::State {
  fs::path root;
  std::vector<std::string> classes;
  std::vector<std::size_t> class_ends;  // of the samples of each class
  std::string names;                    // of all files, from their classes' folders on, one behind the other
  std::vector<std::size_t> name_ends;
  Options options;

  [[nodiscard]] std::size_t class_of(std::size_t index) const {
    if (index >= name_ends.size()) {
      throw_out_of_range("image_folder: index must be below {}; got {}", name_ends.size(), index);
    }
    return static_cast<std::size_t>(std::ranges::upper_bound(class_ends, index) - class_ends.begin());
  }
};

ImageFolder::ImageFolder(const std::string& root, Options options, Here here) {
  const CallSite site(here);
  if (options.channels < 0 || options.channels > 4) {
    throw_invalid("image_folder: channels must be in [0, 4]; got {}", options.channels);
  }
  State state;
  state.root = root;
  state.options = std::move(options);
  state.classes = class_folders(state.root);
  for (const std::string& name : state.classes) {
    for (const std::string& file : pictures(state.root / name)) {
      state.names += file;
      state.name_ends.push_back(state.names.size());
    }
    state.class_ends.push_back(state.name_ends.size());
  }
  state_ = make_handle<const State>(std::move(state));
}

std::size_t ImageFolder::size() const { return state_->name_ends.size(); }

std::string ImageFolder::path(std::size_t index) const {
  const std::string& in_class = state_->classes[state_->class_of(index)];
  const std::size_t begin = index == 0 ? 0 : state_->name_ends[index - 1];
  return state_->root / in_class / state_->names.substr(begin, state_->name_ends[index] - begin);
}

Sample ImageFolder::get(std::size_t index, const SampleKey& key) const {
  auto target = static_cast<std::int64_t>(state_->class_of(index));
  const Options& options = state_->options;
  Tensor image = read_image(path(index), {.channels = options.channels});
  if (options.transform) image = options.transform(image, key);
  if (options.target_transform) target = options.target_transform(target);
  return {std::move(image), target};
}

std::span<const std::string> ImageFolder::classes() const { return state_->classes; }

Tensor ImageFolder::targets() const {
  Tensor all = empty({static_cast<Index>(size())}, i64);
  auto* const to = all.mutable_data<std::int64_t>();
  std::size_t begin = 0;
  for (std::size_t c = 0; c < state_->class_ends.size(); ++c) {
    std::fill(to + begin, to + state_->class_ends[c], static_cast<std::int64_t>(c));
    begin = state_->class_ends[c];
  }
  return all;
}

std::optional<std::int64_t> ImageFolder::class_to_index(std::string_view name) const {
  const auto found = std::ranges::find(state_->classes, name);
  if (found == state_->classes.end()) return std::nullopt;
  return found - state_->classes.begin();
}

}  // namespace tapestry::datasets
