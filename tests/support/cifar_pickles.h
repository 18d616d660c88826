#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/png_files.h"

/// Composes what Python 2's cPickle wrote when CIFAR's python version was made.
namespace tapestry::test {

class PickleWriter {
 public:
  PickleWriter() { add({0x80, 2}); }

  PickleWriter& add(std::initializer_list<std::uint8_t> some) {
    for (const std::uint8_t byte : some) bytes_.push_back(byte);
    return *this;
  }
  PickleWriter& add(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::uint8_t>(c));
    return *this;
  }
  /// Puts the last value into the memo, as cPickle does with all but numbers, None and booleans.
  PickleWriter& put() {
    ++memo_;
    add({memo_ < 256 ? std::uint8_t{'q'} : std::uint8_t{'r'}});
    for (int i = 0; i < (memo_ < 256 ? 1 : 4); ++i) add({static_cast<std::uint8_t>(memo_ >> (8 * i))});
    return *this;
  }
  PickleWriter& string(std::string_view text) {
    return add({'U', static_cast<std::uint8_t>(text.size())}).add(text).put();
  }
  PickleWriter& integer(std::int64_t value) {
    const auto bits = static_cast<std::uint32_t>(value);
    const int bytes = value >= 0 && value < 256 ? 1 : value >= 0 && value < 65536 ? 2 : 4;
    add({bytes == 1 ? std::uint8_t{'K'} : bytes == 2 ? std::uint8_t{'M'} : std::uint8_t{'J'}});
    for (int i = 0; i < bytes; ++i) add({static_cast<std::uint8_t>(bits >> (8 * i))});
    return *this;
  }
  PickleWriter& global(std::string_view module, std::string_view name) {
    return add("c").add(module).add("\n").add(name).add("\n").put();
  }
  PickleWriter& dict() { return add("}").put().add("("); }
  PickleWriter& end_of_dict() { return add("u."); }

  /// A list, appended to by thousands.
  template <class Item>
  PickleWriter& list(std::size_t size, const Item& item) {
    add("]").put();
    for (std::size_t i = 0; i < size; ++i) {
      if (i % 1000 == 0) add("(");
      item(i);
      if (i % 1000 == 999 || i + 1 == size) add("e");
    }
    return *this;
  }
  PickleWriter& integers(std::span<const std::uint8_t> values) {
    return list(values.size(), [&](std::size_t i) { integer(values[i]); });
  }

  /// numpy's array u8 [count, 3072].
  PickleWriter& array(std::int64_t count, std::span<const std::uint8_t> elements) {
    global("numpy.core.multiarray", "_reconstruct").global("numpy", "ndarray").integer(0).add({0x85}).put();
    string("b").add({0x87}).put().add("R").put().add("(").integer(1).integer(count).integer(3072).add({0x86}).put();
    global("numpy", "dtype").string("u1").integer(0).integer(1).add({0x87}).put().add("R").put();
    add("(").integer(3).string("|").add("NNN").integer(-1).integer(-1).integer(0).add("t").put().add("b");
    add({0x89}).add("T");
    for (int i = 0; i < 4; ++i) add({static_cast<std::uint8_t>(elements.size() >> (8 * i))});
    bytes_.insert(bytes_.end(), elements.begin(), elements.end());
    return put().add("t").put().add("b");
  }

  [[nodiscard]] const ByteVector& bytes() const { return bytes_; }

 private:
  ByteVector bytes_;
  std::uint32_t memo_ = 0;
};

/// What a file of the python version holds.
struct PickledBatch {
  ByteVector fine, coarse, images;  ///< no coarse labels: CIFAR-10

  /// The same as binary records.
  static PickledBatch of_records(std::span<const std::uint8_t> records, bool has_coarse) {
    PickledBatch batch;
    const std::size_t labels = has_coarse ? 2 : 1;
    for (std::size_t at = 0; at < records.size(); at += 3072 + labels) {
      if (has_coarse) batch.coarse.push_back(records[at]);
      batch.fine.push_back(records[at + labels - 1]);
      append(batch.images, records.subspan(at + labels, 3072));
    }
    return batch;
  }

  [[nodiscard]] ByteVector file() const {
    const auto count = static_cast<std::int64_t>(images.size() / 3072);
    const auto files = [&](PickleWriter& p) {
      p.string("filenames").list(fine.size(), [&](std::size_t i) { p.string("picture_s_" + std::to_string(i)); });
    };
    PickleWriter p;
    p.dict();
    if (coarse.empty()) {
      p.string("batch_label").string("training batch 1 of 5").string("labels").integers(fine);
      p.string("data").array(count, images);
      files(p);
    } else {
      files(p);
      p.string("batch_label").string("training batch 1 of 1").string("fine_labels").integers(fine);
      p.string("coarse_labels").integers(coarse).string("data").array(count, images);
    }
    return p.end_of_dict().bytes();
  }
};

/// The file of the names of classes.
inline ByteVector pickled_names(const std::vector<std::string>& fine, const std::vector<std::string>& coarse) {
  PickleWriter p;
  const auto names = [&](const std::vector<std::string>& all) {
    p.list(all.size(), [&](std::size_t i) { p.string(all[i]); });
  };
  p.dict();
  if (coarse.empty()) {
    names((p.string("num_cases_per_batch").integer(10000).string("label_names"), fine));
    p.string("num_vis").integer(3072);
  } else {
    names((p.string("fine_label_names"), fine));
    names((p.string("coarse_label_names"), coarse));
  }
  return p.end_of_dict().bytes();
}

inline std::vector<std::string> numbered_names(const std::string& prefix, int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(prefix + std::to_string(i));
  return names;
}

}  // namespace tapestry::test
