// LibTorch's time for one training step of the models that bench_train_step measures: forward, cross entropy,
// backward, SGD with momentum, in both of its image layouts.
//   torch_train_step [--threads N] [--json] [--batch N] [--budget SECONDS] [MODEL...]
#include "twin.h"

namespace nn = torch::nn;

namespace {

nn::Conv2d conv(int in, int out, int kernel, int stride = 1, int padding = 0, bool bias = true) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding).bias(bias));
}

nn::Sequential lecture(bool norm) {
  nn::Sequential net;
  int in = 3;
  for (const int out : {32, 64, 128}) {
    net->push_back(conv(in, out, 3, 1, 1, !norm));
    if (norm) net->push_back(nn::BatchNorm2d(out));
    net->push_back(nn::ReLU());
    net->push_back(nn::MaxPool2d(2));
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(2048, 256));
  net->push_back(nn::ReLU());
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
    torch::Tensor y = torch::relu(bn1(conv1(x)));
    y = bn2(conv2(y));
    return torch::relu(y + (shortcut ? shortcut->forward(x) : x));
  }
  nn::Conv2d conv1, conv2;
  nn::BatchNorm2d bn1, bn2;
  nn::Sequential shortcut{nullptr};
};
TORCH_MODULE(Block);

nn::Sequential resnet(const std::vector<int>& widths, int blocks) {
  nn::Sequential net(conv(3, widths[0], 3, 1, 1, false), nn::BatchNorm2d(widths[0]), nn::ReLU());
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

nn::Sequential vgg16() {
  nn::Sequential net;
  int in = 3;
  for (const int out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (out == 0) {
      net->push_back(nn::MaxPool2d(2));
      continue;
    }
    net->push_back(conv(in, out, 3, 1, 1));
    net->push_back(nn::BatchNorm2d(out));
    net->push_back(nn::ReLU());
    in = out;
  }
  net->push_back(nn::Flatten());
  net->push_back(nn::Linear(512, 100));
  return net;
}

nn::Sequential make(const std::string& name) {
  if (name == "lecture_cnn") return lecture(false);
  if (name == "lecture_cnn_bn") return lecture(true);
  if (name == "resnet20") return resnet({16, 32, 64}, 3);
  if (name == "resnet18") return resnet({64, 128, 256, 512}, 2);
  if (name == "vgg16_bn") return vgg16();
  std::fprintf(stderr, "unknown model %s\n", name.c_str());
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  const auto options = twin::parse(argc, argv);
  int batch = 128;
  double budget = 5;
  std::vector<std::string> models;
  for (std::size_t i = 0; i < options.rest.size(); ++i) {
    if (options.rest[i] == "--batch") batch = std::atoi(options.rest.at(++i).c_str());
    else if (options.rest[i] == "--budget") budget = std::atof(options.rest.at(++i).c_str());
    else models.push_back(options.rest[i]);
  }
  if (models.empty()) models = {"lecture_cnn", "resnet20", "resnet18"};
  for (const std::string& name : models) {
    for (const bool channels_last : {false, true}) {
      torch::manual_seed(1);
      nn::Sequential net = make(name);
      torch::Tensor images = torch::randn({batch, 3, 32, 32});
      if (channels_last) {
        images = images.contiguous(torch::MemoryFormat::ChannelsLast);
        for (torch::Tensor& p : net->parameters()) {
          if (p.dim() == 4) p.set_data(p.data().contiguous(torch::MemoryFormat::ChannelsLast));
        }
      }
      const torch::Tensor labels = torch::randint(0, 100, {batch}, torch::kLong);
      torch::optim::SGD sgd(net->parameters(), torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(5e-4));
      const double step = twin::median_seconds(
          [&] {
            sgd.zero_grad();
            torch::nn::functional::cross_entropy(net->forward(images), labels).backward();
            sgd.step();
          },
          budget);
      const char* layout = channels_last ? "channels last" : "NCHW";
      twin::print(options, name + " step", layout, step * 1e3, "ms");
      const double inference = twin::median_seconds(
          [&] {
            const torch::NoGradGuard guard;
            net->eval();
            net->forward(images);
            net->train();
          },
          budget / 2);
      twin::print(options, name + " inference", layout, inference * 1e3, "ms");
    }
  }
}
