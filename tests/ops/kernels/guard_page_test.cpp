// Kernels on operands and results with forbidden pages around them. What comes out is checked elsewhere; here it is
// that nothing beyond the ends is touched, for sizes on and off every vector length.
#include <tapestry/ops/kernels/batch_norm.h>
#include <tapestry/ops/kernels/dropout.h>
#include <tapestry/ops/kernels/elementwise.h>
#include <tapestry/ops/kernels/gemm/gemm.h>
#include <tapestry/ops/kernels/gemm/gemm_bf16.h>
#include <tapestry/ops/kernels/layer_norm.h>
#include <tapestry/ops/kernels/loss.h>
#include <tapestry/ops/kernels/optimizer_step.h>
#include <tapestry/ops/kernels/reduce.h>
#include <tapestry/ops/kernels/simd/bf16.h>
#include <tapestry/ops/kernels/softmax.h>

#include <ops/kernels/conv2d_cases.h>
#include <support/guarded.h>
#include <boost/test/unit_test.hpp>

#include <type_traits>

namespace {

using namespace tapestry;
using namespace tapestry::test;

constexpr Index kSizes[] = {0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 130, 1027};

/// f(where) for pages behind and before.
template <class F>
void on_both_sides(const F& f) {
  f(std::integral_constant<bool, true>());
  f(std::integral_constant<bool, false>());
}

template <class T>
Guarded<T> zeros(Index n, bool at_end) {
  return Guarded<T>(n, at_end ? Guarded<T>::At::end : Guarded<T>::At::begin);
}

template <class T>
void run_gemm(Index m, Index n, Index k, bool end) {
  const auto a = zeros<T>(m * k, end), b = zeros<T>(k * n, end), bias = zeros<T>(n, end);
  auto c = zeros<T>(m * n, end);
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      if constexpr (std::is_same_v<T, BFloat16>) {
        const auto sums = zeros<float>(n, end);
        kernels::gemm_bf16(ta, tb, m, n, k, a.data(), b.data(), sums.data(), c.data());
      } else {
        kernels::gemm<T>(ta, tb, m, n, k, a.data(), b.data(), bias.data(), c.data());
      }
    }
  }
}

template <class T>
void run_convolution(const Conv2dShape& s, bool end) {
  auto x = zeros<T>(x_size(s), end), w = zeros<T>(w_size(s), end), y = zeros<T>(y_size(s), end);
  if constexpr (std::is_same_v<T, BFloat16>) {
    const auto bias = zeros<float>(s.k, end);
    auto dw = zeros<float>(w_size(s), end);
    paired_conv2d(s, x.data(), static_cast<const T*>(w.data()), bias.data(), y.data());
    paired_input_grad(s, y.data(), static_cast<const T*>(w.data()), x.data());
    paired_weight_grad(s, static_cast<const T*>(x.data()), static_cast<const T*>(y.data()), dw.data());
  } else {
    const auto bias = zeros<T>(s.k, end);
    plain_conv2d<T>(s, x.data(), w.data(), bias.data(), y.data());
    plain_input_grad<T>(s, y.data(), w.data(), x.data());
    plain_weight_grad<T>(s, x.data(), y.data(), w.data());
  }
}

template <class T>
void run_elementwise(Index n, bool end) {
  const auto a = zeros<T>(n, end), b = zeros<T>(n, end);
  auto y = zeros<T>(n, end);
  auto truth = zeros<bool>(n, end);
  using kernels::Unary;
  for (const Unary op : {Unary::neg, Unary::sqrt, Unary::exp, Unary::log, Unary::tanh, Unary::erf, Unary::relu,
                         Unary::silu, Unary::gelu}) {
    kernels::unary(op, a.data(), y.data(), n);
  }
  using kernels::Binary;
  for (const Binary op : {Binary::add, Binary::div, Binary::maximum, Binary::relu_grad, Binary::gelu_grad}) {
    kernels::binary(op, {n, 1, 1}, a.data(), b.data(), y.data());
  }
  kernels::with_number(kernels::WithNumber::leaky_relu, a.data(), ComputeType<T>(0), y.data(), n);
  kernels::compare(kernels::Compare::lt, {n, 1, 1}, a.data(), b.data(), truth.data());
}

template <class T>
void run_rows(Index rows, Index n, bool end) {
  const auto x = zeros<T>(rows * n, end), dy = zeros<T>(rows * n, end), weight = zeros<T>(n, end);
  auto y = zeros<T>(rows * n, end), mean = zeros<T>(rows, end), deviation = zeros<T>(rows, end), dw = zeros<T>(n, end),
       db = zeros<T>(n, end);
  kernels::softmax(x.data(), rows, n, 1, y.data());
  kernels::softmax(x.data(), 1, rows, n, y.data());
  kernels::log_softmax(x.data(), rows, n, 1, y.data());
  kernels::softmax_gradient(x.data(), dy.data(), rows, n, 1, y.data());
  kernels::log_softmax_gradient(x.data(), dy.data(), 1, rows, n, y.data());
  kernels::reduce_sum(x.data(), rows, n, 1, 1.0, mean.data());
  kernels::reduce_sum(x.data(), 1, rows, n, 1.0, dw.data());
  if (n > 0) {
    kernels::layer_norm(x.data(), rows, n, weight.data(), weight.data(), 1e-5, y.data(), mean.data(), deviation.data());
    kernels::layer_norm_gradient(x.data(), dy.data(), rows, n, weight.data(), mean.data(), deviation.data(), y.data(),
                                 dw.data(), db.data());
    const auto labels = zeros<std::int64_t>(rows, end);
    auto loss = zeros<double>(rows, end);
    const kernels::CrossEntropyTarget<T> target{labels.data(), nullptr, nullptr, -100, 0.1};
    kernels::cross_entropy(x.data(), rows, n, target, loss.data());
    kernels::cross_entropy_gradient(x.data(), rows, n, target, 1.0, mean.data(), 1, y.data());
  }
  const auto mask = zeros<bool>(rows * n, end);
  kernels::masked_scale(x.data(), mask.data(), 1, 1, rows * n, T{2}, y.data());
  auto m = zeros<T>(rows * n, end), v = zeros<T>(rows * n, end);
  kernels::sgd_step<T>({.lr = 1,
                        .momentum = 1,
                        .keep = 1,
                        .weight_decay = 1,
                        .sign = 1,
                        .first = false,
                        .nesterov = true,
                        .has_buffer = true},
                       y.data(), x.data(), m.data(), rows * n);
  kernels::adam_step<T>({.rate = 1,
                         .beta1 = 1,
                         .beta2 = 1,
                         .one_minus_beta1 = 1,
                         .one_minus_beta2 = 1,
                         .root_correction2 = 1,
                         .eps = 1,
                         .shrink = 1,
                         .weight_decay = 1,
                         .sign = 1},
                        y.data(), x.data(), m.data(), v.data(), nullptr, rows * n);
  auto b = zeros<T>(rows * n, end);
  kernels::rmsprop_step<T>(
      {.lr = 1, .alpha = 1, .one_minus_alpha = 1, .eps = 1, .momentum = 1, .weight_decay = 1, .sign = 1}, y.data(),
      x.data(), m.data(), v.data(), b.data(), rows * n);
  kernels::adagrad_step<T>({.rate = 1, .eps = 1, .weight_decay = 1, .sign = 1}, y.data(), x.data(), m.data(), rows * n);
  kernels::momentum_direction<T>(1, true, x.data(), m.data(), v.data(), rows * n);
  kernels::scale_and_add_in_place<T>(y.data(), 2, x.data(), 2, rows * n);
  kernels::lerp_in_place<T>(y.data(), x.data(), T{2}, rows * n);
  kernels::clip_rows_to_parameter<T>(y.data(), x.data(), rows, n, 0.5, 1e-3);
  (void)kernels::sum_of_products<T>(y.data(), x.data(), rows * n);
}

template <class T>
void run_channels(Index rows, Index channels, bool end) {
  using C = ComputeType<T>;
  const auto x = zeros<T>(rows * channels, end), dy = zeros<T>(rows * channels, end);
  auto y = zeros<T>(rows * channels, end), masked = zeros<T>(rows * channels, end);
  const auto mean = zeros<C>(channels, end), scale = zeros<C>(channels, end), shift = zeros<C>(channels, end);
  auto sums = zeros<double>(channels, end), squares = zeros<double>(channels, end);
  if (rows > 0) kernels::channel_moments(x.data(), rows, channels, sums.data(), squares.data());
  for (const T* residual : {static_cast<const T*>(nullptr), dy.data()}) {
    kernels::channel_affine(x.data(), rows, channels, mean.data(), scale.data(), shift.data(), residual, true,
                            y.data());
  }
  for (const kernels::ReluMask<T>& mask :
       {kernels::ReluMask<T>{}, kernels::ReluMask<T>{.scale = scale.data(), .shift = shift.data()},
        kernels::ReluMask<T>{.y = x.data(), .masked = masked.data()}}) {
    kernels::channel_gradient_sums(x.data(), dy.data(), rows, channels, mean.data(), mask, sums.data(), squares.data());
    const kernels::ReluMask<T> again{.y = mask.y, .scale = mask.scale, .shift = mask.shift};
    kernels::channel_gradient(x.data(), dy.data(), rows, channels, mean.data(), again, scale.data(), mean.data(),
                              shift.data(), y.data());
    const bool from_x = mask.scale != nullptr;
    kernels::channel_scale(from_x ? x.data() : nullptr, dy.data(), rows, channels, from_x ? mean.data() : nullptr,
                           again, scale.data(), y.data());
  }
}

BOOST_AUTO_TEST_SUITE(guard_page_test)

BOOST_AUTO_TEST_CASE(products) {
  on_both_sides([](bool end) {
    for (const Index m : {1, 2, 5, 14, 33}) {
      for (const Index n : {1, 15, 16, 17, 65, 130}) {
        for (const Index k : {1, 2, 15, 33, 601}) {
          run_gemm<float>(m, n, k, end);
          run_gemm<double>(m, n, k, end);
          run_gemm<BFloat16>(m, n, k, end);
        }
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(convolutions) {
  on_both_sides([](bool end) {
    for (const Index channels : {1, 2, 3, 8, 16, 17, 32, 40}) {
      for (const Conv2dShape& s :
           {shape(3, 5, 6, channels, 19, 3, 3, same(1)), shape(13, 4, 4, channels, 64, 3, 3, same(1)),
            shape(2, 9, 9, channels, 16, 3, 3, same(1, 2)), shape(2, 7, 7, channels, 24, 1, 1, same(0)),
            shape(2, 7, 7, channels, 24, 1, 1, same(0, 2)),
            shape(2, 6, 6, channels, channels, 3, 3, same(1, 1, channels)),
            shape(1, 12, 12, channels, 5, 5, 4, same(2)), shape(2, 6, 6, 4 * channels, 12, 3, 3, same(1, 1, 4))}) {
        run_convolution<float>(s, end);
        run_convolution<double>(s, end);
        run_convolution<BFloat16>(s, end);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(elementwise_loops) {
  on_both_sides([](bool end) {
    for (const Index n : kSizes) {
      run_elementwise<float>(n, end);
      run_elementwise<double>(n, end);
      run_elementwise<BFloat16>(n, end);
      const auto wide = zeros<float>(n, end);
      auto narrow = zeros<BFloat16>(n, end);
      auto back = zeros<float>(n, end);
      kernels::narrow(wide.data(), narrow.data(), n);
      kernels::widen(narrow.data(), back.data(), n);
    }
  });
}

BOOST_AUTO_TEST_CASE(rows_and_optimizer_steps) {
  on_both_sides([](bool end) {
    for (const Index rows : {1, 2, 9}) {
      for (const Index n : kSizes) {
        run_rows<float>(rows, n, end);
        run_rows<double>(rows, n, end);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(channels_of_images) {
  on_both_sides([](bool end) {
    for (const Index rows : {1, 3, 64, 257}) {
      for (const Index channels : {1, 3, 15, 16, 17, 33, 64, 100}) {
        run_channels<float>(rows, channels, end);
        run_channels<double>(rows, channels, end);
        run_channels<BFloat16>(rows, channels, end);
      }
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
