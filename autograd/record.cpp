#include <tapestry/autograd/record.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/sweep.h>

namespace tapestry {

Tensor detail::fresh(Tensor y) {
  if (y.impl().node || y.impl().use_count() > 1) return y.detach();
  return y;
}

void detail::add_tangent(Tensor& sum, Tensor part) {
  if (!part.defined()) return;
  sum = sum.defined() ? added(sum, part) : std::move(part);
}

void detail::check_once() {
  if (!is_grad_enabled()) return;
  const char* op = CallSite::current().rule_of;
  throw_logic("{}: its gradient rule was declared `once` and cannot be differentiated again", op ? op : "once");
}

void Saved::throw_modified() const {
  const char* op = CallSite::current().rule_of;
  if (!op) op = "saved";
  if (tensor_.impl().generation != generation_) {
    throw_logic("{}: an input saved for backward was given other elements by set_data or Module::to", op);
  }
  throw_logic("{}: an input saved for backward was modified in place (saved at version {}, now {})", op, version_,
              tensor_.impl().storage->version());
}

}  // namespace tapestry
