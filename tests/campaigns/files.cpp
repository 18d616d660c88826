/// Files from strangers: each is read by a process of its own, which may map little and take seconds. What must come is
/// one error that names the file.

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <random>

#include <tapestry/datasets/cifar.h>
#include <tapestry/datasets/idx.h>
#include <tapestry/datasets/image_file.h>
#include <tapestry/nn/safetensors.h>

#include "campaigns/campaign.h"
#include "support/child.h"
#include "support/cifar_pickles.h"
#include "support/idx_files.h"
#include "support/jpeg_files.h"
#include "support/malformed_files.h"
#include "support/png_files.h"
#include "support/temporary_folder.h"

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr std::int64_t kProgram = std::int64_t{8} << 20;  // bytes that reading takes whatever the file is
constexpr std::int64_t kAddresses = std::int64_t{256} << 20;
constexpr double kSeconds = kAddressSanitizer ? 60 : 10;

struct Format {
  std::string name;
  std::vector<NamedFile> malformed, valid;
  void (*read)(const std::string& path);
  std::string file = "cifar-100-binary/train.bin";  ///< where the reader of CIFAR looks for it; to the others any name
};

/// What came of a file: "refused", or what else, and the memory that it took at most.
struct Outcome {
  std::string what;
  std::int64_t bytes = 0;
  double seconds = 0;
};

class Reader {
 public:
  Reader() {
    std::filesystem::create_directories(folder_ / "cifar-100-binary");
    put_names(folder_ / "cifar-100-binary/fine_label_names.txt", 100, "fine");
    put_names(folder_ / "cifar-100-binary/coarse_label_names.txt", 20, "coarse");
    put_file(folder_ / "cifar-100-python/meta", pickled_names(numbered_names("f", 100), numbered_names("c", 20)));
  }

  Outcome read(const Format& format, const ByteVector& bytes) {
    const std::string path = (folder_ / format.file).string();
    put_file(path, bytes);
    const auto size = static_cast<std::int64_t>(bytes.size());
    const ChildResult child = in_child(
        [&] {
          const bool is_measured = reset_process_peak();
          const std::int64_t before = process_bytes("VmRSS");
          const std::string what = outcome(format, path);
          const std::int64_t most = is_measured ? process_bytes("VmHWM") - before : 0;
          return fmt::format("{} {}", most, what);
        },
        {.more_addresses = kAddresses + 2 * size, .seconds = kSeconds});
    Outcome found;
    found.seconds = child.seconds;
    if (child.hung) {
      found.what = fmt::format("hangs for {} s", kSeconds);
    } else if (child.signal != 0) {
      found.what = fmt::format("ended by signal {}", child.signal);
    } else if (child.exit_status != 0) {
      found.what = fmt::format("exit status {}", child.exit_status);
    } else {
      const auto space = child.output.find(' ');
      found.bytes = std::stoll(child.output.substr(0, space));
      found.what = child.output.substr(space + 1);
      if (!kAddressSanitizer && found.bytes > 2 * size + kProgram) {
        found.what = fmt::format("takes {} bytes for a file of {}", found.bytes, size);
      }
    }
    return found;
  }

 private:
  static std::string outcome(const Format& format, const std::string& path) {
    try {
      format.read(path);
      return "accepted";
    } catch (const FileError& e) {
      const bool says_all = e.path() == path && !e.expected().empty();
      return says_all ? "refused" : std::string("an error that does not say what is wrong: ") + e.what();
    } catch (const std::exception& e) {
      return std::string("another error: ") + e.what();
    }
  }

  TemporaryFolder folder_;
};

void read_cifar(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  (void)datasets::CIFAR100(folder, {.allow_partial = true});
}
void read_elements(const std::string& path) { (void)datasets::read_idx(path); }
void read_tensors(const std::string& path) { (void)nn::load_tensors(path); }
void read_picture(const std::string& path) { (void)datasets::read_image(path); }

/// Prefixes of a file, all or some.
void add_prefixes(std::vector<NamedFile>& to, const ByteVector& whole, std::size_t step) {
  for (std::size_t n = 0; n < whole.size(); n += step) {
    to.push_back({fmt::format("the first {} of {} bytes", n, whole.size()),
                  ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))});
  }
}

/// One flipped bit, in a PNG, whose checksums see each.
void add_flips(std::vector<NamedFile>& to, const ByteVector& whole, std::int64_t count, std::mt19937_64& random) {
  for (std::int64_t i = 0; i < count; ++i) {
    const std::size_t bit = random() % (whole.size() * 8);
    ByteVector bytes = whole;
    bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    to.push_back({fmt::format("bit {} flipped", bit), bytes});
  }
}

std::vector<Format> formats(const campaign::Campaign& campaign) {
  std::mt19937_64 random(campaign.seed());
  const auto step = static_cast<std::size_t>(campaign.count(29, 1));
  const Png png{.width = 9, .height = 5, .type = 3, .palette = ByteVector(768, 7)};
  const Jpeg jpeg{.parts = {{1, 2, 2}, {2, 1, 1}, {3, 1, 1}}, .restart_interval = 1};

  std::vector<Format> all{
      {"CIFAR-100", malformed_cifars(), {{"records", cifar100_records(3)}}, read_cifar},
      {"safetensors", malformed_safetensors(), {{"tensors", safetensors_file(safetensors_header(), 24)}}, read_tensors},
      {"JSON in safetensors",
       malformed_json(),
       {{"spaces", safetensors_file(safetensors_header() + "  ", 24)}},
       read_tensors},
      {"PNG", malformed_pngs(), {{"palette", png.file()}, {"grey", Png{}.file()}}, read_picture},
      {"JPEG", malformed_jpegs(), {{"baseline", jpeg.file()}, {"progressive", jpeg.progressive()}}, read_picture},
      {"CIFAR-100 in its python version",
       malformed_pickles(),
       {{"images", PickledBatch::of_records(cifar100_records(3), true).file()}},
       read_cifar,
       "cifar-100-python/train"},
      {"IDX",
       malformed_idx(),
       {{"plain", idx_labels(5)}, {"stored", gzip_stored(idx_images(2))}, {"packed", gzip_fixed(idx_images(2))}},
       read_elements}};
  add_prefixes(all[3].malformed, png.file(), step);
  add_flips(all[3].malformed, png.file(), campaign.count(40, 2000), random);
  add_prefixes(all[4].malformed, jpeg.file(), step);
  add_prefixes(all[4].malformed, jpeg.progressive(), step);
  return all;
}

void attack(campaign::Campaign& campaign, Reader& reader, const Format& format) {
  std::int64_t failures = 0;
  Outcome most;
  campaign.begin(format.name, static_cast<std::int64_t>(format.malformed.size()));
  for (const NamedFile& file : format.malformed) {
    const Outcome outcome = reader.read(format, file.bytes);
    if (outcome.what != "refused") {
      ++failures;
      campaign.failure(fmt::format("{}, {}: {}", format.name, file.name.substr(0, 60), outcome.what));
    }
    most.bytes = std::max(most.bytes, outcome.bytes);
    most.seconds = std::max(most.seconds, outcome.seconds);
    campaign.step();
  }
  campaign.end();
  campaign.row(format.name + ", malformed: refused", static_cast<std::int64_t>(format.malformed.size()), failures,
               fmt::format("at most {} KiB, {:.2f} s", most.bytes / 1024, most.seconds));
  std::int64_t refused = 0;
  for (const NamedFile& file : format.valid) {
    const Outcome outcome = reader.read(format, file.bytes);
    if (outcome.what == "accepted") continue;
    ++refused;
    campaign.failure(fmt::format("{}, {}: {}", format.name, file.name, outcome.what));
  }
  campaign.row(format.name + ", right: read", static_cast<std::int64_t>(format.valid.size()), refused);
}

/// Readers that do what none may.
void controls(campaign::Campaign& campaign, Reader& reader) {
  const auto control = [&](const std::string& what, void (*read)(const std::string&)) {
    const Outcome outcome = reader.read({what, {}, {}, read}, {});
    campaign.control(what, 1, outcome.what == "refused" ? 0 : 1, outcome.what);
  };
  control("a reader that crashes", [](const std::string&) { std::raise(SIGKILL); });
  control("a reader that accepts", [](const std::string&) {});
  control("a reader that throws something else", [](const std::string&) { throw std::bad_alloc(); });
  control("a reader that names another file", [](const std::string&) { throw FileError("x", 0, "a", "b"); });
  if (kAddressSanitizer) return campaign.skipped("a reader that eats memory", "the sanitizer does");
  // The size is nothing that a compiler knows, so that it cannot do without the memory, as clang does.
  static volatile std::size_t eaten = std::size_t{64} << 20, mapped = std::size_t{1} << 30;
  control("a reader that eats memory", [](const std::string& path) {
    const std::vector<char> much(eaten, 1);
    throw FileError(path, much[eaten / 2], "a", "b");
  });
  control("a reader that maps much", [](const std::string&) {
    const std::vector<char> much(mapped, 1);
    throw std::runtime_error(std::string(&much[mapped / 2], 1));
  });
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("files", "Malformed files of every format that is read: refused, without harm", argc,
                              argv);
  Reader reader;
  for (const Format& format : formats(campaign)) attack(campaign, reader, format);
  controls(campaign, reader);
  return campaign.finish();
}
