#include <tapestry/nn/detail/layer.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn::detail {

void check_positive(const char* layer, const char* what, Index value) {
  if (value < 1) throw_invalid("{}: {} must be at least 1; got {}", layer, what, value);
}

std::string text(const Pair2& pair) { return format_message("{}x{}", pair.h, pair.w); }

}  // namespace tapestry::nn::detail
