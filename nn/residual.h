#pragma once

#include <tapestry/nn/sequential.h>

namespace tapestry::nn {

/// y = branch(x) + x, or branch(x) + shortcut(x) (He et al., 2016). Both are whatever a Sequential takes; modules have
/// the keys "branch" and "shortcut":
///
///     nn::Residual{nn::Sequential{nn::Conv2d{64, 64, {.kernel = 3, .padding = 1}}, nn::BatchNorm2d{64}}}
///
/// Throws std::invalid_argument, as addition does, for results whose shapes do not go together.
class Residual : public Module {
 public:
  template <detail::Layer F>
  requires(!std::same_as<F, Residual>) explicit Residual(F branch) : branch_(taken("branch", std::move(branch))) {}
  template <detail::Layer F, detail::Layer G>
  Residual(F branch, G shortcut)
      : branch_(taken("branch", std::move(branch))), shortcut_(taken("shortcut", std::move(shortcut))) {}

  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  template <class F>
  [[nodiscard]] detail::LayerCall taken(const char* name, F layer) {
    if constexpr (std::derived_from<F, Module>) child(name, layer);
    return detail::call_of(std::move(layer));
  }

  detail::LayerCall branch_;
  detail::LayerCall shortcut_;  ///< empty: x itself
};

}  // namespace tapestry::nn
