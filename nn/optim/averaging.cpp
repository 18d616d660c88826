#include <tapestry/nn/optim/averaging.h>

#include <algorithm>
#include <map>
#include <string_view>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {

/// A module made of names and tensors instead of by a class.
class Average::Shadows : public Module {
 public:
  Shadows() = default;

  /// A copy of x under its key, in modules made for it.
  Tensor add(const NamedTensor& x, std::string_view key, bool is_parameter) {
    const auto dot = key.find('.');
    if (dot == std::string_view::npos) {
      Tensor copy = clone(x.tensor);
      return is_parameter ? param(key, std::move(copy), x.flattened) : buffer(key, std::move(copy));
    }
    const std::string name(key.substr(0, dot));
    auto found = inner_.find(name);
    if (found == inner_.end()) found = inner_.emplace(name, child(name, Shadows())).first;
    return found->second.add(x, key.substr(dot + 1), is_parameter);
  }

 private:
  std::map<std::string, Shadows> inner_;
};

Average::Average(const char* name, const std::vector<NamedTensor>& parameters, const std::vector<NamedTensor>& buffers,
                 Weight weight, const Here& here)
    : name_(name), weight_(std::move(weight)) {
  const CallSite site(here);
  const NoGradGuard guard;
  if (parameters.empty() && buffers.empty()) {
    throw_invalid("{}: there must be something to average; got an empty list", name);
  }
  for (const auto* list : {&parameters, &buffers}) {
    for (const NamedTensor& x : *list) {
      if (!x.tensor.defined()) throw_invalid("{}: {} must be defined", name, x.name);
      const Dtype dtype = x.tensor.dtype();
      if (dtype == bf16 || dtype == boolean) {
        throw_invalid("{}: {} must be f32, f64 or of integers; got {}", name, x.name, dtype);
      }
    }
  }
  Shadows shadows;
  for (const auto* list : {&parameters, &buffers}) {
    for (const NamedTensor& x : *list) {
      const bool is_parameter = list == &parameters && is_float(x.tensor.dtype());
      pairs_.push_back({x.tensor, shadows.add(x, x.name, is_parameter)});
    }
  }
  averages_ = child("module", shadows);
  averages_.requires_grad(false);
  updates_ = buffer("n_averaged", zeros({}, {.dtype = i64}));
  swapped_ = buffer("swapped", zeros({}, {.dtype = i64}));
  describe(name);
}

Index Average::updates() const { return updates_.item<Index>(); }
bool Average::is_swapped() const { return swapped_.item<Index>() != 0; }

void Average::check_not_swapped() const {
  if (is_swapped()) throw_logic("{}: the model holds the averages; swap() must come first", name_);
  for (const auto& [value, shadow] : pairs_) {
    if (value.shape() == shadow.shape() && value.dtype() == shadow.dtype()) continue;
    throw_logic("{}: a tensor must be what it was at first, {} {}; got {} {}", name_, shadow.dtype(), shadow.shape(),
                value.dtype(), value.shape());
  }
}

void Average::update(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  check_not_swapped();
  const Index t = updates() + 1;
  const double weight = weight_(t);
  for (auto& [value, shadow] : pairs_) {
    if (is_float(value.dtype())) lerp_in_place(shadow, value, weight);
    else copy_in_place(shadow, value);
  }
  *updates_.mutable_data<Index>() = t;
}

void Average::swap(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  for (auto& [value, shadow] : pairs_) {
    if (value.shape() == shadow.shape() && value.dtype() == shadow.dtype()) continue;
    throw_logic("{}: a tensor must be what it was at first, {} {}; got {} {}", name_, shadow.dtype(), shadow.shape(),
                value.dtype(), value.shape());
  }
  for (auto& [value, shadow] : pairs_) swap_in_place(value, shadow);
  *swapped_.mutable_data<Index>() = is_swapped() ? 0 : 1;
}

void Average::reset(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  check_not_swapped();
  for (auto& [value, shadow] : pairs_) copy_in_place(shadow, value);
  *updates_.mutable_data<Index>() = 0;
}

namespace {

auto exponential(const ExponentialMovingAverageOptions& options, const Here& here) {
  const CallSite site(here);
  if (!(options.decay >= 0 && options.decay <= 1)) {
    throw_invalid("ExponentialMovingAverage: decay must be in [0, 1]; got {}", options.decay);
  }
  return [options](Index t) {
    const auto time = static_cast<double>(t);
    return 1 - (options.warmup ? std::min(options.decay, (1 + time) / (10 + time)) : options.decay);
  };
}

double equal(Index t) { return 1 / static_cast<double>(t); }

}  // namespace

ExponentialMovingAverage::ExponentialMovingAverage(const Module& model, const ExponentialMovingAverageOptions& options,
                                                   Here here)
    : Average("ExponentialMovingAverage", model.named_parameters(), model.named_buffers(), exponential(options, here),
              here) {}

ExponentialMovingAverage::ExponentialMovingAverage(const Parameters& parameters,
                                                   const ExponentialMovingAverageOptions& options, Here here)
    : Average("ExponentialMovingAverage", parameters.list(), {}, exponential(options, here), here) {}

StochasticWeightAverage::StochasticWeightAverage(const Module& model, Here here)
    : StochasticWeightAverage(Parameters(model.named_parameters()), here) {}

StochasticWeightAverage::StochasticWeightAverage(const Parameters& parameters, Here here)
    : Average("StochasticWeightAverage", parameters.list(), {}, equal, here) {}

namespace detail {
namespace {

bool is_statistic(const std::string& key) {
  return key.ends_with("running_mean") || key.ends_with("running_var") || key.ends_with("num_batches_tracked");
}

}  // namespace

Reestimation::Reestimation(const Module& model) {
  for (const auto& [name, module] : model.named_modules()) modes_.push_back({module, module.is_training()});
  for (NamedTensor& x : model.named_buffers()) {
    if (!is_statistic(x.name)) continue;
    visit(x.tensor.dtype(), [&]<class T>() {
      if constexpr (std::is_arithmetic_v<T>) {
        std::fill_n(x.tensor.mutable_data<T>(), x.tensor.numel(), static_cast<T>(x.name.ends_with("running_var")));
      }
    });
  }
  Module all = model;
  all.train();
}

// From the outside to the inside: what a module sets in those within it, they set anew.
Reestimation::~Reestimation() {
  for (Mode& mode : modes_) mode.module.train(mode.training);
}

}  // namespace detail
}  // namespace tapestry::nn::optim
