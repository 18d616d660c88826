// Layers of one's own: one made of other layers, and one with a parameter, a buffer, and two modes.
#include <cstdio>
#include <iostream>
#include <stdexcept>

#include <tapestry/autograd/base/check.h>
#include <tapestry/tapestry.h>

using namespace tapestry;

/// Squeeze and excitation (Hu, Shen and Sun, 2018): scales each channel by a number in (0, 1) that is computed from the
/// averages of all channels. x [N, H, W, C] -> [N, H, W, C].
class SqueezeExcite : public nn::Module {
 public:
  SqueezeExcite(Index channels, Index squeezed)
      : down_{child("down", nn::Linear{channels, squeezed})}, up_{child("up", nn::Linear{squeezed, channels})} {}

  Tensor operator()(Tensor x, Here here = {}) const {
    const nn::LayerScope scope(*this, here);      // errors name the line of the call and this layer's place
    x = scope.input(x);                           // hooks that users hang on this layer are called here
    const Tensor average = global_avg_pool2d(x);  // [N, 1, 1, C]
    return scope.output(x * sigmoid(up_(relu(down_(average)))));  // broadcast over H and W; and here
  }

 private:
  nn::Linear down_, up_;
};

/// Subtracts from every channel its average over all images seen in training, and adds a bias that is learnt.
///
///   bias    [C], a parameter: trained, saved
///   centre  [C], a buffer: saved, but moved by the layer itself
class Centre : public nn::Module {
 public:
  explicit Centre(Index channels)
      : bias_{param("bias", nn::init::zeros({channels}))}, centre_{buffer("centre", nn::init::zeros({channels}))} {
    describe("Centre of " + std::to_string(channels));
  }

  Tensor operator()(Tensor x, Here here = {}) const {
    const nn::LayerScope scope(*this, here);
    x = scope.input(x);
    if (x.size(-1) != centre_.numel()) {
      throw_invalid("Centre: expects {} channels; got {}", centre_.numel(), x.shape());
    }
    if (is_training()) move_centre(x);
    return scope.output(x - centre_ + bias_);
  }

 private:
  /// centre = 0.9 centre + 0.1 average of this batch; none of it is part of the function that is differentiated.
  void move_centre(const Tensor& x) const {
    const NoGradGuard guard;
    const Tensor average = mean(x, {.dim = {0, 1, 2}});
    Tensor centre = centre_;  // a handle on the same numbers
    float* const c = centre.mutable_data<float>();
    for (Index i = 0; i < centre.numel(); ++i) c[i] += 0.1F * (average.data<float>()[i] - c[i]);
  }

  Tensor bias_, centre_;
};

int main() {
  manual_seed(1);
  nn::Sequential model{nn::Conv2d{3, 8, {.kernel = 3, .padding = 1}}, SqueezeExcite{8, 2}, nn::ReLU{}, Centre{8}};
  std::cout << model.summary() << "\n";

  // Training moves the centre; in eval mode it stays.
  const Tensor x = randn({4, 16, 16, 3});
  for (int step = 0; step < 50; ++step) (void)model(x);
  model.eval();
  const InferenceMode guard;
  const Tensor averages = mean(model(x), {.dim = {0, 1, 2}});
  std::printf("largest average of a channel behind Centre: %.3f\n", max(abs(averages)).item());

  // A layer is a function: its gradients are checked like those of any other.
  {
    const EnableGradGuard recording;
    nn::Sequential checked{SqueezeExcite{4, 2}, Centre{4}};
    checked.to(f64);
    checked.eval();
    check_grads([&](const Tensor& t) { return checked(t); }, {randn({2, 3, 3, 4}, {.dtype = f64})}, {.order = 2});
    std::puts("gradients by the input agree with finite differences");
  }

  try {
    const Tensor y = Centre{8}(randn({4, 16, 16, 3}));
  } catch (const std::invalid_argument& error) {
    std::cout << error.what() << "\n";
  }
}
