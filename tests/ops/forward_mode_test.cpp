#include <support/expect.h>
#include <support/op_table.h>

#include <algorithm>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/reduce.h>

/// Walks the table of ops: what forward mode says must be what reverse mode says, in every order and nesting.
BOOST_AUTO_TEST_SUITE(forward_mode_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr std::uint64_t kSeed = 11;
constexpr double kTolerance = 1e-11;  // of the largest element, at first order; each further order adds a digit

std::string label(const OpSpec& spec) { return spec.op + " (" + spec.variant + ")"; }

/// One row of the table as a function of its float inputs alone, at a sample, with directions to differentiate in.
struct Row {
  std::vector<Tensor> all;   // all inputs
  std::vector<Tensor> xs;    // the float ones
  std::vector<Tensor> u, v;  // directions
  std::vector<std::size_t> at;
  const OpSpec* spec;

  Row(const OpSpec& of, Dtype dtype) : spec(&of) {
    Generator generator(kSeed), random(kSeed, 7);
    all = of.inputs(generator);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!is_float(all[i].dtype())) continue;
      all[i] = to(all[i], dtype);
      at.push_back(i);
      xs.push_back(all[i]);
      u.push_back(to(sample_signed(random, all[i].shape(), 0.5, 1.5), dtype));
      v.push_back(to(sample_signed(random, all[i].shape(), 0.5, 1.5), dtype));
    }
  }

  [[nodiscard]] Tensor operator()(const std::vector<Tensor>& floats) const {
    std::vector<Tensor> inputs = all;
    for (std::size_t k = 0; k < at.size(); ++k) inputs[at[k]] = floats[k];
    return spec->f(inputs);
  }

  /// w . f(x), for a fixed w.
  [[nodiscard]] Tensor scalar_of(const std::vector<Tensor>& floats) const {
    const Tensor y = (*this)(floats);
    Generator random(kSeed, 9);
    return sum(y * to(sample_signed(random, y.shape(), 0.5, 1.5), y.dtype()));
  }
};

void check_close(const std::string& what, const Tensor& got, const Tensor& expected, double tolerance) {
  double scale = 1;
  for (const double value : values(expected)) scale = std::max(scale, std::abs(value));
  BOOST_TEST(all_close(values(got), values(expected), 0, tolerance * scale), what);
}

void check_close(const std::string& what, const std::vector<Tensor>& got, const std::vector<Tensor>& expected,
                 double tolerance) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    check_close(what + ", input " + std::to_string(i), got[i], expected[i], tolerance);
  }
}

template <class F>
void for_each_row(const F& check) {
  for (const OpSpec& spec : op_table()) {
    try {
      check(spec, Row(spec, f64));
    } catch (const std::exception& e) {
      BOOST_ERROR(label(spec) << ": " << e.what());
    }
  }
}

/// H v by reverse over reverse.
std::vector<Tensor> hessian_times(const Row& row, const std::vector<Tensor>& v) {
  std::vector<Tensor> leaves;
  for (const Tensor& x : row.xs) leaves.push_back(x.detach().requires_grad(true));
  const Tensor y = row.scalar_of(leaves);
  std::vector<Tensor> g = grad(y, leaves, {.create_graph = true, .allow_unused = true}), outputs, seeds;
  for (std::size_t i = 0; i < g.size(); ++i) {
    if (!g[i].defined() || !g[i].requires_grad()) continue;
    outputs.push_back(g[i]);
    seeds.push_back(v[i]);
  }
  std::vector<Tensor> hv(leaves.size());
  if (!outputs.empty()) hv = grad(outputs, leaves, {.grad_outputs = seeds, .allow_unused = true});
  for (std::size_t i = 0; i < hv.size(); ++i) {
    if (!hv[i].defined()) hv[i] = zeros_like(leaves[i]);
  }
  return hv;
}

Tensor dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  Tensor total = zeros({}, {.dtype = f64});
  for (std::size_t i = 0; i < a.size(); ++i) total = total + sum(a[i] * b[i]);
  return total;
}

}  // namespace

BOOST_AUTO_TEST_CASE(tangents_are_the_transpose_of_gradients) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const ListFunction f = row;
    check_close(label(spec), jvp(f, row.xs, row.u), linearize(f, row.xs)(row.u), kTolerance);
    // One input at a time: a rule that lacks an input is not hidden by the others.
    for (std::size_t i = 0; i < row.xs.size(); ++i) {
      std::vector<Tensor> only;
      for (const Tensor& x : row.xs) only.push_back(zeros_like(x));
      only[i] = row.u[i];
      const ListFunction of_one = [&](const std::vector<Tensor>& x) {
        std::vector<Tensor> xs = row.xs;
        xs[i] = x[0];
        return row(xs);
      };
      check_close(label(spec) + ", input " + std::to_string(i),
                  jvp(of_one, std::vector<Tensor>{row.xs[i]}, std::vector<Tensor>{row.u[i]}),
                  linearize(f, row.xs)(only), kTolerance);
    }
  });
}

BOOST_AUTO_TEST_CASE(the_value_beside_a_tangent_is_the_value_bit_by_bit) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    BOOST_TEST(same_bits(value_and_jvp(ListFunction(row), row.xs, row.u).value, row(row.xs)), label(spec));
  });
}

BOOST_AUTO_TEST_CASE(f32_tangents_agree_with_those_of_f64) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const Row narrow(spec, f32);
    Row wide = row;
    for (std::size_t i = 0; i < wide.xs.size(); ++i) {  // the same numbers
      wide.xs[i] = to(narrow.xs[i], f64);
      wide.u[i] = to(narrow.u[i], f64);
    }
    for (std::size_t k = 0; k < wide.at.size(); ++k) wide.all[wide.at[k]] = wide.xs[k];
    const Tensor t = jvp(ListFunction(narrow), narrow.xs, narrow.u);
    BOOST_TEST(t.dtype() == f32, label(spec));
    check_close(label(spec), t, jvp(ListFunction(wide), wide.xs, wide.u), 4 * spec.f32_tolerance);
  });
}

BOOST_AUTO_TEST_CASE(forward_over_reverse_equals_reverse_over_reverse) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const ListFunction f = [&](const std::vector<Tensor>& xs) { return row.scalar_of(xs); };
    check_close(label(spec), hvp(f, row.xs, row.v), hessian_times(row, row.v), 10 * kTolerance);
  });
}

BOOST_AUTO_TEST_CASE(reverse_over_forward_equals_reverse_over_reverse) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const ListFunction along_v = [&](const std::vector<Tensor>& xs) {
      return jvp([&](const std::vector<Tensor>& at) { return row.scalar_of(at); }, xs, row.v, {.create_graph = true});
    };
    check_close(label(spec), value_and_grad(along_v, row.xs).grads, hessian_times(row, row.v), 10 * kTolerance);
  });
}

BOOST_AUTO_TEST_CASE(forward_over_forward_equals_reverse_over_reverse) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const ListFunction along_u = [&](const std::vector<Tensor>& xs) {
      return jvp([&](const std::vector<Tensor>& at) { return row.scalar_of(at); }, xs, row.u);
    };
    check_close(label(spec), jvp(along_u, row.xs, row.v), dot(hessian_times(row, row.v), row.u), 10 * kTolerance);
  });
}

BOOST_AUTO_TEST_CASE(third_derivatives_are_the_same_in_four_nestings) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const ListFunction f = [&](const std::vector<Tensor>& xs) { return row.scalar_of(xs); };
    const ListFunction f_u = [&](const std::vector<Tensor>& xs) { return jvp(f, xs, row.u); };
    const ListFunction f_uv = [&](const std::vector<Tensor>& xs) { return jvp(f_u, xs, row.v); };
    const Tensor forward = jvp(f_uv, row.xs, row.u);  // thrice forward
    const MapFunction h_v = [&](const std::vector<Tensor>& xs) { return hvp(f, xs, row.v); };
    check_close(label(spec) + ", forward over forward over reverse", dot(jvp(h_v, row.xs, row.u), row.u), forward,
                1000 * kTolerance);
    const ListFunction recorded = [&](const std::vector<Tensor>& xs) {
      return dot(hvp(f, xs, row.v, {.create_graph = true}), row.u);
    };
    check_close(label(spec) + ", reverse over forward over reverse", dot(value_and_grad(recorded, row.xs).grads, row.u),
                forward, 1000 * kTolerance);
    const ListFunction slope = [&](const std::vector<Tensor>& xs) {
      return dot(value_and_grad(f, xs, {.create_graph = true}).grads, row.v);
    };
    const ListFunction curvature = [&](const std::vector<Tensor>& xs) {
      return dot(value_and_grad(slope, xs, {.create_graph = true}).grads, row.u);
    };
    check_close(label(spec) + ", thrice reverse", dot(value_and_grad(curvature, row.xs).grads, row.u), forward,
                1000 * kTolerance);
  });
}

BOOST_AUTO_TEST_CASE(nothing_is_kept_once_a_derivative_is_there) {
  for_each_row([](const OpSpec& spec, const Row& row) {
    const ListFunction f = [&](const std::vector<Tensor>& xs) { return row.scalar_of(xs); };
    const MemoryStats before = memory_stats();
    {
      const Tensor t = jvp(ListFunction(row), row.xs, row.u);
      const std::vector<Tensor> hv = hvp(f, row.xs, row.v);
      const ListFunction along_u = [&](const std::vector<Tensor>& xs) {
        return jvp(f, xs, row.u, {.create_graph = true});
      };
      const ValueAndGrad reverse_over_forward = value_and_grad(along_u, row.xs, {.create_graph = true});
      BOOST_TEST(!t.requires_grad(), label(spec));
    }
    const MemoryStats after = memory_stats();
    BOOST_TEST(after.live_nodes == before.live_nodes, label(spec));
    BOOST_TEST(after.live_bytes == before.live_bytes, label(spec));
  });
}

BOOST_AUTO_TEST_SUITE_END()
