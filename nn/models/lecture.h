#pragma once

#include <tapestry/nn/conv.h>
#include <tapestry/nn/linear.h>
#include <tapestry/nn/norm.h>
#include <tapestry/nn/sequential.h>

/// The networks of the lecture, for images of 32 x 32 pixels. All map x [N, 32, 32, 3] to scores [N, classes].
namespace tapestry::nn::models {

/// The smallest: CONV with 12 filters of 3x3 - RELU - POOL - FC. 307,636 parameters with 100 classes.
class LectureMini : public Module {
 public:
  explicit LectureMini(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Conv2d conv1_;
  Linear fc1_;
};

/// [CONV - RELU - POOL] x 3 - FC - RELU - FC with 32, 64 and 128 filters of 3x3. 643,492 parameters with 100 classes.
class LectureCnn : public Module {
 public:
  explicit LectureCnn(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Conv2d conv1_, conv2_, conv3_;
  Linear fc1_, fc2_;
};

/// The same with batch normalisation in front of each RELU of a convolution, which then needs no bias: 643,716
/// parameters with 100 classes.
class LectureCnnBn : public Module {
 public:
  explicit LectureCnnBn(Index classes);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  Conv2d conv3_;
  BatchNorm2d bn3_;
  Linear fc1_, fc2_;
};

struct LectureVggOptions {
  Index classes = 100;
  bool norm = false;  ///< batch normalisation in front of each RELU of a convolution, which then needs no bias
};

/// [(CONV - RELU) x 2 - POOL] x 3 - FC - RELU - FC with 32, 64 and 128 filters of 3x3. 837,252 parameters with 100
/// classes, 837,700 with .norm. Keys features.0.weight, ..., fc1.weight, fc2.bias.
class LectureVgg : public Module {
 public:
  explicit LectureVgg(const LectureVggOptions& options);
  [[nodiscard]] Tensor operator()(Tensor x, Here here = {}) const;

 private:
  Sequential features_;
  Linear fc1_, fc2_;
};

}  // namespace tapestry::nn::models
