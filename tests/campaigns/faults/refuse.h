#pragma once

#include <cstdint>

/// Requests for memory, counted and refused. operator new is replaced for the whole program; the library's allocator
/// and what that asks of the system are wrapped by the linker (--wrap, see CMakeLists.txt), which reaches a static
/// library.
namespace tapestry::campaign {

/// Refuses the k-th request that any thread makes during its life, and all later ones if for_ever; 0: none, only count.
class Refuse {
 public:
  enum class What {
    requests,      ///< operator new, and blocks of the library's allocator
    of_the_system  ///< what that allocator asks of the system
  };
  Refuse(What what, std::int64_t k, bool for_ever) noexcept;
  Refuse(const Refuse&) = delete;
  Refuse& operator=(const Refuse&) = delete;
  ~Refuse();

  [[nodiscard]] std::int64_t requests() const noexcept;  ///< made so far
};

/// What std::terminate will say was being tried.
void now_trying(const char* what) noexcept;

}  // namespace tapestry::campaign
