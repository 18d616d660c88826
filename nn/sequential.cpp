#include <tapestry/nn/sequential.h>

#include <algorithm>
#include <cmath>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn {

Tensor Sequential::in_segments(Tensor x, std::size_t segments, const CheckpointOptions& options, Here here) const {
  if (segments < 1) throw_invalid("in_segments: there must be at least one segment; got {}", segments);
  const ModuleScope scope(path());
  const detail::HookedCall call(*this);
  x = call.input(x);
  const std::size_t layers = layers_->size();
  const std::size_t pieces = std::min(segments, layers);
  for (std::size_t i = 0; i < pieces; ++i) {
    const auto begin = layers_->begin() + static_cast<std::ptrdiff_t>(i * layers / pieces);
    const auto end = layers_->begin() + static_cast<std::ptrdiff_t>((i + 1) * layers / pieces);
    const auto segment = [piece = std::vector<detail::LayerCall>(begin, end), here](const Tensor& at) {
      Tensor y = at;
      for (const detail::LayerCall& layer : piece) y = layer(y, here);
      return y;
    };
    x = checkpoint(Callable<Tensor(const Tensor&)>(segment), x, options, here);
  }
  return call.output(std::move(x));
}

std::size_t Sequential::default_segments() const noexcept {
  return std::max<std::size_t>(1, static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(size())))));
}

}  // namespace tapestry::nn
