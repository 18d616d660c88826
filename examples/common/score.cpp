#include <common/score.h>

#include <algorithm>
#include <cmath>
#include <span>

namespace tapestry::examples {

namespace {

std::span<const float> row_of(const Tensor& logits, Index row) {
  return logits.span<float>().subspan(static_cast<std::size_t>(row * logits.size(1)),
                                      static_cast<std::size_t>(logits.size(1)));
}

/// How many classes come before `label`. Among equals the first one does; a NaN is no prediction at all.
Index rank_of(std::span<const float> logits, std::size_t label) {
  const float own = logits[label];
  if (std::isnan(own)) return static_cast<Index>(logits.size());
  Index rank = 0;
  for (std::size_t c = 0; c < logits.size(); ++c) {
    rank += logits[c] > own || (logits[c] == own && c < label) || std::isnan(logits[c]);
  }
  return rank;
}

}  // namespace

void Score::add(const Tensor& logits, const Tensor& labels, double loss) {
  const Index images = logits.size(0);
  for (Index i = 0; i < images; ++i) {
    const Index rank = rank_of(row_of(logits, i), static_cast<std::size_t>(labels.data<std::int64_t>()[i]));
    top1_ += rank < 1;
    top5_ += rank < 5;
  }
  images_ += images;
  loss_ += loss * static_cast<double>(images);
}

void note_mistakes(const Tensor& logits, const Tensor& labels, Index first, std::size_t most,
                   std::vector<Mistake>& mistakes) {
  for (Index i = 0; i < logits.size(0); ++i) {
    const std::span<const float> row = row_of(logits, i);
    const Index right = labels.data<std::int64_t>()[i];
    const auto largest = std::max_element(row.begin(), row.end());
    const Index predicted = largest - row.begin();
    if (predicted == right) continue;
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit) - static_cast<double>(*largest));
    mistakes.push_back({first + i, predicted, right, 1 / sum});
  }
  std::stable_sort(mistakes.begin(), mistakes.end(),
                   [](const Mistake& a, const Mistake& b) { return a.probability > b.probability; });
  if (mistakes.size() > most) mistakes.resize(most);
}

}  // namespace tapestry::examples
