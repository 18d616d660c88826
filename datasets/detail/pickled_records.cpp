#include <tapestry/datasets/detail/pickled_records.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/detail/pickle.h>

namespace tapestry::datasets::pickled_records {
namespace {

using detail::Pickle;
using records::kImageBytes;

constexpr Index kImagesPerRead = 1024;  // 3 MB: the only memory a load needs beside its result
constexpr Index kImagesPerTask = 64;    // about 100 us

constexpr std::string_view kFine = "fine_labels";
constexpr std::string_view kCoarse = "coarse_labels";
constexpr std::string_view kOnly = "labels";
constexpr std::string_view kData = "data";
constexpr std::string_view kFiles = "filenames";

/// A dictionary with strings as keys, each of which comes at most once. Of what is not needed, as the label of a batch,
/// the value is passed over.
class Keys {
 public:
  Keys(Pickle& pickle, const Format& format) : pickle_(pickle), format_(format) {}

  /// The next key; empty at the end of the dictionary.
  std::string next() {
    if (pickle_.next_is('u')) {
      pickle_.set_items();
      pickle_.stop();
      return {};
    }
    at_ = pickle_.offset();
    const std::string key = pickle_.string();
    if (key.empty()) refuse("an empty one");
    if (std::ranges::find(seen_, key) != seen_.end()) refuse(detail::printable(key) + " again");
    if (seen_.size() == kMost) refuse(format_message("more than {}", kMost));
    seen_.push_back(key);
    return key;
  }

  [[noreturn]] void refuse_anothers(const std::string& key) const {
    refuse(format_message("{}, a key of {}'s", key, format_.label_bytes() == 2 ? "CIFAR-10" : "CIFAR-100"));
  }

  [[noreturn]] void refuse(const std::string& got) const {
    pickle_.fail(at_, format_message("a key of {}'s python version", format_.name), got);
  }

  void require(std::string_view key) const {
    if (std::ranges::find(seen_, key) == seen_.end()) {
      pickle_.fail(FileError::nowhere, format_message("the key {}", key), "none");
    }
  }

 private:
  static constexpr std::size_t kMost = 8;

  Pickle& pickle_;
  const Format& format_;
  std::vector<std::string> seen_;
  std::int64_t at_ = 0;
};

class Batch {
 public:
  Batch(FileReader& file, const Format& format, Index room, bool allow_partial, const Destination& to)
      : format_(format),
        room_(room),
        allow_partial_(allow_partial),
        to_(to),
        pickle_(file, format_message("a {} pickle", format.name)) {}

  Index run() {
    const bool has_coarse = format_.label_bytes() == 2;
    pickle_.dict();
    pickle_.mark();
    Keys keys(pickle_, format_);
    for (std::string key = keys.next(); !key.empty(); key = keys.next()) {
      if (key == kData) {
        images_ = images();
      } else if (key == (has_coarse ? kFine : kOnly)) {
        fine_ = labels(key, format_.fine_classes, to_.fine);
      } else if (key == kCoarse && has_coarse) {
        const std::uint8_t most = *std::ranges::max_element(format_.parents);
        coarse_ = labels(key, Index{most} + 1, to_.coarse);
      } else if (key == kFiles) {
        files_ = names();
      } else if (key == kOnly || key == kFine || key == kCoarse) {
        keys.refuse_anothers(key);
      } else {
        pickle_.pass_over();
      }
    }
    keys.require(kData);
    keys.require(has_coarse ? kFine : kOnly);
    if (has_coarse) keys.require(kCoarse);
    check_counts(has_coarse);
    if (has_coarse) check_parents();
    return images_;
  }

 private:
  /// What numpy's arrays of bytes consist of; the last string is the images.
  Index images() {
    pickle_.global("numpy.core.multiarray", "_reconstruct");
    pickle_.global("numpy", "ndarray");
    pickle_.integer(0);
    pickle_.tuple(1);
    pickle_.string("b");
    pickle_.tuple(3);
    pickle_.reduce();
    pickle_.mark();
    pickle_.integer(1);  // version
    const std::int64_t at = pickle_.offset();
    const Index count = pickle_.integer();
    if (allow_partial_ ? count < 1 || count > room_ : count != room_) {
      pickle_.fail(at, format_message(allow_partial_ ? "1 to {} images" : "{} images", room_),
                   format_message("{}", count));
    }
    pickle_.integer(kImageBytes);
    pickle_.tuple(2);
    pickle_.global("numpy", "dtype");
    pickle_.string("u1");
    pickle_.integer(0);
    pickle_.integer(1);
    pickle_.tuple(3);
    pickle_.reduce();
    pickle_.mark();
    pickle_.integer(3);  // version
    pickle_.string("|");
    for (int i = 0; i < 3; ++i) pickle_.none();
    for (int i = 0; i < 2; ++i) pickle_.integer(-1);
    pickle_.integer(0);
    pickle_.tuple(0);
    pickle_.build();
    pickle_.no();  // in Fortran's order
    pickle_.long_string(count * kImageBytes);
    read_images(count);
    pickle_.tuple(0);
    pickle_.build();
    return count;
  }

  void read_images(Index count) {
    std::vector<std::uint8_t> chunk;
    for (Index first = 0; first < count; first += kImagesPerRead) {
      const Index images = std::min(kImagesPerRead, count - first);
      chunk.resize(static_cast<std::size_t>(images * kImageBytes));
      pickle_.bytes(chunk);
      parallel_for(images, kImagesPerTask, [&](Index begin, Index end) {
        for (Index i = begin; i < end; ++i) {
          records::unpack_planes(chunk.data() + i * kImageBytes, to_.images + (first + i) * kImageBytes);
        }
      });
    }
  }

  Index labels(const std::string& key, Index classes, std::uint8_t* to) {
    Index count = 0;
    pickle_.list([&] {
      const std::int64_t at = pickle_.offset();
      const std::int64_t label = pickle_.integer();
      if (count == room_) too_many(at, key);
      if (label < 0 || label >= classes) {
        pickle_.fail(at, format_message("{} below {}", key, classes), format_message("{}", label));
      }
      to[count++] = static_cast<std::uint8_t>(label);
    });
    return count;
  }

  Index names() {
    Index count = 0;
    pickle_.list([&] {
      const std::int64_t at = pickle_.offset();
      (void)pickle_.string();
      if (count++ == room_) too_many(at, std::string(kFiles));
    });
    return count;
  }

  [[noreturn]] void too_many(std::int64_t at, const std::string& key) const {
    pickle_.fail(at, format_message("at most {} {}", room_, key), "one more");
  }

  void check_counts(bool has_coarse) const {
    const std::array<std::pair<std::string_view, Index>, 3> counts{
        {{has_coarse ? kFine : kOnly, fine_}, {kCoarse, has_coarse ? coarse_ : images_}, {kFiles, files_}}};
    for (const auto& [key, count] : counts) {
      if (count == images_ || (key == kFiles && count < 0)) continue;
      pickle_.fail(FileError::nowhere, format_message("as many {} as images, {}", key, images_),
                   format_message("{}", count));
    }
  }

  void check_parents() const {
    for (Index i = 0; i < images_; ++i) {
      const std::uint8_t parent = format_.parents[to_.fine[i]];
      if (to_.coarse[i] == parent) continue;
      pickle_.fail(
          FileError::nowhere,
          format_message("image {} with coarse label {}, that of fine label {}", i, int{parent}, int{to_.fine[i]}),
          format_message("{}", int{to_.coarse[i]}));
    }
  }

  const Format& format_;
  Index room_;
  bool allow_partial_;
  const Destination& to_;
  Pickle pickle_;
  Index images_ = 0, fine_ = 0, coarse_ = 0;
  Index files_ = -1;  // where there is no such list
};

}  // namespace

Index room_for(const FileReader& file, const Format& format, Index expected, bool allow_partial) {
  const Index fits = file.size() / kImageBytes;
  if (allow_partial) return std::min(expected, std::max<Index>(fits, 1));
  if (fits < expected) {
    file.fail(
        FileError::nowhere,
        format_message("a {} pickle of {} images, more than {} bytes", format.name, expected, expected * kImageBytes),
        format_message("{} bytes", file.size()));
  }
  return expected;
}

Index read(FileReader& file, const Format& format, Index room, bool allow_partial, const Destination& to) {
  return Batch(file, format, room, allow_partial, to).run();
}

void read_names(FileReader& file, const Format& format, LabelledContent& content) {
  Pickle pickle(file, format_message("a {} pickle", format.name));
  const bool has_coarse = format.label_bytes() == 2;
  const auto read_list = [&](std::vector<std::string>& names, Index wanted) {
    const std::int64_t at = pickle.offset();
    pickle.list([&] {
      if (static_cast<Index>(names.size()) == wanted) {
        pickle.fail(at, format_message("a list of {} names", wanted), "more");
      }
      names.push_back(pickle.string());
    });
    if (static_cast<Index>(names.size()) != wanted) {
      pickle.fail(at, format_message("a list of {} names", wanted), format_message("{}", names.size()));
    }
  };
  pickle.dict();
  pickle.mark();
  Keys keys(pickle, format);
  for (std::string key = keys.next(); !key.empty(); key = keys.next()) {
    if (key == (has_coarse ? "fine_label_names" : "label_names")) {
      read_list(content.fine_classes, format.fine_classes);
    } else if (key == "coarse_label_names" && has_coarse) {
      read_list(content.coarse_classes, Index{*std::ranges::max_element(format.parents)} + 1);
    } else if (key == "label_names" || key == "fine_label_names" || key == "coarse_label_names") {
      keys.refuse_anothers(key);
    } else {
      pickle.pass_over();
    }
  }
  keys.require(has_coarse ? "fine_label_names" : "label_names");
  if (has_coarse) keys.require("coarse_label_names");
}

}  // namespace tapestry::datasets::pickled_records
