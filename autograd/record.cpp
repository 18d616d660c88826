#include <tapestry/autograd/record.h>

#include <tapestry/autograd/base/check.h>

namespace tapestry {

Tensor detail::fresh(Tensor y) {
  if (y.impl().node || y.impl().use_count() > 1) return without_history(y);
  return y;
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
