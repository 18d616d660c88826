#include <tapestry/nn/train/flops.h>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/profile.h>
#include <tapestry/nn/functional_call.h>

namespace tapestry::nn::train {

double count_flops(const nn::AnyModule& model, const Shape& image, Here here) {
  nn::AnyModule copy = nn::clone(model);  // whose mode may change
  copy.eval();
  const std::vector<Tensor> parameters = copy.parameters();
  const Dtype dtype = parameters.empty() ? default_dtype() : parameters.front().dtype();
  const NoGradGuard guard;
  const Tensor x = zeros(image.inserted(0, 1), {.dtype = dtype});
  Profile profile;
  static_cast<void>(copy(x, here));
  profile.stop();
  double macs = 0;
  for (const Profile::Event& event : profile.events()) macs += event.macs;
  return 2 * macs;
}

}  // namespace tapestry::nn::train
