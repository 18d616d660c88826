// Plants faults in gradient and tangent rules and asks check_grads, as it ships, whether it sees them; and asks it
// about right rules with thousands of samples, where it must be silent. The faults are generated: for every row of the
// op table, every gradient that a rule sends in a sweep of first or second order, and every tangent that an op makes,
// in every way of going wrong that its shape allows (gradcheck_mutations/faults.h); and every input that a rule may
// have saved, kept stale or as a constant.
//
// A fault that changes no first and no second derivative of the row is equivalent, and not counted: that is found out
// by comparing derivatives with those of the right rule, without check_grads.
//
// TAPESTRY_OPS="exp log" in the environment takes the rows of these ops alone.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cross_entropy.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

#include "campaigns/campaign.h"
#include "campaigns/gradcheck_mutations/faults.h"
#include "support/op_table.h"

namespace {

using namespace tapestry;
using namespace tapestry::mutations;
using test::OpSpec;
using Function = std::function<Tensor(const std::vector<Tensor>&)>;

constexpr double kSame = 1e-12;  // of derivatives that are equal but for the order of additions
// What check_grads allows at order 2 by default, ten times .rtol and some: a part in 100,000 of a term that is a tenth
// of a derivative, such as what the mean adds to that of a variance, is less.
constexpr double kAllowed = 2e-6;

std::vector<Tensor> samples(const OpSpec& spec, std::uint64_t seed) {
  Generator generator(seed, 5);
  return spec.inputs(generator);
}

GradReport checked(const Function& f, const std::vector<Tensor>& inputs, std::uint64_t seed) {
  return gradient_report(f, inputs, {.order = 2, .seed = seed});
}

// --- which faults are none

/// All elements; a 0 for a gradient that there is none of.
std::vector<double> elements_of(const std::vector<Tensor>& all) {
  std::vector<double> values;
  for (const Tensor& t : all) {
    if (t.defined()) values.insert(values.end(), t.data<double>(), t.data<double>() + t.numel());
    else values.push_back(0);
  }
  return values;
}

/// First derivatives for a random seed, and second ones for random weights of these, by inputs and seed.
std::vector<double> derivatives(const Function& f, const std::vector<Tensor>& inputs) {
  Generator g(17, 6);
  std::vector<Tensor> xs, targets;
  for (const Tensor& x : inputs) {
    xs.push_back(x.detach());
    if (x.dtype() == f64) targets.push_back(xs.back().requires_grad(true));
  }
  const auto random_like = [&](const Tensor& x) { return randn(x.shape(), {.dtype = f64, .generator = &g}); };
  const Tensor y = f(xs);
  targets.push_back(random_like(y).requires_grad(true));
  std::vector<Tensor> first = grad({y}, {targets.begin(), targets.end() - 1},
                                   {.grad_outputs = {targets.back()}, .create_graph = true, .allow_unused = true});
  std::vector<Tensor> reached, weights;
  for (const Tensor& t : first) {
    if (!t.defined() || !t.requires_grad()) continue;
    reached.push_back(t);
    weights.push_back(random_like(t));
  }
  std::vector<Tensor> all = first;
  if (!reached.empty()) {
    const std::vector<Tensor> second = grad(reached, targets, {.grad_outputs = weights, .allow_unused = true});
    all.insert(all.end(), second.begin(), second.end());
  }
  return elements_of(all);
}

/// The same in forward mode: the tangent for random directions, its gradients, and the tangents of the gradients.
std::vector<double> forward_derivatives(const Function& f, const std::vector<Tensor>& inputs) {
  Generator g(18, 6);
  const auto random_like = [&](const Tensor& x) { return randn(x.shape(), {.dtype = f64, .generator = &g}); };
  std::vector<Tensor> leaves, directions;
  for (const Tensor& x : inputs) {
    if (x.dtype() != f64) continue;
    leaves.push_back(x.detach().requires_grad(true));
    directions.push_back(random_like(x));
  }
  const ListFunction of_floats = [&](const std::vector<Tensor>& floats) {
    std::vector<Tensor> all = inputs;
    std::size_t at = 0;
    for (Tensor& x : all) {
      if (x.dtype() == f64) x = floats[at++];
    }
    return f(all);
  };
  const Tensor tangent = jvp(of_floats, leaves, directions, {.create_graph = true});
  const Tensor weights = random_like(tangent);
  std::vector<Tensor> all{tangent};
  if (tangent.requires_grad()) {
    const std::vector<Tensor> slopes = grad({tangent}, leaves, {.grad_outputs = {weights}, .allow_unused = true});
    all.insert(all.end(), slopes.begin(), slopes.end());
  }
  const MapFunction gradients = [&](const std::vector<Tensor>& at) {
    return vjp(of_floats, at, weights, {.create_graph = true});
  };
  const std::vector<Tensor> products = jvp(gradients, leaves, directions);
  all.insert(all.end(), products.begin(), products.end());
  return elements_of(all);
}

bool differ(const std::vector<double>& a, const std::vector<double>& b) {
  double scale = 1;
  for (const double v : b) scale = std::max(scale, std::abs(v));
  const auto near = [scale](double x, double y) { return std::abs(x - y) <= kSame * scale; };
  return !std::equal(a.begin(), a.end(), b.begin(), b.end(), near);
}

// --- the faults of one row

struct Mutant {
  std::string name;
  Site site{};
  Fault fault{};
  Kind kind = Kind::value;
  Function f{};  ///< the row's function with the fault inside; empty where it is planted at a site
};

/// f with right values, whose rules see input j as `changed` leaves it: as if they had saved another tensor.
Function stale(const Function& f, std::size_t j, const std::function<Tensor(const Tensor&)>& changed) {
  return [=](const std::vector<Tensor>& xs) {
    Tensor y = no_grad([&] { return f(xs); });
    return record_joint("stale", std::move(y), xs, [=](const Tensor& dy, const std::vector<bool>& wanted) {
      const bool create_graph = is_grad_enabled();
      const EnableGradGuard guard;
      std::vector<Tensor> seen, targets, gradients(xs.size());
      for (std::size_t i = 0; i < xs.size(); ++i) {
        Tensor x = i == j ? changed(xs[i]) : xs[i];
        if (x.dtype() == f64) {
          if (x.requires_grad()) x = record("input", x.detach(), wrt(x, [](const Tensor& d) { return d; }));
          else x = x.detach().requires_grad(true);
          if (wanted[i]) targets.push_back(x);
        }
        seen.push_back(x);
      }
      const std::vector<Tensor> found =
          grad({f(seen)}, targets, {.grad_outputs = {dy}, .create_graph = create_graph, .allow_unused = true});
      std::size_t at = 0;
      for (std::size_t i = 0; i < xs.size(); ++i) {
        if (wanted[i]) gradients[i] = found[at++];
      }
      return gradients;
    });
  };
}

std::vector<Mutant> mutants_of(const OpSpec& spec, const std::vector<Tensor>& inputs) {
  std::vector<Mutant> mutants;
  std::set<Site> sites;
  {
    const Recorder recorder;
    (void)derivatives(spec.f, inputs);
    (void)forward_derivatives(spec.f, inputs);
    sites = recorder.sites();
  }
  for (const Site& site : sites) {
    const std::vector<Fault> faults = faults_for(site.shape);
    for (const Fault& fault : faults) mutants.push_back({site.name + ": " + fault.name, site, fault});
    for (const Fault& fault : faults) {
      mutants.push_back({site.name + ": second order only: " + fault.name, site, fault, Kind::derivative});
    }
    if (!faults.empty()) mutants.push_back({site.name + ": not linear", site, faults.front(), Kind::nonlinear});
  }
  for (std::size_t j = 0; j < inputs.size(); ++j) {
    if (inputs[j].dtype() != f64) continue;
    const Index n = inputs[j].numel();
    const std::string name = fmt::format("saved input {}: ", j);
    const auto add = [&](const char* what, const std::function<Tensor(const Tensor&)>& changed) {
      mutants.push_back({.name = name + what, .f = stale(spec.f, j, changed)});
    };
    add("stale", [](const Tensor& x) { return 1.01 * x; });
    add("kept as a constant", [](const Tensor& x) { return x.detach(); });
    if (n > 1) {
      add("reversed", [n](const Tensor& x) { return reshape(flip(reshape(x, {n}), {0}), x.shape()); });
      add("its first element stale", [n](const Tensor& x) {
        Tensor mask = ones({n}, {.dtype = f64});
        mask.mutable_data<double>()[0] = 1.01;
        return x * reshape(mask, x.shape());
      });
    }
  }
  return mutants;
}

// --- the campaign

struct Tally {
  std::int64_t seeded = 0, caught = 0, equivalent = 0;
  std::int64_t allowed = 0;  ///< of the seeded: not caught, and changing derivatives by less than the tolerance
};

/// The seed of a sample in which the fault changes a derivative; none of two when it is equivalent. A relu is blind for
/// what happens below zero: another sample lies above.
std::optional<std::uint64_t> visible_in(const OpSpec& spec, const Mutant& mutant, std::uint64_t seed) {
  for (const std::uint64_t s : {seed, seed + 1}) {
    const std::vector<Tensor> inputs = samples(spec, s);
    const auto look = mutant.site.is_tangent ? forward_derivatives : derivatives;
    const std::vector<double> right = look(spec.f, inputs);
    try {
      if (mutant.f) {
        if (differ(look(mutant.f, inputs), right)) return s;
      } else {
        const Planted planted(mutant.site, mutant.fault, mutant.kind);
        if (differ(look(spec.f, inputs), right)) return s;
      }
    } catch (const std::exception&) {
      return s;
    }
  }
  return std::nullopt;
}

/// The largest change of a derivative, relative to the largest derivative, or to 1.
double change_by(const OpSpec& spec, const Mutant& mutant, std::uint64_t seed) {
  const std::vector<Tensor> inputs = samples(spec, seed);
  const auto look = mutant.site.is_tangent ? forward_derivatives : derivatives;
  const std::vector<double> right = look(spec.f, inputs);
  std::vector<double> wrong;
  try {
    const std::unique_ptr<Planted> planted =
        mutant.f ? nullptr : std::make_unique<Planted>(mutant.site, mutant.fault, mutant.kind);
    wrong = look(mutant.f ? mutant.f : spec.f, inputs);
  } catch (const std::exception&) {
    return INFINITY;
  }
  if (wrong.size() != right.size()) return INFINITY;
  double change = 0, scale = 1;
  for (std::size_t i = 0; i < right.size(); ++i) {
    if (!(std::abs(wrong[i] - right[i]) <= change)) change = std::abs(wrong[i] - right[i]);
    scale = std::max(scale, std::abs(right[i]));
  }
  return change / scale;
}

bool is_caught(const OpSpec& spec, const Mutant& mutant, std::uint64_t seed) {
  const std::vector<Tensor> inputs = samples(spec, seed);
  if (mutant.f) return !checked(mutant.f, inputs, seed).ok;
  const Planted planted(mutant.site, mutant.fault, mutant.kind);
  return !checked(spec.f, inputs, seed).ok;
}

std::vector<OpSpec> rows_to_walk() {
  const char* const named = std::getenv("TAPESTRY_OPS");
  if (named == nullptr) return test::op_table();
  std::istringstream words(named);
  const std::set<std::string> ops{std::istream_iterator<std::string>(words), {}};
  std::vector<OpSpec> rows;
  std::copy_if(test::op_table().begin(), test::op_table().end(), std::back_inserter(rows),
               [&](const OpSpec& spec) { return ops.contains(spec.op); });
  return rows;
}

std::string label(const OpSpec& spec) {
  return spec.variant.empty() ? spec.op : fmt::format("{} ({})", spec.op, spec.variant);
}

void plant_faults(campaign::Campaign& campaign, const std::vector<OpSpec>& rows) {
  std::vector<std::pair<const OpSpec*, Mutant>> mutants;
  for (const OpSpec& spec : rows) {
    for (Mutant& mutant : mutants_of(spec, samples(spec, campaign.seed())))
      mutants.emplace_back(&spec, std::move(mutant));
  }
  // The short form takes some of each row and kind: a stride that divides no regular pattern.
  const std::size_t stride = campaign.brief() ? std::max<std::size_t>(1, mutants.size() / 600) | 1 : 1;
  std::map<std::string, Tally> ops;
  Tally all;
  campaign.begin("faults", static_cast<std::int64_t>((mutants.size() + stride - 1) / stride));
  for (std::size_t i = campaign.seed() % stride; i < mutants.size(); i += stride) {
    const auto& [spec, mutant] = mutants[i];
    Tally tally;
    if (const auto sample = visible_in(*spec, mutant, campaign.seed()); !sample) tally.equivalent = 1;
    else tally = {.seeded = 1, .caught = is_caught(*spec, mutant, *sample)};
    if (tally.caught < tally.seeded && change_by(*spec, mutant, campaign.seed()) <= kAllowed) tally.allowed = 1;
    if (tally.caught + tally.allowed < tally.seeded)
      campaign.failure(fmt::format("survived: {}: {}", label(*spec), mutant.name));
    for (Tally* sum : {&ops[spec->op], &all}) {
      sum->seeded += tally.seeded;
      sum->caught += tally.caught;
      sum->equivalent += tally.equivalent;
      sum->allowed += tally.allowed;
    }
    campaign.step();
  }
  campaign.end();
  const auto report = [&](const std::string& what, const Tally& t) {
    std::string figures = fmt::format("{} of {} caught, {} more are equivalent", t.caught, t.seeded, t.equivalent);
    if (t.allowed > 0) figures += fmt::format("; {} lie below the tolerance", t.allowed);
    campaign.row(what, t.seeded + t.equivalent, t.seeded - t.caught - t.allowed, figures);
  };
  if (!campaign.brief()) {
    for (const auto& [op, tally] : ops) report(op, tally);
  }
  report("faults", all);
}

// --- right rules

/// Functions that cancel, saturate or bend, with samples that nothing keeps away from there.
std::vector<OpSpec> hard_rows() {
  const auto normal_of = [](std::vector<Shape> shapes) {
    return [shapes = std::move(shapes)](Generator& g) {
      std::vector<Tensor> xs;
      for (const Shape& shape : shapes) xs.push_back(randn(shape, {.dtype = f64, .generator = &g}));
      return xs;
    };
  };
  using In = const std::vector<Tensor>&;
  return {
      {.op = "a / b", .variant = "normal", .inputs = normal_of({{3, 2}, {2}}), .f = [](In x) { return x[0] / x[1]; }},
      {.op = "log(x x)",
       .variant = "normal",
       .inputs = normal_of({{2, 3}}),
       .f = [](In x) { return log(x[0] * x[0]); }},
      {.op = "cross_entropy",
       .variant = "saturated",
       .inputs = normal_of({{3, 4}}),
       .f =
           [](In x) {
             return cross_entropy(40 * x[0], tensor({0, 1, 3}));
           }},
      {.op = "a network",
       .variant = "normal",
       .inputs = normal_of({{2, 3}, {3, 4}, {4, 2}}),
       .f = [](In x) { return tanh(matmul(tanh(matmul(x[0], x[1])), x[2])); }},
  };
}

void try_right_rules(campaign::Campaign& campaign, const std::vector<OpSpec>& rows) {
  std::vector<OpSpec> all = rows;
  for (const OpSpec& row : hard_rows()) all.push_back(row);
  const std::int64_t seeds = campaign.count(static_cast<std::int64_t>(all.size()), 10'000);
  std::int64_t alarms = 0;
  campaign.begin("right rules", seeds);
  for (std::int64_t i = 0; i < seeds; ++i) {
    const OpSpec& spec = all[static_cast<std::size_t>(i) % all.size()];
    const std::uint64_t seed = campaign.seed() * 1'000'003 + static_cast<std::uint64_t>(i);
    const GradReport report = checked(spec.f, samples(spec, seed), seed);
    if (!report.ok) {
      campaign.failure(fmt::format("a false alarm: {}, sample {}: {}", label(spec), seed, report.text));
      ++alarms;
    }
    campaign.step();
  }
  campaign.end();
  campaign.row("false alarms", seeds, alarms, fmt::format("{} functions, order 2", all.size()));
}

}  // namespace

int main(int argc, char** argv) {
  campaign::Campaign campaign("gradcheck_mutations", "Plants faults in gradient rules, which check_grads must see",
                              argc, argv);
  try {
    const std::vector<OpSpec> rows = rows_to_walk();
    try_right_rules(campaign, rows);
    plant_faults(campaign, rows);
  } catch (const std::exception& e) {
    campaign.failure(e.what());
    campaign.row("the campaign itself", 1, 1);
  }
  return campaign.finish();
}
