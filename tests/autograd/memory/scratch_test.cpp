#include <support/expect.h>
#include <support/process_memory.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/autograd/tensor.h>

BOOST_AUTO_TEST_SUITE(scratch_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr bool kCache = !detail::kUnderSanitizer;  // sanitizers keep freed memory to themselves
constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kSlack = 8 * kMiB;  // resident memory that is not ours: stacks of threads, halves of huge pages

/// Scratch whose pages are all there.
struct Touched {
  explicit Touched(std::int64_t bytes) : scratch(bytes) {
    std::memset(scratch.data(), 1, static_cast<std::size_t>(bytes));
  }
  Scratch<char> scratch;
};

}  // namespace

BOOST_AUTO_TEST_CASE(scratch_is_live_while_it_is_held_and_counts_in_the_peak) {
  for (const std::int64_t bytes : {std::int64_t{100'000}, 3 * kMiB}) {
    const std::int64_t before = memory_stats().live_bytes;
    reset_peak_bytes();
    {
      const Scratch<char> scratch(bytes);
      BOOST_TEST(memory_stats().live_bytes >= before + bytes);
      BOOST_TEST(memory_stats().live_bytes <= before + bytes * 9 / 8);
    }
    BOOST_TEST(memory_stats().live_bytes == before);
    BOOST_TEST(memory_stats().peak_bytes >= before + bytes);
  }
}

BOOST_AUTO_TEST_CASE(scratch_holds_the_elements_asked_for_aligned_to_a_cache_line) {
  for (const std::int64_t count : {1, 16, 17, 1000, 40'000, 600'000}) {
    const Scratch<double> scratch(count);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(scratch.data()) % 64 == 0U);
    std::fill_n(scratch.data(), count, 1.5);
    BOOST_TEST(scratch[count - 1] == 1.5);
    scratch[0] = 2;
    BOOST_TEST(scratch.data()[0] == 2);
  }
}

BOOST_AUTO_TEST_CASE(a_count_of_0_takes_nothing) {
  const std::int64_t before = memory_stats().live_bytes;
  const Scratch<float> none(0);
  BOOST_TEST(none.data() == nullptr);
  BOOST_TEST(memory_stats().live_bytes == before);
}

BOOST_AUTO_TEST_CASE(what_scratch_gives_back_serves_tensors) {
  if (!kCache) return;
  for (const std::int64_t bytes : {std::int64_t{100'000}, 3 * kMiB}) {
    static_cast<void>(empty({1}, u8));  // small blocks, for the handle, are there: they come from slabs of many
    empty_cache();
    { const Scratch<char> scratch(bytes); }
    const std::int64_t asked = memory_stats().system_blocks;
    const Tensor x = empty({bytes - 1024}, u8);  // a tensor has a header too
    BOOST_TEST(memory_stats().system_blocks == asked);
  }
}

BOOST_AUTO_TEST_CASE(beyond_the_limit_scratch_is_refused_and_nothing_is_lost) {
  const Unlimited restore;
  empty_cache();
  const std::int64_t live = memory_stats().live_bytes;
  set_memory_limit(live + 2 * kMiB);
  BOOST_CHECK_EXCEPTION([] { const Scratch<float> scratch(kMiB); }(), OutOfMemory,
                        [](const OutOfMemory& error) {
                          const std::string message = error.what();
                          BOOST_TEST(message.starts_with("memory: no room for a block of 4.0 MiB; "), message);
                          BOOST_TEST(message.ends_with(" MiB (set_memory_limit)"), message);
                          return true;
                        });
  BOOST_TEST(memory_stats().live_bytes == live);
  const Scratch<float> fits(kMiB / 4);
  BOOST_TEST(memory_stats().live_bytes > live);
}

BOOST_AUTO_TEST_CASE(threads_that_ask_at_once_stay_within_the_limit) {
  const Unlimited restore;
  for (int round = 0; round < 20; ++round) {  // what goes wrong between two loads goes wrong once in forty
    empty_cache();
    const std::int64_t limit = memory_stats().live_bytes + 3 * kMiB;
    set_memory_limit(limit);
    reset_peak_bytes();
    std::atomic<int> given{0}, refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 300; ++i) {
          try {
            const Scratch<char> scratch(i % 2 == 0 ? 300'000 + 1000 * t : kMiB + 4096 * t);
            scratch[0] = 1;
            ++given;
            if (i % 16 == 0) std::this_thread::yield();
          } catch (const OutOfMemory&) {
            ++refused;
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    BOOST_TEST(given > 0);
    BOOST_TEST_MESSAGE(given << " given, " << refused << " refused");
    BOOST_TEST(memory_stats().peak_bytes <= limit);
    BOOST_TEST(memory_stats().live_bytes + memory_stats().cached_bytes <= limit);
  }
}

BOOST_AUTO_TEST_CASE(what_is_thrown_in_a_task_reaches_the_caller_and_the_next_loop_works) {
  const Unlimited restore;
  empty_cache();
  const std::int64_t live = memory_stats().live_bytes;
  const auto loop = [](std::int64_t count_each) {
    std::atomic<int> done{0};
    parallel_for(16, 1, [&](Index begin, Index) {
      const Scratch<float> first(1000), second(begin == 7 ? count_each : 1000);
      second[0] = first[0] = 1;
      ++done;
    });
    return done.load();
  };
  BOOST_CHECK_EXCEPTION(loop(std::int64_t{1} << 58), OutOfMemory, [](const OutOfMemory& error) {
    return std::string(error.what()).ends_with("and the system has no more");
  });
  BOOST_TEST(memory_stats().live_bytes == live);
  set_memory_limit(live + 3 * kMiB);
  BOOST_CHECK_THROW(loop(kMiB), OutOfMemory);
  BOOST_TEST(memory_stats().live_bytes == live);
  BOOST_TEST(loop(1000) == 16);
  set_memory_limit(kNoMemoryLimit);
  BOOST_TEST(loop(kMiB) == 16);
  BOOST_TEST(memory_stats().live_bytes == live);
}

BOOST_AUTO_TEST_CASE(the_process_grows_by_what_is_counted_and_shrinks_when_the_cache_is_emptied) {
  if (!kCache) return;
  constexpr std::int64_t kBytes = 64 * kMiB;
  empty_cache();
  const std::int64_t before = process_bytes("VmRSS");
  {
    const Touched scratch(kBytes);
    BOOST_TEST(process_bytes("VmRSS") >= before + kBytes - kSlack);
    BOOST_TEST(process_bytes("VmRSS") <= before + kBytes + kSlack);
  }
  BOOST_TEST(memory_stats().cached_bytes >= kBytes);
  empty_cache();
  BOOST_TEST(memory_stats().cached_bytes == 0);
  BOOST_TEST(process_bytes("VmRSS") <= before + kSlack);
}

BOOST_AUTO_TEST_CASE(what_other_threads_have_given_back_is_emptied_too_while_they_live) {
  if (!kCache) return;
  constexpr int kThreads = 4;
  empty_cache();
  const std::int64_t before = process_bytes("VmRSS");
  std::latch given_back(kThreads), emptied(1);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      {
        const Touched large(8 * kMiB);
        std::vector<std::unique_ptr<Touched>> medium;  // 8 MiB in blocks below those of the arena
        for (int i = 0; i < 32; ++i) medium.push_back(std::make_unique<Touched>(kMiB / 4));
      }
      given_back.count_down();
      emptied.wait();
    });
  }
  given_back.wait();
  BOOST_TEST(memory_stats().cached_bytes >= 16 * kMiB);  // a thread may have run when another had ended
  BOOST_TEST(process_bytes("VmRSS") >= before + 16 * kMiB - kSlack);
  empty_cache();
  BOOST_TEST(memory_stats().cached_bytes == 0);
  BOOST_TEST(process_bytes("VmRSS") <= before + kSlack);
  emptied.count_down();
  for (std::thread& thread : threads) thread.join();
}

BOOST_AUTO_TEST_CASE(a_counted_vector_is_counted_and_refused) {
  const Unlimited restore;
  empty_cache();
  const std::int64_t live = memory_stats().live_bytes;
  {
    const CountedVector<double> table(100'000, 2.0);
    BOOST_TEST(memory_stats().live_bytes >= live + 800'000);
    BOOST_TEST(table.back() == 2.0);
  }
  BOOST_TEST(memory_stats().live_bytes == live);
  set_memory_limit(live + kMiB);
  BOOST_CHECK_THROW(CountedVector<double>(1'000'000), OutOfMemory);
  BOOST_TEST(memory_stats().live_bytes == live);
}

BOOST_AUTO_TEST_SUITE_END()
