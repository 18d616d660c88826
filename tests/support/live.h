#pragma once

#include <cstdint>
#include <ostream>

#include <tapestry/autograd/memory/allocator.h>

namespace tapestry::test {

/// Counters of live objects, to be compared before and after.
struct Live {
  std::int64_t nodes = memory_stats().live_nodes;
  std::int64_t storages = memory_stats().live_storages;
  std::int64_t bytes = memory_stats().live_bytes;
  friend bool operator==(const Live&, const Live&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Live& live) {
    return out << live.nodes << " nodes, " << live.storages << " storages, " << live.bytes << " bytes";
  }
};

}  // namespace tapestry::test
