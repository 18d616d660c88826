#include <tapestry/autograd/gradcheck.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck_report.h>
#include <tapestry/autograd/node.h>
#include <tapestry/autograd/parallel.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>

namespace tapestry::detail {
namespace {

using Values = std::vector<double>;

constexpr double kUnit = 0x1p-53;     // relative rounding of an f64
constexpr double kStep = 1e-6;        // of central differences, times max(1, |x|)
constexpr double kSmoothStep = 1e-3;  // of the six-point stencil
constexpr double kExact = 1e-12;      // what differs by the order of a few additions only
constexpr int kProjections = 4;       // two of directions +-1, where one wrong entry shows whole, two of normal ones
constexpr Index kLocalised = 4096;    // input elements that are looked at one by one when a projection fails

Tensor copy_of(const Tensor& x) {
  Tensor y = empty_like(x);
  std::memcpy(y.impl().bytes(), x.impl().bytes(), static_cast<std::size_t>(x.numel() * item_bytes(x.dtype())));
  return y;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.impl().bytes(), b.impl().bytes(), static_cast<std::size_t>(a.numel() * item_bytes(a.dtype()))) ==
         0;
}

bool same_bits(const Values& a, const Values& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

double largest(const Values& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::abs(x));
  return m;
}

/// Largest |a - b|; infinite when one is not finite or their sizes differ.
double distance(const Values& a, const Values& b) {
  if (a.size() != b.size()) return INFINITY;
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i])))
      d = std::isfinite(a[i] - b[i]) ? std::max(d, std::abs(a[i] - b[i])) : INFINITY;
  }
  return d;
}

const char* order_name(int order) { return order == 1 ? "first order" : "second order"; }

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

/// One function at one point: everything is verified at first order. Order 2 is this again, for the gradients.
class Check {
 public:
  Check(const TensorFunction& f, const std::vector<Tensor>& inputs, const GradCheckOptions& options, int order)
      : f_(f),
        options_(options),
        rtol_(order == 1 ? options.rtol : 10 * options.rtol),
        order_(order),
        generator_(options.seed, 1) {
    for (const Tensor& x : inputs) {
      if (x.dtype() == f64) wanted_.push_back(inputs_.size());
      inputs_.push_back(copy_of(x));
    }
  }

  /// Runs f once, unrecorded; what f throws passes.
  void prepare() {
    const std::vector<Tensor> xs = copies();
    const std::vector<Tensor> ys = no_grad([&] { return f_(xs); });
    for (const Tensor& y : ys) {
      if (y.defined() && y.dtype() == f64) shapes_.push_back(y.shape());
    }
    y_ = values_of(select(ys));
    if (shapes_.empty()) throw_invalid("check_grads: the function must have an f64 output; it has none");
    check_unchanged(xs, "calling it");
  }

  void verify() {
    if (!std::all_of(y_.begin(), y_.end(), [](double v) { return std::isfinite(v); })) {
      fail("the output is not finite: this sample lies outside the domain");
      return;
    }
    try {
      check_repeats();
      check_seeds();
      check_subsets();
      check_aliased();
      check_accumulation();
      if (static_cast<Index>(y_.size()) * columns() <= options_.full_limit) compare_jacobian();
      else compare_projections();
      if (options_.smooth) check_taylor();
    } catch (const std::exception& e) {
      fail(fmt::format("an exception was thrown: {}", e.what()));
    }
  }

  [[nodiscard]] const std::string& failures() const { return failures_; }
  [[nodiscard]] const std::vector<Shape>& output_shapes() const { return shapes_; }
  [[nodiscard]] const std::string& op() const { return op_; }
  [[nodiscard]] std::string summary() const {
    return fmt::format("{}: {} {} agree, {} outputs by {} inputs, the largest error is {:.2g} of what is allowed\n",
                       order_name(order_), compared_, projected_ ? "projections" : "derivatives", y_.size(), columns(),
                       worst_);
  }

 private:
  // --- running f ---

  [[nodiscard]] std::vector<Tensor> copies() const {
    std::vector<Tensor> xs;
    for (const Tensor& x : inputs_) xs.push_back(copy_of(x));
    return xs;
  }

  /// Copies of which those of wanted_ whose bit is set require grad.
  [[nodiscard]] std::vector<Tensor> leaves(std::uint64_t mask = ~std::uint64_t{0}) const {
    std::vector<Tensor> xs = copies();
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      if ((mask >> std::min<std::size_t>(k, 63)) & 1) xs[wanted_[k]].requires_grad(true);
    }
    return xs;
  }

  [[nodiscard]] std::vector<Tensor> select(const std::vector<Tensor>& ys) const {
    std::vector<Tensor> chosen;
    for (const Tensor& y : ys) {
      if (y.defined() && y.dtype() == f64) chosen.push_back(y);
    }
    bool same = chosen.size() == shapes_.size();
    for (std::size_t k = 0; same && k < chosen.size(); ++k) same = chosen[k].shape() == shapes_[k];
    if (!same) throw std::runtime_error("the number or the shapes of the outputs change from call to call");
    return chosen;
  }

  [[nodiscard]] static Values values_of(const std::vector<Tensor>& ys) {
    Values v;
    for (const Tensor& y : ys) v.insert(v.end(), y.data<double>(), y.data<double>() + y.numel());
    return v;
  }

  [[nodiscard]] Values evaluate(const std::vector<Tensor>& xs) const {
    return values_of(select(no_grad([&] { return f_(xs); })));
  }

  [[nodiscard]] std::vector<Tensor> run_recorded(const std::vector<Tensor>& xs) {
    const EnableGradGuard guard;
    std::vector<Tensor> ys = select(f_(xs));
    for (const Tensor& y : ys) {
      if (op_.empty() && y.requires_grad()) {
        const Node& node = *y.impl().node;
        op_ = node.name;
        if (const std::string where = to_string(node.where); !where.empty()) op_ += " at " + where;
      }
    }
    return ys;
  }

  /// One tensor per output that holds its part of the seed.
  [[nodiscard]] std::vector<Tensor> seed_tensors(const Values& seed) const {
    std::vector<Tensor> tensors;
    std::size_t at = 0;
    for (const Shape& shape : shapes_) {
      const auto n = static_cast<std::size_t>(shape.numel());
      tensors.push_back(tensor(std::span<const double>(seed).subspan(at, n), shape, {.dtype = f64}));
      at += n;
    }
    return tensors;
  }

  /// Gradients of all of wanted_, one after the other; zeros for those without.
  [[nodiscard]] Values sweep(const std::vector<Tensor>& ys, const std::vector<Tensor>& xs, const Values& seed) {
    std::vector<Tensor> outputs, seeds, targets;
    const std::vector<Tensor> all_seeds = seed_tensors(seed);
    for (std::size_t k = 0; k < ys.size(); ++k) {
      if (!ys[k].requires_grad()) continue;
      outputs.push_back(ys[k]);
      seeds.push_back(copy_of(all_seeds[k]));
    }
    for (const std::size_t i : wanted_) {
      if (xs[i].requires_grad()) targets.push_back(xs[i]);
    }
    std::vector<Tensor> gradients(targets.size());
    if (!outputs.empty() && !targets.empty()) {
      gradients = grad(outputs, targets, {.grad_outputs = seeds, .retain_graph = true, .allow_unused = true});
    }
    std::size_t at = 0;
    for (std::size_t k = 0; k < ys.size(); ++k) {
      if (ys[k].requires_grad() && !same_bytes(seeds[at++], all_seeds[k])) fail_once("a rule writes into its dy");
    }
    Values v;
    at = 0;
    for (const std::size_t i : wanted_) {
      const Tensor& g = xs[i].requires_grad() ? gradients[at++] : Tensor();
      if (g.defined()) v.insert(v.end(), g.data<double>(), g.data<double>() + g.numel());
      else v.resize(v.size() + static_cast<std::size_t>(inputs_[i].numel()));
    }
    return v;
  }

  [[nodiscard]] Values random_seed() {
    Values seed(y_.size());
    for (double& s : seed) s = generator_.uniform(0.5, 1.5) * (generator_.uniform() < 0.5 ? -1 : 1);
    return seed;
  }

  [[nodiscard]] Index columns() const {
    Index n = 0;
    for (const std::size_t i : wanted_) n += inputs_[i].numel();
    return n;
  }

  /// The part of a gradient that belongs to wanted_[k].
  [[nodiscard]] Values part(const Values& gradient, std::size_t k) const {
    std::ptrdiff_t begin = 0;
    for (std::size_t j = 0; j < k; ++j) begin += inputs_[wanted_[j]].numel();
    return {gradient.begin() + begin, gradient.begin() + begin + inputs_[wanted_[k]].numel()};
  }

  // --- what else must hold ---

  void check_unchanged(const std::vector<Tensor>& xs, const char* what) {
    for (std::size_t i = 0; i < xs.size(); ++i) {
      if (!same_bytes(xs[i], inputs_[i])) fail_once(fmt::format("{} changes input {}", what, i));
    }
  }

  void check_repeats() {
    seed_ = random_seed();
    const std::vector<Tensor> xs = leaves();
    const std::vector<Tensor> ys = run_recorded(xs);
    const Values forward = values_of(ys);
    gradient_ = sweep(ys, xs, seed_);
    if (!same_bits(evaluate(copies()), y_))
      fail("calling it twice gives different values: seed what is random inside f");
    if (!(distance(forward, y_) <= 1e-9 * largest(y_))) fail("recording changes the values");
    if (!same_bits(sweep(ys, xs, seed_), gradient_)) fail("playing the tape twice gives different gradients");
    if (!same_bits(values_of(ys), forward)) fail("playing the tape changes the output");
    check_unchanged(xs, "playing the tape");
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

  void check_seeds() {
    const std::vector<Tensor> xs = leaves();
    const std::vector<Tensor> ys = run_recorded(xs);
    const Values other = random_seed();
    Values mixed(y_.size());
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = 2 * seed_[i] - 3 * other[i];
    const Values of_other = sweep(ys, xs, other);
    Values expected(gradient_.size());
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = 2 * gradient_[i] - 3 * of_other[i];
    const double scale = 2 * largest(gradient_) + 3 * largest(of_other) + largest(expected);
    if (!(distance(sweep(ys, xs, mixed), expected) <= 10 * kExact * scale)) {
      fail("the gradient is not linear in the seed: a rule is not linear in dy");
    }
    const Values zero = sweep(ys, xs, Values(y_.size()));
    if (std::any_of(zero.begin(), zero.end(), [](double v) { return v != 0; })) {
      fail("the seed 0 does not give the gradient 0");
    }
  }

  void check_subsets() {
    const std::size_t n = wanted_.size();
    std::vector<std::uint64_t> masks;
    if (n <= 4) {
      for (std::uint64_t mask = 0; mask + 1 < (std::uint64_t{1} << n); ++mask) masks.push_back(mask);
    } else {
      for (std::size_t k = 0; k < std::min<std::size_t>(n, 16); ++k) masks.push_back(std::uint64_t{1} << k);
    }
    for (const std::uint64_t mask : masks) {
      const std::vector<Tensor> xs = leaves(mask);
      const std::vector<Tensor> ys = run_recorded(xs);
      const Values gradient = sweep(ys, xs, seed_);
      for (std::size_t k = 0; k < n; ++k) {
        const std::size_t i = wanted_[k];
        if ((mask >> k) & 1) {
          const Values all = part(gradient_, k);
          if (distance(part(gradient, k), all) <= kExact * (largest(all) + largest(gradient_))) continue;
          fail_once(fmt::format("the gradient of input {} is another when other inputs are frozen", i));
        } else if (xs[i].requires_grad() || xs[i].grad().defined()) {
          fail_once(fmt::format("input {} is frozen and gets a gradient", i));
        }
      }
    }
  }

  /// f(x, x), for the first pair of inputs of equal shape.
  void check_aliased() {
    for (std::size_t a = 0; a < wanted_.size(); ++a) {
      for (std::size_t b = a + 1; b < wanted_.size(); ++b) {
        if (inputs_[wanted_[a]].shape() != inputs_[wanted_[b]].shape()) continue;
        compare_aliased(a, b);
        return;
      }
    }
  }

  void compare_aliased(std::size_t a, std::size_t b) {
    std::vector<Tensor> xs = leaves();
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
    if (!(distance(joint, expected) <= kExact * (largest(first) + largest(second)))) {
      fail(fmt::format("with the same tensor as inputs {} and {} its gradient is not the sum of both", wanted_[a],
                       wanted_[b]));
    }
  }

  void check_accumulation() {
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
      if (!(distance(sum, expected) <= kExact * (1 + largest(gradient_)))) {
        fail(fmt::format("the gradient of input {} is not added to the one it had", wanted_[k]));
      }
    }
  }

  // --- differences ---

  /// x with element e moved by t.
  [[nodiscard]] Values moved(std::size_t input, Index e, double t) {
    if (probe_.empty()) probe_ = copies();
    double* at = reinterpret_cast<double*>(probe_[input].impl().bytes()) + e;
    const double x = *at;
    *at = x + t;
    Values y = evaluate(probe_);
    *at = x;
    return y;
  }

  /// Central differences of all outputs by one input element.
  [[nodiscard]] Values difference(std::size_t input, Index e, double h) {
    const double x = inputs_[input].data<double>()[e];
    const Values above = moved(input, e, h);
    Values slope = moved(input, e, -h);
    const double width = (x + h) - (x - h);  // what the step has become in f64
    for (std::size_t r = 0; r < slope.size(); ++r) slope[r] = (above[r] - slope[r]) / width;
    return slope;
  }

  /// The same from six points; the error is of order h^6.
  [[nodiscard]] Values smooth_difference(std::size_t input, Index e) {
    constexpr double h = kSmoothStep;
    const Values one = difference(input, e, h);
    const Values two = difference(input, e, 2 * h);
    Values slope = difference(input, e, 3 * h);
    for (std::size_t r = 0; r < slope.size(); ++r) slope[r] = 1.5 * one[r] - 0.6 * two[r] + 0.1 * slope[r];
    return slope;
  }

  [[nodiscard]] static double dot(const Values& a, const Values& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }

  [[nodiscard]] static double step_at(double x) { return kStep * std::max(1.0, std::abs(x)); }

  [[nodiscard]] double allowed(double a, double n, double h, double magnitude) const {
    const double rtol = options_.smooth ? std::min(rtol_, 1e-9) : rtol_;
    const double atol = options_.smooth ? std::min(options_.atol, 1e-10) : options_.atol;
    return atol + 20 * kUnit * magnitude / (options_.smooth ? kSmoothStep : h) +
           rtol * std::max(std::abs(a), std::abs(n));
  }

  /// Compares one column of a block with what differences give. `rows` turns all outputs into the block's rows.
  template <class Rows>
  void compare_column(JacobianBlock& block, Index column, double magnitude, const Rows& rows) {
    const double h = step_at(inputs_[block.input].data<double>()[column]);
    const Values numeric =
        rows(options_.smooth ? smooth_difference(block.input, column) : difference(block.input, column, h));
    std::optional<Values> refined, half;
    for (Index r = 0; r < block.rows; ++r) {
      const std::size_t at = block.at(r, column);
      const double a = block.analytic[at];
      const double n = block.numeric[at] = numeric[static_cast<std::size_t>(r)];
      const double tolerance = allowed(a, n, h, magnitude);
      ++compared_;
      if (std::abs(a - n) <= tolerance) {
        worst_ = std::max(worst_, std::abs(a - n) / tolerance);
        continue;
      }
      if (!refined) refined = rows(smooth_difference(block.input, column));
      const double better = (*refined)[static_cast<std::size_t>(r)];
      if (std::abs(a - better) <= allowed(a, better, h, magnitude)) {
        block.numeric[at] = better;
        continue;
      }
      if (!half) half = rows(difference(block.input, column, h / 2));
      block.bad.push_back({r, column, (*half)[static_cast<std::size_t>(r)], tolerance});
    }
  }

  void compare_jacobian() {
    const std::vector<Tensor> xs = leaves();
    const std::vector<Tensor> ys = run_recorded(xs);
    std::vector<Values> rows;
    for (std::size_t r = 0; r < y_.size(); ++r) {
      Values seed(y_.size());
      seed[r] = 1;
      rows.push_back(sweep(ys, xs, seed));
    }
    std::size_t begin = 0;
    for (std::size_t o = 0; o < shapes_.size(); ++o) {
      const auto height = static_cast<std::size_t>(shapes_[o].numel());
      const Values mine(y_.begin() + static_cast<std::ptrdiff_t>(begin),
                        y_.begin() + static_cast<std::ptrdiff_t>(begin + height));
      for (std::size_t k = 0; k < wanted_.size(); ++k) {
        JacobianBlock block = new_block(o, k, shapes_[o].numel());
        for (std::size_t r = 0; r < height; ++r) {
          const Values row = part(rows[begin + r], k);
          std::copy(row.begin(), row.end(),
                    block.analytic.begin() + static_cast<std::ptrdiff_t>(block.at(static_cast<Index>(r), 0)));
        }
        for (Index c = 0; c < block.columns; ++c) {
          compare_column(block, c, largest(mine), [&](const Values& all) {
            return Values(all.begin() + static_cast<std::ptrdiff_t>(begin),
                          all.begin() + static_cast<std::ptrdiff_t>(begin + height));
          });
        }
        if (!block.bad.empty()) fail_block(block);
      }
      begin += height;
    }
  }

  [[nodiscard]] JacobianBlock new_block(std::size_t output, std::size_t k, Index rows) const {
    JacobianBlock block;
    block.output = output;
    block.input = wanted_[k];
    block.output_shape = shapes_[output];
    block.input_shape = inputs_[wanted_[k]].shape();
    block.rows = rows;
    block.columns = inputs_[wanted_[k]].numel();
    block.analytic.resize(static_cast<std::size_t>(rows * block.columns));
    block.numeric.resize(block.analytic.size());
    return block;
  }

  /// v^T J u for random v and u, per input; where one is wrong, v^T J element by element.
  void compare_projections() {
    projected_ = true;
    const std::vector<Tensor> xs = leaves();
    const std::vector<Tensor> ys = run_recorded(xs);
    for (int p = 0; p < kProjections; ++p) {
      const auto draw = [&] { return p < 2 ? (generator_.uniform() < 0.5 ? -1.0 : 1.0) : generator_.normal(); };
      Values v(y_.size());
      for (double& e : v) e = draw();
      const Values gradient = sweep(ys, xs, v);
      const double magnitude = largest(y_) * largest(v) * std::sqrt(static_cast<double>(y_.size()));
      for (std::size_t k = 0; k < wanted_.size(); ++k) {
        const Tensor& x = inputs_[wanted_[k]];
        Values u(static_cast<std::size_t>(x.numel()));
        for (double& e : u) e = draw();
        ++compared_;
        if (!projection_agrees(k, v, u, part(gradient, k), magnitude)) localise(k, v, part(gradient, k), magnitude);
      }
      if (!failures_.empty()) return;
    }
  }

  [[nodiscard]] bool projection_agrees(std::size_t k, const Values& v, const Values& u, const Values& gradient,
                                       double magnitude) {
    const Tensor& x = inputs_[wanted_[k]];
    const double* at = x.data<double>();
    for (const double h : {kStep, kSmoothStep / 10}) {  // the longer step where rounding swamps the shorter
      Values width(u.size());
      const auto step = [&](double sign) {
        std::vector<Tensor> moved_xs = copies();
        auto* out = reinterpret_cast<double*>(moved_xs[wanted_[k]].impl().bytes());
        for (std::size_t i = 0; i < u.size(); ++i) {
          out[i] = at[i] + sign * h * std::max(1.0, std::abs(at[i])) * u[i];
          width[i] += sign * out[i];
        }
        return dot(v, evaluate(moved_xs));
      };
      const double numeric = (step(1) - step(-1)) / h;
      const double analytic = dot(gradient, width) / h;
      const double tolerance =
          2 * (options_.atol * std::sqrt(static_cast<double>(u.size())) + 20 * kUnit * magnitude / h +
               std::max(rtol_, 1e-6) * std::max(std::abs(analytic), std::abs(numeric)));
      if (std::abs(analytic - numeric) <= tolerance) {
        worst_ = std::max(worst_, std::abs(analytic - numeric) / tolerance);
        return true;
      }
    }
    return false;
  }

  void localise(std::size_t k, const Values& v, const Values& gradient, double magnitude) {
    JacobianBlock block = new_block(0, k, 1);
    block.projected = true;
    block.columns = std::min(block.columns, kLocalised);
    block.analytic.assign(gradient.begin(), gradient.begin() + block.columns);
    block.numeric.resize(block.analytic.size());
    for (Index c = 0; c < block.columns; ++c) {
      compare_column(block, c, magnitude, [&](const Values& all) { return Values{dot(v, all)}; });
    }
    if (!block.bad.empty()) fail_block(block);
    else
      fail(fmt::format("a random projection of the gradient of input {} differs, beyond its first {} elements",
                       wanted_[k], block.columns));
  }

  /// |f(x + hv) - f(x) - h g.v| shrinks at least with h^2, down to rounding.
  void check_taylor() {
    std::vector<Values> direction;
    double slope = 0;
    for (std::size_t k = 0; k < wanted_.size(); ++k) {
      Values u(static_cast<std::size_t>(inputs_[wanted_[k]].numel()));
      for (double& e : u) e = generator_.uniform(-1, 1);
      slope += dot(part(gradient_, k), u);
      direction.push_back(std::move(u));
    }
    const double f0 = dot(seed_, y_);
    const double rounding = 100 * kUnit * (largest(y_) * static_cast<double>(y_.size()) + std::abs(slope));
    double before = 0;
    for (int e = 9; e <= 16; ++e) {
      const double h = std::ldexp(1.0, -e);
      std::vector<Tensor> xs = copies();
      for (std::size_t k = 0; k < wanted_.size(); ++k) {
        auto* out = reinterpret_cast<double*>(xs[wanted_[k]].impl().bytes());
        for (std::size_t i = 0; i < direction[k].size(); ++i) out[i] += h * direction[k][i];
      }
      const double rest = std::abs(dot(seed_, evaluate(xs)) - f0 - h * slope);
      if (e > 11 && rest > rounding && !(rest <= before * std::exp2(-1.9))) {
        fail(fmt::format(
            "Taylor test: the remainder falls from {:.3g} to {:.3g} when the step is halved to 2^-{}; it must "
            "fall to a quarter",
            before, rest, e));
        return;
      }
      before = rest;
    }
  }

  // --- the report ---

  void fail(const std::string& what) { failures_ += "  " + what + "\n"; }
  void fail_once(const std::string& what) {
    if (failures_.find(what) == std::string::npos) fail(what);
  }
  void fail_block(const JacobianBlock& block) { failures_ += describe(block); }

  const TensorFunction& f_;
  const GradCheckOptions& options_;
  const double rtol_;
  const int order_;
  Generator generator_;
  std::vector<Tensor> inputs_, probe_;
  std::vector<std::size_t> wanted_;  ///< the f64 inputs
  std::vector<Shape> shapes_;        ///< of the f64 outputs
  Values y_;                         ///< their values, one after the other
  Values seed_, gradient_;
  std::string op_, failures_;
  std::size_t compared_ = 0;
  double worst_ = 0;
  bool projected_ = false;
};

/// F(x, v) = v^T J(x): the gradients of f by its f64 inputs, as a function of all inputs and then the seeds.
TensorFunction gradient_function(const TensorFunction& f, std::size_t inputs) {
  return [&f, inputs](const std::vector<Tensor>& xv) {
    const bool create_graph = is_grad_enabled();
    const EnableGradGuard guard;
    std::vector<Tensor> x(xv.begin(), xv.begin() + static_cast<std::ptrdiff_t>(inputs)), targets;
    for (Tensor& t : x) {
      if (t.dtype() != f64) continue;
      // A tensor of its own for every input, so that f(x, x) has two gradients and not twice their sum.
      if (t.requires_grad()) t = record("input", t.detach(), wrt(t, [](const Tensor& dy) { return dy; }));
      else t = t.detach().requires_grad(true);
      targets.push_back(t);
    }
    std::vector<Tensor> outputs, seeds;
    auto seed = xv.begin() + static_cast<std::ptrdiff_t>(inputs);
    for (const Tensor& y : f(x)) {
      if (!y.defined() || y.dtype() != f64) continue;
      if (y.requires_grad()) {
        outputs.push_back(y);
        seeds.push_back(*seed);
      }
      ++seed;
    }
    std::vector<Tensor> gradients(targets.size());
    if (!outputs.empty()) {
      gradients = grad(outputs, targets, {.grad_outputs = seeds, .create_graph = create_graph, .allow_unused = true});
    }
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      if (!gradients[k].defined()) gradients[k] = zeros_like(targets[k]);
    }
    return gradients;
  };
}

void check_arguments(const std::vector<Tensor>& inputs, const GradCheckOptions& options) {
  if (options.order != 1 && options.order != 2) {
    throw_invalid("check_grads: .order must be 1 or 2; got {}", options.order);
  }
  if (!(options.rtol > 0 && options.atol >= 0)) {
    throw_invalid("check_grads: .rtol must be positive and .atol not negative; got {} and {}", options.rtol,
                  options.atol);
  }
  bool any = false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined()) throw_invalid("check_grads: every input must be defined; input {} is not", i);
    const Dtype dtype = inputs[i].dtype();
    if (is_float(dtype) && dtype != f64) {
      throw_invalid("check_grads: float inputs must be f64, since differences lose half the digits; input {} is {}", i,
                    dtype);
    }
    any |= dtype == f64;
  }
  if (!any) throw_invalid("check_grads: there must be an f64 input to differentiate by; got none");
}

std::string heading(const std::string& op, int order, const GradCheckOptions& options) {
  return fmt::format("gradient check failed: {}, {} (f64, seed {}, {} threads)\n", op.empty() ? "the function" : op,
                     order_name(order), options.seed, num_threads());
}

}  // namespace

GradReport check_gradients(const TensorFunction& f, const std::vector<Tensor>& inputs,
                           const GradCheckOptions& options) {
  check_arguments(inputs, options);
  Check first(f, inputs, options, 1);
  first.prepare();
  first.verify();
  if (!first.failures().empty()) return {false, heading(first.op(), 1, options) + first.failures()};
  if (options.order == 1) return {true, first.summary()};

  const TensorFunction gradients = gradient_function(f, inputs.size());
  std::vector<Tensor> point = inputs;
  Generator generator(options.seed, 2);
  for (const Shape& shape : first.output_shapes()) {
    point.push_back(uniform(shape, 0.5, 1.5, {.dtype = f64, .generator = &generator}));
  }
  Check second(gradients, point, options, 2);
  second.prepare();
  second.verify();
  if (second.failures().empty()) return {true, first.summary() + second.summary()};
  return {false, heading(first.op(), 2, options) +
                     "  (of the gradients, with respect to the inputs and then the seeds)\n" + second.failures()};
}

void throw_wrong_count(std::size_t got) {
  throw_invalid("check_grads: the function must take as many tensors as there are inputs; it cannot take {}", got);
}

}  // namespace tapestry::detail
