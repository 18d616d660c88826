// A model of one's own: a block with a shortcut, a network made of such blocks, and what every module can do.
#include <cstdio>
#include <iostream>

#include <tapestry/tapestry.h>

using namespace tapestry;

/// Two convolutions, each with batch normalisation, around a shortcut: x [N, H, W, C] -> [N, H, W, C].
class Block : public nn::Module {
 public:
  explicit Block(Index channels)
      : conv1_{child("conv1", nn::Conv2d{channels, channels, {.kernel = 3, .padding = 1, .bias = false}})},
        bn1_{child("bn1", nn::BatchNorm2d{channels})},
        conv2_{child("conv2", nn::Conv2d{channels, channels, {.kernel = 3, .padding = 1, .bias = false}})},
        bn2_{child("bn2", nn::BatchNorm2d{channels})} {}

  Tensor operator()(const Tensor& x) const { return relu(bn2_(conv2_(relu(bn1_(conv1_(x))))) + x); }

 private:
  nn::Conv2d conv1_;
  nn::BatchNorm2d bn1_;
  nn::Conv2d conv2_;
  nn::BatchNorm2d bn2_;
};

/// An image [N, 32, 32, 3] -> scores [N, classes]. Layers, lambdas and blocks of one's own go into a Sequential.
class SmallResNet : public nn::Module {
 public:
  SmallResNet(Index width, Index classes)
      : features_{child("features", nn::Sequential{nn::Conv2d{3, width, {.kernel = 3, .padding = 1}}, nn::ReLU{},
                                                   nn::MaxPool2d{2}, Block{width}, nn::MaxPool2d{2}, Block{width}})},
        fc_{child("fc", nn::Linear{width, classes})} {}

  Tensor operator()(const Tensor& x) const { return fc_(flatten(global_avg_pool2d(features_(x)))); }

 private:
  nn::Sequential features_;
  nn::Linear fc_;
};

int main() {
  manual_seed(1);
  SmallResNet model(16, 20);

  // Names were written once, where the parts were made; everything else follows from them.
  std::cout << model.summary() << "\n";
  for (const auto& [name, parameter, flattened] : model.named_parameters()) {
    if (parameter.dim() == 4) std::printf("%-32s %s\n", name.c_str(), to_string(parameter.shape()).c_str());
  }

  // Copies are handles on the same module: this one freezes the features of the model itself.
  for (auto& [name, part] : model.named_children()) {
    if (name == "features") part.requires_grad(false);
  }
  const Tensor images = randn({8, 32, 32, 3});
  const Tensor labels = arange(8);
  cross_entropy(model(images), labels).backward();
  int with_gradient = 0;
  for (const Tensor& parameter : model.parameters()) with_gradient += parameter.grad().defined() ? 1 : 0;
  std::printf("\nwith frozen features, %d of %zu parameters have a gradient\n", with_gradient,
              model.parameters().size());
  model.requires_grad(true);
  model.zero_grad();

  // Forty steps on one batch, which the model learns by heart.
  optim::AdamW adam(model.parameters(), {.lr = 0.01});
  for (int step = 0; step <= 40; ++step) {
    const Tensor loss = cross_entropy(model(images), labels);
    if (step % 10 == 0) std::printf("step %2d   loss %.4f\n", step, loss.item());
    adam.zero_grad();
    loss.backward();
    adam.step();
  }

  // In eval mode batch normalisation uses the statistics that it collected while training.
  model.eval();
  const InferenceMode guard;
  std::cout << "classes found: " << argmax(model(images)) << "\n";
}
