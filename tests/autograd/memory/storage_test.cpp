#include <support/expect.h>
#include <support/process_memory.h>

#include <cstdint>

#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/memory/ref.h>
#include <tapestry/autograd/memory/storage.h>

BOOST_AUTO_TEST_SUITE(storage_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

const int kHow = 0, kOther = 0;  // addresses that keys are made of

}  // namespace

BOOST_AUTO_TEST_CASE(bytes_are_aligned_and_live_as_long_as_the_last_reference) {
  const MemoryStats before = memory_stats();
  Ref<Storage> storage = Storage::allocate(100'000);
  BOOST_TEST(storage->bytes() == 100'000);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(storage->data()) % 64 == 0U);
  BOOST_TEST(memory_stats().live_storages == before.live_storages + 1);
  Ref<Storage> other = storage;
  BOOST_TEST(storage->use_count() == 2U);
  storage = {};
  BOOST_TEST(memory_stats().live_storages == before.live_storages + 1);
  BOOST_TEST(other->use_count() == 1U);
  other = {};
  BOOST_TEST(memory_stats().live_storages == before.live_storages);
  BOOST_TEST(memory_stats().live_bytes == before.live_bytes);
}

BOOST_AUTO_TEST_CASE(an_empty_storage_is_one_too) {
  const Ref<Storage> storage = Storage::allocate(0);
  BOOST_TEST(storage->bytes() == 0);
}

BOOST_AUTO_TEST_CASE(beyond_the_limit_no_storage_is_born) {
  const Unlimited restore;
  empty_cache();
  const MemoryStats before = memory_stats();
  set_memory_limit(before.live_bytes + 1'000'000);
  BOOST_CHECK_THROW(static_cast<void>(Storage::allocate(2'000'000)), OutOfMemory);
  BOOST_TEST(memory_stats().live_storages == before.live_storages);
  BOOST_TEST(memory_stats().live_bytes == before.live_bytes);
}

BOOST_AUTO_TEST_CASE(the_version_counts_modifications) {
  const Ref<Storage> storage = Storage::allocate(8);
  const std::uint32_t first = storage->version();
  storage->bump_version();
  storage->bump_version();
  BOOST_TEST(storage->version() == first + 2);
}

BOOST_AUTO_TEST_CASE(derived_bytes_are_kept_under_their_key_until_the_source_changes) {
  const Ref<Storage> storage = Storage::allocate(64);
  const DerivedKey key{.how = &kHow, .sizes = {1, 2, 3, 4}};
  BOOST_TEST(!storage->derived(key));
  const Ref<Storage> packed = Storage::allocate(128);
  storage->keep_derived(key, packed);
  BOOST_TEST((storage->derived(key) == packed));
  BOOST_TEST(!storage->derived({.how = &kOther, .sizes = {1, 2, 3, 4}}));
  BOOST_TEST(!storage->derived({.how = &kHow, .sizes = {1, 2, 3, 5}}));
  storage->bump_version();
  BOOST_TEST(!storage->derived(key));
  BOOST_TEST(packed->use_count() == 1U);
}

BOOST_AUTO_TEST_CASE(one_derivation_at_a_time_is_kept_and_dies_with_its_source) {
  const std::int64_t before = memory_stats().live_storages;
  Ref<Storage> storage = Storage::allocate(64);
  const DerivedKey first{.how = &kHow}, second{.how = &kOther};
  storage->keep_derived(first, Storage::allocate(128));
  storage->keep_derived(second, Storage::allocate(256));
  BOOST_TEST(!storage->derived(first));
  BOOST_TEST(storage->derived(second)->bytes() == 256);
  BOOST_TEST(memory_stats().live_storages == before + 2);
  storage = {};
  BOOST_TEST(memory_stats().live_storages == before);
}

BOOST_AUTO_TEST_SUITE_END()
