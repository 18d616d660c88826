#include <tapestry/nn/upsample.h>

#include <fmt/format.h>

#include <tapestry/nn/detail/layer.h>

namespace tapestry::nn {
namespace {

std::string description_of(const InterpolateOptions& options) {
  if (options.size) return "Upsample to " + detail::text(*options.size);
  if (!options.scale_factor) return "Upsample";
  return fmt::format("Upsample by {}x{}", options.scale_factor->h, options.scale_factor->w);
}

}  // namespace

Upsample::Upsample(const InterpolateOptions& options) : options_(options) { describe(description_of(options)); }

Tensor Upsample::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(interpolate(scope.input(x), options_));
}

PixelShuffle::PixelShuffle(Index upscale_factor, Here here) : upscale_factor_(upscale_factor) {
  const CallSite site(here);
  detail::check_positive("PixelShuffle", "the factor", upscale_factor);
  describe(fmt::format("PixelShuffle {}", upscale_factor));
}

Tensor PixelShuffle::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(pixel_shuffle(scope.input(x), upscale_factor_));
}

}  // namespace tapestry::nn
