#include <support/expect.h>

#include <cmath>
#include <functional>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/gradcheck/gradcheck.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

/// The checker itself: it must pass what is right and report each of sixteen kinds of mistake. The faulty ops are made
/// of record() and plain loops over the elements.
BOOST_AUTO_TEST_SUITE(gradcheck_test)

using namespace tapestry;
using namespace tapestry::test;

namespace {

using Rule = std::function<Tensor(const Tensor& dy)>;
using Loop = std::function<void(const double* x, double* y)>;

Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return uniform(shape, 0.5, 2, {.dtype = f64, .generator = &generator});
}

/// A tensor filled by a loop; no history.
Tensor filled(const Shape& shape, const std::function<void(double*)>& fill) {
  Tensor y = zeros(shape, {.dtype = f64});
  fill(y.mutable_data<double>());
  return y;
}

/// y = forward(x) with any rule at all.
Tensor custom(const char* name, const Tensor& x, const Shape& shape, const Loop& forward, const Rule& rule) {
  Tensor y = filled(shape, [&](double* out) { forward(x.data<double>(), out); });
  return record(name, std::move(y), wrt(x, rule));
}

/// y = x^2, elementwise.
Tensor squared(const char* name, const Tensor& x, const Rule& rule) {
  return custom(
      name, x, x.shape(),
      [n = x.numel()](const double* in, double* out) {
        for (Index i = 0; i < n; ++i) out[i] = in[i] * in[i];
      },
      rule);
}

/// A gradient made by a loop over dy: for first order only.
Tensor by_loop(const Shape& shape, const Tensor& dy, const std::function<void(const double* dy, double* dx)>& fill) {
  return filled(shape, [&](double* out) { fill(dy.data<double>(), out); });
}

/// Sliding sums of three over n elements, padded with one zero at each end; `rule` gives dx.
Tensor window_sums(const char* name, const Tensor& x, const std::function<void(const double*, double*)>& rule) {
  const Index n = x.numel();
  return custom(
      name, x, {n},
      [n](const double* in, double* out) {
        for (Index i = 0; i < n; ++i) {
          for (Index j = std::max<Index>(0, i - 1); j <= std::min(n - 1, i + 1); ++j) out[i] += in[j] * in[j];
        }
      },
      [n, rule](const Tensor& dy) { return by_loop({n}, dy, rule); });
}

std::string report(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, GradCheckOptions options = {}) {
  const GradReport result = gradient_report(f, {x}, options);
  return result.ok ? "ok" : result.text;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// The report is a failure that names the op and says this.
boost::test_tools::predicate_result says(const std::string& text, std::string_view part) {
  boost::test_tools::predicate_result result(text != "ok" && contains(text, part));
  if (!result) result.message() << "expected \"" << part << "\" in:\n" << text;
  return result;
}

}  // namespace

// --- what is right passes

BOOST_AUTO_TEST_CASE(right_gradients_of_first_and_second_order_pass) {
  BOOST_CHECK_NO_THROW(check_grads([](const Tensor& x) { return x * x * x; }, {random({3, 4})}, {.order = 2}));
  BOOST_CHECK_NO_THROW(check_grads([](const Tensor& a, const Tensor& b) { return a / b; },
                                   {random({2, 3}), random({3}, 2)}, {.order = 2}));
  BOOST_CHECK_NO_THROW(check_grads([](const Tensor& a, const Tensor& b, const Tensor& c) { return matmul(a, b) + c; },
                                   {random({2, 3}), random({3, 2}, 2), random({2, 2}, 3)}, {.order = 2}));
}

BOOST_AUTO_TEST_CASE(functions_of_lists_and_with_several_outputs_are_accepted) {
  const auto f = [](const std::vector<Tensor>& x) { return std::vector<Tensor>{x[0] * x[1], exp(x[1])}; };
  const GradReport result = gradient_report(f, {random({3}), random({3}, 2)}, {.order = 2});
  BOOST_TEST(result.ok, result.text);
  BOOST_TEST(contains(result.text, "first order: 36 derivatives agree, 6 outputs by 6 inputs"), result.text);
  BOOST_TEST(contains(result.text, "second order"), result.text);
}

BOOST_AUTO_TEST_CASE(integer_inputs_and_outputs_are_left_alone) {
  const auto f = [](const Tensor& x, const Tensor& n) {
    return std::vector<Tensor>{x * static_cast<double>(n.data<std::int64_t>()[1]), n};
  };
  BOOST_CHECK_NO_THROW(check_grads(f, {random({3}), tensor({2, 3})}, {.order = 2}));
}

BOOST_AUTO_TEST_CASE(six_points_reach_a_tolerance_of_1e_9) {
  BOOST_CHECK_NO_THROW(
      check_grads([](const Tensor& x) { return tanh(x) * exp(x); }, {random({5})}, {.order = 2, .smooth = true}));
}

BOOST_AUTO_TEST_CASE(large_functions_are_checked_by_projections) {
  const GradReport right = gradient_report([](const Tensor& x) { return x * x; }, {random({20, 20})}, {.order = 2});
  BOOST_TEST(right.ok, right.text);
  BOOST_TEST(contains(right.text, "projections agree"), right.text);
  // One wrong entry in 400 is fully visible, and is found.
  const auto wrong = [](const Tensor& x) {
    return squared("one_wrong", x, [x = saved(x)](const Tensor& dy) {
      return by_loop(dy.shape(), dy, [&](const double* g, double* out) {
        for (Index i = 0; i < dy.numel(); ++i) out[i] = 2 * g[i] * x().data<double>()[i] * (i == 123 ? 1.001 : 1);
      });
    });
  };
  const std::string text = report(wrong, random({20, 20}));
  BOOST_TEST(says(text, "1 of 400 derivatives differ (of the output's product with a random seed)"));
  BOOST_TEST(says(text, "[6, 3]"));
}

BOOST_AUTO_TEST_CASE(empty_inputs_and_scalars_pass) {
  BOOST_CHECK_NO_THROW(check_grads([](const Tensor& x) { return x * x; }, {random({0, 3})}, {.order = 2}));
  BOOST_CHECK_NO_THROW(check_grads([](const Tensor& x) { return x * x; }, {random({})}, {.order = 2}));
}

BOOST_AUTO_TEST_CASE(the_inputs_of_the_caller_stay_as_they_are) {
  const Tensor x = random({3}).requires_grad(true);
  const std::vector<double> before = values(x);
  const int threads = num_threads();
  check_grads([](const Tensor& t) { return t * t; }, {x}, {.order = 2});
  BOOST_TEST(values(x) == before);
  BOOST_TEST(!x.grad().defined());
  BOOST_TEST(num_threads() == threads);
}

// --- sixteen planted faults

BOOST_AUTO_TEST_CASE(fault_1_a_wrong_sign) {
  const auto f = [](const Tensor& x) {
    return squared("wrong_sign", x, [x](const Tensor& dy) { return -2 * dy * x; });
  };
  const std::string text = report(f, random({2, 3}));
  BOOST_TEST(says(text, "gradient check failed: wrong_sign at gradcheck_test.cpp:"));
  BOOST_TEST(says(text, "diagnosis: the sign is wrong"));
  BOOST_TEST(says(text, "6 of 36 derivatives differ"));
}

BOOST_AUTO_TEST_CASE(fault_2_a_factor_of_two) {
  const auto twice = [](const Tensor& x) { return squared("twice", x, [x](const Tensor& dy) { return 4 * dy * x; }); };
  BOOST_TEST(says(report(twice, random({2, 3})), "diagnosis: a factor of 2 too much"));
  const auto half = [](const Tensor& x) { return squared("half", x, [x](const Tensor& dy) { return dy * x; }); };
  BOOST_TEST(says(report(half, random({2, 3})), "diagnosis: a factor of 2 is lost"));
}

BOOST_AUTO_TEST_CASE(fault_3_one_part_in_a_million) {
  const auto f = [](const Tensor& x) {
    return squared("nearly", x, [x](const Tensor& dy) { return (2 * (1 + 1e-6)) * dy * x; });
  };
  BOOST_TEST(says(report(f, random({2, 3})), "diagnosis: a factor of 1 +1e-06"));
  BOOST_TEST(says(report(f, random({2, 3}), {.smooth = true}), "diagnosis: a factor of 1 +1e-06"));
}

BOOST_AUTO_TEST_CASE(fault_4_a_wrong_reduce_axis) {
  const auto f = [](const Tensor& x) {  // column sums whose rule takes them for row sums
    return custom(
        "column_sums", x, {3},
        [](const double* in, double* out) {
          for (Index i = 0; i < 9; ++i) out[i % 3] += in[i];
        },
        [](const Tensor& dy) {
          return by_loop({3, 3}, dy, [](const double* g, double* out) {
            for (Index i = 0; i < 9; ++i) out[i] = g[i / 3];
          });
        });
  };
  BOOST_TEST(says(report(f, random({3, 3})), "transposed"));
  const auto rectangle = [](const Tensor& x) {
    return custom(
        "column_sums", x, {2},
        [](const double* in, double* out) {
          for (Index i = 0; i < 8; ++i) out[i % 2] += in[i];
        },
        [](const Tensor& dy) {
          return by_loop({4, 2}, dy, [](const double* g, double* out) {
            for (Index i = 0; i < 8; ++i) out[i] = g[i / 4];
          });
        });
  };
  BOOST_TEST(says(report(rectangle, random({4, 2})), "diagnosis: the "));
}

BOOST_AUTO_TEST_CASE(fault_5_a_transposed_gradient) {
  const Tensor w = random({4, 4}, 5);
  const auto f = [&](const Tensor& x) {
    Tensor y = no_grad([&] { return matmul(x, w); });
    return record("transposed_matmul", y,
                  wrt(x, [&w](const Tensor& dy) { return transpose(matmul(dy, w, {.transpose_b = true}), 0, 1); }));
  };
  BOOST_TEST(says(report(f, random({4, 4})), "diagnosis: the gradient is transposed"));
}

BOOST_AUTO_TEST_CASE(fault_6_a_missing_broadcast_sum) {
  const auto f = [](const Tensor& x) {  // [3] to [4, 3]; the rule takes the first row of dy
    return custom(
        "to_rows", x, {4, 3},
        [](const double* in, double* out) {
          for (Index i = 0; i < 12; ++i) out[i] = in[i % 3];
        },
        [](const Tensor& dy) {
          return by_loop({3}, dy, [](const double* g, double* out) { std::copy_n(g, 3, out); });
        });
  };
  BOOST_TEST(says(report(f, random({3})), "diagnosis: a missing broadcast sum"));
  // With the shape that a missing sum leaves, the tape itself refuses the gradient.
  const auto shape = [](const Tensor& x) {
    return custom(
        "to_rows", x, {4, 3},
        [](const double* in, double* out) {
          for (Index i = 0; i < 12; ++i) out[i] = in[i % 3];
        },
        [](const Tensor& dy) { return dy; });
  };
  BOOST_TEST(says(report(shape, random({3})),
                  "to_rows: its rule must return a gradient of the input's shape and dtype, f64 [3]; got f64 [4, 3]"));
}

BOOST_AUTO_TEST_CASE(fault_7_only_the_first_element) {
  const auto f = [](const Tensor& x) {
    return squared("first_only", x, [x](const Tensor& dy) {
      return by_loop(x.shape(), dy, [&](const double* g, double* out) { out[0] = 2 * g[0] * x.data<double>()[0]; });
    });
  };
  BOOST_TEST(says(report(f, random({2, 3})), "diagnosis: only 1 of 6 input elements get a gradient, from [0, 0] on"));
}

BOOST_AUTO_TEST_CASE(fault_8_zero) {
  const auto f = [](const Tensor& x) { return squared("zero", x, [](const Tensor&) { return Tensor(); }); };
  BOOST_TEST(says(report(f, random({2, 3})), "diagnosis: a missing path"));
  const auto detached = [](const Tensor& x) { return x.detach() * x.detach(); };
  BOOST_TEST(says(report(detached, random({2, 3})), "diagnosis: a missing path"));
}

BOOST_AUTO_TEST_CASE(fault_9_padding_off_by_one) {
  const auto f = [](const Tensor& x) {  // leaves out what the first window takes from behind the padding
    return window_sums("padded", x, [x](const double* g, double* dx) {
      const Index n = x.numel();
      for (Index i = 0; i < n; ++i) {
        for (Index j = std::max<Index>(0, i - 1); j <= std::min(n - 1, i + 1); ++j) {
          if (i > 0 || j > 0) dx[j] += 2 * g[i] * x.data<double>()[j];
        }
      }
    });
  };
  const std::string text = report(f, random({6}));
  BOOST_TEST(says(text, "1 of 36 derivatives differ"));
  const auto doubled = [](const Tensor& x) {  // counts the border twice
    return window_sums("padded", x, [x](const double* g, double* dx) {
      const Index n = x.numel();
      for (Index i = 0; i < n; ++i) {
        for (Index j = i - 1; j <= i + 1; ++j) {
          const Index k = std::clamp<Index>(j, 0, n - 1);
          dx[k] += 2 * g[i] * x.data<double>()[k] * (j == 0 ? 1.5 : 1);
        }
      }
    });
  };
  BOOST_TEST(says(report(doubled, random({6})), "diagnosis: only entries at the border differ"));
}

BOOST_AUTO_TEST_CASE(fault_10_overlapping_windows_assigned_instead_of_accumulated) {
  const auto f = [](const Tensor& x) {
    return window_sums("assigned", x, [x](const double* g, double* dx) {
      const Index n = x.numel();
      for (Index i = 0; i < n; ++i) {
        for (Index j = std::max<Index>(0, i - 1); j <= std::min(n - 1, i + 1); ++j)
          dx[j] = 2 * g[i] * x.data<double>()[j];
      }
    });
  };
  BOOST_TEST(says(report(f, random({6})), "diagnosis: "));
  BOOST_TEST(says(report(f, random({6})), "assigned, not added"));
}

BOOST_AUTO_TEST_CASE(fault_11_an_op_that_changes_its_input) {
  const auto f = [](const Tensor& x) {
    Tensor alias = x.detach();
    Tensor y = squared("changes", x, [x](const Tensor& dy) { return 2 * dy * x; });
    alias.mutable_data<double>()[0] += 0.25;
    return y;
  };
  BOOST_TEST(says(report(f, random({2, 3})), "changes input 0"));
}

BOOST_AUTO_TEST_CASE(fault_12_one_unit_in_the_last_place_every_second_call) {
  int calls = 0;
  const auto f = [&](const Tensor& x) {
    return squared("flickers", x, [&calls, x](const Tensor& dy) {
      return by_loop(x.shape(), dy, [&](const double* g, double* out) {
        const bool odd = ++calls % 2 == 1;
        for (Index i = 0; i < x.numel(); ++i) {
          const double v = 2 * g[i] * x.data<double>()[i];
          out[i] = odd && v != 0 ? std::nextafter(v, INFINITY) : v;
        }
      });
    });
  };
  BOOST_TEST(says(report(f, random({2, 3})), "playing the tape twice gives different gradients"));
  const auto forward = [&](const Tensor& x) {
    Tensor y = squared("forward_flickers", x, [x](const Tensor& dy) { return 2 * dy * x; });
    if (++calls % 2 == 1) {
      Tensor alias = y.detach();
      double* out = alias.mutable_data<double>();
      out[0] = std::nextafter(out[0], INFINITY);
    }
    return y;
  };
  BOOST_TEST(!gradient_report(forward, {random({2, 3})}).ok);
}

BOOST_AUTO_TEST_CASE(fault_13_a_wrong_shape) {
  const auto f = [](const Tensor& x) {
    return squared("misshapen", x, [](const Tensor& dy) { return reshape(dy, {3, 2}); });
  };
  BOOST_TEST(
      says(report(f, random({2, 3})),
           "misshapen: its rule must return a gradient of the input's shape and dtype, f64 [2, 3]; got f64 [3, 2]"));
}

BOOST_AUTO_TEST_CASE(fault_14_a_stale_saved_tensor) {
  const auto f = [](const Tensor& x) {  // keeps a copy that it goes on to use as scratch memory
    Tensor scratch = tensor(x.to_vector<double>(), x.shape(), {.dtype = f64});
    Tensor y = squared("stale", x, [s = saved(scratch)](const Tensor& dy) { return 2 * dy * s(); });
    scratch.mutable_data<double>()[0] = 0;
    return y;
  };
  BOOST_TEST(says(report(f, random({2, 3})), "stale: an input saved for backward was modified in place"));
}

BOOST_AUTO_TEST_CASE(fault_15_a_gradient_for_a_frozen_input) {
  const auto f = [](const Tensor& a, const Tensor& b) {
    Tensor handle = b;
    if (b.is_leaf() && a.requires_grad()) handle.requires_grad(true);
    return a * handle;
  };
  const GradReport result = gradient_report(f, {random({3}), random({3}, 2)});
  BOOST_TEST(!result.ok);
  BOOST_TEST(says(result.text, "input 1 is frozen and gets a gradient"));
}

BOOST_AUTO_TEST_CASE(fault_16_a_second_derivative_that_is_silently_zero) {
  const auto f = [](const Tensor& x) {  // the kept slope is a constant to the tape, although it depends on x
    const Tensor slope = no_grad([&] { return 2 * x; });
    return squared("kept_slope", x, [slope](const Tensor& dy) { return dy * slope; });
  };
  BOOST_TEST(report(f, random({2, 3})) == "ok");
  const std::string text = report(f, random({2, 3}), {.order = 2});
  BOOST_TEST(says(text, "gradient check failed: kept_slope at gradcheck_test.cpp:"));
  BOOST_TEST(says(text, "second order"));
  BOOST_TEST(says(text, "d output 0 [2, 3] / d input 0 [2, 3]: 6 of 36 derivatives differ"));
  BOOST_TEST(says(text, "diagnosis: a missing path"));
}

// --- more that it reports

BOOST_AUTO_TEST_CASE(an_op_without_a_second_derivative_is_named) {
  const auto f = [](const Tensor& x) {
    return squared("first_order_only", x, [x](const Tensor& dy) {
      return by_loop(x.shape(), dy, [&](const double* g, double* out) {
        for (Index i = 0; i < x.numel(); ++i) out[i] = 2 * g[i] * x.data<double>()[i];
      });
    });
  };
  BOOST_TEST(report(f, random({3})) == "ok");
  BOOST_TEST(says(report(f, random({3}), {.order = 2}), "first_order_only: its gradient is not differentiable"));
}

BOOST_AUTO_TEST_CASE(a_lost_mean_divisor_is_named_with_its_count) {
  const auto f = [](const Tensor& x) {
    Tensor y = no_grad([&] { return mean(x * x); });
    return record("mean_square", y, wrt(x, [x](const Tensor& dy) { return 2 * dy * x; }));
  };
  BOOST_TEST(says(report(f, random({2, 3})), "diagnosis: a factor of 6 too much: 1/N is lost"));
}

BOOST_AUTO_TEST_CASE(a_rule_that_is_not_linear_in_dy_is_reported) {
  const auto f = [](const Tensor& x) {
    return squared("square_of_dy", x, [x](const Tensor& dy) { return 2 * dy * dy * x; });
  };
  BOOST_TEST(says(report(f, random({3})), "not linear in the seed"));
}

BOOST_AUTO_TEST_CASE(a_kink_is_called_one_and_not_a_wrong_gradient) {
  const auto f = [](const Tensor& x) { return abs(x); };
  BOOST_TEST(
      says(report(f, tensor({1e-7, 1.}, {.dtype = f64})),
           "diagnosis: not differentiable here: at input 0 [0] = 1e-07 the slope is -0.6 to the left and 1 to the "
           "right; move the sample away from there"));
  BOOST_TEST(says(report([](const Tensor& x) { return sqrt(abs(x)); }, tensor({2., 1e-7}, {.dtype = f64})),
                  "diagnosis: not differentiable here: at input 0 [1] = 1e-07 the slope is -"));
  // A shorter step does not meet this one.
  BOOST_TEST(report(f, tensor({7e-7, 1.}, {.dtype = f64})) == "ok");
}

BOOST_AUTO_TEST_CASE(an_output_that_is_not_finite_is_outside_the_domain) {
  BOOST_TEST(says(report([](const Tensor& x) { return log(x); }, tensor({-1., 1.}, {.dtype = f64})),
                  "the output is not finite"));
}

BOOST_AUTO_TEST_CASE(unseeded_randomness_is_reported) {
  Generator generator(5);
  const auto f = [&](const Tensor& x) { return x * rand(x.shape(), {.dtype = f64, .generator = &generator}); };
  BOOST_TEST(says(report(f, random({3})), "seed what is random inside f"));
}

BOOST_AUTO_TEST_CASE(a_failed_check_throws_a_gradient_error_with_the_report) {
  const auto f = [](const Tensor& x) { return squared("wrong", x, [](const Tensor& dy) { return dy; }); };
  BOOST_CHECK_THROW(check_grads(f, {random({3})}), GradientError);
}

BOOST_AUTO_TEST_CASE(arguments_that_cannot_be_checked_are_refused) {
  const auto f = [](const Tensor& x) { return x * x; };
  BOOST_TEST(error<std::invalid_argument>([&] { check_grads(f, {random({3})}, {.f32_rtol = 0}); }) ==
             "check_grads: .f32_rtol must be positive; got 0");
  BOOST_TEST(error<std::invalid_argument>([&] {
               check_grads(f, {tensor({1, 2})});
             }) == "check_grads: there must be a float input to differentiate by; got none");
  BOOST_TEST(error<std::invalid_argument>([&] { check_grads(f, {random({3})}, {.order = 4}); }) ==
             "check_grads: .order must be 1, 2 or 3; got 4");
  BOOST_TEST(error<std::invalid_argument>([&] {
               check_grads(f, {random({3}), random({3})});
             }) == "check_grads: the function must take as many tensors as there are inputs; it cannot take 2");
  BOOST_TEST(error<std::invalid_argument>([&] {
               check_grads([](const Tensor&) { return tensor({1}); }, {random({3})});
             }) == "check_grads: the function must have an f64 output; it has none");
}

BOOST_AUTO_TEST_SUITE_END()
