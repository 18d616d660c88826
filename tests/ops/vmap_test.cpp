#include <support/expect.h>
#include <support/op_table.h>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/functional.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>
#include <tapestry/ops/vmap.h>

BOOST_AUTO_TEST_SUITE(vmap_test)

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_CASE(slices_go_in_and_come_out_along_the_dims_asked_for) {
  const Tensor x = tensor({{1., 2., 3.}, {4., 5., 6.}}, {.dtype = f64});
  const auto normalised = [](const Tensor& row) { return row / sum(row); };
  BOOST_TEST(all_close(vmap(normalised, x), {1 / 6., 2 / 6., 3 / 6., 4 / 15., 5 / 15., 6 / 15.}, 1e-15));
  const Tensor by_columns = vmap(normalised, x, {.in_dims = {1}});
  BOOST_TEST(by_columns.shape() == (Shape{3, 2}));
  BOOST_TEST(all_close(by_columns, {1 / 5., 4 / 5., 2 / 7., 5 / 7., 3 / 9., 6 / 9.}, 1e-15));
  BOOST_TEST(vmap(normalised, x, {.in_dims = {1}, .out_dim = 1}).shape() == (Shape{2, 3}));
  BOOST_TEST(vmap(normalised, x, {.in_dims = {-1}, .out_dim = -1}).shape() == (Shape{2, 3}));
  BOOST_TEST(vmap([](const Tensor& row) { return sum(row); }, x).shape() == (Shape{2}));
}

BOOST_AUTO_TEST_CASE(inputs_without_a_dim_are_passed_whole) {
  Generator g(1);
  const Tensor a = randn({5, 3, 4}, {.dtype = f64, .generator = &g}),
               b = randn({4, 2}, {.dtype = f64, .generator = &g});
  const auto product = [](const std::vector<Tensor>& x) { return matmul(x[0], x[1]); };
  BOOST_TEST(all_close(vmap(product, std::vector<Tensor>{a, b}, {.in_dims = {0, std::nullopt}}), matmul(a, b), 1e-14));
}

BOOST_AUTO_TEST_CASE(in_parallel_the_bits_are_the_same) {
  Generator g(1);
  const Tensor x = randn({40, 5}, {.dtype = f64, .generator = &g}).requires_grad(true);
  const auto f = [](const Tensor& row) { return tanh(row) * sum(exp(row)); };
  const Tensor serial = vmap(f, x), parallel = vmap(f, x, {.parallel = true});
  BOOST_TEST(same_bits(serial, parallel));
  BOOST_TEST(same_bits(grad(sum(serial), x), grad(sum(parallel), x)));
}

BOOST_AUTO_TEST_CASE(derivatives_go_through_it_and_within_it) {
  Generator g(1);
  const Tensor x = randn({4, 3}, {.dtype = f64, .generator = &g});
  const UnaryFunction f = [](const Tensor& row) { return sum(exp(row) * row); };
  // One Hessian per row, each with the closed form (x + 2) exp(x) on its diagonal.
  const Tensor hessians = vmap([&](const Tensor& row) { return hessian(f, row); }, x);
  BOOST_TEST(hessians.shape() == (Shape{4, 3, 3}));
  const Tensor curvature = exp(x) * (x + 2);
  for (Index i = 0; i < 4; ++i) {
    for (Index j = 0; j < 3; ++j) {
      for (Index k = 0; k < 3; ++k) {
        const double expected = j == k ? curvature.data<double>()[i * 3 + j] : 0;
        BOOST_TEST(std::abs(hessians.data<double>()[(i * 3 + j) * 3 + k] - expected) < 1e-12);
      }
    }
  }
  const UnaryFunction mapped = [&](const Tensor& t) { return sum(vmap(f, t)); };
  BOOST_TEST(all_close(hvp(mapped, x, ones_like(x)), curvature, 1e-13));
  // A vmap within a vmap.
  const Tensor twice = vmap([](const Tensor& row) { return vmap([](const Tensor& e) { return e * e; }, row); }, x);
  BOOST_TEST(same_bits(twice, x * x));
}

BOOST_AUTO_TEST_CASE(every_op_can_be_mapped) {
  // Whatever the op: mapped over a batch of two samples it gives each sample's result, and its gradients.
  std::size_t mapped = 0;
  for (const OpSpec& spec : op_table()) {
    Generator first_draw(3), second_draw(4);
    const std::vector<Tensor> a = spec.inputs(first_draw), b = spec.inputs(second_draw);
    bool fits = true;
    for (std::size_t i = 0; i < a.size(); ++i) fits = fits && a[i].shape() == b[i].shape() && a[i].dim() < kMaxRank;
    if (!fits) continue;
    ++mapped;
    const std::string label = spec.op + " (" + spec.variant + ")";
    std::vector<Tensor> both;
    for (std::size_t i = 0; i < a.size(); ++i) both.push_back(stack({a[i], b[i]}));
    for (Tensor& x : both) {
      if (is_float(x.dtype())) x.requires_grad(true);
    }
    const Tensor y = vmap(spec.f, both);
    sum(y * y).backward();
    const std::vector<std::vector<Tensor>> samples{a, b};
    for (std::size_t s = 0; s < samples.size(); ++s) {
      std::vector<Tensor> xs = samples[s];
      for (Tensor& x : xs) {
        if (is_float(x.dtype())) x.requires_grad(true);
      }
      const Tensor own = spec.f(xs);
      BOOST_TEST(same_bits(select(y, {.dim = 0, .index = static_cast<Index>(s)}), own), label << ", sample " << s);
      sum(own * own).backward();
      for (std::size_t i = 0; i < xs.size(); ++i) {
        if (!xs[i].grad().defined()) continue;
        BOOST_TEST(
            all_close(select(both[i].grad(), {.dim = 0, .index = static_cast<Index>(s)}), xs[i].grad(), 1e-13, 1e-14),
            label << ", sample " << s << ", input " << i);
      }
    }
  }
  BOOST_TEST(mapped == op_table().size());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_mapped_is_refused) {
  const auto first = [](const std::vector<Tensor>& x) { return x[0]; };
  const auto text = [&](const std::vector<Tensor>& xs, const VmapOptions& options = {}) {
    return error<std::invalid_argument>([&] { (void)vmap(first, xs, options); });
  };
  BOOST_TEST(text({ones({2, 3}), ones({3})}) == "vmap: the mapped extents must be equal; got 2 and, of input 1, 3");
  BOOST_TEST(text({ones({2}), ones({2})}, {.in_dims = {0}}) == "vmap: .in_dims must name one dim per input, 2; got 1");
  BOOST_TEST(text({ones({2})}, {.in_dims = {std::nullopt}}) == "vmap: there must be an input to map over");
  BOOST_TEST(text({ones({0, 3})}) == "vmap: there must be a slice; the mapped extent is 0");
}

BOOST_AUTO_TEST_SUITE_END()
