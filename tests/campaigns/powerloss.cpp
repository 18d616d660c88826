// Saves a training while its system calls fail, and replays what a loss of power would leave on the disk at every
// moment of a save. Each time, the old file or the new one must be there, whole.
//
// A kill does not test this: what was written stays in the system's memory, and reaches the disk all the same.
#include <fcntl.h>
#include <support/temporary_folder.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include <campaigns/campaign.h>
#include <campaigns/powerloss/system_calls.h>
#include <tapestry/tapestry.h>

using namespace tapestry;
using system_calls::Call;
using system_calls::Kind;

namespace {

namespace fs = std::filesystem;

using Bytes = std::vector<std::uint8_t>;
using Files = std::map<std::string, Bytes>;  // by path

/// A model of so many parameters and what a checkpoint keeps of its training.
struct Run {
  explicit Run(const std::string& where, Index width)
      : folder(where), model{8, width}, sgd(model.parameters(), {.lr = 0.1, .momentum = 0.9}), checkpoint(folder) {
    checkpoint.add("model", model).add("sgd", sgd).add("random", default_generator());
  }
  /// Another state each time.
  void step() {
    sgd.zero_grad();
    sum(square(model(randn({2, 8})))).backward();
    sgd.step();
    ++at;
  }
  void save() { checkpoint.save({0, at}); }

  std::string folder;
  nn::Linear model;
  optim::SGD sgd;
  train::Checkpoint checkpoint;
  Index at = 0;
};

Bytes contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Files files_in(const fs::path& folder) {
  Files files;
  for (const auto& entry : fs::directory_iterator(folder)) files[entry.path().string()] = contents(entry.path());
  return files;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

bool is_temporary(const std::string& path) { return path.find("/.tapestry-") != std::string::npos; }

// --- calls that fail

struct Way {
  const char* name;
  int error;
  bool for_ever;
};
// An interrupt for ever would rightly keep the save waiting for ever.
constexpr Way kWays[]{{"EIO once", EIO, false},          {"EIO for ever", EIO, true},  {"ENOSPC once", ENOSPC, false},
                      {"ENOSPC for ever", ENOSPC, true}, {"EINTR once", EINTR, false}, {"one byte once", 0, false},
                      {"one byte at a time", 0, true}};

/// Fails each call of a save in turn.
void fail_each_call(campaign::Campaign& campaign, Index width, const Way& way) {
  const test::TemporaryFolder folder;
  Run run(folder.path().string(), width);
  run.save();
  std::int64_t runs = 0, failures = 0, refusals = 0;
  for (std::int64_t n = 1;; ++n) {
    run.step();
    const Files before = files_in(folder.path());
    const auto descriptors = open_descriptors();
    std::string wrong, message;
    system_calls::arm({.at = n, .error = way.error, .for_ever = way.for_ever});
    try {
      run.save();
    } catch (const FileError& e) {
      message = e.what();
    } catch (const std::exception& e) {
      wrong = std::string("another exception: ") + e.what();
    }
    const system_calls::Counted counted = system_calls::disarm();
    ++runs;
    if (!message.empty()) ++refusals;
    const Files after = files_in(folder.path());
    if (open_descriptors() != descriptors) wrong = "a descriptor stays open";
    // The very last call closes the folder, after everything has reached the disk.
    if (message.empty() && counted.failed > 1 && way.error != 0 && way.error != EINTR && way.for_ever)
      wrong = "it succeeded though nothing worked";
    if (!message.empty() && (way.error == 0 || way.error == EINTR)) wrong = "it gave up: " + message;
    // Each file is what it was or what is saved now; nothing else is there, unless it could not be removed.
    run.save();
    const Files saved = files_in(folder.path());
    for (const auto& [path, bytes] : after) {
      if (is_temporary(path)) {
        if (!way.for_ever) wrong = "a temporary file stays";
        std::error_code ignored;
        fs::remove(path, ignored);
      } else if (!(before.contains(path) && before.at(path) == bytes) && saved.at(path) != bytes) {
        wrong = "a file is neither the old one nor the new one: " + path;
      } else if (message.empty() && saved.at(path) != bytes) {
        wrong = "said to be saved, and the old file is there: " + path;
      }
    }
    for (const auto& [path, bytes] : before) {
      if (!is_temporary(path) && !after.contains(path)) wrong = "a file is gone: " + path;
    }
    run.checkpoint.resume();  // throws when it cannot be read
    if (!wrong.empty()) {
      ++failures;
      campaign.failure(fmt::format("save, call {}, {}: {}", n, way.name, wrong));
    }
    if (n > counted.calls) break;  // the fault came after the end
  }
  campaign.row(fmt::format("save of {} values, {}", width * 8 + width, way.name), runs, failures,
               fmt::format("{} refused", refusals));
}

/// Fails each call of a resume in turn: an error, or the state that was saved.
void fail_each_call_of_resume(campaign::Campaign& campaign, const Way& way) {
  const test::TemporaryFolder folder;
  Run run(folder.path().string(), 64);
  run.step();
  run.save();
  const Bytes weight_bytes = contents(run.checkpoint.last_path());
  std::int64_t runs = 0, failures = 0, refusals = 0;
  for (std::int64_t n = 1;; ++n) {
    std::string wrong, message;
    system_calls::arm({.at = n, .error = way.error, .for_ever = way.for_ever});
    try {
      run.checkpoint.resume();
    } catch (const FileError& e) {
      message = e.what();
    }
    const system_calls::Counted counted = system_calls::disarm();
    ++runs;
    if (!message.empty()) ++refusals;
    if (!message.empty() && (way.error == 0 || way.error == EINTR)) wrong = "it gave up: " + message;
    // Whatever happened, the run is what it was.
    run.save();
    if (contents(run.checkpoint.last_path()) != weight_bytes) wrong = "the run has changed";
    if (!wrong.empty()) {
      ++failures;
      campaign.failure(fmt::format("resume, call {}, {}: {}", n, way.name, wrong));
    }
    if (n > counted.calls) break;
  }
  campaign.row(fmt::format("resume, {}", way.name), runs, failures, fmt::format("{} refused", refusals));
}

// --- loss of power

/// What may be on a disk: names lead to files, and each file has its bytes.
class Disk {
 public:
  explicit Disk(const Files& files) {
    for (const auto& [path, bytes] : files) {
      names_[path] = contents_.size();
      contents_.push_back(bytes);
    }
  }

  void make(const std::string& path) {
    if (names_.contains(path)) return;
    names_[path] = contents_.size();
    contents_.emplace_back();
  }
  void rename(const std::string& from, const std::string& to) {
    const auto file = names_.find(from);
    if (file == names_.end()) return;
    names_[to] = file->second;
    names_.erase(from);
  }
  void remove(const std::string& path) { names_.erase(path); }
  [[nodiscard]] std::optional<std::size_t> file(const std::string& path) const {
    const auto found = names_.find(path);
    return found == names_.end() ? std::nullopt : std::optional(found->second);
  }
  void write(std::size_t file, std::int64_t offset, const Bytes& bytes, std::size_t most) {
    Bytes& out = contents_[file];
    const auto count = std::min(bytes.size(), most);
    const auto end = static_cast<std::size_t>(offset) + count;
    if (count > 0 && out.size() < end) out.resize(end);
    std::copy_n(bytes.begin(), count, out.begin() + offset);
  }
  void truncate(std::size_t file) { contents_[file].clear(); }
  std::size_t add() {
    contents_.emplace_back();
    return contents_.size() - 1;
  }
  void name(const std::string& path, std::size_t file) { names_[path] = file; }
  [[nodiscard]] const Bytes* find(const std::string& path) const {
    const auto found = names_.find(path);
    return found == names_.end() ? nullptr : &contents_[found->second];
  }

 private:
  std::map<std::string, std::size_t> names_;
  std::vector<Bytes> contents_;
};

/// What of the calls that nothing has waited for reaches the disk.
struct Fate {
  bool names;                ///< of files: made, renamed, removed
  bool data;                 ///< what was written
  std::size_t torn = 0;      ///< if not 0: the last write that reaches it does so in multiples of this
  std::uint64_t random = 0;  ///< if not 0: a seed that chooses for each call
};

/// The disk when power is lost after `count` calls.
Disk after_loss(const Files& before, const std::vector<Call>& calls, std::size_t count, const Fate& fate) {
  Disk disk(before);
  std::mt19937_64 draw(fate.random);
  // A call is certain when something later waited for it: writes for their file's sync, names for their folder's.
  const auto is_certain = [&](std::size_t i) {
    const bool about_data = calls[i].kind == Kind::write || calls[i].kind == Kind::truncate;
    const std::string folder = fs::path(calls[i].path).parent_path().string();
    for (std::size_t j = i + 1; j < count; ++j) {
      if (about_data && calls[j].kind == Kind::sync && calls[j].path == calls[i].path) return true;
      if (!about_data && calls[j].kind == Kind::sync_folder &&
          (calls[j].path == folder || calls[j].path == folder + "/"))
        return true;
    }
    return false;
  };
  // Files by the names under which they were written, whatever became of the names.
  std::map<std::string, std::size_t> written;
  std::size_t last_write = count;
  for (std::size_t i = 0; i < count; ++i) {
    if (calls[i].kind == Kind::write && !is_certain(i)) last_write = i;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const Call& call = calls[i];
    const bool about_data = call.kind == Kind::write || call.kind == Kind::truncate;
    const bool happens = is_certain(i) || (fate.random != 0 ? (draw() & 1U) != 0 : about_data ? fate.data : fate.names);
    switch (call.kind) {
      case Kind::make:
        // A file that exists keeps what it holds.
        written[call.path] = disk.file(call.path) ? *disk.file(call.path) : disk.add();
        if (happens) disk.name(call.path, written[call.path]);
        break;
      case Kind::write:
        if (happens) {
          const std::size_t most =
              fate.torn != 0 && i == last_write ? call.bytes.size() / 2 / fate.torn * fate.torn : call.bytes.size();
          disk.write(written.at(call.path), call.offset, call.bytes, most);
        }
        break;
      case Kind::truncate:
        if (happens) disk.truncate(written.at(call.path));
        break;
      case Kind::rename:
        // The file of that name, even if the name itself never reached the disk.
        if (happens) {
          disk.remove(call.path);
          disk.name(call.to, written.at(call.path));
        }
        break;
      case Kind::remove:
        if (happens) disk.remove(call.path);
        break;
      default: break;
    }
  }
  return disk;
}

struct Verdict {
  std::int64_t states = 0, broken = 0;
  std::string first;  // of the broken ones
};

/// Every moment, every fate: each file must be the old one or the new one, and after the last call the new one.
Verdict replay(const Files& before, const Files& after, const std::vector<Call>& calls, std::uint64_t seed) {
  std::vector<Fate> fates{{true, true}, {false, false}, {true, false}, {false, true}};
  for (const std::size_t torn : {512U, 4096U}) {
    fates.push_back({true, true, torn});
    fates.push_back({false, true, torn});
  }
  constexpr std::uint64_t kRandom = 20;
  for (std::uint64_t i = 1; i <= kRandom; ++i) fates.push_back({true, true, 0, seed * 1000 + i});
  Verdict verdict;
  for (std::size_t count = 0; count <= calls.size(); ++count) {
    for (const Fate& fate : fates) {
      const Disk disk = after_loss(before, calls, count, fate);
      std::string wrong;
      for (const auto& [path, wanted] : after) {
        const Bytes* const found = disk.find(path);
        const bool is_new = found && *found == wanted;
        const bool is_old = before.contains(path) ? found && *found == before.at(path) : !found;
        if (!is_new && (count == calls.size() || !is_old)) wrong = path;
      }
      ++verdict.states;
      if (wrong.empty()) continue;
      if (verdict.broken++ == 0) verdict.first = fmt::format("{} after {} calls of {}", wrong, count, calls.size());
    }
  }
  return verdict;
}

std::vector<Call> without(std::vector<Call> calls, Kind kind) {
  std::erase_if(calls, [=](const Call& call) { return call.kind == kind; });
  return calls;
}

/// Writes a file as most programs do.
void write_in_place(const std::string& path, const Bytes& bytes) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  for (std::size_t at = 0; at < bytes.size();) {
    constexpr std::size_t kPiece = 8192;
    const ssize_t done = ::write(file, bytes.data() + at, std::min(kPiece, bytes.size() - at));
    if (done <= 0) break;
    at += static_cast<std::size_t>(done);
  }
  ::fsync(file);
  ::close(file);
}

void lose_power(campaign::Campaign& campaign, Index width) {
  const test::TemporaryFolder folder;
  Run run(folder.path().string(), width);
  run.save();
  const Files before = files_in(folder.path());
  run.step();
  system_calls::begin_log();
  run.save();
  const std::vector<Call> calls = system_calls::end_log();
  const Files after = files_in(folder.path());
  const std::string what = fmt::format("power lost in a save of {} values", width * 8 + width);
  const Verdict verdict = replay(before, after, calls, campaign.seed());
  if (verdict.broken > 0) campaign.failure(what + ": " + verdict.first);
  campaign.row(what, verdict.states, verdict.broken, fmt::format("{} calls", calls.size()));

  const auto control = [&](const std::string& name, const std::vector<Call>& planted, const Files& expected) {
    const Verdict broken = replay(before, expected, planted, campaign.seed());
    campaign.control(name, 1, broken.broken > 0 ? 1 : 0,
                     fmt::format("{} of {} states broken", broken.broken, broken.states));
  };
  control("the file is not synchronised", without(calls, Kind::sync), after);
  control("its folder is not synchronised", without(calls, Kind::sync_folder), after);
  const std::string path = run.checkpoint.last_path();
  const Bytes bytes = contents(path);
  run.step();
  run.save();
  const Bytes next = contents(path);
  write_in_place(path, bytes);
  system_calls::begin_log();
  write_in_place(path, next);
  Files in_place{{path, next}};
  const std::vector<Call> in_place_calls = system_calls::end_log();
  Files old{{path, bytes}};
  const Verdict broken = replay(old, in_place, in_place_calls, campaign.seed());
  campaign.control("the file is written in place", 1, broken.broken > 0 ? 1 : 0,
                   fmt::format("{} of {} states broken", broken.broken, broken.states));
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("powerloss", "Saves while system calls fail, and replays losses of power", argc, argv);
  manual_seed(campaign.seed());
  const std::vector<Index> widths =
      campaign.brief() ? std::vector<Index>{64} : std::vector<Index>{4, 64, 2'000, 100'000};
  for (const Index width : widths) {
    for (const Way& way : kWays) {
      // A byte at a time, a large file takes hours.
      if (way.error != 0 || !way.for_ever || width <= 64) fail_each_call(campaign, width, way);
    }
  }
  for (const Way& way : kWays) fail_each_call_of_resume(campaign, way);
  for (const Index width : widths) lose_power(campaign, width);
  return campaign.finish();
}
