#include <support/expect.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/compare.h>
#include <tapestry/ops/index.h>
#include <tapestry/ops/shape_ops.h>

BOOST_AUTO_TEST_SUITE(tensor_test)

using namespace tapestry;
using namespace tapestry::test;

// --- making

BOOST_AUTO_TEST_CASE(values_choose_the_dtype_unless_options_say_otherwise) {
  BOOST_TEST(tensor({1.5, 2.5}).dtype() == f32);
  BOOST_TEST(tensor({1, 2}).dtype() == i64);
  BOOST_TEST(tensor({true, false}).dtype() == boolean);
  BOOST_TEST(tensor({1, 2}, {.dtype = f64}).dtype() == f64);
  BOOST_TEST(zeros({2}).dtype() == f32);
  BOOST_TEST(arange(3).dtype() == i64);
  BOOST_TEST(arange(0, 1, 0.5).dtype() == f32);
  BOOST_TEST(full({1}, 3).dtype() == i64);
  BOOST_TEST(full({1}, 3.0).dtype() == f32);
  BOOST_TEST(full({1}, true).dtype() == boolean);
}

BOOST_AUTO_TEST_CASE(lists_may_mix_numbers_and_hold_any_arithmetic_type) {
  BOOST_TEST(values(tensor({1, 2.5})) == (std::vector<double>{1, 2.5}));
  BOOST_TEST(tensor({1, 2.5}).dtype() == f32);
  BOOST_TEST(tensor({1, 2U}).dtype() == i64);
  BOOST_TEST(tensor({true, 2}).dtype() == i64);
  BOOST_TEST((tensor({{1, 2.5}, {3, 4}}).shape() == Shape{2, 2}));
  BOOST_TEST(values(tensor({{1, 2.5}, {3, 4}}, {.dtype = f64})) == (std::vector<double>{1, 2.5, 3, 4}));
  BOOST_TEST(values(tensor({1U, 2U})) == (std::vector<double>{1, 2}));
  BOOST_TEST(values(tensor({1LL, -2LL})) == (std::vector<double>{1, -2}));
  BOOST_TEST(tensor({std::size_t{7}}).dtype() == i64);
  BOOST_TEST(tensor({short{1}, short{2}}).dtype() == i64);
  BOOST_TEST(tensor({1.5L}).dtype() == f32);
  BOOST_TEST(values(tensor(std::vector<unsigned>{3, 4}, {2})) == (std::vector<double>{3, 4}));
  const Tensor flags = tensor(std::vector<bool>{true, false, true}, {3});
  BOOST_TEST(flags.dtype() == boolean);
  BOOST_TEST(values(flags) == (std::vector<double>{1, 0, 1}));
  BOOST_TEST(error<std::invalid_argument>([] { (void)tensor({~0ULL}); }) ==
             "tensor: the value must be one that i64 can hold; got 18446744073709551615");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)tensor({1.5, 2.5}, {.dtype = i64});
             }) == "tensor: the value must be one that i64 can hold; got 1.5");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)tensor({{1, 2.5}, {3}});
             }) == "tensor: rows must have equal lengths; got 2 and 1");
}

BOOST_AUTO_TEST_CASE(integers_keep_all_their_bits) {
  constexpr std::int64_t odd = (std::int64_t{1} << 53) + 1, most = std::numeric_limits<std::int64_t>::max(),
                         least = std::numeric_limits<std::int64_t>::min();
  const auto only = [](const Tensor& x) { return x.item<std::int64_t>(); };
  BOOST_TEST(only(full({1}, odd)) == odd);
  BOOST_TEST(only(full({1}, most, {.dtype = i64})) == most);
  BOOST_TEST(only(full_like(tensor({odd}), odd)) == odd);
  BOOST_TEST(only(tensor({odd})) == odd);
  const Tensor steps = arange(odd, odd + 3);
  BOOST_TEST((steps.to_vector<std::int64_t>() == std::vector<std::int64_t>{odd, odd + 1, odd + 2}));
  BOOST_TEST((arange(least, most, most).to_vector<std::int64_t>() == std::vector<std::int64_t>{least, -1, most - 1}));
  BOOST_TEST((arange(most, least, least).to_vector<std::int64_t>() == std::vector<std::int64_t>{most, -1}));
  BOOST_TEST(only(tensor({odd}) + 1) == odd + 1);
  BOOST_TEST(only(tensor({odd}) - odd) == 0);
  BOOST_TEST(only(tensor({std::int64_t{1}}) * odd) == odd);
  BOOST_TEST(only(where(tensor({true}), odd, tensor({0}))) == odd);
  BOOST_TEST(only(masked_fill(tensor({0}), tensor({true}), odd)) == odd);
  BOOST_TEST(pad(tensor({0}), {{0, 1}}, {.value = odd}).to_vector<std::int64_t>()[1] == odd);
  BOOST_TEST(only(scatter(tensor({0}), tensor({0}), odd)) == odd);
  BOOST_TEST(only(gt(tensor({odd}), odd - 1)) == 1);
  BOOST_TEST(only(gt(tensor({odd}), odd)) == 0);
}

BOOST_AUTO_TEST_CASE(an_arange_that_its_dtype_cannot_hold_is_refused) {
  const auto text = [](const auto& f) { return error<std::invalid_argument>(f); };
  BOOST_TEST(text([] { (void)arange(250, 260, 1, {.dtype = u8}); }) ==
             "arange: the value must be one that u8 can hold; got 256");
  BOOST_TEST(text([] { (void)arange(0, 1, .5, {.dtype = i64}); }) ==
             "arange: the value must be one that i64 can hold; got 0.5");
  BOOST_TEST(text([] { (void)arange(Index{1} << 62); }) ==
             "arange: there must be at most 2^59 elements; got begin 0, end 4611686018427387904, step 1");
  BOOST_TEST(values(arange(254, 256, 1, {.dtype = u8})) == (std::vector<double>{254, 255}));
  BOOST_TEST(values(arange(3, 0, -1, {.dtype = bf16})) == (std::vector<double>{3, 2, 1}));
}

BOOST_AUTO_TEST_CASE(a_vector_is_a_shape) {
  const std::vector<Index> extents{2, 3};
  BOOST_TEST((zeros(extents).shape() == Shape{2, 3}));
  BOOST_TEST((reshape(arange(6), extents).shape() == Shape{2, 3}));
  BOOST_TEST((randn(extents).shape() == Shape{2, 3}));
  BOOST_TEST((broadcast_to(ones({3}), extents).shape() == Shape{2, 3}));
}

BOOST_AUTO_TEST_CASE(an_index_gives_a_slice_that_is_recorded) {
  const Tensor x = tensor({{1, 2}, {3, 4}}, {.dtype = f64, .requires_grad = true});
  BOOST_TEST(values(x[1]) == (std::vector<double>{3, 4}));
  BOOST_TEST(values(x[-1]) == (std::vector<double>{3, 4}));
  BOOST_TEST(x[1][0].item() == 3);
  BOOST_TEST(values(grad(x[1][0] * x[0][1], x)) == (std::vector<double>{0, 3, 2, 0}));
  BOOST_TEST(error<std::out_of_range>([&] { (void)x[2]; }) ==
             "select: the index must be in [-2, 2); got 2 for dim 0 of [2, 2]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)x[0][0][0]; }) == "select: a scalar has no dim to select from");
}

BOOST_AUTO_TEST_CASE(elements_are_converted_as_they_are_copied) {
  const Tensor x = tensor({1.75, -1.75, 300.0, NAN}, {.dtype = f64});
  BOOST_TEST((x.to_vector<int>() == std::vector<int>{1, -1, 300, 0}));
  BOOST_TEST((x.to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 0, 255, 0}));
  BOOST_TEST((x.to_vector<bool>() == std::vector<bool>{true, true, true, true}));
  BOOST_TEST((x.to_vector<float>()[2] == 300.0F));
  BOOST_TEST((tensor({1, 2}).to_vector<double>() == std::vector<double>{1, 2}));
  BOOST_TEST((tensor({1, 2}, {.dtype = bf16}).to_vector<std::size_t>() == std::vector<std::size_t>{1, 2}));
  BOOST_TEST(scalar(1e300, {.dtype = f64}).item<int>() == std::numeric_limits<int>::max());
  BOOST_TEST(scalar(-INFINITY).item<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
}

BOOST_AUTO_TEST_CASE(a_default_dtype_holds_for_a_scope_and_in_its_loops) {
  {
    const DefaultDtype scope(f64);
    BOOST_TEST(zeros({1}).dtype() == f64);
    BOOST_TEST(empty({1}).dtype() == f64);
    BOOST_TEST(tensor({1.5F}).dtype() == f64);
    BOOST_TEST(tensor({1, 2.5}).dtype() == f64);
    BOOST_TEST(full({1}, 1.0).dtype() == f64);
    BOOST_TEST(full({1}, 1).dtype() == i64);
    BOOST_TEST(arange(0, 1, .5).dtype() == f64);
    BOOST_TEST(randn({1}).dtype() == f64);
    BOOST_TEST(scalar(1).dtype() == f64);
    BOOST_TEST(eye(2).dtype() == f64);
    std::vector<Dtype> seen(4);
    parallel_for(4, 1, [&](Index begin, Index) { seen[static_cast<std::size_t>(begin)] = zeros({1}).dtype(); });
    for (const Dtype dtype : seen) BOOST_TEST(dtype == f64);
    {
      const DefaultDtype inner(bf16);
      BOOST_TEST(ones({1}).dtype() == bf16);
    }
    BOOST_TEST(ones({1}).dtype() == f64);
  }
  BOOST_TEST(zeros({1}).dtype() == f32);
  BOOST_TEST(error<std::invalid_argument>([] { const DefaultDtype scope(i64); }) ==
             "default_dtype: the dtype must be f32, f64 or bf16; got i64");
}

BOOST_AUTO_TEST_CASE(rows_make_a_matrix) {
  const Tensor x = tensor({{1., 2., 3.}, {4., 5., 6.}}, {.dtype = f64});
  BOOST_TEST(x.shape() == (Shape{2, 3}));
  BOOST_TEST(values(x) == (std::vector<double>{1, 2, 3, 4, 5, 6}));
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)tensor({{1., 2.}, {3.}});
             }) == "tensor: rows must have equal lengths; got 2 and 1");
  BOOST_TEST(error<std::invalid_argument>([] {
               (void)tensor(std::vector<float>{1, 2, 3}, {2, 2});
             }) == "tensor: the number of values must be that of shape [2, 2], 4; got 3");
}

BOOST_AUTO_TEST_CASE(arange_stops_before_its_end) {
  BOOST_TEST(all_close(arange(0, 1, .3), {0, .3, .6, .9}, 1e-6));
  BOOST_TEST(values(arange(5, 0, -2)) == (std::vector<double>{5, 3, 1}));
  BOOST_TEST(arange(0).shape() == (Shape{0}));
  BOOST_TEST(arange(2, 2).shape() == (Shape{0}));
  BOOST_TEST(error<std::invalid_argument>([] { (void)arange(0, 3, 0); }) == "arange: step must not be 0");
  BOOST_TEST(error<std::invalid_argument>([] { (void)arange(0, 3, -1); }) ==
             "arange: step must lead from begin to end; got begin 0, end 3, step -1");
}

BOOST_AUTO_TEST_CASE(constants_and_identities_have_their_values) {
  BOOST_TEST(values(full({2}, 7, {.dtype = i32})) == (std::vector<double>{7, 7}));
  BOOST_TEST(values(eye(2)) == (std::vector<double>{1, 0, 0, 1}));
  BOOST_TEST(values(ones_like(tensor({2., 3.}, {.dtype = f64}))) == (std::vector<double>{1, 1}));
  BOOST_TEST(values(zeros({0, 3})).empty());
  BOOST_TEST(scalar(2.5).shape() == Shape{});
}

BOOST_AUTO_TEST_CASE(numbers_that_an_integer_dtype_cannot_hold_are_refused) {
  BOOST_TEST(error<std::invalid_argument>([] { (void)full({2}, 1.5, {.dtype = i64}); }) ==
             "full: the value must be one that i64 can hold; got 1.5");
  BOOST_TEST(error<std::invalid_argument>([] { (void)full({2}, 256, {.dtype = u8}); }) ==
             "full: the value must be one that u8 can hold; got 256");
  BOOST_TEST(error<std::invalid_argument>([] { (void)tensor({300}, {.dtype = u8}); }) ==
             "tensor: the value must be one that u8 can hold; got 300");
  BOOST_TEST(error<std::invalid_argument>([] { (void)tensor({-1}, {.dtype = u8}); }) ==
             "tensor: the value must be one that u8 can hold; got -1");
  BOOST_TEST(error<std::invalid_argument>([] { (void)full({2}, NAN, {.dtype = i64}); }) ==
             "full: the value must be one that i64 can hold; got nan");
  BOOST_TEST(values(full({1}, -0x1p63, {.dtype = i64})) == (std::vector<double>{-0x1p63}));
  BOOST_TEST(values(tensor({2, 0}, {.dtype = boolean})) == (std::vector<double>{1, 0}));
}

BOOST_AUTO_TEST_CASE(bf16_tensors_hold_rounded_values) {
  BOOST_TEST(values(full({1}, 1 + 0x1p-9, {.dtype = bf16})) == (std::vector<double>{1}));
  BOOST_TEST(full({1}, 3, {.dtype = bf16}).item<float>() == 3.0F);
}

// --- reading and writing

BOOST_AUTO_TEST_CASE(an_undefined_tensor_says_so) {
  const Tensor x;
  BOOST_TEST(!x.defined());
  BOOST_TEST(to_string(x) == "undefined tensor");
  BOOST_TEST(error<std::logic_error>([&] { (void)x.shape(); }) ==
             "shape: the tensor must be defined; this handle is empty");
}

BOOST_AUTO_TEST_CASE(sizes_and_items_are_checked) {
  const Tensor x = zeros({2, 3});
  BOOST_TEST(x.size(-1) == 3);
  BOOST_TEST(x.dim() == 2);
  BOOST_TEST(error<std::invalid_argument>([&] { (void)x.size(2); }) == "size: dim must be in [-2, 1]; got 2");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)x.item(); }) ==
             "item: the tensor must have one element; got shape [2, 3]");
  BOOST_TEST(error<std::invalid_argument>([&] { (void)x.data<double>(); }) ==
             "data: the element type must be that of the tensor, f32; got f64");
  BOOST_TEST(full({1, 1}, 4.0).item<int>() == 4);
}

BOOST_AUTO_TEST_CASE(writing_is_seen_through_every_handle_and_counted) {
  Tensor x = zeros({2, 3});
  const Tensor handle = x;
  const Tensor detached = x.detach();
  const Tensor view = reshape(x, {3, 2});
  const auto version = x.impl().storage->version();
  x.mutable_data<float>()[4] = 5;
  BOOST_TEST(values(handle)[4] == 5);
  BOOST_TEST(values(detached)[4] == 5);
  BOOST_TEST(values(view)[4] == 5);
  BOOST_TEST(view.impl().storage->version() == version + 1);
  BOOST_TEST(x.is_same(handle));
  BOOST_TEST(!x.is_same(detached));
}

BOOST_AUTO_TEST_CASE(what_has_history_or_a_wanted_gradient_cannot_be_written_carelessly) {
  Tensor leaf = ones({2}, {.requires_grad = true});
  Tensor y = leaf * 2;
  BOOST_TEST(error<std::logic_error>([&] { (void)y.mutable_data<float>(); }) ==
             "mutable_data: a tensor with history cannot be written; it is the result of mul, use detach()");
  BOOST_TEST(error<std::logic_error>([&] { (void)leaf.mutable_data<float>(); }) ==
             "mutable_data: a leaf that requires grad can be written under no_grad only");
  BOOST_TEST(no_grad([&] { return leaf.mutable_data<float>()[0] = 3; }) == 3.0F);
  Tensor detached = y.detach();
  BOOST_CHECK_NO_THROW(detached.mutable_data<float>()[0] = 3);
}

BOOST_AUTO_TEST_CASE(a_leaf_is_made_and_unmade_a_result_is_not) {
  Tensor x = ones({2});
  BOOST_TEST(!x.requires_grad());
  BOOST_TEST(x.is_leaf());
  x.requires_grad(true);
  Tensor y = x * 2;
  BOOST_TEST(y.requires_grad());
  BOOST_TEST(!y.is_leaf());
  BOOST_TEST(error<std::logic_error>([&] { y.requires_grad(false); }) ==
             "requires_grad: only a leaf can be changed; this tensor is the result of mul, use detach()");
  BOOST_TEST(!y.detach().requires_grad());
  x.requires_grad(false);
  BOOST_TEST(!x.requires_grad());
  BOOST_TEST(error<std::invalid_argument>([] { (void)ones({2}, {.dtype = i64, .requires_grad = true}); }) ==
             "requires_grad: the dtype must be a float; got i64");
}

BOOST_AUTO_TEST_CASE(a_gradient_that_is_set_must_fit) {
  const Tensor x = ones({2}, {.requires_grad = true});
  x.set_grad(tensor({3., 4.}));
  BOOST_TEST(values(x.grad()) == (std::vector<double>{3, 4}));
  BOOST_TEST(error<std::invalid_argument>([&] { x.set_grad(ones({3})); }) ==
             "set_grad: the gradient must be f32 [2]; got f32 [3]");
  BOOST_TEST(error<std::logic_error>([] { ones({2}).set_grad(ones({2})); }) ==
             "set_grad: the tensor must be a leaf that requires grad");
  BOOST_TEST(values(x.grad()) == (std::vector<double>{3, 4}));
  x.zero_grad();
  BOOST_TEST(!x.grad().defined());
}

BOOST_AUTO_TEST_CASE(set_data_changes_the_tensor_behind_every_handle) {
  Tensor x = ones({2}, {.requires_grad = true});
  const Tensor handle = x;
  x.set_grad(ones({2}));
  x.set_data(tensor({1., 2., 3.}, {.dtype = f64}));
  BOOST_TEST(handle.shape() == (Shape{3}));
  BOOST_TEST(handle.dtype() == f64);
  BOOST_TEST(handle.requires_grad());
  BOOST_TEST(!handle.grad().defined());
  Tensor y = x * 2;
  BOOST_TEST(error<std::logic_error>([&] { y.set_data(ones({3})); }) ==
             "set_data: the tensor must have no history; it is the result of mul");
  BOOST_TEST(error<std::invalid_argument>([&] { x.set_data(arange(3)); }) ==
             "set_data: a leaf's dtype must be a float; got i64");
}

// --- printing

BOOST_AUTO_TEST_CASE(tensors_print_as_nested_lists) {
  BOOST_TEST(to_string(tensor({{1.5, 2.}, {3., 4.}})) == "[[1.5, 2],\n [3, 4]] f32 [2, 2]");
  BOOST_TEST(to_string(scalar(2.5)) == "2.5 f32 []");
  BOOST_TEST(to_string(tensor({true, false})) == "[true, false] bool [2]");
  BOOST_TEST(to_string(zeros({0, 3})) == "[] f32 [0, 3]");
  BOOST_TEST(to_string(tensor<double>({NAN, INFINITY, -0.0})) == "[nan, inf, -0] f32 [3]");
  BOOST_TEST(to_string(full({1}, 200, {.dtype = u8})) == "[200] u8 [1]");
}

BOOST_AUTO_TEST_CASE(long_tensors_are_shortened_in_the_middle) {
  BOOST_TEST(to_string(arange(1000)) == "[0, 1, 2, ..., 997, 998, 999] i64 [1000]");
  BOOST_TEST(to_string(arange(200)).find("...") == std::string::npos);
}

// --- where errors point

BOOST_AUTO_TEST_CASE(an_error_names_the_line_of_the_caller) {
  const int line = __LINE__ + 2;
  try {
    (void)(ones({2}) + ones({3}));
    BOOST_ERROR("no error");
  } catch (const std::invalid_argument& e) {
    const std::string text = e.what();
    BOOST_TEST(text.substr(text.find('\n')) == "\n  at tensor_test.cpp:" + std::to_string(line));
  }
}

BOOST_AUTO_TEST_CASE(an_error_names_the_module_it_happened_in) {
  const ModuleScope module(intern("layer2.0.conv1"));
  const CallSite site({"src/model.cpp", 42});
  try {
    throw_out_of_range("op: index must be below {}; got {}", 3, 5);
  } catch (const std::out_of_range& e) {
    BOOST_TEST(std::string(e.what()) == "op: index must be below 3; got 5\n  at model.cpp:42 in layer2.0.conv1");
  }
}

BOOST_AUTO_TEST_CASE(messages_format_all_kinds_of_arguments) {
  BOOST_TEST(format_message("{} {} {} {} {} {}", 1, 2.5, true, f64, Shape{2, 3}, std::string("text")) ==
             "1 2.5 true f64 [2, 3] text");
  BOOST_TEST(intern("a name") == intern(std::string("a ") + "name"));
}

BOOST_AUTO_TEST_SUITE_END()
