// campaign_threads: what several threads do to one another. Gradients are sums of integers, exact in any order: one
// that is lost or counted twice shows. Under ThreadSanitizer (preset tsan) it is the program that must have no report,
// with no suppressions; in Release it is a stress.
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include <tapestry/autograd/base/background_task.h>
#include <tapestry/autograd/base/call_site.h>
#include <tapestry/tapestry.h>

#include "campaigns/campaign.h"

namespace {

using namespace tapestry;

constexpr int kThreads = 8;

/// f(0) ... f(kThreads - 1), each on a thread of its own; an exception of one counts as a failure.
std::int64_t on_threads(const std::function<bool(int)>& f) {
  std::atomic<std::int64_t> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      try {
        if (!f(t)) ++failures;
      } catch (const std::exception&) {
        ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failures;
}

bool all_are(const Tensor& x, float value) {
  for (const float v : x.to_vector<float>()) {
    if (v != value) return false;
  }
  return true;
}

bool same(const Tensor& a, const Tensor& b) { return a.to_vector<float>() == b.to_vector<float>(); }

// --- scenarios: one round each; how many failed

/// Every thread records and plays graphs of its own over the same leaves.
std::int64_t shared_leaves() {
  constexpr int kRounds = 20;
  const Tensor shared = ones({100}, {.requires_grad = true});
  const std::int64_t failures = on_threads([&](int t) {
    bool right = true;
    for (int round = 0; round < kRounds; ++round) {
      const Tensor own = ones({100}, {.requires_grad = true});
      sum(shared * own * (t + 1)).backward();
      const Tensor g = grad(sum(own * own * own), own, {.create_graph = true});
      right = right && all_are(own.grad(), static_cast<float>(t + 1)) && all_are(grad(sum(g), own), 6);
    }
    return right;
  });
  return failures + (all_are(shared.grad(), kRounds * kThreads * (kThreads + 1) / 2.0F) ? 0 : 1);
}

/// Recorded on one thread, played on a second, dropped by a third; others are dropped unplayed.
std::int64_t across_threads() {
  const MemoryStats before = memory_stats();
  std::int64_t failures = 0;
  {
    const Tensor x = ones({50}, {.requires_grad = true});
    std::vector<Tensor> played(kThreads), dropped(kThreads);
    failures += on_threads([&](int t) {
      Tensor y = x;
      for (int i = 0; i < 30; ++i) y = y * x;
      played[static_cast<std::size_t>(t)] = sum(y);
      dropped[static_cast<std::size_t>(t)] = exp(y);
      return true;
    });
    failures += on_threads([&](int t) {
      played[static_cast<std::size_t>((t + 1) % kThreads)].backward();
      return true;
    });
    failures += on_threads([&](int t) {
      played[static_cast<std::size_t>((t + 2) % kThreads)] = {};
      dropped[static_cast<std::size_t>((t + 3) % kThreads)] = {};
      return true;
    });
    if (!all_are(x.grad(), 31.0F * kThreads)) ++failures;
  }
  const MemoryStats after = memory_stats();
  return failures + (after.live_nodes == before.live_nodes && after.live_storages == before.live_storages ? 0 : 1);
}

/// One model, whose weights are kept in the order of the kernels by whoever comes first.
std::int64_t shared_inference() {
  nn::Sequential model{nn::Conv2d{3, 8, {.kernel = 3, .padding = 1}}, [](const Tensor& x) { return relu(x); },
                       nn::Conv2d{8, 4, {.kernel = 3, .padding = 1}}};
  model.eval();
  const Tensor image = rand({2, 8, 8, 3});
  const Tensor expected = no_grad([&] { return model(image); });
  return on_threads([&](int) {
    const InferenceMode inference;
    bool right = true;
    for (int round = 0; round < 5; ++round) right = right && same(model(image), expected);
    return right;
  });
}

/// The pool gets other sizes while loops run, some of which fail.
std::int64_t resized_pool() {
  const int outer = num_threads();
  std::atomic<bool> done{false};
  std::thread resizer([&] {
    for (int i = 0; !done; ++i) {
      set_num_threads(1 + i % 4);
      std::this_thread::yield();
    }
  });
  const std::int64_t failures = on_threads([&](int t) {
    const Tensor x = ones({70'000}, {.requires_grad = true});
    bool right = true;
    for (int round = 0; round < 4; ++round) {
      x.zero_grad();
      sum(x * x * (t + 1)).backward();
      right = right && all_are(x.grad(), 2.0F * static_cast<float>(t + 1));
      std::atomic<Index> sum_of_all{0};
      parallel_for(1000, 10, [&](Index begin, Index end) {
        parallel_for(end - begin, 1, [&](Index i, Index) { sum_of_all += begin + i; });
      });
      right = right && sum_of_all == 499'500;
      try {
        parallel_for(100, 1, [&](Index i, Index) {
          if (i == 37) throw std::runtime_error("task 37");
        });
        right = false;
      } catch (const std::runtime_error& e) {
        right = right && std::string(e.what()) == "task 37";
      }
    }
    return right;
  });
  done = true;
  resizer.join();
  set_num_threads(outer);
  return failures;
}

/// Every thread in modes of its own, which its tasks share.
std::int64_t modes() {
  const int outer = num_threads();
  set_num_threads(4);
  const Tensor x = ones({4, 4}, {.requires_grad = true});
  const std::int64_t failures = on_threads([&](int t) {
    const GradModeGuard recording(t % 2 == 0);
    const Autocast autocast(t % 4 < 2 ? bf16 : f32);
    const MatmulPrecisionGuard precision(t % 3 == 0 ? MatmulPrecision::medium : MatmulPrecision::highest);
    std::atomic<int> wrong{0};
    const auto check = [&] {
      const Tensor y = matmul(x, x);
      if (y.requires_grad() != (t % 2 == 0) || (y.dtype() == bf16) != (t % 4 < 2)) ++wrong;
      if ((float32_matmul_precision() == MatmulPrecision::medium) != (t % 3 == 0)) ++wrong;
    };
    parallel_for(32, 1, [&](Index, Index) {
      check();
      parallel_for(4, 1, [&](Index, Index) { check(); });
    });
    check();
    return wrong == 0;
  });
  set_num_threads(outer);
  return failures;
}

/// Tensors go from one thread to the next until the last one drops them.
std::int64_t hand_over() {
  const std::int64_t before = memory_stats().live_storages;
  std::mutex mutex;
  std::vector<std::vector<Tensor>> boxes(kThreads + 1);
  std::atomic<int> finished{0};
  constexpr int kTensors = 2000;
  const std::int64_t failures = on_threads([&](int t) {
    int passed = 0;
    while (passed < kTensors) {
      std::vector<Tensor> mine;
      if (t == 0) {
        for (int i = 0; i < 50; ++i) mine.push_back(full({i % 30}, static_cast<float>(t)));
      } else {
        const std::scoped_lock lock(mutex);
        std::swap(mine, boxes[static_cast<std::size_t>(t)]);
      }
      passed += static_cast<int>(mine.size());
      if (mine.empty()) std::this_thread::yield();
      if (t + 1 == kThreads) continue;  // drops them
      const std::scoped_lock lock(mutex);
      auto& next = boxes[static_cast<std::size_t>(t) + 1];
      next.insert(next.end(), mine.begin(), mine.end());
    }
    ++finished;
    return passed == kTensors;
  });
  boxes.clear();
  return failures + (memory_stats().live_storages == before ? 0 : 1);
}

/// One generator draws for all: numbers differ from thread to thread, but none is drawn twice or left out.
std::int64_t shared_generator() {
  Generator shared(5), alone(5);
  std::vector<std::vector<float>> drawn(kThreads);
  const std::int64_t failures = on_threads([&](int t) {
    for (int i = 0; i < 20; ++i) {
      const auto some = rand({4}, {.generator = &shared}).to_vector<float>();
      drawn[static_cast<std::size_t>(t)].insert(drawn[static_cast<std::size_t>(t)].end(), some.begin(), some.end());
    }
    return true;
  });
  std::vector<float> all, expected;
  for (const auto& some : drawn) all.insert(all.end(), some.begin(), some.end());
  for (int i = 0; i < 20 * kThreads; ++i) {
    const auto some = rand({4}, {.generator = &alone}).to_vector<float>();
    expected.insert(expected.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end());
  std::sort(expected.begin(), expected.end());
  return failures + (all == expected ? 0 : 1);
}

// --- fork(2)

/// What a child does: everything that could wait for a thread which it does not have.
int child() {
  try {
    for (const Index n : {4, 200, 1000, 100'000, 1'000'000}) {
      const Tensor x = ones({n}, {.requires_grad = true});
      sum(x * x).backward();
      if (!all_are(x.grad(), 2)) return 1;
    }
    if (num_threads() != 1 || memory_stats().live_storages < 0) return 2;
    try {
      set_num_threads(2);
      return 3;
    } catch (const std::runtime_error&) {
    }
    BackgroundTask task([] { static_cast<void>(ones({1000})); });
    task.wait();
    empty_cache();
    return 0;
  } catch (const std::exception&) {
    return 4;
  }
}

/// Threads allocate, free, record and run loops while the process forks. How many children failed or hung.
std::int64_t forks(campaign::Campaign& campaign, std::int64_t children) {
  std::atomic<bool> done{false};
  std::vector<std::thread> busy;
  set_num_threads(2);
  for (int t = 0; t < 3; ++t) {
    busy.emplace_back([&, t] {
      const Tensor w = ones({t == 0 ? 300'000 : 300}, {.requires_grad = true});
      while (!done) {
        const Tensor kept = empty({t == 1 ? 2'000'000 : 5000});
        sum(w * w).backward();
        w.zero_grad();
        static_cast<void>(intern("layer" + std::to_string(t)));
        static_cast<void>(memory_stats());
      }
    });
  }
  std::int64_t failures = 0;
  for (std::int64_t i = 0; i < children; ++i) {
    const pid_t pid = fork();
    if (pid == 0) std::exit(child());  // with the destructors of static objects, where a pool would wait
    int status = 0;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    pid_t ended = 0;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (ended == 0) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      campaign.failure(fmt::format("child {} hangs", i));
      ++failures;
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      campaign.failure(fmt::format("child {} ended with status {:#x}", i, status));
      ++failures;
    }
    campaign.step();
  }
  done = true;
  for (std::thread& thread : busy) thread.join();
  return failures;
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("threads", "What several threads do to one another", argc, argv);
  manual_seed(campaign.seed());
  const std::vector<std::pair<std::string, std::int64_t (*)()>> scenarios{
      {"own graphs over shared leaves", shared_leaves},
      {"recorded, played, dropped on three threads", across_threads},
      {"one model, inference on all threads", shared_inference},
      {"pool resized while loops run and fail", resized_pool},
      {"modes of threads and of their tasks", modes},
      {"tensors handed over", hand_over},
      {"one generator for all", shared_generator}};
  const std::int64_t rounds = campaign.count(5, 500);
  for (const auto& [name, round] : scenarios) {
    campaign.begin(name, rounds);
    std::int64_t failures = 0;
    for (std::int64_t i = 0; i < rounds; ++i) {
      const std::int64_t failed = round();
      if (failed > 0) campaign.failure(fmt::format("{}, round {}", name, i));
      failures += failed > 0 ? 1 : 0;
      campaign.step();
    }
    campaign.end();
    campaign.row(name, rounds, failures, fmt::format("{} threads", kThreads));
  }
  const char* const kForks = "fork beside threads that allocate and loop";
  if (detail::kUnderSanitizer) {
    campaign.skipped(kForks, "sanitizers do not follow threads over a fork; run it in Release");
  } else {
    const std::int64_t children = campaign.count(40, 2000);
    campaign.begin(kForks, children);
    const std::int64_t failures = forks(campaign, children);
    campaign.end();
    campaign.row(kForks, children, failures);
  }
  return campaign.finish();
}
