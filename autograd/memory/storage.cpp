#include <tapestry/autograd/memory/storage.h>

#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <tapestry/autograd/deferred.h>
#include <tapestry/autograd/memory/allocator.h>

namespace tapestry {

namespace {

/// Guards the lists of watchers of all storages; held for a few instructions, and never while computing.
std::mutex& watchers_mutex() {
  static std::mutex* const mutex = new std::mutex;  // never destroyed: tensors with static storage may outlive it
  return *mutex;
}

}  // namespace

/// Whom it concerns when the bytes change.
struct Storage::Watchers {
  std::vector<Ref<Deferred>> computations;
  DerivedKey key;
  Ref<Storage> derived;
};

Storage::Storage(std::int64_t bytes) noexcept : bytes_(bytes) {}
Storage::~Storage() = default;

Ref<Storage> Storage::allocate(std::int64_t bytes) {
  void* block = detail::allocate_block(sizeof(Storage) + static_cast<std::size_t>(bytes));
  detail::count_live(&detail::LiveCounts::storages, 1);
  return Ref<Storage>::adopt(new (block) Storage(bytes));
}

void Storage::destroy(Storage* storage) noexcept {
  if (storage->computation_) storage->computation_->cancel();
  detail::count_live(&detail::LiveCounts::storages, -1);
  const auto bytes = sizeof(Storage) + static_cast<std::size_t>(storage->bytes_);
  storage->~Storage();
  detail::free_block(storage, bytes);
}

void Storage::settle() { computation_->settle(); }

void Storage::set_pending(Ref<Deferred> computation) noexcept {
  computation_ = std::move(computation);
  pending_.store_release(true);
}

Storage::Watchers& Storage::watchers() {
  if (!watchers_) watchers_ = make_handle<Watchers>();
  return *watchers_;
}

void Storage::watch(const Ref<Deferred>& computation) {
  const std::scoped_lock lock(watchers_mutex());
  watchers().computations.push_back(computation);
  watched_.store_release(true);
}

void Storage::unwatch(const Deferred* computation) noexcept {
  const std::scoped_lock lock(watchers_mutex());
  if (!watchers_) return;
  auto& waiting = watchers_->computations;
  std::erase_if(waiting, [&](const Ref<Deferred>& watcher) { return watcher.get() == computation; });
  watched_.store_release(!waiting.empty() || watchers_->derived);
}

void Storage::tell_watchers() {
  std::vector<Ref<Deferred>> waiting;
  Ref<Storage> outdated;  // freed when the mutex is not held any more
  {
    const std::scoped_lock lock(watchers_mutex());
    waiting = watchers_->computations;
    outdated = std::exchange(watchers_->derived, {});
    watched_.store_release(!waiting.empty());
  }
  for (const Ref<Deferred>& computation : waiting) computation->settle();
}

Ref<Storage> Storage::derived(const DerivedKey& key) const {
  if (!watched_.load_acquire()) return {};
  const std::scoped_lock lock(watchers_mutex());
  return watchers_->key == key ? watchers_->derived : Ref<Storage>();
}

void Storage::keep_derived(const DerivedKey& key, Ref<Storage> bytes) {
  const std::scoped_lock lock(watchers_mutex());
  watchers().key = key;
  std::swap(watchers_->derived, bytes);
  watched_.store_release(true);
}

}  // namespace tapestry
