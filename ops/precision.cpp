#include <tapestry/ops/precision.h>

#include <atomic>
#include <utility>

#include <tapestry/autograd/base/check.h>

namespace tapestry {
namespace {

std::atomic<MatmulPrecision> of_all_threads{MatmulPrecision::highest};
constinit thread_local std::optional<MatmulPrecision> of_this_thread;

}  // namespace

void set_float32_matmul_precision(MatmulPrecision precision) noexcept { of_all_threads = precision; }

void set_float32_matmul_precision(std::string_view name) {
  for (const MatmulPrecision precision : {MatmulPrecision::highest, MatmulPrecision::high, MatmulPrecision::medium}) {
    if (name == name_of(precision)) return set_float32_matmul_precision(precision);
  }
  throw_invalid("set_float32_matmul_precision: the precision must be highest, high or medium; got '{}'", name);
}

MatmulPrecision float32_matmul_precision() noexcept { return of_this_thread.value_or(of_all_threads); }

const char* name_of(MatmulPrecision precision) noexcept {
  switch (precision) {
    case MatmulPrecision::high: return "high";
    case MatmulPrecision::medium: return "medium";
    default: return "highest";
  }
}

MatmulPrecisionGuard::MatmulPrecisionGuard(MatmulPrecision precision) noexcept
    : outer_(std::exchange(of_this_thread, precision)) {}

MatmulPrecisionGuard::~MatmulPrecisionGuard() { of_this_thread = outer_; }

}  // namespace tapestry
