#include <support/expect.h>

#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/nn/conv.h>
#include <tapestry/nn/optim/muon.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/shape_ops.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(muon_test)

namespace {

using Doubles = std::vector<double>;
using Invalid = std::invalid_argument;
using optim::AdjustLr;
using optim::Muon;
using optim::MuonOptions;
using optim::newton_schulz;

struct Matrix {
  std::size_t rows, columns;
  Doubles x;
  double& operator()(std::size_t i, std::size_t j) { return x[i * columns + j]; }
  double operator()(std::size_t i, std::size_t j) const { return x[i * columns + j]; }
};

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix y{a.rows, b.columns, Doubles(a.rows * b.columns)};
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < b.columns; ++j) {
      for (std::size_t k = 0; k < a.columns; ++k) y(i, j) += a(i, k) * b(k, j);
    }
  }
  return y;
}

Matrix transposed(const Matrix& a) {
  Matrix y{a.columns, a.rows, Doubles(a.x.size())};
  for (std::size_t i = 0; i < a.rows; ++i) {
    for (std::size_t j = 0; j < a.columns; ++j) y(j, i) = a(i, j);
  }
  return y;
}

double length(const Doubles& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}

/// The iteration as it is written down.
Matrix naive_newton_schulz(Matrix u, int steps, double eps = 1e-7) {
  if (u.rows > u.columns) return transposed(naive_newton_schulz(transposed(u), steps, eps));
  const double long_is = length(u.x);
  for (double& v : u.x) v /= long_is + eps;
  for (int step = 0; step < steps; ++step) {
    const Matrix a = product(u, transposed(u)), aa = product(a, a);
    Matrix b = a;
    for (std::size_t i = 0; i < b.x.size(); ++i) b.x[i] = -4.7750 * a.x[i] + 2.0315 * aa.x[i];
    const Matrix bu = product(b, u);
    for (std::size_t i = 0; i < u.x.size(); ++i) u.x[i] = 3.4445 * u.x[i] + bu.x[i];
  }
  return u;
}

Tensor drawn(const Shape& shape, std::uint64_t seed, Dtype dtype = f64, bool requires_grad = false) {
  Generator generator(seed);
  return randn(shape, {.dtype = dtype, .requires_grad = requires_grad, .generator = &generator});
}

}  // namespace

// Computed from the published formula, to the digits printed.
BOOST_AUTO_TEST_CASE(newton_schulz_has_the_values_of_its_formula) {
  const Tensor u = tensor({{1.0, 2.0}, {3.0, 4.0}}, {.dtype = f64});
  BOOST_TEST(all_close(newton_schulz(u), Doubles{-.680661, .825540, .741295, .259440}, 0, 5.1e-7));
  BOOST_TEST(all_close(newton_schulz(u, {.steps = 3}), Doubles{-.636569, .804098, .734048, .286319}, 0, 5.1e-7));
  const Tensor narrow = tensor({{1.F, 2.F}, {3.F, 4.F}});
  BOOST_TEST(all_close(newton_schulz(narrow), Doubles{-.680661, .825540, .741295, .259440}, 0, 5e-6));
}

BOOST_AUTO_TEST_CASE(newton_schulz_agrees_with_plain_loops_whatever_the_form) {
  for (const auto& [rows, columns] : {std::pair<std::size_t, std::size_t>{3, 5}, {5, 3}, {4, 4}, {1, 7}, {7, 1}}) {
    const Tensor u = drawn({static_cast<Index>(rows), static_cast<Index>(columns)}, rows);
    const Matrix expected = naive_newton_schulz({rows, columns, values(u)}, 5);
    BOOST_TEST(all_close(newton_schulz(u), expected.x, 1e-12, 1e-13));
  }
}

BOOST_AUTO_TEST_CASE(newton_schulz_brings_singular_values_near_one) {
  const Tensor y = newton_schulz(drawn({6, 40}, 3));
  const Matrix m{6, 40, values(y)}, square = product(m, transposed(m));
  for (std::size_t i = 0; i < 6; ++i) BOOST_TEST(std::abs(square(i, i) - 1) < .5);
  BOOST_TEST(same_bits(newton_schulz(zeros({2, 3}, {.dtype = f64})), zeros({2, 3}, {.dtype = f64})));
}

BOOST_AUTO_TEST_CASE(matrices_of_a_batch_have_the_bits_that_they_have_alone) {
  for (const Dtype dtype : {f32, f64}) {
    const Tensor batch = drawn({3, 24, 40}, 8, dtype);
    const Tensor together = newton_schulz(batch);
    for (Index i = 0; i < 3; ++i) {
      BOOST_TEST(same_bits(select(together, {.index = i}), newton_schulz(select(batch, {.index = i}))));
    }
  }
}

BOOST_AUTO_TEST_CASE(autocast_does_not_reach_into_a_step) {
  const Tensor u = drawn({4, 6}, 2, f32);
  const Tensor plain = newton_schulz(u);
  const Autocast scope(bf16);
  BOOST_TEST(same_bits(newton_schulz(u), plain));
}

BOOST_AUTO_TEST_CASE(a_step_is_the_formula_for_linear_layers_and_filters_alike) {
  struct Case {
    Shape shape;
    MuonOptions options;
    double scale;
  };
  const double lr = .1;
  for (const Case& c :
       {Case{{4, 3}, {.lr = lr, .weight_decay = .1}, std::sqrt(4.0 / 3)},
        Case{{3, 2, 2, 2}, {.lr = lr, .weight_decay = 0, .momentum = .6, .ns_steps = 3}, 1},
        Case{{2, 1, 3, 2}, {.lr = lr, .nesterov = false, .adjust_lr = AdjustLr::match_rms_adamw}, .2 * std::sqrt(6.0)},
        Case{{8, 2}, {.lr = lr, .momentum = 0, .adjust_lr = AdjustLr::none}, 1},
        Case{{4, 6}, {.lr = lr, .momentum = .6, .adjust_lr = AdjustLr::none, .renormalize = true}, 1}}) {
    const MuonOptions& o = c.options;
    const Tensor p = drawn(c.shape, 1, f64, true);
    Doubles theta = values(p), buffer(theta.size());
    Muon muon({p}, o);
    const auto rows = static_cast<std::size_t>(c.shape[0]);
    for (std::uint64_t t = 2; t < 5; ++t) {
      const Tensor gradient = drawn(c.shape, t);
      p.set_grad(gradient);
      muon.step();
      const Doubles g = values(gradient);
      Matrix u{rows, g.size() / rows, g};
      for (std::size_t i = 0; i < g.size(); ++i) {
        buffer[i] = o.momentum * buffer[i] + g[i];
        u.x[i] = o.nesterov ? g[i] + o.momentum * buffer[i] : buffer[i];
      }
      const Matrix turned = naive_newton_schulz(u, static_cast<int>(o.ns_steps));
      const double whole = o.renormalize ? std::sqrt(static_cast<double>(rows)) / length(theta) : 1;
      for (std::size_t i = 0; i < g.size(); ++i) {
        theta[i] = theta[i] * whole * (1 - lr * o.weight_decay) - lr * c.scale * turned.x[i];
      }
      BOOST_TEST(all_close(p, theta, 1e-12, 1e-13));
    }
  }
}

BOOST_AUTO_TEST_CASE(renormalising_alone_gives_filters_the_length_of_their_number_s_root) {
  const Tensor p = drawn({9, 3, 3, 4}, 1, f32, true), zero = zeros({4, 4}, {.requires_grad = true});
  Muon muon({p, zero}, {.lr = 0, .renormalize = true});
  p.set_grad(drawn({9, 3, 3, 4}, 2, f32));
  zero.set_grad(drawn({4, 4}, 2, f32));
  muon.step();
  BOOST_TEST(std::abs(length(values(p)) - 3) < 1e-6);
  BOOST_TEST(length(values(zero)) == 0);
}

BOOST_AUTO_TEST_CASE(parameters_without_a_gradient_are_left_alone) {
  const Tensor a = drawn({2, 3}, 1, f32, true), b = drawn({2, 3}, 2, f32, true);
  const Doubles before = values(b);
  Muon muon({a, b});
  a.set_grad(ones({2, 3}));
  muon.step();
  BOOST_TEST(values(b) == before, boost::test_tools::per_element());
  BOOST_TEST(muon.state().count("1.step") == 0U);
  BOOST_TEST(muon.state().count("0.momentum_buffer") == 1U);
}

BOOST_AUTO_TEST_CASE(state_resumes_bit_for_bit_and_groups_and_dtypes_do_not_mix) {
  const auto make = [] {
    manual_seed(3);
    std::vector<Tensor> all;
    for (const Shape& shape : {Shape{8, 3, 3, 2}, Shape{8, 18}, Shape{8, 3, 3, 2}, Shape{5, 7}}) {
      all.push_back(randn(shape, {.requires_grad = true}));
    }
    all.push_back(randn({8, 18}, {.dtype = f64, .requires_grad = true}));
    return all;
  };
  const auto muon_of = [](const std::vector<Tensor>& p) {
    return std::vector<optim::Group<MuonOptions>>{{{p[0], p[1], p[4]}, {.lr = .02}},
                                                  {{p[2], p[3]}, {.lr = .1, .ns_steps = 3, .renormalize = true}}};
  };
  const auto run = [](const std::vector<Tensor>& p, Muon& muon, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t t = from; t < to; ++t) {
      for (const Tensor& x : p) x.set_grad(drawn(x.shape(), t, x.dtype()));
      muon.step();
    }
  };
  const std::vector<Tensor> a = make(), b = make();
  Muon straight(muon_of(a)), first(muon_of(b)), second(muon_of(b));
  run(a, straight, 0, 5);
  run(b, first, 0, 2);
  second.load_state(first.state());
  run(b, second, 2, 5);
  for (std::size_t i = 0; i < a.size(); ++i) BOOST_TEST(same_bits(a[i], b[i]));
  // Alone in its optimizer, a filter moves as it did beside others.
  const std::vector<Tensor> c = make();
  Muon alone({c[0]}, {.lr = .02});
  run({c[0]}, alone, 0, 5);
  BOOST_TEST(same_bits(c[0], a[0]));
}

BOOST_AUTO_TEST_CASE(senseless_options_and_vectors_are_refused) {
  const Tensor x = zeros({2, 3}, {.requires_grad = true}), bias = zeros({3}, {.requires_grad = true});
  const auto refused = [&](const MuonOptions& o) { return error<Invalid>([&] { Muon({x}, o); }); };
  BOOST_TEST(refused({.lr = -1}) == "Muon: lr must be at least 0; got -1");
  BOOST_TEST(refused({.weight_decay = -1}) == "Muon: weight_decay must be at least 0; got -1");
  BOOST_TEST(refused({.momentum = -1}) == "Muon: momentum must be at least 0; got -1");
  BOOST_TEST(refused({.ns_steps = 0}) == "Muon: there must be at least 1 step of Newton and Schulz; got 0");
  BOOST_TEST(refused({.eps = -1}) == "Muon: eps must be at least 0; got -1");
  const nn::Conv2d conv{2, 3, {.kernel = 3}};
  BOOST_TEST(error<Invalid>([&] { Muon(conv.named_parameters()); }) ==
             "Muon: a parameter must have at least 2 dimensions; bias is [3]; give it to another optimizer");
  BOOST_TEST(error<Invalid>([&] { (void)newton_schulz(bias); }) ==
             "newton_schulz: u must be a matrix, or matrices, [..., rows, columns]; got [3]");
  BOOST_TEST(error<Invalid>([&] { (void)newton_schulz(x, {.steps = 0}); }) ==
             "newton_schulz: there must be at least 1 step of Newton and Schulz; got 0");
  Muon muon({x});
  BOOST_TEST(error<Invalid>([&] { muon.set_momentum(-1); }) == "Muon: momentum must be at least 0; got -1");
  const std::vector<std::pair<std::string, std::string>> settings{{"optimizer", "Muon"},
                                                                  {"weight_decay", "0.1"},
                                                                  {"nesterov", "yes"},
                                                                  {"ns_steps", "5"},
                                                                  {"ns_coefficients", "3.4445 -4.775 2.0315"},
                                                                  {"eps", "1e-07"},
                                                                  {"adjust_lr", "original"},
                                                                  {"renormalize", "no"}};
  BOOST_TEST((muon.settings() == settings));
}

BOOST_AUTO_TEST_SUITE_END()
