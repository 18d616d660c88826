#include <tapestry/autograd/memory/storage.h>

#include <mutex>
#include <new>
#include <utility>

#include <tapestry/autograd/base/fork.h>
#include <tapestry/autograd/memory/allocator.h>

namespace tapestry {

struct Storage::Derived final : RefCounted {
  Derived(const DerivedKey& key_of, Ref<Storage> bytes_of) noexcept : key(key_of), bytes(std::move(bytes_of)) {}
  static void destroy(Derived* derived) noexcept { delete derived; }

  const DerivedKey key;
  const Ref<Storage> bytes;
};

namespace {

/// Guards `derived_` of all storages; held for a few instructions.
constinit std::mutex derived_mutex;
const bool held_during_fork = (detail::hold_during_fork(derived_mutex), true);

}  // namespace

Storage::Storage(std::int64_t bytes) noexcept : bytes_(bytes) {}
Storage::~Storage() = default;

Ref<Storage> Storage::allocate(std::int64_t bytes) {
  void* block = detail::allocate_block(sizeof(Storage) + static_cast<std::size_t>(bytes));
  detail::count_live(&detail::LiveCounts::storages, 1);
  return Ref<Storage>::adopt(new (block) Storage(bytes));
}

void Storage::destroy(Storage* storage) noexcept {
  detail::count_live(&detail::LiveCounts::storages, -1);
  const auto bytes = sizeof(Storage) + static_cast<std::size_t>(storage->bytes_);
  storage->~Storage();
  detail::free_block(storage, bytes);
}

Ref<Storage> Storage::derived(const DerivedKey& key) const {
  if (!has_derived_.load_acquire()) return {};
  const std::scoped_lock lock(derived_mutex);
  return derived_ && derived_->key == key ? derived_->bytes : Ref<Storage>();
}

// In both of these, what was kept ends when the mutex is not held any more.

void Storage::keep_derived(const DerivedKey& key, Ref<Storage> bytes) {
  auto kept = Ref<Derived>::adopt(new Derived(key, std::move(bytes)));
  const std::scoped_lock lock(derived_mutex);
  std::swap(derived_, kept);
  has_derived_.store_release(true);
}

void Storage::drop_derived() noexcept {
  Ref<Derived> outdated;
  const std::scoped_lock lock(derived_mutex);
  std::swap(derived_, outdated);
  has_derived_.store_release(false);
}

}  // namespace tapestry
