#include <tapestry/ops/kernels/conv2d/select.h>

#include <algorithm>

#include <tapestry/ops/kernels/conv2d/tuning.h>
#include <tapestry/ops/kernels/conv2d/winograd.h>
#include <tapestry/ops/kernels/conv2d/winograd_squares.h>
#include <tapestry/ops/kernels/gemm/microkernel.h>

namespace tapestry::kernels {
namespace {

/// What a choice hangs on.
struct Case {
  Conv2dPass pass;
  const Conv2dShape& s;
  Dtype first, second;
  Precision precision;

  [[nodiscard]] bool is_f32() const { return first == f32 && second == f32; }
};

// ---- what a shape allows

/// A matrix product over pixels, nothing else. A weight gradient would be one, too, but with the longest side as the
/// depth: the tiles of weight gradients are made for that.
bool is_product(const Case& c) {
  const Conv2dShape& s = c.s;
  return c.pass != Conv2dPass::weight_grad && s.r == 1 && s.s == 1 && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_top == 0 && s.pad_left == 0 && s.groups == 1 && s.oh == s.h && s.ow == s.w;
}

/// One channel per group on both sides.
bool is_depthwise(const Case& c) { return c.s.groups == c.s.c && c.s.k == c.s.c && c.s.groups > 1; }

/// What is added up can be taken in pairs: of images for a weight gradient, unless there is one channel per group, else
/// of the channels of a group. Several groups must be whole pairs each; one alone is padded.
bool has_pairs(const Case& c) {
  switch (c.pass) {
    case Conv2dPass::weight_grad: return !is_depthwise(c);
    case Conv2dPass::input_grad: return c.s.groups == 1 || c.s.k / c.s.groups % 2 == 0;
    default: return c.s.groups == 1 || c.s.c / c.s.groups % 2 == 0;
  }
}

// ---- what pays

/// f32 operands are worth being rounded for the sake of bf16 products: the pass has many for each of its elements, the
/// weights apart.
bool rounding_pays(const Case& c) {
  const Conv2dShape& s = c.s;
  const Index elements =
      (c.pass != Conv2dPass::input_grad ? s.x_size() : 0) + (c.pass != Conv2dPass::forward ? s.y_size() : 0);
  const double products = static_cast<double>(s.y_size()) * static_cast<double>(s.r * s.s * (s.c / s.groups));
  return products > tuning::kProductsPerRounding * static_cast<double>(elements);
}

/// Operands are to be multiplied as bf16, in whatever way.
bool as_bf16(const Case& c) {
  if (!c.is_f32()) return c.first == bf16;
  return c.precision == Precision::medium && has_bf16_products() && rounding_pays(c);
}

/// How many taps of all outputs together meet an input, along one axis.
Index taps_inside(Index taps, Index outputs, Index inputs, Index pad) {
  Index count = 0;
  for (Index tap = 0; tap < taps; ++tap) {
    count += std::max(Index{0}, std::min(outputs, inputs + pad - tap) - std::max(Index{0}, pad - tap));
  }
  return count;
}

/// Winograd's products and transforms cost less than the direct products, in any of the three passes.
bool winograd_pays(const Conv2dShape& s) {
  const double pairs = static_cast<double>(s.c * s.k), channels = static_cast<double>(s.c + s.k);
  const double taps =
      static_cast<double>(taps_inside(s.r, s.oh, s.h, s.pad_top) * taps_inside(s.s, s.ow, s.w, s.pad_left));
  const Squares squares{s.n, std::max(s.h, s.oh), std::max(s.w, s.ow)};  // of the pass that has more of them
  const double count = static_cast<double>(squares.count());
  const double direct = static_cast<double>(s.n) * taps * pairs;
  return direct > tuning::kWinogradGain * (count * (kProducts * pairs + tuning::kWinogradPerSquare * channels) +
                                           tuning::kWinogradPerTaps * pairs);
}

// ---- the table: the first row that holds

struct Row {
  Conv2dMethod method;
  bool (*holds)(const Case&);
};

constexpr Row kRows[] = {
    {Conv2dMethod::pair_product, [](const Case& c) { return as_bf16(c) && is_product(c); }},
    {Conv2dMethod::pair_tiles, [](const Case& c) { return as_bf16(c) && has_pairs(c); }},
    {Conv2dMethod::winograd,
     [](const Case& c) {
       return c.is_f32() && c.precision >= Precision::high && is_winograd(c.s) && winograd_pays(c.s);
     }},
    {Conv2dMethod::product, is_product},
    {Conv2dMethod::depthwise, is_depthwise},
    {Conv2dMethod::tiles, [](const Case&) { return true; }},
};

}  // namespace

Conv2dMethod select_conv2d(Conv2dPass pass, const Conv2dShape& shape, Dtype first, Dtype second, Precision precision) {
  const Case given{pass, shape, first, second, precision};
  return std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) { return row.holds(given); })->method;
}

void conv2d(const Conv2dShape& s, Precision precision, Elements x, Elements w, const void* bias, void* y,
            Storage* keep) {
  conv2d(s, select_conv2d(Conv2dPass::forward, s, x.dtype, w.dtype, precision), x, w, bias, y, keep);
}

void conv2d_input_grad(const Conv2dShape& s, Precision precision, Elements dy, Elements w, void* dx) {
  conv2d_input_grad(s, select_conv2d(Conv2dPass::input_grad, s, dy.dtype, w.dtype, precision), dy, w, dx);
}

void conv2d_weight_grad(const Conv2dShape& s, Precision precision, Elements x, Elements dy, void* dw) {
  conv2d_weight_grad(s, select_conv2d(Conv2dPass::weight_grad, s, x.dtype, dy.dtype, precision), x, dy, dw);
}

}  // namespace tapestry::kernels
