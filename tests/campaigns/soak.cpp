// Does the same again and again, and watches what must not grow: resident memory, live tensors and nodes, threads, open
// files. In full it takes half an hour.
#include <support/process_memory.h>
#include <support/temporary_folder.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include <campaigns/campaign.h>
#include <tapestry/tapestry.h>

using namespace tapestry;

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMib = 1 << 20;
constexpr double kMostRange = 4;    // MiB between the least and the most that is resident after the beginning
constexpr double kMostSlope = 0.1;  // MiB a minute; of seconds, noise makes more than that
constexpr double kShortest = 120;   // seconds from which the slope counts
constexpr double kBeginning = 0.2;  // of the time: caches fill

std::int64_t entries(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

/// What must be the same after each round.
struct Counts {
  std::int64_t bytes, nodes, storages, threads, files;
  friend bool operator==(const Counts&, const Counts&) = default;
};

Counts counts() {
  const MemoryStats memory = memory_stats();
  return {memory.live_bytes, memory.live_nodes, memory.live_storages, entries("/proc/self/task"),
          entries("/proc/self/fd")};
}

/// The counts, once they are those: the system takes a moment to forget a thread that has ended.
Counts settled(const Counts& expected) {
  constexpr int kMostTries = 200;
  constexpr std::chrono::milliseconds kPause{5};
  Counts now = counts();
  for (int tries = 0; now != expected && tries < kMostTries; ++tries) {
    std::this_thread::sleep_for(kPause);
    now = counts();
  }
  return now;
}

using Resident = std::vector<std::pair<double, double>>;  // seconds, MiB

/// MiB a minute: the median of the slopes of all pairs (Theil 1950, Sen 1968). What grows with every round shows in all
/// of them; one step, when a pool gets a block more, does not, as it would in a line of least squares.
double slope_per_minute(const Resident& resident) {
  std::vector<double> slopes;
  for (std::size_t i = 0; i < resident.size(); ++i) {
    for (std::size_t j = i + 1; j < resident.size(); ++j) {
      slopes.push_back((resident[j].second - resident[i].second) / (resident[j].first - resident[i].first) * 60);
    }
  }
  if (slopes.empty()) return 0;
  const auto middle = slopes.begin() + static_cast<std::ptrdiff_t>(slopes.size() / 2);
  std::nth_element(slopes.begin(), middle, slopes.end());
  return *middle;
}

/// Runs rounds of one kind for so long.
void soak(campaign::Campaign& campaign, const std::string& what, double seconds, bool is_control,
          const std::function<void()>& round) {
  const Clock::time_point begin = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  round();
  const Counts first = counts();
  std::int64_t rounds = 1, failures = 0;
  Resident resident;
  while (passed() < seconds || rounds < 10) {
    round();
    ++rounds;
    if (const Counts now = is_control ? first : settled(first); now != first) {
      if (failures++ == 0) {
        campaign.failure(fmt::format(
            "{}, round {}: {} live bytes, {} nodes, {} storages, {} threads, {} files; at first {}, {}, {}, "
            "{}, {}",
            what, rounds, now.bytes, now.nodes, now.storages, now.threads, now.files, first.bytes, first.nodes,
            first.storages, first.threads, first.files));
      }
    }
    const double at = passed();
    if (at > kBeginning * seconds && (resident.empty() || at - resident.back().first > seconds / 500))
      resident.emplace_back(at, static_cast<double>(test::process_bytes("VmRSS")) / kMib);
  }
  const double slope = slope_per_minute(resident);
  const auto [least, most] = std::ranges::minmax(resident, {}, [](const auto& sample) { return sample.second; });
  const double range = most.second - least.second;
  const bool grew = range > kMostRange || (seconds >= kShortest && slope > kMostSlope);
  std::string figures = fmt::format("{:.1f} MiB resident, range {:.2f} MiB", most.second, range);
  if (seconds >= kShortest) figures += fmt::format(", {:+.3f} MiB a minute", slope);
  if (is_control) {
    campaign.control(what, 1, grew ? 1 : 0, figures);
  } else {
    if (grew) campaign.failure(what + ": resident memory grew: " + figures);
    campaign.row(what, rounds, failures + (grew ? 1 : 0), figures);
  }
}

/// Hands tensors from the thread that makes them to the one that drops them.
class Channel {
 public:
  void put(Tensor x) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return items_.size() < kRoom; });
    items_.push_back(std::move(x));
    changed_.notify_all();
  }
  Tensor take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !items_.empty(); });
    Tensor x = std::move(items_.back());
    items_.pop_back();
    changed_.notify_all();
    return x;
  }

 private:
  static constexpr std::size_t kRoom = 64;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Tensor> items_;
};

constexpr Index kHandedOver = 20'000;  // tensors in a round

void produce_and_consume() {
  Channel channel;
  std::thread producer([&] {
    for (Index i = 0; i < kHandedOver; ++i) channel.put(full({1 + i % 200}, 1.0));
  });
  for (Index i = 0; i < kHandedOver; ++i) {
    if (channel.take().data<float>()[0] != 1) throw std::logic_error("another tensor came out");
  }
  producer.join();
}

constexpr Index kThrown = 1000;  // exceptions in a round

void throw_and_catch() {
  const Tensor a = rand({3, 4}, {.requires_grad = true});
  for (Index i = 0; i < kThrown; ++i) {
    try {
      // It throws while a graph is there to be dropped.
      const Tensor y = relu(a * 2);
      static_cast<void>(matmul(y, y));
      throw std::runtime_error("accepted");
    } catch (const std::invalid_argument&) {
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("soak", "Repeats what must not grow, and watches memory, threads and open files", argc,
                              argv);
  constexpr double kFull = 30 * 60. / 7, kShort = 1.5;  // seconds for each row
  const double seconds = campaign.brief() ? kShort : kFull;
  campaign.begin("soak", 7);
  const auto row = [&](const std::string& what, const std::function<void()>& round, bool is_control = false) {
    soak(campaign, what, seconds, is_control, round);
    campaign.step();
  };

  const datasets::Patterns data(
      {.size = 256, .transform = datasets::Compose{datasets::RandomCrop{.padding = 4}, datasets::ToFloat()}});
  const auto model = nn::models::make("lecture_cnn_bn", 100);
  optim::SGD sgd(model.parameters(), {.lr = 0.01, .momentum = 0.9});
  const Tensor images = rand({16, 32, 32, 3});
  const Tensor labels = zeros({16}, {.dtype = i64});
  const auto train_step = [&] {
    const Tensor loss = cross_entropy(model(images), labels);
    sgd.zero_grad();
    loss.backward();
    sgd.step();
  };
  row("training steps", train_step);
  row("forward passes without backward", [&] { static_cast<void>(model(images)); });
  row(fmt::format("{} tensors from one thread to another", kHandedOver), produce_and_consume);
  datasets::Loader loader(data, {.batch = 32, .shuffle = true});
  row("epochs of a loader that prepares ahead", [&] {
    Index seen = 0;
    for (const auto& [x, y] : loader) seen += x.size(0);
    if (seen != 256) throw std::logic_error("a loader that loses samples");
  });
  row("epochs that are left in the middle", [&] {
    for (const auto& [x, y] : loader) {
      if (y.size(0) > 0) break;
    }
  });
  row(fmt::format("{} exceptions", kThrown), throw_and_catch);
  const test::TemporaryFolder folder;
  const std::string path = (folder / "model.safetensors").string();
  row("saves and loads", [&] {
    nn::save(model, path);
    nn::load(model, path);
  });
  campaign.end();

  std::vector<std::vector<char>> leak;
  soak(campaign, "100 KiB lost in each round", campaign.brief() ? kShort : kShort * 10, true, [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    leak.emplace_back(100 << 10, char{1});
  });
  if (!campaign.brief()) {  // far less than the range may be, which only the slope tells
    soak(campaign, "16 KiB lost every second", kShortest, true, [&] {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      leak.emplace_back(16 << 10, char{1});
    });
  }
  return campaign.finish();
}
