#include <support/expect.h>
#include <support/process_memory.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/tensor.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr std::int64_t kMiB = 1 << 20;

constexpr bool kCache = !detail::kUnderSanitizer;

}  // namespace

BOOST_AUTO_TEST_SUITE(allocator_test)

BOOST_AUTO_TEST_CASE(live_and_peak_bytes_follow_the_tensors) {
  const std::int64_t before = memory_stats().live_bytes;
  reset_peak_bytes();
  {
    const Tensor x = empty({kMiB});  // 4 MiB of f32
    BOOST_TEST(memory_stats().live_bytes >= before + 4 * kMiB);
    BOOST_TEST(memory_stats().live_bytes <= before + 5 * kMiB);  // classes are an eighth apart
  }
  BOOST_TEST(memory_stats().live_bytes == before);
  BOOST_TEST(memory_stats().peak_bytes >= before + 4 * kMiB);
  reset_peak_bytes();
  BOOST_TEST(memory_stats().peak_bytes == before);
}

BOOST_AUTO_TEST_CASE(a_freed_block_serves_the_next_request_of_its_size) {
  if (!kCache) return;
  for (const Index n : {Index{1000}, Index{100'000}, Index{3'000'000}}) {
    empty_cache();  // large blocks join what is kept beside them
    const void* first = empty({n}).data<float>();
    const std::int64_t asked = memory_stats().system_blocks;
    const Tensor again = empty({n - 1});
    BOOST_TEST(again.data<float>() == first);
    BOOST_TEST(memory_stats().system_blocks == asked);
  }
}

BOOST_AUTO_TEST_CASE(large_blocks_are_cut_up_and_joined_again) {
  if (!kCache) return;
  { const Tensor whole = empty({16 * kMiB}); }
  const std::int64_t asked = memory_stats().system_blocks;
  for (int round = 0; round < 2; ++round) {
    {
      std::vector<Tensor> parts;
      for (int i = 0; i < 4; ++i) parts.push_back(full({4 * kMiB - 2048}, static_cast<float>(i)));
      parts.erase(parts.begin() + 1);  // freed in an order of their own
      for (const Tensor& part : parts) BOOST_TEST(part.data<float>()[0] == part.data<float>()[part.numel() - 1]);
    }
    const Tensor whole = empty({16 * kMiB});
  }
  BOOST_TEST(memory_stats().system_blocks == asked);
}

BOOST_AUTO_TEST_CASE(emptied_addresses_are_used_again) {
  if (!kCache) return;
  for (int round = 0; round < 3; ++round) {
    const Tensor x = full({2 * kMiB}, static_cast<float>(round));
    BOOST_TEST(x.data<float>()[2 * kMiB - 1] == round);
    const Tensor y = clone(x);
    empty_cache();
    BOOST_TEST(memory_stats().cached_bytes == 0);
    BOOST_TEST(y.data<float>()[0] == round);
  }
}

BOOST_AUTO_TEST_CASE(data_is_aligned_to_64_bytes_and_large_blocks_do_not_share_page_offsets) {
  std::vector<Tensor> large;
  std::vector<std::uintptr_t> offsets;
  empty_cache();
  for (int i = 0; i < 8; ++i) {
    large.push_back(empty({kMiB}));
    const auto address = reinterpret_cast<std::uintptr_t>(large.back().data<float>());
    BOOST_TEST(address % 64 == 0U);
    if (kCache) {
      for (const std::uintptr_t other : offsets) BOOST_TEST(address % 4096 != other);
    }
    offsets.push_back(address % 4096);
  }
}

BOOST_AUTO_TEST_CASE(empty_cache_gives_everything_back) {
  { const Tensor x = empty({kMiB}), y = empty({1000}); }
  if (kCache) BOOST_TEST(memory_stats().cached_bytes >= 4 * kMiB);
  empty_cache();
  BOOST_TEST(memory_stats().cached_bytes == 0);
}

BOOST_AUTO_TEST_CASE(beyond_the_limit_is_a_clear_error_and_nothing_is_lost) {
  const Unlimited restore;
  empty_cache();
  const Tensor kept = full({1000}, 2.0);
  const std::int64_t live = memory_stats().live_bytes;
  set_memory_limit(live + 2 * kMiB);
  BOOST_CHECK_EXCEPTION(static_cast<void>(empty({kMiB})), OutOfMemory, [&](const OutOfMemory& error) {
    const std::string message = without_place(error.what());
    BOOST_TEST(message.starts_with("memory: no room for a block of 4.0 MiB; "), message);
    BOOST_TEST(message.ends_with(" MiB (set_memory_limit)"), message);
    return true;
  });
  BOOST_TEST(memory_stats().live_bytes == live);
  BOOST_TEST(kept.data<float>()[999] == 2);
  const Tensor fits = empty({kMiB / 4});
  BOOST_TEST(memory_stats().live_bytes > live);
}

BOOST_AUTO_TEST_CASE(kept_blocks_make_room_before_anybody_is_refused) {
  const Unlimited restore;
  empty_cache();
  { const Tensor x = empty({kMiB}); }
  set_memory_limit(memory_stats().live_bytes + 6 * kMiB);
  const Tensor other_class = empty({kMiB * 5 / 4});
  BOOST_TEST(memory_stats().cached_bytes == 0);
}

BOOST_AUTO_TEST_CASE(a_limit_below_what_is_live_is_refused) {
  const Unlimited restore;
  const Tensor x = empty({kMiB});
  const std::int64_t live = memory_stats().live_bytes;
  BOOST_TEST(error<std::invalid_argument>([] { set_memory_limit(1); }) ==
             "set_memory_limit: the limit must be at least the " + std::to_string(live) + " bytes live; got 1");
}

BOOST_AUTO_TEST_CASE(more_than_the_system_has_is_a_clear_error) {
  BOOST_CHECK_EXCEPTION(static_cast<void>(empty({Index{1} << 59})), OutOfMemory, [](const OutOfMemory& error) {
    return without_place(error.what()).ends_with("and the system has no more");
  });
}

BOOST_AUTO_TEST_CASE(data_is_aligned_to_a_cache_line) {
  for (const Index n : {1, 7, 100, 1000, 100'000}) {
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(empty({n}).impl().bytes()) % 64 == 0U);
  }
}

BOOST_AUTO_TEST_CASE(tensors_may_die_on_another_thread_than_they_were_born_on) {
  const MemoryStats before = memory_stats();
  for (int round = 0; round < 20; ++round) {
    std::vector<Tensor> tensors;
    std::thread([&] {
      for (int i = 0; i < 500; ++i) tensors.push_back(ones({i % 40}, {.requires_grad = true}) * 2);
    }).join();
    tensors.clear();
  }
  BOOST_TEST(memory_stats().live_nodes == before.live_nodes);
  BOOST_TEST(memory_stats().live_storages == before.live_storages);
}

BOOST_AUTO_TEST_CASE(a_producer_and_a_consumer_take_no_more_memory_with_time) {
  if (!kCache) return;
  // A thread that makes 1,000 tensors at a time for this one, which drops them.
  const auto hand_over = [](Index tensors) {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Tensor> box;
    std::thread producer([&] {
      for (Index made = 0; made < tensors; made += 1000) {
        std::vector<Tensor> some;
        for (Index i = 0; i < 1000; ++i) some.push_back(empty({1 + i % 200}));  // up to 800 bytes, and a handle
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return box.empty(); });
        std::swap(some, box);
        changed.notify_all();
      }
    });
    for (Index taken = 0; taken < tensors; taken += 1000) {
      std::vector<Tensor> some;
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return !box.empty(); });
      std::swap(some, box);
      changed.notify_all();
    }
    producer.join();
  };
  hand_over(20'000);
  const std::int64_t asked = memory_stats().system_blocks;
  const std::int64_t resident = process_bytes("VmRSS");
  hand_over(100'000);
  BOOST_TEST(memory_stats().system_blocks - asked <= 16);  // one slab each, at most, where a list was not full before
  BOOST_TEST(process_bytes("VmRSS") - resident <= 2 * kMiB);
}

BOOST_AUTO_TEST_CASE(what_ended_threads_had_serves_those_that_come) {
  if (!kCache) return;
  const auto generation = [] {
    std::vector<Tensor> born;
    std::thread([&] {
      for (int i = 0; i < 1000; ++i) born.push_back(empty({i % 250}));
    }).join();
    std::thread([&] { born.clear(); }).join();  // a thread that only frees
  };
  generation();
  const std::int64_t asked = memory_stats().system_blocks;
  for (int i = 0; i < 50; ++i) generation();
  BOOST_TEST(memory_stats().system_blocks - asked <= 16);
}

BOOST_AUTO_TEST_SUITE_END()
