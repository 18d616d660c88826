#include <support/expect.h>

#include <array>
#include <cmath>
#include <limits>

#include <tapestry/autograd/random.h>
#include <tapestry/nn/train/metrics.h>
#include <tapestry/ops/cast.h>

using namespace tapestry;
using namespace tapestry::test;
using train::Metrics;

BOOST_AUTO_TEST_SUITE(metrics_test)

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Index kClasses = 12;

/// Groups of three classes.
std::vector<std::uint8_t> groups() {
  std::vector<std::uint8_t> out;
  for (Index c = 0; c < kClasses; ++c) out.push_back(static_cast<std::uint8_t>(c / 3));
  return out;
}

/// Classes of a row in the order of their logits, found the slow way: the largest again and again.
std::vector<std::size_t> ranking(std::vector<double> row) {
  std::vector<std::size_t> order;
  for (std::size_t n = 0; n < row.size(); ++n) {
    std::size_t best = row.size();
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (std::isnan(row[c])) continue;  // taken already
      if (best == row.size() || row[c] > row[best]) best = c;
    }
    order.push_back(best);
    row[best] = NAN;
  }
  return order;
}

Tensor labels_of(const std::vector<std::int64_t>& labels) {
  return tensor(labels, {static_cast<Index>(labels.size())}, {.dtype = i64});
}

double part(Index of, Index all) { return all > 0 ? static_cast<double>(of) / static_cast<double>(all) : 0; }

}  // namespace

BOOST_AUTO_TEST_CASE(counts_are_those_of_a_naive_loop) {
  manual_seed(4);
  for (const Dtype dtype : {f32, f64, bf16}) {
    Metrics metrics(kClasses, groups());
    Index right = 0, right5 = 0, coarse = 0, images = 0;
    double loss = 0;
    std::vector<std::vector<Index>> confusion(kClasses, std::vector<Index>(kClasses));
    for (const Index batch : {1, 7, 64}) {
      // Few different values, so that many logits are equal.
      const Tensor logits = to(to(randint(0, 4, {batch, kClasses}), f32), dtype);
      const Tensor labels = randint(0, kClasses, {batch});
      const double batch_loss = .5 * static_cast<double>(batch);
      const Index right_before = right;
      for (Index i = 0; i < batch; ++i) {
        const auto all = values(logits);
        const auto order = ranking({all.begin() + i * kClasses, all.begin() + (i + 1) * kClasses});
        const auto label = static_cast<std::size_t>(labels.data<std::int64_t>()[i]);
        right += order[0] == label;
        for (std::size_t k = 0; k < 5; ++k) right5 += order[k] == label;
        coarse += order[0] / 3 == label / 3;
        ++confusion[label][order[0]];
      }
      images += batch;
      loss += batch_loss * static_cast<double>(batch);
      const train::BatchScore score = metrics.add(logits, labels, batch_loss);
      BOOST_TEST(score.images == batch);
      BOOST_TEST(score.loss == batch_loss);
      BOOST_TEST(score.right == right - right_before);
    }
    BOOST_TEST(metrics.images() == images);
    BOOST_TEST(metrics.right() == right);
    BOOST_TEST(metrics.top1() == part(right, images));
    BOOST_TEST(metrics.top5() == part(right5, images));
    BOOST_TEST(metrics.coarse() == part(coarse, images));
    BOOST_TEST(metrics.loss() == loss / static_cast<double>(images));
    const Tensor table = metrics.confusion();
    for (Index label = 0; label < kClasses; ++label) {
      Index of_label = 0, predicted = 0;
      for (Index other = 0; other < kClasses; ++other) {
        BOOST_TEST(table.data<std::int64_t>()[label * kClasses + other] == confusion[label][other]);
        of_label += confusion[label][other];
        predicted += confusion[other][label];
      }
      const train::ClassScore score = metrics.of_class(label);
      BOOST_TEST(score.images == of_label);
      BOOST_TEST(score.predicted == predicted);
      BOOST_TEST(score.right == confusion[label][label]);
      BOOST_TEST(score.recall == part(score.right, of_label));
      BOOST_TEST(score.precision == part(score.right, predicted));
    }
  }
}

BOOST_AUTO_TEST_CASE(no_images_are_no_division_by_zero) {
  Metrics metrics(3);
  for (const double rate : {metrics.loss(), metrics.top1(), metrics.top5()}) BOOST_TEST(rate == 0);
  BOOST_TEST(metrics.add(zeros({0, 3}), zeros({0}, {.dtype = i64}), 0).images == 0);
  BOOST_TEST(metrics.images() == 0);
}

BOOST_AUTO_TEST_CASE(a_row_with_a_nan_is_no_prediction) {
  Metrics metrics(3);
  metrics.add(tensor({{kNaN, 1.F, 0.F}, {5.F, kNaN, 0.F}, {1.F, 0.F, 0.F}}), labels_of({0, 0, 0}), 1);
  BOOST_TEST(metrics.images() == 3);
  BOOST_TEST(metrics.undecided() == 2);
  BOOST_TEST(metrics.right() == 1);
  BOOST_TEST(metrics.top5() == 1. / 3);  // of three classes each is among five
  BOOST_TEST(values(metrics.confusion())[0] == 1);
  BOOST_TEST(metrics.of_class(0).images == 3);
}

BOOST_AUTO_TEST_CASE(the_most_frequent_mistakes_come_first) {
  Metrics metrics(3);
  const auto add = [&](Index label, Index predicted, int times) {
    for (int i = 0; i < times; ++i) {
      Tensor logits = zeros({1, 3});
      logits.mutable_data<float>()[predicted] = 1;
      metrics.add(logits, labels_of({label}), 0);
    }
  };
  add(0, 0, 9);
  add(0, 2, 2);
  add(1, 0, 5);
  add(2, 1, 2);
  const auto worst = metrics.most_confused(2);
  BOOST_REQUIRE(worst.size() == 2U);
  BOOST_TEST((worst[0].label == 1 && worst[0].predicted == 0 && worst[0].images == 5));
  BOOST_TEST((worst[1].label == 0 && worst[1].predicted == 2 && worst[1].images == 2));
  BOOST_TEST(metrics.most_confused(99).size() == 3U);
}

BOOST_AUTO_TEST_CASE(bad_batches_are_refused_and_nothing_is_added) {
  Metrics metrics(3);
  const Tensor labels = labels_of({0, 3});
  BOOST_TEST(error<std::out_of_range>([&] {
               metrics.add(zeros({2, 3}), labels, 0);
             }) == "metrics: a label must be in [0, 3); got 3");
  BOOST_TEST(error<std::invalid_argument>([&] {
               metrics.add(zeros({2, 4}), labels, 0);
             }) == "metrics: logits must be f32, f64 or bf16 [N, 3]; got f32 [2, 4]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               metrics.add(zeros({2, 3}, {.dtype = i64}), labels, 0);
             }) == "metrics: logits must be f32, f64 or bf16 [N, 3]; got i64 [2, 3]");
  BOOST_TEST(error<std::invalid_argument>([&] {
               metrics.add(zeros({1, 3}), labels, 0);
             }) == "metrics: labels must be i64 [1]; got i64 [2]");
  BOOST_TEST(metrics.images() == 0);
  BOOST_TEST(metrics.of_class(0).images == 0);
  BOOST_TEST(error<std::out_of_range>([&] { (void)metrics.of_class(3); }) ==
             "metrics: a class must be in [0, 3); got 3");
  BOOST_TEST(error<std::logic_error>([&] { (void)metrics.coarse(); }) ==
             "metrics: coarse() needs the groups of the classes; none were given");
  BOOST_TEST(error<std::invalid_argument>([] { Metrics bad(0); }) == "metrics: classes must be at least 1; got 0");
  BOOST_TEST(error<std::invalid_argument>([] {
               Metrics bad(3, std::array<std::uint8_t, 2>{0, 0});
             }) == "metrics: coarse_of_fine must have an element for each of the 3 classes; got 2");
}

BOOST_AUTO_TEST_CASE(a_state_comes_back_whole_and_a_bad_one_changes_nothing) {
  manual_seed(5);
  Metrics metrics(kClasses, groups()), other(kClasses, groups());
  metrics.add(randn({40, kClasses}), randint(0, kClasses, {40}), .1);
  other.load_state(metrics.state());
  const auto same = [](const Metrics& a, const Metrics& b) {
    bool all = true;
    const train::State x = a.state(), y = b.state();
    for (std::size_t i = 0; i < x.tensors.size(); ++i) all = all && same_bits(x.tensors[i].tensor, y.tensors[i].tensor);
    return all;
  };
  BOOST_TEST(same(metrics, other));
  train::State bad = metrics.state();
  bad.tensors[0].tensor = labels_of({41, 0, 0, 0, 0});
  BOOST_TEST(error<std::invalid_argument>([&] { other.load_state(bad); }) ==
             "counts: must add up to the 41 images; got 40 by label, 40 in the confusion matrix and 0 undecided");
  BOOST_TEST(error<std::invalid_argument>([&] { other.load_state(Metrics(3).state()); }) ==
             "labels: i64 [3] there, i64 [12] here");
  BOOST_TEST(error<std::invalid_argument>([&] { other.load_state({}); }) == "counts: missing");
  BOOST_TEST(same(metrics, other));
}

BOOST_AUTO_TEST_SUITE_END()
