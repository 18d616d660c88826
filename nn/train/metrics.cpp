#include <tapestry/nn/train/metrics.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <tapestry/autograd/base/check.h>

namespace tapestry::nn::train {
namespace {

constexpr Index kTop = 5;

/// A row as doubles; false when it has a NaN.
template <class T>
bool read_row(std::span<const T> row, std::vector<double>& out) {
  bool numbers = true;
  for (std::size_t c = 0; c < row.size(); ++c) {
    out[c] = static_cast<double>(static_cast<float>(row[c]));
    if constexpr (std::is_same_v<T, double>) out[c] = row[c];
    numbers = numbers && !std::isnan(out[c]);
  }
  return numbers;
}

/// How many classes come before `label`.
Index rank_of(const std::vector<double>& row, std::size_t label) {
  Index rank = 0;
  for (std::size_t c = 0; c < row.size(); ++c) rank += row[c] > row[label] || (row[c] == row[label] && c < label);
  return rank;
}

double part(Index of, Index all) { return all > 0 ? static_cast<double>(of) / static_cast<double>(all) : 0; }

void check_batch(const Tensor& logits, const Tensor& labels, Index classes) {
  const Dtype dtype = logits.dtype();
  if ((dtype != f32 && dtype != f64 && dtype != bf16) || logits.dim() != 2 || logits.size(1) != classes) {
    throw_invalid("metrics: logits must be f32, f64 or bf16 [N, {}]; got {} {}", classes, dtype, logits.shape());
  }
  if (labels.dtype() != i64 || labels.shape() != Shape{logits.size(0)}) {
    throw_invalid("metrics: labels must be i64 [{}]; got {} {}", logits.size(0), labels.dtype(), labels.shape());
  }
  for (const std::int64_t label : labels.span<std::int64_t>()) {
    if (label < 0 || label >= classes) {
      throw_out_of_range("metrics: a label must be in [0, {}); got {}", classes, label);
    }
  }
}

}  // namespace

Metrics::Metrics(Index classes, std::span<const std::uint8_t> coarse_of_fine, Here here)
    : classes_(classes), coarse_of_fine_(coarse_of_fine.begin(), coarse_of_fine.end()) {
  const CallSite site(here);
  if (classes < 1) throw_invalid("metrics: classes must be at least 1; got {}", classes);
  if (!coarse_of_fine.empty() && static_cast<Index>(coarse_of_fine.size()) != classes) {
    throw_invalid("metrics: coarse_of_fine must have an element for each of the {} classes; got {}", classes,
                  coarse_of_fine.size());
  }
  reset();
}

void Metrics::reset() {
  images_ = right_ = right5_ = right_coarse_ = undecided_ = 0;
  loss_ = 0;
  labels_.assign(static_cast<std::size_t>(classes_), 0);
  confusion_.assign(static_cast<std::size_t>(classes_ * classes_), 0);
}

BatchScore Metrics::add(const Tensor& logits, const Tensor& labels, double loss, Here here) {
  const CallSite site(here);
  check_batch(logits, labels, classes_);
  const Index images = logits.size(0);
  const Index right_before = right_;
  std::vector<double> row(static_cast<std::size_t>(classes_));
  visit(logits.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, BFloat16>) {
      for (Index i = 0; i < images; ++i) {
        const auto label = static_cast<std::size_t>(labels.data<std::int64_t>()[i]);
        ++labels_[label];
        if (!read_row(logits.span<T>().subspan(static_cast<std::size_t>(i * classes_), row.size()), row)) {
          ++undecided_;
          continue;
        }
        const Index rank = rank_of(row, label);
        const auto predicted = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
        right_ += rank == 0;
        right5_ += rank < kTop;
        if (!coarse_of_fine_.empty()) right_coarse_ += coarse_of_fine_[predicted] == coarse_of_fine_[label];
        ++confusion_[label * row.size() + predicted];
      }
    }
  });
  images_ += images;
  loss_ += loss * static_cast<double>(images);
  return {images, loss, right_ - right_before};
}

double Metrics::loss() const { return images_ > 0 ? loss_ / static_cast<double>(images_) : 0; }
double Metrics::top1() const { return part(right_, images_); }
double Metrics::top5() const { return part(right5_, images_); }

double Metrics::coarse(Here here) const {
  const CallSite site(here);
  if (coarse_of_fine_.empty()) throw_logic("metrics: coarse() needs the groups of the classes; none were given");
  return part(right_coarse_, images_);
}

ClassScore Metrics::of_class(Index c, Here here) const {
  const CallSite site(here);
  if (c < 0 || c >= classes_) throw_out_of_range("metrics: a class must be in [0, {}); got {}", classes_, c);
  const auto at = static_cast<std::size_t>(c), size = static_cast<std::size_t>(classes_);
  ClassScore score;
  score.images = labels_[at];
  for (std::size_t label = 0; label < size; ++label) score.predicted += confusion_[label * size + at];
  score.right = confusion_[at * size + at];
  score.precision = part(score.right, score.predicted);
  score.recall = part(score.right, score.images);
  return score;
}

Tensor Metrics::confusion() const { return tensor(confusion_, {classes_, classes_}, {.dtype = i64}); }

std::vector<Confusion> Metrics::most_confused(std::size_t most) const {
  std::vector<Confusion> all;
  for (Index label = 0; label < classes_; ++label) {
    for (Index predicted = 0; predicted < classes_; ++predicted) {
      const Index images = confusion_[static_cast<std::size_t>(label * classes_ + predicted)];
      if (label != predicted && images > 0) all.push_back({label, predicted, images});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.images > b.images; });
  if (all.size() > most) all.resize(most);
  return all;
}

State Metrics::state() const {
  return {{{"counts", tensor(std::vector<std::int64_t>{images_, right_, right5_, right_coarse_, undecided_}, {5})},
           {"labels", tensor(labels_, {classes_})},
           {"confusion", confusion()},
           {"loss", tensor(std::vector<double>{loss_}, {1}, {.dtype = f64})}},
          {}};
}

void Metrics::load_state(const State& state, Here here) {
  const CallSite site(here);
  const auto counts = state.tensor("counts", i64, {5}).span<std::int64_t>();
  const auto labels = state.tensor("labels", i64, {classes_}).span<std::int64_t>();
  const auto confusion = state.tensor("confusion", i64, {classes_, classes_}).span<std::int64_t>();
  const double loss = state.tensor("loss", f64, {1}).data<double>()[0];
  // None above the number of images, so that no sum overflows.
  constexpr std::int64_t kMostImages = std::int64_t{1} << 40;
  if (counts[0] > kMostImages) throw_invalid("counts: must be of at most {} images; got {}", kMostImages, counts[0]);
  for (const auto& numbers : {counts, labels, confusion}) {
    for (const std::int64_t number : numbers) {
      if (number < 0) throw_invalid("counts: must be at least 0; got {}", number);
      if (number > counts[0]) throw_invalid("counts: must be at most {}, all images; got {}", counts[0], number);
    }
  }
  const auto sum = [](std::span<const std::int64_t> numbers) {
    return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{0});
  };
  if (sum(labels) != counts[0] || sum(confusion) + counts[4] != counts[0]) {
    throw_invalid("counts: must add up to the {} images; got {} by label, {} in the confusion matrix and {} undecided",
                  counts[0], sum(labels), sum(confusion), counts[4]);
  }
  images_ = counts[0];
  right_ = counts[1];
  right5_ = counts[2];
  right_coarse_ = counts[3];
  undecided_ = counts[4];
  loss_ = loss;
  labels_.assign(labels.begin(), labels.end());
  confusion_.assign(confusion.begin(), confusion.end());
}

}  // namespace tapestry::nn::train
