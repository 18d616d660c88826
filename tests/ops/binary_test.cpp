#include <tapestry/ops/binary.h>

#include <support/expect.h>
#include <support/op_table.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/ops/broadcast.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/reduce.h>

using namespace tapestry;
using namespace tapestry::test;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

using In = const std::vector<Tensor>&;

std::function<std::vector<Tensor>(Generator&)> two(const Shape& a, const Shape& b) {
  return [a, b](Generator& g) { return std::vector{sample_signed(g, a, 0.5, 2), sample_signed(g, b, 0.5, 2)}; };
}

/// Pairs without ties: the elements of both come from one shuffled ladder.
std::vector<Tensor> distinct_pair(Generator& g) {
  const Tensor both = sample_distinct(g, {2, 6});
  const auto v = both.span<double>();
  return {tensor(std::vector<double>(v.begin(), v.begin() + 6), {2, 3}, {.dtype = f64}),
          tensor(std::vector<double>(v.begin() + 6, v.end()), {2, 3}, {.dtype = f64})};
}

std::function<std::vector<Tensor>(Generator&)> positive(const Shape& a, const Shape& b) {
  return [a, b](Generator& g) { return std::vector{sample(g, a, 0.2, 2), sample(g, b, 0.5, 2)}; };
}

/// b [2, 3] of magnitude 0.5 to 2, and a = q b, where q is one of two numbers per row, to within 0.1.
std::function<std::vector<Tensor>(Generator&)> quotients_near(const std::vector<double>& q) {
  return [q](Generator& g) {
    const Tensor b = sample_signed(g, {2, 3}, 0.5, 2);
    return std::vector{(tensor(q, {2, 1}, {.dtype = f64}) + sample(g, {2, 3}, -0.1, 0.1)) * b, b};
  };
}

const OpRows rows{
    {.op = "add",
     .variant = "equal shapes",
     .inputs = two({2, 3}, {2, 3}),
     .f = [](In x) { return x[0] + x[1]; },
     .first_order_linear = true},
    {.op = "add",
     .variant = "bias",
     .inputs = two({4, 2, 3}, {3}),
     .f = [](In x) { return x[0] + x[1]; },
     .first_order_linear = true},
    {.op = "sub",
     .variant = "both broadcast",
     .inputs = two({2, 1}, {1, 3}),
     .f = [](In x) { return x[0] - x[1]; },
     .first_order_linear = true},
    {.op = "sub", .variant = "number first", .inputs = two({2, 3}, {}), .f = [](In x) { return (1 - x[0]) * x[1]; }},
    {.op = "mul", .variant = "equal shapes", .inputs = two({2, 3}, {2, 3}), .f = [](In x) { return x[0] * x[1]; }},
    {.op = "mul", .variant = "per channel", .inputs = two({2, 2, 2, 3}, {3}), .f = [](In x) { return x[0] * x[1]; }},
    {.op = "mul", .variant = "per row", .inputs = two({2, 3}, {2, 1}), .f = [](In x) { return x[0] * x[1]; }},
    {.op = "mul",
     .variant = "a tensor by itself",
     .inputs = two({2, 3}, {2, 3}),
     .f = [](In x) { return x[0] * x[0] * x[1]; }},
    {.op = "div", .variant = "equal shapes", .inputs = two({2, 3}, {2, 3}), .f = [](In x) { return x[0] / x[1]; }},
    {.op = "div", .variant = "both broadcast", .inputs = two({3}, {2, 1}), .f = [](In x) { return x[0] / x[1]; }},
    {.op = "div",
     .variant = "number first",
     .inputs = two({2, 3}, {2, 3}),
     .f = [](In x) { return 2 / x[0] + x[1] / 3; }},
    {.op = "maximum", .variant = "", .inputs = distinct_pair, .f = [](In x) { return maximum(x[0], x[1]); }},
    {.op = "minimum", .variant = "", .inputs = distinct_pair, .f = [](In x) { return minimum(x[0], x[1]); }},
    {.op = "fmax", .variant = "", .inputs = distinct_pair, .f = [](In x) { return fmax(x[0], x[1]); }},
    {.op = "fmin", .variant = "", .inputs = distinct_pair, .f = [](In x) { return fmin(x[0], x[1]); }},
    {.op = "remainder",
     .variant = "quotients 1 and -2",
     .inputs = quotients_near({1.4, -1.6}),
     .f = [](In x) { return remainder(x[0], x[1]) * x[1]; }},
    {.op = "fmod",
     .variant = "quotients 2 and -1",
     .inputs = quotients_near({2.5, -1.5}),
     .f = [](In x) { return fmod(x[0], x[1]) * x[1]; }},
    {.op = "pow",
     .variant = "two tensors",
     .inputs = positive({2, 3}, {2, 3}),
     .f = [](In x) { return pow(x[0], x[1]); }},
    {.op = "pow",
     .variant = "both broadcast",
     .inputs = positive({2, 1}, {3}),
     .f = [](In x) { return pow(x[0], x[1]); }},
    {.op = "pow",
     .variant = "a number to a tensor",
     .inputs = positive({2, 3}, {}),
     .f = [](In x) { return pow(1.7, x[0]) * x[1]; }},
    {.op = "atan2", .variant = "", .inputs = two({2, 3}, {2, 3}), .f = [](In x) { return atan2(x[0], x[1]); }},
    {.op = "atan2",
     .variant = "both broadcast, numbers",
     .inputs = two({2, 1}, {3}),
     .f = [](In x) { return atan2(x[0], x[1]) + atan2(x[0], 2) * atan2(-1, x[1]); }},
    {.op = "hypot", .variant = "", .inputs = two({2, 3}, {2, 3}), .f = [](In x) { return hypot(x[0], x[1]); }},
    {.op = "hypot",
     .variant = "both broadcast, a number",
     .inputs = two({2, 1}, {3}),
     .f = [](In x) { return hypot(x[0], x[1]) + hypot(3, x[0]); }},
    {.op = "lerp",
     .variant = "number",
     .inputs = two({2, 3}, {3}),
     .f = [](In x) { return lerp(x[0], x[1], 0.3) * lerp(x[0], x[1], 0.8); }},
    {.op = "lerp",
     .variant = "tensor, on both sides of a half",
     .inputs =
         [](Generator& g) {
           return std::vector{sample(g, {2, 3}), sample(g, {2, 3}),
                              sample(g, {2, 3}, 0.1, 0.4) + tensor({{0.0}, {0.5}}, {.dtype = f64})};
         },
     .f = [](In x) { return lerp(x[0], x[1], x[2]); }},
};

const std::vector<Shape> kShapes{{}, {1}, {3}, {1, 3}, {2, 1}, {2, 3}, {4, 2, 3}, {0}, {2, 0, 3}};

/// Extents of the broadcast, or nothing.
std::optional<std::vector<Index>> joined(const Shape& a, const Shape& b) {
  std::vector<Index> out;
  for (Index d = 0; d < std::max(a.rank(), b.rank()); ++d) {
    const Index x = d < a.rank() ? a[a.rank() - 1 - d] : 1, y = d < b.rank() ? b[b.rank() - 1 - d] : 1;
    if (x != y && x != 1 && y != 1) return std::nullopt;
    out.insert(out.begin(), x == 1 ? y : x);
  }
  return out;
}

/// Element of x that belongs to position `at` of a broadcast shape.
std::size_t position(Index at, const std::vector<Index>& shape, const Shape& x) {
  Index index = 0, stride = 1;
  for (Index d = static_cast<Index>(shape.size()) - 1; d >= 0; --d) {
    const Index extent = shape[static_cast<std::size_t>(d)], i = at % extent;
    at /= extent;
    const Index dx = d - (static_cast<Index>(shape.size()) - x.rank());
    if (dx < 0) continue;
    if (x[dx] != 1) index += i * stride;
    stride *= x[dx];
  }
  return static_cast<std::size_t>(index);
}

std::vector<double> gradients(const Tensor& y, const Tensor& a, const Tensor& b) {
  const auto g = grad({y}, {a, b}, {.grad_outputs = {ones_like(y)}});
  std::vector<double> all = values(g[0]);
  const std::vector<double> second = values(g[1]);
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

Tensor leaf(const std::vector<double>& v) {
  return tensor(v, {static_cast<Index>(v.size())}, {.dtype = f64, .requires_grad = true});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(binary_test)

BOOST_AUTO_TEST_CASE(every_pair_of_shapes_broadcasts_as_a_naive_loop_or_names_both_shapes) {
  Generator generator(3);
  for (const Shape& sa : kShapes) {
    for (const Shape& sb : kShapes) {
      const Tensor a = sample(generator, sa).requires_grad(true), b = sample(generator, sb, 1, 2).requires_grad(true);
      const auto shape = joined(sa, sb);
      if (!shape) {
        const std::string text = error<std::invalid_argument>([&] { (void)(a - b); });
        BOOST_TEST(text.find(to_string(sa)) != std::string::npos, text);
        BOOST_TEST(text.find(to_string(sb)) != std::string::npos, text);
        continue;
      }
      const Tensor y = a - b * b;
      BOOST_TEST(y.shape() == Shape(std::span<const Index>(*shape)));
      std::vector<double> expected, ga(static_cast<std::size_t>(a.numel())), gb(static_cast<std::size_t>(b.numel()));
      for (Index i = 0; i < y.numel(); ++i) {
        const std::size_t at = position(i, *shape, sa), bt = position(i, *shape, sb);
        expected.push_back(a.data<double>()[at] - b.data<double>()[bt] * b.data<double>()[bt]);
        ga[at] += 1;
        gb[bt] -= 2 * b.data<double>()[bt];
      }
      BOOST_TEST(all_close(y, expected, 1e-15), to_string(sa) << to_string(sb));
      ga.insert(ga.end(), gb.begin(), gb.end());
      BOOST_TEST(all_close(gradients(y, a, b), ga, 1e-13), to_string(sa) << to_string(sb));
    }
  }
}

/// Against the same op on operands that have been spread out before, whose gradients are added up by a loop.
BOOST_AUTO_TEST_CASE(gradients_of_every_op_and_pair_of_shapes_come_back_in_the_shape_of_their_operand) {
  using Op = Tensor (*)(const Operand&, const Operand&);
  for (const Op op : {Op(add), Op(sub), Op(mul), Op(div), Op(maximum), Op(minimum)}) {
    Generator generator(7);
    for (const Shape& sa : kShapes) {
      for (const Shape& sb : kShapes) {
        const auto shape = joined(sa, sb);
        if (!shape) continue;
        const Tensor a = sample_signed(generator, sa, 0.5, 2).requires_grad(true),
                     b = sample_signed(generator, sb, 0.5, 2).requires_grad(true);
        const Shape both{std::span<const Index>(*shape)};
        const Tensor wide_a = clone(broadcast_to(a.detach(), both)).requires_grad(true),
                     wide_b = clone(broadcast_to(b.detach(), both)).requires_grad(true);
        const Tensor dy = sample(generator, both);
        const auto g = grad({op(a, b)}, {a, b}, {.grad_outputs = {dy}});
        const auto wide = grad({op(wide_a, wide_b)}, {wide_a, wide_b}, {.grad_outputs = {dy}});
        std::vector<double> ga(static_cast<std::size_t>(a.numel())), gb(static_cast<std::size_t>(b.numel()));
        for (Index i = 0; i < dy.numel(); ++i) {
          ga[position(i, *shape, sa)] += wide[0].data<double>()[i];
          gb[position(i, *shape, sb)] += wide[1].data<double>()[i];
        }
        BOOST_TEST(g[0].shape() == sa);
        BOOST_TEST(g[1].shape() == sb);
        BOOST_TEST(all_close(g[0], ga, 1e-12, 1e-12), to_string(sa) << to_string(sb));
        BOOST_TEST(all_close(g[1], gb, 1e-12, 1e-12), to_string(sa) << to_string(sb));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(broadcasts_larger_than_a_chunk_of_work_are_the_same_as_repeating_the_operand) {
  Generator generator(4);
  const std::vector<std::pair<Shape, Shape>> pairs{
      {{37, 19, 67}, {67}}, {{40'000}, {}}, {{700, 67}, {700, 1}}, {{5, 1, 9000}, {1, 3, 1}}, {{35'001}, {35'001}}};
  for (const auto& [sa, sb] : pairs) {
    for (const Dtype dtype : {f32, f64}) {
      const Tensor a = to(sample(generator, sa), dtype), b = to(sample(generator, sb), dtype);
      const Shape shape = broadcast_shape("test", sa, sb);
      const Tensor wide_a = broadcast_to(a, shape), wide_b = broadcast_to(b, shape);
      BOOST_TEST(same_bits(a * b, wide_a * wide_b), to_string(sa) << to_string(sb));
      BOOST_TEST(same_bits(b - a, wide_b - wide_a), to_string(sa) << to_string(sb));
    }
  }
}

BOOST_AUTO_TEST_CASE(numbers_take_the_dtype_of_the_tensor_on_either_side) {
  const Tensor x = tensor({1.0f, 4.0f});
  BOOST_TEST(all_close(x + 1, {2, 5}, 0));
  BOOST_TEST(all_close(1 - x, {0, -3}, 0));
  BOOST_TEST(all_close(2.5 * x, {2.5, 10}, 0));
  BOOST_TEST(all_close(2 / x, {2, 0.5}, 0));
  BOOST_TEST(all_close(-x, {-1, -4}, 0));
  BOOST_TEST((x + 1.0).dtype() == f32);
  BOOST_TEST((1 + to(x, f64)).dtype() == f64);
  BOOST_TEST((tensor({1, 2}) * 3).dtype() == i64);
}

BOOST_AUTO_TEST_CASE(integers_wrap_around_and_refuse_fractions) {
  BOOST_TEST(all_close(to(tensor({1}), u8) - 2, {255}, 0));
  const Tensor most = tensor({std::numeric_limits<std::int32_t>::max()}, {.dtype = i32});
  BOOST_TEST(all_close(most + 1, {-2147483648.0}, 0));
  BOOST_TEST(all_close(most * most, {1}, 0));
  const Tensor i = tensor({1, 2});
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(i + 1.5); }) ==
             "add: beside a tensor of i64 the number must be one that it can hold; got 1.5");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(to(i, u8) * 256); }) ==
             "mul: beside a tensor of u8 the number must be one that it can hold; got 256");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(to(i, u8) + -1); }) ==
             "add: beside a tensor of u8 the number must be one that it can hold; got -1");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(i / 2); }) ==
             "div: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32) or use floor_divide");
}

BOOST_AUTO_TEST_CASE(floor_divide_rounds_down_in_every_dtype) {
  const std::vector<double> dividends{7, -7, 7, -7, 6, -6, 0, 5}, divisors{2, 2, -2, -2, 3, 3, -3, 9};
  const std::vector<double> quotients{3, -4, -4, 3, 2, -2, 0, 0};
  for (const Dtype dtype : {f32, f64, bf16, i64, i32}) {
    const Tensor a = to(leaf(dividends).detach(), dtype), b = to(leaf(divisors).detach(), dtype);
    const Tensor y = floor_divide(a, b);
    BOOST_TEST(y.dtype() == dtype);
    BOOST_TEST(all_close(y, quotients, 0), dtype);
  }
  BOOST_TEST(all_close(floor_divide(to(tensor({200, 7, 6}), u8), to(tensor({100, 2, 7}), u8)), {2, 3, 0}, 0));
}

BOOST_AUTO_TEST_CASE(floor_divide_of_floats_is_pythons) {
  const Tensor a = leaf({1, 0.3, -1, 1, -1, 0, 5, -5, inf, 1, not_a_number, 6});
  const Tensor b = leaf({0.1, 0.1, 0.1, 0, 0, 0, inf, inf, 2, not_a_number, 1, 0.1});
  const Tensor y = floor_divide(a, b);
  BOOST_TEST(
      all_close(y, {9, 2, -10, inf, -inf, not_a_number, 0, -1, not_a_number, not_a_number, not_a_number, 59}, 0));
  const Tensor zeros = floor_divide(leaf({0, 1, -0.0, -1}), leaf({-2, 4, -2, -4}));  // keep the quotient's sign
  BOOST_TEST(std::signbit(zeros.span<double>()[0]));
  BOOST_TEST(!std::signbit(zeros.span<double>()[1]));
  BOOST_TEST(!std::signbit(zeros.span<double>()[2]));
  BOOST_TEST(!std::signbit(zeros.span<double>()[3]));
  BOOST_TEST(all_close(floor_divide(tensor({1.0F}), tensor({0.1F})), {9}, 0));
}

BOOST_AUTO_TEST_CASE(floor_divide_of_the_least_integer_by_minus_one_wraps_around) {
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  const Tensor y = floor_divide(tensor({least, least + 1, least}), tensor({std::int64_t{-1}, std::int64_t{-1}, least}));
  BOOST_TEST((y.to_vector<std::int64_t>() == std::vector{least, -(least + 1), std::int64_t{1}}));
  constexpr auto least32 = std::numeric_limits<std::int32_t>::min();
  BOOST_TEST(all_close(floor_divide(tensor({least32}, {.dtype = i32}), -1), {least32 * 1.0}, 0));
}

BOOST_AUTO_TEST_CASE(floor_divide_broadcasts_and_takes_numbers_on_either_side) {
  BOOST_TEST(all_close(floor_divide(tensor({{7}, {-7}}), tensor({2, 3})), {3, 2, -4, -3}, 0));
  BOOST_TEST(all_close(floor_divide(tensor({7, -7}), 2), {3, -4}, 0));
  BOOST_TEST(all_close(floor_divide(-7, tensor({2, 3})), {-4, -3}, 0));
  BOOST_TEST(all_close(floor_divide(leaf({7, -7}), 0), {inf, -inf}, 0));
  BOOST_TEST(floor_divide(zeros({0}, {.dtype = i64}), zeros({0}, {.dtype = i64})).numel() == 0);
}

BOOST_AUTO_TEST_CASE(floor_divide_refuses_an_integer_divisor_of_zero_and_says_where) {
  const auto text = [](const Operand& a, const Operand& b) {
    return error<std::invalid_argument>([&] { (void)floor_divide(a, b); });
  };
  const Tensor i = tensor({1, 2, 3}), truth = tensor({true});
  BOOST_TEST(text(i, 0) == "floor_divide: an integer divisor must not be 0; got 0");
  BOOST_TEST(text(i, tensor({1, 2, 0})) == "floor_divide: an integer divisor must not be 0; got 0 at element 2");
  BOOST_TEST(text(5, tensor({{1, 2}, {0, 0}})) == "floor_divide: an integer divisor must not be 0; got 0 at element 2");
  BOOST_TEST(text(i, 1.5) == "floor_divide: beside a tensor of i64 the number must be one that it can hold; got 1.5");
  BOOST_TEST(text(i, tensor({1.0F})) ==
             "floor_divide: the dtypes must be equal; got i64 and f32, convert one with to(x, i64)");
  BOOST_TEST(text(truth, truth) == "floor_divide: the dtype must be f32, f64, bf16 or an integer; got bool");
  BOOST_TEST(text(1, 2) == "floor_divide: one of a and b must be a tensor; got two numbers");
}

BOOST_AUTO_TEST_CASE(floor_divide_has_a_gradient_of_zero_and_keeps_nothing) {
  const Tensor a = leaf({7, -7}), b = leaf({2, 2});
  const auto before = memory_stats().live_storages;
  const Tensor y = floor_divide(a, b);
  BOOST_TEST(memory_stats().live_storages == before + 1);
  const auto g = grad({y}, {a, b}, {.grad_outputs = {ones_like(y)}});
  BOOST_TEST(all_close(g[0], {0, 0}, 0));
  BOOST_TEST(all_close(g[1], {0, 0}, 0));
  BOOST_TEST(all_close(grad(floor_divide(a, b) * a, a, {.grad_outputs = {ones_like(y)}}), {3, -4}, 0));
}

BOOST_AUTO_TEST_CASE(tensors_are_never_promoted_and_bools_have_no_arithmetic) {
  const Tensor x = tensor({1.0f}), d = tensor({1.0}, {.dtype = f64}), truth = tensor({true});
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(x + d); }) ==
             "add: the dtypes must be equal; got f32 and f64, convert one with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(truth + truth); }) ==
             "add: the dtype must be f32, f64, bf16 or an integer; got bool");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)add(1, 2); }) ==
             "add: one of a and b must be a tensor; got two numbers");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(truth / truth); }) ==
             "div: the dtype must be f32, f64 or bf16; got bool, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)(-Operand(1)); }) ==
             "neg: the operand must be a tensor; got a number");
  BOOST_TEST(all_close(x + x, {2}, 0));  // the next call works
}

BOOST_AUTO_TEST_CASE(division_by_zero_is_infinite_with_infinite_gradients) {
  const Tensor a = leaf({1, 0}), b = leaf({0, 0});
  const Tensor y = a / b;
  BOOST_TEST(all_close(y, {inf, not_a_number}, 0));
  BOOST_TEST(all_close(gradients(y, a, b), {inf, inf, -inf, not_a_number}, 0));
}

BOOST_AUTO_TEST_CASE(the_gradient_of_a_quotient_survives_a_divisor_whose_square_overflows) {
  const Tensor a = full({1}, 1e30, {.requires_grad = true}), b = full({1}, 1e25, {.requires_grad = true});
  BOOST_TEST(all_close(grad(a / b, b, {.grad_outputs = {ones({1})}}), {-1e-20}, 1e-6));
}

BOOST_AUTO_TEST_CASE(ties_of_maximum_and_minimum_share_and_nan_goes_to_both) {
  const Tensor a = leaf({1, 2, not_a_number, 3}), b = leaf({1, 1, 5, not_a_number});
  BOOST_TEST(all_close(maximum(a, b), {1, 2, not_a_number, not_a_number}, 0));
  BOOST_TEST(all_close(minimum(a, b), {1, 1, not_a_number, not_a_number}, 0));
  BOOST_TEST(all_close(gradients(maximum(a, b), a, b), {0.5, 1, 1, 1, 0.5, 0, 1, 1}, 0));
  BOOST_TEST(all_close(gradients(minimum(a, b), a, b), {0.5, 0, 1, 1, 0.5, 1, 1, 1}, 0));
  BOOST_TEST(all_close(maximum(tensor({1, 5}), 3), {3, 5}, 0));
}

BOOST_AUTO_TEST_CASE(a_frozen_operand_keeps_nothing_for_the_other_ones_gradient) {
  const Tensor x = ones({2}, {.requires_grad = true}), w = ones({2});
  const auto before = memory_stats().live_storages;
  const Tensor y = no_grad([&] { return x * w; });
  BOOST_TEST(!y.requires_grad());
  Tensor scratch = ones({2});
  const Tensor z = x + scratch;
  scratch = Tensor();
  BOOST_TEST(memory_stats().live_storages == before + 2);  // y and z; add keeps nothing
}

BOOST_AUTO_TEST_CASE(an_operand_changed_after_it_was_saved_is_refused_by_backward) {
  const Tensor x = ones({2}, {.requires_grad = true});
  Tensor w = ones({2});
  const Tensor y = x * w;
  w.mutable_data<float>()[0] = 5;
  const std::string text = error<std::logic_error>([&] { y.backward({.gradient = ones({2})}); });
  BOOST_TEST(text.find("mul") != std::string::npos, text);
}

BOOST_AUTO_TEST_CASE(remainder_has_the_sign_of_the_divisor_and_fmod_that_of_the_dividend) {
  for (const Dtype dtype : {f32, f64, i32, i64}) {
    const Tensor a = to(tensor({-7, 7, -7, 7, 6, -6}), dtype), b = to(tensor({2, -2, -2, 2, 3, 3}), dtype);
    BOOST_TEST(all_close(remainder(a, b), {1, -1, -1, 1, 0, 0}, 0), dtype);
    BOOST_TEST(all_close(fmod(a, b), {-1, 1, -1, 1, 0, 0}, 0), dtype);
    BOOST_TEST(all_close(floor_divide(a, b) * b + remainder(a, b), values(a), 0), dtype);
  }
  BOOST_TEST(all_close(remainder(to(tensor({200, 7}), u8), 60), {20, 7}, 0));
  BOOST_TEST(all_close(fmod(-7, tensor({2.0, 4.0})), {-1, -3}, 0));
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  BOOST_TEST(all_close(remainder(tensor({least}), tensor({std::int64_t{-1}})), {0}, 0));
  BOOST_TEST(all_close(fmod(tensor({least}), tensor({std::int64_t{-1}})), {0}, 0));
}

BOOST_AUTO_TEST_CASE(gradients_of_remainder_and_fmod_are_one_and_the_quotient_negated) {
  const Tensor a = leaf({-7, 7.5}), b = leaf({2, 2});
  BOOST_TEST(gradients(remainder(a, b), a, b) == (std::vector<double>{1, 1, 4, -3}));
  BOOST_TEST(gradients(fmod(a, b), a, b) == (std::vector<double>{1, 1, 3, -3}));
  const Tensor by_zero = remainder(leaf({1}), leaf({0}));
  BOOST_TEST(std::isnan(by_zero.item()));
  BOOST_TEST(std::isnan(fmod(leaf({1}), 0).item()));
}

BOOST_AUTO_TEST_CASE(powers_of_two_tensors_have_the_edges_of_the_contract) {
  const Tensor base = leaf({0, 0, 0, -2, -2, not_a_number, 2}), exponent = leaf({0, 2, -1, 2, 0.5, 0, 3});
  const Tensor y = pow(base, exponent);
  BOOST_TEST(all_close(y, {1, 0, inf, 4, not_a_number, 1, 8}, 0));
  const auto g = grad({y}, {base, exponent}, {.grad_outputs = {ones_like(y)}});
  BOOST_TEST(all_close(g[0], {0, 0, -inf, -4, not_a_number, 0, 12}, 1e-15));
  BOOST_TEST(all_close(g[1], {0, 0, -inf, not_a_number, not_a_number, not_a_number, 8 * std::log(2.0)}, 1e-15));
}

BOOST_AUTO_TEST_CASE(integers_are_raised_by_squaring_and_wrap_around) {
  BOOST_TEST(all_close(pow(tensor({2, -3, 0, 7}), tensor({10, 3, 0, 1})), {1024, -27, 1, 7}, 0));
  BOOST_TEST(all_close(pow(tensor({2, -3}), 2), {4, 9}, 0));
  BOOST_TEST(pow(tensor({3}), 39).item<std::int64_t>() == 4052555153018976267);  // beyond 2^53
  BOOST_TEST(pow(to(tensor({2}), u8), 8).item<std::int64_t>() == 0);
  BOOST_TEST(all_close(pow(2, tensor({0, 5})), {1, 32}, 0));
  const auto text = [](const Tensor& a, const Operand& b) {
    return error<std::invalid_argument>([&] { (void)pow(a, b); });
  };
  BOOST_TEST(text(tensor({2, 2}), tensor({3, -1})) ==
             "pow: an integer's exponent must not be negative; got -1 at element 1");
  BOOST_TEST(text(tensor({2}), -2) == "pow: an integer's exponent must not be negative; got -2");
  BOOST_TEST(text(tensor({2}), 0.5) == "pow: beside a tensor of i64 the number must be one that it can hold; got 0.5");
}

BOOST_AUTO_TEST_CASE(angles_and_lengths_at_the_origin_have_gradient_zero) {
  const Tensor a = leaf({0, 1, 0, -1}), b = leaf({0, 0, -1, -1});
  BOOST_TEST(all_close(atan2(a, b), {0, std::numbers::pi / 2, std::numbers::pi, -3 * std::numbers::pi / 4}, 1e-15));
  const auto close = [](const std::vector<double>& got, const std::vector<double>& wanted) {
    return all_close(got, wanted, 1e-12, 1e-12);
  };
  BOOST_TEST(close(gradients(atan2(a, b), a, b), {0, 0, -1, -0.5, 0, -1, 0, 0.5}));
  const Tensor u = leaf({0, 3, 3e200}), v = leaf({0, -4, 4e200});
  BOOST_TEST(all_close(hypot(u, v), {0, 5, 5e200}, 1e-15));
  BOOST_TEST(close(gradients(hypot(u, v), u, v), {0, 0.6, 0.6, 0, -0.8, 0.8}));
  BOOST_TEST(error<std::invalid_argument>([] { (void)hypot(tensor({3}), 4); }) ==
             "hypot: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
  BOOST_TEST(error<std::invalid_argument>([] { (void)atan2(1, tensor({3})); }) ==
             "atan2: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(fmax_and_fmin_pass_over_a_nan) {
  const Tensor a = leaf({not_a_number, 1, not_a_number, 2, 5}), b = leaf({1, not_a_number, not_a_number, 2, 4});
  BOOST_TEST(all_close(fmax(a, b), {1, 1, not_a_number, 2, 5}, 0));
  BOOST_TEST(all_close(fmin(a, b), {1, 1, not_a_number, 2, 4}, 0));
  BOOST_TEST(gradients(fmax(a, b), a, b) == (std::vector<double>{0, 1, 1, 0.5, 1, 1, 0, 1, 0.5, 0}));
  BOOST_TEST(gradients(fmin(a, b), a, b) == (std::vector<double>{0, 1, 1, 0.5, 0, 1, 0, 1, 0.5, 1}));
}

BOOST_AUTO_TEST_CASE(lerp_meets_both_ends_exactly) {
  const Tensor a = tensor({0.1F, 3.0F}), b = tensor({0.7F, -1e9F});
  BOOST_TEST(same_bits(lerp(a, b, 0), a));
  BOOST_TEST(same_bits(lerp(a, b, 1), b));
  BOOST_TEST(same_bits(lerp(a, b, tensor({0.0F, 1.0F})), tensor({0.1F, -1e9F})));
  BOOST_TEST(all_close(lerp(tensor({2.0, 4.0}), 10, 0.25), {4, 5.5}, 1e-7));
  BOOST_TEST(error<std::invalid_argument>([] { (void)lerp(tensor({1}), tensor({2}), 0.5); }) ==
             "lerp: the dtype must be f32, f64 or bf16; got i64, convert it with to(x, f32)");
}

BOOST_AUTO_TEST_CASE(compound_operators_change_values_in_place_for_every_handle) {
  Tensor x = tensor({1.0, 2.0}, {.dtype = f64});
  const Tensor same = x;
  x += 1;
  x *= tensor({2.0, 3.0}, {.dtype = f64});
  x -= 0.5;
  (x /= 2) += x;
  BOOST_TEST(all_close(same, {3.5, 8.5}, 0));
  Tensor counts = tensor({5, 6});
  counts += 1;
  BOOST_TEST(all_close(counts, {6, 7}, 0));
  BOOST_TEST(error<std::invalid_argument>([&] {
               x += ones({2, 2}, {.dtype = f64});
             }) == "add: the right side must broadcast to [2], the shape of the left one; got [2, 2]");
  BOOST_TEST(error<std::invalid_argument>([&] { counts += 0.5; }) ==
             "add: beside a tensor of i64 the number must be one that it can hold; got 0.5");
  BOOST_TEST(all_close(counts, {6, 7}, 0));
}

BOOST_AUTO_TEST_CASE(compound_operators_refuse_what_is_recorded) {
  Tensor w = tensor({1.0, 2.0}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(
      error<std::logic_error>([&] { w -= 0.1; }) ==
      "sub: in place a tensor must have no part in a recording; write x = x - b, or open a NoGradGuard for a leaf");
  Tensor y = w * 2;
  const NoGradGuard off;
  BOOST_TEST(
      error<std::logic_error>([&] { y *= 3; }) ==
      "mul: in place a tensor must have no part in a recording; write x = x * b, or open a NoGradGuard for a leaf");
  w -= 0.5;
  BOOST_TEST(all_close(w, {0.5, 1.5}, 0));
  BOOST_TEST(w.requires_grad());
}

BOOST_AUTO_TEST_CASE(what_was_saved_for_backward_notices_a_change_in_place) {
  Tensor x = tensor({1.0, 2.0}, {.dtype = f64});
  const Tensor w = tensor({3.0, 4.0}, {.dtype = f64, .requires_grad = true});
  const Tensor y = sum(w * x);
  x += 1;
  BOOST_TEST(error<std::logic_error>([&] { y.backward(); }) ==
             "mul: an input saved for backward was modified in place (saved at version 1, now 2)");
}

BOOST_AUTO_TEST_SUITE_END()
