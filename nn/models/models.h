#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tapestry/nn/models/fastnet.h>
#include <tapestry/nn/models/lecture.h>
#include <tapestry/nn/models/lenet.h>
#include <tapestry/nn/models/mlp.h>
#include <tapestry/nn/models/mobilenet.h>
#include <tapestry/nn/models/resnet.h>
#include <tapestry/nn/models/resnet9.h>
#include <tapestry/nn/models/vgg.h>
#include <tapestry/nn/models/vit.h>
#include <tapestry/nn/models/wide_resnet.h>
#include <tapestry/nn/sequential.h>

namespace tapestry::nn::models {

/// A model of the zoo by name, for images [N, 32, 32, 3], with weights drawn from default_generator(). Throws
/// std::invalid_argument that lists the choices for an unknown name, and for classes below 1.
[[nodiscard]] AnyModule make(std::string_view name, Index classes, Here here = {});

/// The names that make() knows.
[[nodiscard]] std::vector<std::string> names();

}  // namespace tapestry::nn::models
