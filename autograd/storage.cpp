#include <tapestry/autograd/storage.h>

#include <new>

#include <tapestry/autograd/allocator.h>

namespace tapestry {

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

}  // namespace tapestry
