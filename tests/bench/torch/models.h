#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

/// The models of tapestry's zoo as LibTorch's users write them.
namespace twin {

namespace nn = torch::nn;

inline nn::Conv2d conv(int in, int out, int kernel, int stride = 1, int padding = 0, bool bias = true) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding).bias(bias));
}

inline nn::ReLU relu() { return nn::ReLU(nn::ReLUOptions(true)); }  // in place, as torchvision's models have it

inline nn::Sequential mlp() {
  return nn::Sequential(nn::Flatten(), nn::Linear(3072, 1024), relu(), nn::Linear(1024, 1024), relu(),
                        nn::Linear(1024, 100));
}

inline nn::Sequential lecture(bool norm) {
  nn::Sequential net;
  int in = 3;
  for (const int out : {32, 64, 128}) {
    net->push_back(conv(in, out, 3, 1, 1, !norm));
    if (norm) net->push_back(nn::BatchNorm2d(out));
    net->push_back(relu());
    net->push_back(nn::MaxPool2d(2));
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(2048, 256));
  net->push_back(relu());
  net->push_back(nn::Linear(256, 100));
  return net;
}

struct BlockImpl : nn::Module {
  BlockImpl(int in, int out, int stride)
      : conv1(register_module("conv1", conv(in, out, 3, stride, 1, false))),
        conv2(register_module("conv2", conv(out, out, 3, 1, 1, false))),
        bn1(register_module("bn1", nn::BatchNorm2d(out))),
        bn2(register_module("bn2", nn::BatchNorm2d(out))) {
    if (stride != 1 || in != out) {
      shortcut = register_module("shortcut", nn::Sequential(conv(in, out, 1, stride, 0, false), nn::BatchNorm2d(out)));
    }
  }
  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = bn1(conv1(x));
    y = bn2(conv2(y.relu_()));
    y += shortcut ? shortcut->forward(x) : x;
    return y.relu_();
  }
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  nn::Sequential shortcut{nullptr};
};
TORCH_MODULE(Block);

inline nn::Sequential resnet(const std::vector<int>& widths, int blocks) {
  nn::Sequential net(conv(3, widths[0], 3, 1, 1, false), nn::BatchNorm2d(widths[0]), relu());
  int in = widths[0];
  for (std::size_t stage = 0; stage < widths.size(); ++stage) {
    for (int b = 0; b < blocks; ++b) {
      net->push_back(Block(in, widths[stage], stage > 0 && b == 0 ? 2 : 1));
      in = widths[stage];
    }
  }
  net->push_back(nn::AdaptiveAvgPool2d(1));
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(in, 100));
  return net;
}

inline nn::Sequential vgg16() {
  nn::Sequential net;
  int in = 3;
  for (const int out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (out == 0) {
      net->push_back(nn::MaxPool2d(2));
      continue;
    }
    net->push_back(conv(in, out, 3, 1, 1));
    net->push_back(nn::BatchNorm2d(out));
    net->push_back(relu());
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(512, 100));
  return net;
}

inline const std::vector<std::string> kModels{"mlp",      "lecture_cnn", "lecture_cnn_bn",
                                              "resnet20", "resnet18",    "vgg16_bn"};

inline nn::Sequential make(const std::string& name) {
  if (name == "mlp") return mlp();
  if (name == "lecture_cnn") return lecture(false);
  if (name == "lecture_cnn_bn") return lecture(true);
  if (name == "resnet20") return resnet({16, 32, 64}, 3);
  if (name == "resnet18") return resnet({64, 128, 256, 512}, 2);
  return vgg16();
}

}  // namespace twin
