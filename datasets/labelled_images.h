#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/datasets/dataset.h>

namespace tapestry::datasets {

/// Which of a sample's two labels is its target: its class, or the group its class belongs to.
enum class Labels { fine, coarse };

/// What LabelledImages holds; see its accessors for the shapes.
struct LabelledContent {
  Tensor data, fine, coarse;
  std::vector<std::string> fine_classes, coarse_classes;
};

/// Images of one size held as bytes in memory, with their labels: what CIFAR10, CIFAR100, MNIST and Patterns have in
/// common. Copies share everything.
class LabelledImages : public Dataset {
 public:
  using Labels = datasets::Labels;

  [[nodiscard]] std::size_t size() const override;

  /// Image `index`, u8 [H, W, C] unless transformed, and the selected label. Without a transform the image shares the
  /// storage of data(): read it, do not write to it. Throws std::out_of_range unless index < size().
  [[nodiscard]] Sample get(std::size_t index, const SampleKey& key) const override;
  using Dataset::get;

  [[nodiscard]] const Tensor& data() const;            ///< all images, u8 [N, H, W, C], untransformed
  [[nodiscard]] const Tensor& targets() const;         ///< i64 [N]: the selected labels, untransformed
  [[nodiscard]] const Tensor& fine_targets() const;    ///< u8 [N]
  [[nodiscard]] const Tensor& coarse_targets() const;  ///< u8 [N]; undefined where there are no coarse labels

  [[nodiscard]] std::span<const std::string> classes() const;  ///< names of the selected labels
  [[nodiscard]] std::span<const std::string> fine_classes() const;
  [[nodiscard]] std::span<const std::string> coarse_classes() const;

  /// Position of a name in classes(); nothing when it is none of them.
  [[nodiscard]] std::optional<std::int64_t> class_to_index(std::string_view name) const;

 protected:
  LabelledImages(LabelledContent content, Labels labels, ImageTransform transform, TargetTransform target_transform);

 private:
  struct State;
  Handle<const State> state_;
};

}  // namespace tapestry::datasets
