#include <tapestry/autograd/detail/watcher.h>

#include <tapestry/autograd/record.h>

namespace tapestry::detail {

void watch_op(const char* name, const Tensor& y, std::initializer_list<const Tensor*> inputs, const Here& here) {
  current_watcher()->computed(name, y, std::span(inputs.begin(), inputs.size()), location_or(here));
}

void watch_op(const char* name, const Tensor& y, const std::vector<Tensor>& inputs, const Here& here) {
  std::vector<const Tensor*> pointers;
  pointers.reserve(inputs.size());
  for (const Tensor& x : inputs) pointers.push_back(&x);
  current_watcher()->computed(name, y, pointers, location_or(here));
}

}  // namespace tapestry::detail
