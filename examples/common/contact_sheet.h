#pragma once

#include <string>
#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry::examples {

/// A picture that a model took for something else.
struct WrongPrediction {
  Tensor image;  ///< u8 [H, W, 3]
  std::string predicted;
  std::string right;
  double probability = 0;  ///< that the model gave the wrong answer
};

/// A sheet of such pictures in rows of eight, enlarged, each over what the model said (red) and what is right (green).
/// Returns u8 [height, width, 3]. Throws std::invalid_argument for an image of another dtype or shape.
[[nodiscard]] Tensor contact_sheet(const std::string& title, const std::vector<WrongPrediction>& pictures);

}  // namespace tapestry::examples
