#include <tapestry/ops/precision.h>

#include <atomic>
#include <utility>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/thread_modes.h>

namespace tapestry {
namespace {

std::atomic<MatmulPrecision> of_all_threads{MatmulPrecision::highest};

}  // namespace

void set_float32_matmul_precision(MatmulPrecision precision) noexcept { of_all_threads = precision; }

void set_float32_matmul_precision(std::string_view name, Here here) {
  const CallSite site(here);
  for (const MatmulPrecision precision : {MatmulPrecision::highest, MatmulPrecision::high, MatmulPrecision::medium}) {
    if (name == name_of(precision)) return set_float32_matmul_precision(precision);
  }
  throw_invalid("set_float32_matmul_precision: the precision must be highest, high or medium; got '{}'", name);
}

MatmulPrecision float32_matmul_precision() noexcept {
  const std::int8_t of_this_thread = detail::thread_modes.matmul_precision;
  return of_this_thread < 0 ? of_all_threads.load() : static_cast<MatmulPrecision>(of_this_thread);
}

const char* name_of(MatmulPrecision precision) noexcept {
  switch (precision) {
    case MatmulPrecision::high: return "high";
    case MatmulPrecision::medium: return "medium";
    default: return "highest";
  }
}

MatmulPrecisionGuard::MatmulPrecisionGuard(MatmulPrecision precision) noexcept
    : outer_(std::exchange(detail::thread_modes.matmul_precision, static_cast<std::int8_t>(precision))) {}

MatmulPrecisionGuard::~MatmulPrecisionGuard() { detail::thread_modes.matmul_precision = outer_; }

}  // namespace tapestry
