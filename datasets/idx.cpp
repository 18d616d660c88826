#include <tapestry/datasets/idx.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/datasets/detail/idx_file.h>

namespace tapestry::datasets {

Tensor read_idx(const std::string& path, ReadIdxOptions options, Here here) {
  const CallSite site(here);
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // bytes; larger numbers need not be added to
  if (options.limit < 0 || options.limit > kMost) {
    throw_invalid("read_idx: limit must be in [0, {}]; got {}", kMost, options.limit);
  }
  return detail::IdxFile(FileReader(path), options.limit).read();
}

}  // namespace tapestry::datasets
