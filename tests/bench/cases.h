#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The shapes that are measured, and their arithmetic. C++17 and free of tapestry: LibTorch's twins measure the same.
namespace tapestry::bench {

// --- matrix products

/// op(a) op(b) with op(a) [m, k] and op(b) [k, n], each stored transposed where it says so.
struct GemmCase {
  const char* name;
  bool transpose_a, transpose_b;
  long m, n, k;
};

constexpr GemmCase kGemmCases[] = {
    {"square", false, false, 32, 32, 32},
    {"square", false, false, 64, 64, 64},
    {"square", false, false, 128, 128, 128},
    {"square", false, false, 256, 256, 256},
    {"square", false, false, 512, 512, 512},
    {"square", false, false, 1024, 1024, 1024},
    {"square, a transposed", true, false, 1024, 1024, 1024},
    {"square, b transposed", false, true, 1024, 1024, 1024},
    {"square", false, false, 2048, 2048, 2048},
    {"few columns", false, false, 4096, 8, 1024},
    {"few rows", false, false, 8, 4096, 1024},
    {"short sums", false, false, 4096, 256, 16},
    {"long sums", true, false, 64, 64, 16384},
    {"mlp 3072>1024 forward", false, true, 128, 1024, 3072},
    {"mlp 3072>1024 dw", true, false, 1024, 3072, 128},
    {"mlp 1024>1024 dx", false, false, 128, 1024, 1024},
    {"linear 512>10 forward", false, true, 128, 10, 512},
    {"linear 512>10 dx", false, false, 128, 512, 10},
    {"linear 512>10 dw", true, false, 10, 512, 128},
    {"linear 512>100 forward", false, true, 128, 100, 512},
    {"linear 4096>100 forward", false, true, 128, 100, 4096},
    {"linear 4096>100 dx", false, false, 128, 4096, 100},
    {"linear 4096>100 dw", true, false, 100, 4096, 128},
    {"linear 2048>256 forward", false, true, 128, 256, 2048},
    {"one row 512>512", false, true, 1, 512, 512},
    {"one row 2048>256", false, true, 1, 256, 2048},
    {"one row 4096>1000", false, true, 1, 1000, 4096},
};

inline double flops(const GemmCase& c) {
  return 2.0 * static_cast<double>(c.m) * static_cast<double>(c.n) * static_cast<double>(c.k);
}

/// Bytes of f32 operands and result, each once.
inline double bytes(const GemmCase& c) { return 4.0 * static_cast<double>(c.m * c.k + c.k * c.n + c.m * c.n); }

inline std::string text(const GemmCase& c) {
  return std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k);
}

// --- convolutions

/// Square images and kernels, padded by half the kernel.
struct ConvCase {
  const char* name;
  long size, c, k, kernel, stride, groups;
  long batch = 0;  ///< 0: what --batch says

  [[nodiscard]] constexpr long padding() const { return kernel / 2; }
  [[nodiscard]] constexpr long out_size() const { return (size + 2 * padding() - kernel) / stride + 1; }
};

constexpr ConvCase kConvCases[] = {
    {"resnet18 stage 1", 32, 64, 64, 3, 1, 1},
    {"resnet18 stage 2", 16, 128, 128, 3, 1, 1},
    {"resnet18 stage 3", 8, 256, 256, 3, 1, 1},
    {"resnet18 stage 4", 4, 512, 512, 3, 1, 1},
    {"resnet18 stem", 32, 3, 64, 3, 1, 1},
    {"resnet18 down 2", 32, 64, 128, 3, 2, 1},
    {"resnet18 down 3", 16, 128, 256, 3, 2, 1},
    {"resnet18 down 4", 8, 256, 512, 3, 2, 1},
    {"resnet18 shortcut 2", 32, 64, 128, 1, 2, 1},
    {"resnet18 shortcut 4", 8, 256, 512, 1, 2, 1},
    {"resnet20 stem", 32, 3, 16, 3, 1, 1},
    {"resnet20 stage 1", 32, 16, 16, 3, 1, 1},
    {"resnet20 stage 2", 16, 32, 32, 3, 1, 1},
    {"resnet20 stage 3", 8, 64, 64, 3, 1, 1},
    {"resnet20 down 2", 32, 16, 32, 3, 2, 1},
    {"resnet20 down 3", 16, 32, 64, 3, 2, 1},
    {"lecture 1", 32, 3, 32, 3, 1, 1},
    {"lecture 2", 16, 32, 64, 3, 1, 1},
    {"lecture 3", 8, 64, 128, 3, 1, 1},
    {"vgg16 last", 2, 512, 512, 3, 1, 1},
    {"pointwise", 16, 256, 256, 1, 1, 1},
    {"grouped by 4", 16, 128, 128, 3, 1, 4},
    {"grouped by 32", 16, 256, 256, 3, 1, 32},
    {"depthwise", 16, 256, 256, 3, 1, 256},
    {"depthwise, stride 2", 16, 256, 256, 3, 2, 256},
    {"imagenet vgg16 second", 224, 64, 64, 3, 1, 1, 2},  // 26 MB each way: rows of images far beyond any cache
    {"imagenet resnet stem", 224, 3, 64, 7, 2, 1, 8},
};

/// Multiply-adds of one pass, times two, as everybody counts them: taps that fall on padding included.
inline double flops_nominal(const ConvCase& c, long batch) {
  const double outputs = static_cast<double>(c.out_size() * c.out_size() * c.k * batch);
  return 2.0 * outputs * static_cast<double>(c.kernel * c.kernel * (c.c / c.groups));
}

/// Without those taps, which need not be computed; what is left is 16 of 36 for 3x3 on 2x2 images. The same for
/// forward and both gradients.
inline double flops_real(const ConvCase& c, long batch) {
  long taps = 0;  // of all outputs along one side
  for (long o = 0; o < c.out_size(); ++o) {
    for (long t = 0; t < c.kernel; ++t) {
      const long at = o * c.stride - c.padding() + t;
      taps += at >= 0 && at < c.size ? 1 : 0;
    }
  }
  return 2.0 * static_cast<double>(taps * taps) * static_cast<double>(c.k * (c.c / c.groups) * batch);
}

/// Bytes of f32 images, weights and outputs, each once; the same for forward and both gradients.
inline double bytes(const ConvCase& c, long batch) {
  return 4.0 * static_cast<double>(batch * c.size * c.size * c.c + c.k * c.kernel * c.kernel * (c.c / c.groups) +
                                   batch * c.out_size() * c.out_size() * c.k);
}

inline std::string text(const ConvCase& c) {
  return std::to_string(c.c) + ">" + std::to_string(c.k) + " " + std::to_string(c.kernel) + "x" +
         std::to_string(c.kernel) + "/" + std::to_string(c.stride) + " @" + std::to_string(c.size);
}

// --- ops bound by memory

/// Images [128, 32, 32, 64] f32: more than the caches of a core hold, and what ResNet-18's first stage works on.
constexpr long kImages = 128, kImageSize = 32, kImageChannels = 64;
constexpr double kTensorBytes = 4.0 * kImages * kImageSize * kImageSize * kImageChannels;  // 33.5 MB
constexpr long kLogitClasses = 100, kLogitRows = 83886;                                    // the same size as logits

struct MemoryCase {
  const char* op;
  const char* pass;
  double traffic;  ///< what must be read and written at least, in tensors of kTensorBytes
};

/// Every tensor that an algorithm needs is read and every result written once; [C] and [N] tensors count nothing. Fewer
/// passes are impossible where the result of one must be known before the next: batch statistics.
constexpr MemoryCase kMemoryCases[] = {
    {"relu", "forward", 2},                     // x; y
    {"relu", "backward", 3},                    // dy, y; dx
    {"add", "forward", 3},                      // a, b; y
    {"mul", "forward", 3},                      // a, b; y
    {"max_pool2d", "forward", 1.3125},          // x; a quarter of values, and a byte for each that says where it was
    {"max_pool2d", "backward", 1.3125},         // the quarter of dy and its bytes; dx
    {"batch_norm", "forward", 3},               // x for its moments, x; y
    {"batch_norm", "backward", 5},              // dy, x for two sums, dy, x; dx
    {"batch_norm, relu", "forward", 3},         // one op: as without relu,
    {"batch_norm, relu", "backward", 5},        // whose sign can be computed again from x
    {"batch_norm, add, relu", "forward", 4},    // and the other operand
    {"batch_norm, add, relu", "backward", 7},   // dy, x, y for two sums and the other's gradient; that, x; dx
    {"relu(batch_norm)", "forward", 5},         // the same two as ops of their own
    {"relu(batch_norm)", "backward", 8},        // three of relu, five of the norm
    {"relu(batch_norm + x)", "forward", 8},     // three, three, two
    {"relu(batch_norm + x)", "backward", 8},    // that of the sum is the relu's
    {"global_avg_pool2d", "forward", 1},        // x
    {"global_avg_pool2d", "backward", 1},       // dx
    {"sum", "forward", 1},                      // x
    {"softmax", "forward", 2},                  // x; y (rows of 64 stay in the L1)
    {"softmax", "backward", 3},                 // dy, y; dx
    {"cross_entropy", "forward, backward", 3},  // logits; logits, and their gradient
    {"dropout", "forward", 2.25},               // x; y, and a byte per element
    {"dropout", "backward", 2.25},              // dy, the bytes; dx
    {"cast to f64", "forward", 3},              // x; y, twice as large
    {"SGD, momentum", "step", 5},               // w, g, b; w, b
    {"AdamW", "step", 7},                       // w, g, m, v; w, m, v
};

inline double traffic_bytes(std::string_view op, std::string_view pass) {
  for (const MemoryCase& c : kMemoryCases) {
    if (op == c.op && pass == c.pass) return c.traffic * kTensorBytes;
  }
  return 0;
}

// --- models

/// Convolutions and linear layers of a model of the zoo with 100 classes, in order; a linear layer is a 1x1 convolution
/// of one pixel. Empty for a model that is not known here.
inline std::vector<ConvCase> layers_of(std::string_view model) {
  std::vector<ConvCase> layers;
  const auto conv = [&](long size, long in, long out, long kernel = 3, long stride = 1) {
    layers.push_back({"", size, in, out, kernel, stride, 1});
  };
  const auto linear = [&](long in, long out) { conv(1, in, out, 1); };
  const auto resnet = [&](const std::vector<long>& widths, int blocks) {
    long size = 32, in = widths[0];
    conv(size, 3, in);
    for (const long out : widths) {
      for (int block = 0; block < blocks; ++block) {
        const long stride = block == 0 && out != widths[0] ? 2 : 1;
        conv(size, in, out, 3, stride);
        if (stride == 2) conv(size, in, out, 1, stride);
        size /= stride;
        conv(size, out, out);
        in = out;
      }
    }
    linear(in, 100);
  };
  if (model == "mlp") {
    linear(3072, 1024);
    linear(1024, 1024);
    linear(1024, 100);
  } else if (model == "lecture_cnn" || model == "lecture_cnn_bn") {
    conv(32, 3, 32);
    conv(16, 32, 64);
    conv(8, 64, 128);
    linear(2048, 256);
    linear(256, 100);
  } else if (model == "vgg16_bn") {
    long size = 32, in = 3;
    for (const long out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
      if (out == 0) {
        size /= 2;
        continue;
      }
      conv(size, in, out);
      in = out;
    }
    linear(512, 100);
  } else if (model == "resnet18") {
    resnet({64, 128, 256, 512}, 2);
  } else {
    for (const int depth : {20, 32, 44, 56}) {
      if (model == "resnet" + std::to_string(depth)) resnet({16, 32, 64}, (depth - 2) / 6);
    }
  }
  return layers;
}

enum class Count { nominal, real };

/// Floating-point operations of a model's convolutions and linear layers.
struct ModelFlops {
  double forward = 0;
  double step = 0;  ///< three passes over each layer, but two over the first: the images need no gradient
};

inline ModelFlops flops_of(std::string_view model, long batch, Count count = Count::nominal) {
  ModelFlops sum;
  bool first = true;
  for (const ConvCase& layer : layers_of(model)) {
    const double once = count == Count::nominal ? flops_nominal(layer, batch) : flops_real(layer, batch);
    sum.forward += once;
    sum.step += (first ? 2 : 3) * once;
    first = false;
  }
  return sum;
}

/// What bench_train_step and its twin measure unless told otherwise.
inline std::vector<std::string> default_models() { return {"lecture_cnn", "mlp", "vgg16_bn", "resnet20", "resnet18"}; }

}  // namespace tapestry::bench
