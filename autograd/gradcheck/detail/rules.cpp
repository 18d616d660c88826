// What must hold of any gradient, whatever its values: repeatable, linear in the seed, independent of what else is
// wanted, the sum over uses of a tensor, added to what was there.
#include <tapestry/autograd/gradcheck/detail/check.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/parallel.h>

namespace tapestry::detail {
namespace {

/// Restores the number of threads, which the whole program shares.
class ThreadsGuard {
 public:
  ThreadsGuard() : outer_(num_threads()) {}
  ~ThreadsGuard() { set_num_threads(outer_); }
  ThreadsGuard(const ThreadsGuard&) = delete;
  ThreadsGuard& operator=(const ThreadsGuard&) = delete;

 private:
  int outer_;
};

}  // namespace

void Check::check_unchanged(const std::vector<Tensor>& xs, const char* what) {
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (!same_bytes(xs[i], inputs_[i])) fail_once(fmt::format("{} changes input {}", what, input_name(i)));
  }
}

void Check::check_repeats() {
  seed_ = random_seed();
  const std::vector<Tensor> xs = leaves();
  const std::vector<Tensor> ys = run_recorded(xs);
  const Values forward = values_of(ys);
  gradient_ = sweep(ys, xs, seed_);
  scale_ = gradient_;
  const auto unsteady = [&](const char* what) {
    unsteady_ = true;
    fail(what);
  };
  if (!same_bits(evaluate(arguments()), y_)) {
    unsteady("calling it twice gives different values: seed what is random inside f");
  }
  if (!(distance(forward, y_) <= 1e-9 * largest(y_) + kExact)) fail("recording changes the values");
  if (!same_bits(sweep(ys, xs, seed_), gradient_)) {
    unsteady("playing the tape twice gives different gradients: a rule is not deterministic");
  }
  if (!same_bits(values_of(ys), forward)) fail("playing the tape changes the output");
  check_unchanged(xs, "playing the tape");
  if (order_ == 1 && !options_.allow_independent && !unsteady_) check_dependence(ys);
  if (!options_.vary_threads) return;
  const ThreadsGuard guard;
  for (const int threads : {1, 4}) {
    set_num_threads(threads);
    const std::vector<Tensor> again = leaves();
    const std::vector<Tensor> out = run_recorded(again);
    if (!same_bits(values_of(out), forward)) fail(fmt::format("the values are others on {} threads", threads));
    if (!same_bits(sweep(out, again, seed_), gradient_)) {
      fail(fmt::format("a second run, on {} threads, gives different gradients", threads));
    }
  }
}

void Check::check_seeds() {
  const std::vector<Tensor> xs = leaves();
  const std::vector<Tensor> ys = run_recorded(xs);
  const Values other = random_seed();
  Values mixed(y_.size());
  for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = 2 * seed_[i] - 3 * other[i];
  const Values of_other = sweep(ys, xs, other);
  Values expected(gradient_.size());
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = 2 * gradient_[i] - 3 * of_other[i];
  const double seed_size = 2 * largest(seed_) + 3 * largest(other) + largest(mixed);
  const double scale = 2 * largest(gradient_) + 3 * largest(of_other) + largest(expected);
  if (!(distance(sweep(ys, xs, mixed), expected) <= kExact * scale + rounding(seed_size))) {
    fail("the gradient is not linear in the seed: a rule is not linear in dy");
  }
  const Values zero = sweep(ys, xs, Values(y_.size()));
  if (std::any_of(zero.begin(), zero.end(), [](double v) { return v != 0; })) {
    fail("the seed 0 does not give the gradient 0");
  }
}

void Check::check_subsets() {
  const std::size_t n = wanted_.size();
  std::vector<std::uint64_t> masks;
  if (n <= 4) {
    for (std::uint64_t mask = 0; mask + 1 < (std::uint64_t{1} << n); ++mask) masks.push_back(mask);
  } else {
    for (std::size_t k = 0; k < std::min<std::size_t>(n, 16); ++k) masks.push_back(std::uint64_t{1} << k);
  }
  for (const std::uint64_t mask : masks) {
    const std::vector<Tensor> xs = leaves(mask);
    std::vector<Tensor> ys;
    try {
      ys = run_recorded(xs);
    } catch (const std::exception&) {
      if (needs_graph_) continue;  // f differentiates by an input that is frozen now
      throw;
    }
    const Values gradient = sweep(ys, xs, seed_);
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t i = wanted_[k];
      if ((mask >> k) & 1) {
        const Values all = part(gradient_, k);
        if (distance(part(gradient, k), all) <= rounding(largest(seed_))) continue;
        fail_once(fmt::format("the gradient of input {} is another when other inputs are frozen", input_name(i)));
      } else if (xs[i].requires_grad() || (xs[i].is_leaf() && xs[i].grad().defined())) {
        fail_once(fmt::format("input {} is frozen and gets a gradient", input_name(i)));
      }
    }
  }
}

void Check::check_aliased() {
  if (needs_graph_) return;  // what f differentiates by one of them is another function when it is the other, too
  for (std::size_t a = 0; a < wanted_.size(); ++a) {
    for (std::size_t b = a + 1; b < wanted_.size(); ++b) {
      if (inputs_[wanted_[a]].shape() != inputs_[wanted_[b]].shape()) continue;
      compare_aliased(a, b);
      return;
    }
  }
}

void Check::compare_aliased(std::size_t a, std::size_t b) {
  std::vector<Tensor> xs = leaves();
  // Both as arguments: what f reads without being given it cannot be another tensor.
  xs[wanted_[a]] = copy_of(xs[wanted_[a]]).requires_grad(true);
  xs[wanted_[b]] = copy_of(xs[wanted_[a]]).requires_grad(true);
  std::vector<Tensor> ys;
  try {
    ys = run_recorded(xs);
  } catch (const std::exception&) {
    return;  // the two may not be equal
  }
  const Values separate = sweep(ys, xs, seed_);
  const Values first = part(separate, a);
  const Values second = part(separate, b);
  Values expected(first.size());
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = first[i] + second[i];
  if (!std::isfinite(distance(expected, Values(expected.size())))) return;  // outside the domain
  xs[wanted_[b]] = xs[wanted_[a]];
  ys = run_recorded(xs);
  const Values joint = part(sweep(ys, xs, seed_), a);
  if (!(distance(joint, expected) <= kExact * (largest(first) + largest(second)) + rounding(largest(seed_)))) {
    fail(fmt::format("with the same tensor as inputs {} and {} its gradient is not the sum of both",
                     input_name(wanted_[a]), input_name(wanted_[b])));
  }
}

void Check::check_accumulation() {
  const std::vector<Tensor> xs = leaves();
  for (const std::size_t i : wanted_) xs[i].set_grad(full_like(xs[i], 0.5));
  const std::vector<Tensor> ys = run_recorded(xs);
  const std::vector<Tensor> seeds = seed_tensors(seed_);
  for (std::size_t k = 0; k < ys.size(); ++k) {
    if (ys[k].requires_grad()) backward(ys[k], {.gradient = seeds[k], .retain_graph = true});
  }
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    Values expected = part(gradient_, k);
    for (double& v : expected) v += 0.5;
    const Values sum = values_of({xs[wanted_[k]].grad()});
    if (!(distance(sum, expected) <= kExact + rounding(largest(seed_)))) {
      fail(fmt::format("the gradient of input {} is not added to the one it had", input_name(wanted_[k])));
    }
  }
}

}  // namespace tapestry::detail
