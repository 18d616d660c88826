#include <tapestry/nn/models/lecture.h>

#include <tapestry/nn/activation.h>
#include <tapestry/nn/pool.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/pool2d.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn::models {

LectureMini::LectureMini(Index classes)
    : conv1_{child("conv1", Conv2d{3, 12, {.kernel = 3, .padding = 1}})},
      fc1_{child("fc1", Linear{16 * 16 * 12, classes, {.flattened = {16, 16}}})} {}

Tensor LectureMini::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  x = section(x, [conv = conv1_](const Tensor& at) { return max_pool2d(relu(conv(at)), {.kernel = 2}); });
  return scope.output(fc1_(flatten(x)));
}

LectureCnn::LectureCnn(Index classes)
    : conv1_{child("conv1", Conv2d{3, 32, {.kernel = 3, .padding = 1}})},
      conv2_{child("conv2", Conv2d{32, 64, {.kernel = 3, .padding = 1}})},
      conv3_{child("conv3", Conv2d{64, 128, {.kernel = 3, .padding = 1}})},
      fc1_{child("fc1", Linear{4 * 4 * 128, 256, {.flattened = {4, 4}}})},
      fc2_{child("fc2", Linear{256, classes})} {}

Tensor LectureCnn::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const auto stage = [](const Conv2d& conv) {
    return [conv](const Tensor& at) { return max_pool2d(relu(conv(at)), {.kernel = 2}); };
  };
  x = section(x, stage(conv1_));  // [N, 16, 16, 32]
  x = section(x, stage(conv2_));  // [N, 8, 8, 64]
  x = section(x, stage(conv3_));  // [N, 4, 4, 128]
  return scope.output(fc2_(relu(fc1_(flatten(x)))));
}

LectureCnnBn::LectureCnnBn(Index classes)
    : conv1_{child("conv1", Conv2d{3, 32, {.kernel = 3, .padding = 1, .bias = false}})},
      bn1_{child("bn1", BatchNorm2d{32})},
      conv2_{child("conv2", Conv2d{32, 64, {.kernel = 3, .padding = 1, .bias = false}})},
      bn2_{child("bn2", BatchNorm2d{64})},
      conv3_{child("conv3", Conv2d{64, 128, {.kernel = 3, .padding = 1, .bias = false}})},
      bn3_{child("bn3", BatchNorm2d{128})},
      fc1_{child("fc1", Linear{4 * 4 * 128, 256, {.flattened = {4, 4}}})},
      fc2_{child("fc2", Linear{256, classes})} {}

Tensor LectureCnnBn::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  const auto stage = [](const Conv2d& conv, const BatchNorm2d& bn) {
    return [conv, bn](const Tensor& at) { return max_pool2d(bn(conv(at), {.relu = true}), {.kernel = 2}); };
  };
  x = section(x, stage(conv1_, bn1_));  // [N, 16, 16, 32]
  x = section(x, stage(conv2_, bn2_));  // [N, 8, 8, 64]
  x = section(x, stage(conv3_, bn3_));  // [N, 4, 4, 128]
  return scope.output(fc2_(relu(fc1_(flatten(x)))));
}

namespace {

Sequential lecture_vgg_features(bool norm) {
  Sequential layers;
  Index in = 3;
  for (const Index out : {32, 64, 128}) {
    for (int i = 0; i < 2; ++i) {
      layers.append(Conv2d{in, out, {.kernel = 3, .padding = 1, .bias = !norm}});
      if (norm) layers.append(BatchNorm2d{out, {.relu = true}});
      else layers.append(ReLU{});
      in = out;
    }
    layers.append(MaxPool2d{2});
  }
  return layers;
}

}  // namespace

LectureVgg::LectureVgg(const LectureVggOptions& options)
    : features_{child("features", lecture_vgg_features(options.norm))},
      fc1_{child("fc1", Linear{4 * 4 * 128, 256, {.flattened = {4, 4}}})},
      fc2_{child("fc2", Linear{256, options.classes})} {}

Tensor LectureVgg::operator()(Tensor x, Here here) const {
  const LayerScope scope(*this, here);
  x = scope.input(x);
  constexpr std::size_t kSegments = 3;  // one for each size of the image
  x = is_checkpointing() ? features_.in_segments(x, kSegments, checkpoint_options()) : features_(x);
  return scope.output(fc2_(relu(fc1_(flatten(x)))));
}

}  // namespace tapestry::nn::models
