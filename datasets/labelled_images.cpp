#include <tapestry/datasets/labelled_images.h>

#include <algorithm>
#include <utility>

#include <tapestry/autograd/base/check.h>

namespace tapestry::datasets {
namespace {

Tensor widened(const Tensor& labels) {
  Tensor wide = empty(labels.shape(), i64);
  std::ranges::copy(labels.span<std::uint8_t>(), wide.mutable_data<std::int64_t>());
  return wide;
}

}  // namespace

struct LabelledImages::State {
  LabelledContent content;
  Tensor targets;
  Labels labels;
  ImageTransform transform;
  TargetTransform target_transform;
};

LabelledImages::LabelledImages(LabelledContent content, Labels labels, ImageTransform transform,
                               TargetTransform target_transform) {
  Tensor targets = widened(labels == Labels::fine ? content.fine : content.coarse);
  state_ = make_handle<const State>(
      State{std::move(content), std::move(targets), labels, std::move(transform), std::move(target_transform)});
}

std::size_t LabelledImages::size() const { return static_cast<std::size_t>(data().size(0)); }

Sample LabelledImages::get(std::size_t index, const SampleKey& key) const {
  if (index >= size()) throw_out_of_range("dataset: index must be below {}; got {}", size(), index);
  const Tensor& all = data();
  const Index bytes = all.shape().numel(1, all.dim());
  Tensor image = tapestry::detail::alias(all, all.shape().without(0), static_cast<Index>(index) * bytes);
  std::int64_t target = state_->targets.data<std::int64_t>()[index];
  if (state_->transform) image = state_->transform(image, key);
  if (state_->target_transform) target = state_->target_transform(target);
  return {std::move(image), target};
}

const Tensor& LabelledImages::data() const { return state_->content.data; }
const Tensor& LabelledImages::targets() const { return state_->targets; }
const Tensor& LabelledImages::fine_targets() const { return state_->content.fine; }
const Tensor& LabelledImages::coarse_targets() const { return state_->content.coarse; }

std::span<const std::string> LabelledImages::classes() const {
  return state_->labels == Labels::fine ? fine_classes() : coarse_classes();
}
std::span<const std::string> LabelledImages::fine_classes() const { return state_->content.fine_classes; }
std::span<const std::string> LabelledImages::coarse_classes() const { return state_->content.coarse_classes; }

std::optional<std::int64_t> LabelledImages::class_to_index(std::string_view name) const {
  const auto names = classes();
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return found - names.begin();
}

}  // namespace tapestry::datasets
