#pragma once

#include <cstdint>

#include <tapestry/autograd/base/dtype.h>

namespace tapestry::detail {

class Keeper;

/// What guards switch on and off for a scope on one thread. They stand together because they travel together: the tasks
/// of a parallel loop run with what holds where the loop was called, on whichever thread.
struct ThreadModes {
  bool grad_enabled = true;           ///< grad_mode.h
  Dtype default_dtype = f32;          ///< default_dtype.h
  bool inference_mode = false;        ///< grad_mode.h
  bool autocast_enabled = false;      ///< ops/autocast.h
  std::int8_t matmul_precision = -1;  ///< ops/precision.h; -1: what holds for all threads
  bool recomputing = false;           ///< checkpoint.h: a function is being called a second time
  bool record_reverse = true;         ///< while a jvp is going on: whether ops are recorded for reverse mode too
  const void* pack_saved = nullptr;   ///< hooks.h: the PackSaved::Pack of the innermost scope
  Keeper* keeper = nullptr;           ///< checkpoint.h: keeps results of the function that is being called
  std::uint64_t tangent_level = 0;    ///< the innermost jvp that is going on, by its number; 0: none is
};

inline constinit thread_local ThreadModes thread_modes;

/// At the end of a scope the modes are what they were at its beginning, whatever was set within.
class KeptModes {
 public:
  KeptModes() noexcept : outside_(thread_modes) {}
  ~KeptModes() { thread_modes = outside_; }
  KeptModes(const KeptModes&) = delete;
  KeptModes& operator=(const KeptModes&) = delete;

  [[nodiscard]] const ThreadModes& outside() const noexcept { return outside_; }

 private:
  const ThreadModes outside_;
};

}  // namespace tapestry::detail
