#include <tapestry/autograd/storage.h>

#include <mutex>
#include <new>
#include <utility>

#include <tapestry/autograd/allocator.h>
#include <tapestry/autograd/deferred.h>

namespace tapestry {

namespace {

/// Guards the lists of watchers of all storages; held for a few instructions, and never while computing.
std::mutex& watchers_mutex() {
  static std::mutex* const mutex = new std::mutex;  // never destroyed: tensors with static storage may outlive it
  return *mutex;
}

}  // namespace

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
  pending_.store(true, std::memory_order_release);
}

void Storage::watch(const Ref<Deferred>& computation) {
  const std::scoped_lock lock(watchers_mutex());
  if (!watchers_) watchers_ = std::make_unique<std::vector<Ref<Deferred>>>();
  watchers_->push_back(computation);
  watched_.store(true, std::memory_order_release);
}

void Storage::unwatch(const Deferred* computation) noexcept {
  const std::scoped_lock lock(watchers_mutex());
  std::erase_if(*watchers_, [&](const Ref<Deferred>& watcher) { return watcher.get() == computation; });
  watched_.store(!watchers_->empty(), std::memory_order_release);
}

void Storage::settle_watchers() {
  std::vector<Ref<Deferred>> waiting;
  {
    const std::scoped_lock lock(watchers_mutex());
    waiting = *watchers_;
  }
  for (const Ref<Deferred>& computation : waiting) computation->settle();
}

}  // namespace tapestry
