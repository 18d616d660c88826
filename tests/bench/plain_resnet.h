#pragma once

#include <optional>
#include <string>
#include <vector>

#include <tapestry/nn/models/models.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

/// The zoo's residual networks with every relu and every sum an op of its own: what it costs to compose them plainly.
namespace tapestry::bench {

class PlainBlock : public nn::Module {
 public:
  PlainBlock(Index in, Index out, Index stride)
      : conv1_{child("conv1", nn::Conv2d{in, out, {.kernel = 3, .stride = stride, .padding = 1, .bias = false}})},
        bn1_{child("bn1", nn::BatchNorm2d{out})},
        conv2_{child("conv2", nn::Conv2d{out, out, {.kernel = 3, .padding = 1, .bias = false}})},
        bn2_{child("bn2", nn::BatchNorm2d{out})} {
    if (stride == 1 && in == out) return;
    downsample_ = child(
        "downsample",
        nn::Sequential{nn::Conv2d{in, out, {.kernel = 1, .stride = stride, .bias = false}}, nn::BatchNorm2d{out}});
  }

  [[nodiscard]] Tensor operator()(const Tensor& x) const {
    const Tensor y = bn2_(conv2_(relu(bn1_(conv1_(x)))));
    return relu(y + (downsample_ ? (*downsample_)(x) : x));
  }

 private:
  nn::Conv2d conv1_;
  nn::BatchNorm2d bn1_;
  nn::Conv2d conv2_;
  nn::BatchNorm2d bn2_;
  std::optional<nn::Sequential> downsample_;
};

inline bool is_resnet(const std::string& name) { return name.rfind("resnet", 0) == 0; }

/// name: one for which is_resnet().
inline nn::AnyModule plain_resnet(const std::string& name, Index classes) {
  const bool wide = name == "resnet18";
  const std::vector<Index> widths = wide ? std::vector<Index>{64, 128, 256, 512} : std::vector<Index>{16, 32, 64};
  const Index blocks = wide ? 2 : (std::stol(name.substr(6)) - 2) / 6;  // per stage
  nn::Sequential net{nn::Conv2d{3, widths.front(), {.kernel = 3, .padding = 1, .bias = false}},
                     nn::BatchNorm2d{widths.front()}, nn::ReLU{}};
  Index in = widths.front();
  for (const Index out : widths) {
    for (Index i = 0; i < blocks; ++i) {
      net.append(PlainBlock{in, out, i == 0 && out != widths.front() ? 2 : 1});
      in = out;
    }
  }
  return net.append(nn::GlobalAvgPool2d{}).append(nn::Flatten{}).append(nn::Linear{in, classes});
}

}  // namespace tapestry::bench
