#include <tapestry/autograd/base/parallel.h>

#include <stdexcept>
#include <string>

#include <tapestry/autograd/base/detail/parallel_backend.h>

namespace tapestry {

int num_threads() noexcept { return detail::backend_threads(); }

void set_num_threads(int threads) {
  if (threads < 1 || threads > 1024) {
    throw std::invalid_argument("set_num_threads: the number of threads must be in [1, 1024]; got " +
                                std::to_string(threads));
  }
  if (threads != num_threads()) detail::resize_backend(threads);
}

}  // namespace tapestry
