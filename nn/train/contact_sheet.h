#pragma once

#include <string>
#include <vector>

#include <tapestry/autograd/tensor.h>
#include <tapestry/datasets/labelled_images.h>
#include <tapestry/nn/train/state.h>

namespace tapestry::nn::train {

/// An image whose class did not get the largest logit.
struct Mistake {
  Index image = 0;         ///< number in the order of adding
  Index predicted = 0;     ///< class of the largest logit
  Index label = 0;         ///< the right one
  double probability = 0;  ///< softmax of the largest logit, 0 to 1
};

/// A picture that a model took for something else.
struct WrongPrediction {
  Tensor image;  ///< u8 [H, W, 3]
  std::string predicted, right;
  double probability = 0;  ///< that the model gave the wrong answer, 0 to 1
};

/// A sheet of such pictures in rows of eight, enlarged without smoothing to 160 x 160 pixels, each over what the model
/// said (red) and what is right (green). Letters are a to z, 0 to 9 and common signs; an underscore is a space. Returns
/// u8 [height, width, 3]. Throws std::invalid_argument for an image of another dtype or shape.
[[nodiscard]] Tensor contact_sheet(const std::string& title, const std::vector<WrongPrediction>& pictures);

/// Collects a classifier's surest mistakes while it is tested, and draws them.
///
///     for (auto [images, labels] : Loader(test, {.batch = 250})) sheet.add(model(images), labels);
///     sheet.write("runs/first/wrong_predictions.png", "ResNet-20", test);
class ContactSheet {
 public:
  /// Keeps the `most` surest mistakes: 32 are four rows of pictures.
  explicit ContactSheet(std::size_t most = 32) : most_(most) {}

  /// A batch: logits f32 [N, C], labels i64 [N]. Images are numbered through all batches, so that with a loader that
  /// does not shuffle a mistake's number is its index in the data set. A row with a NaN is passed over. Throws
  /// std::invalid_argument for other shapes or dtypes.
  void add(const Tensor& logits, const Tensor& labels, Here here = {});

  [[nodiscard]] Index images() const noexcept { return images_; }  ///< added so far
  [[nodiscard]] Index wrong() const noexcept { return wrong_; }    ///< all mistakes, kept or not
  [[nodiscard]] const std::vector<Mistake>& mistakes() const noexcept { return mistakes_; }  ///< surest first

  /// The sheet, with pictures and class names from the data set that was tested. Throws std::out_of_range when a number
  /// is none of it.
  [[nodiscard]] Tensor draw(const std::string& title, const datasets::LabelledImages& images, Here here = {}) const;
  /// The same as a PNG file. Throws FileError when it cannot be written.
  void write(const std::string& path, const std::string& title, const datasets::LabelledImages& images,
             Here here = {}) const;

 private:
  std::size_t most_;
  Index images_ = 0, wrong_ = 0;
  std::vector<Mistake> mistakes_;
};

}  // namespace tapestry::nn::train
