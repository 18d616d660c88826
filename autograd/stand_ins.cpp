#include <tapestry/autograd/stand_ins.h>

#include <unordered_map>
#include <vector>

#include <tapestry/autograd/base/check.h>

namespace tapestry {

struct StandIns::State {
  std::unordered_map<const detail::TensorImpl*, Ref<detail::TensorImpl>> stand_ins;
  std::vector<Ref<detail::TensorImpl>> originals;
  State* outer = nullptr;
};

namespace {
constinit thread_local void* innermost = nullptr;  // the StandIns::State of the innermost scope
}  // namespace

StandIns::StandIns() : state_(make_handle<State>()) {
  state_->outer = static_cast<State*>(innermost);
  innermost = state_.get();
}

StandIns::~StandIns() {
  innermost = state_->outer;
  for (const auto& original : state_->originals) original->stand_ins.subtract_acq_rel(1);
}

void StandIns::add(const Tensor& original, const Tensor& stand_in) {
  static_cast<void>(original.impl());
  static_cast<void>(stand_in.impl());
  if (!state_->stand_ins.emplace(original.impl_.get(), stand_in.impl_).second) return;
  state_->originals.push_back(original.impl_);
  original.impl_->stand_ins.add_relaxed(1);
}

void Tensor::take_stand_in() noexcept {
  for (auto* scope = static_cast<StandIns::State*>(innermost); scope; scope = scope->outer) {
    const auto found = scope->stand_ins.find(impl_.get());
    if (found == scope->stand_ins.end()) continue;
    impl_ = found->second;
    return;
  }
}

}  // namespace tapestry
