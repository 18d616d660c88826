#pragma once

#include <cstdint>
#include <type_traits>

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/base/tuning.h>

/// Block sizes and crossovers of convolutions; see <tapestry/ops/kernels/base/tuning.h>. bench_conv prints what they
/// decide, layer by layer of ResNet-18, ResNet-20 and VGG. Elements are numbers, or pairs of bfloat16. Private to
/// ops/kernels.
namespace tapestry::kernels {

struct Pair;

namespace tuning {

// ---- which algorithm (select.cpp)

/// Products that rounding an f32 element to bfloat16 must save half of to pay: it takes the time of some 60.
inline constexpr double kProductsPerRounding = 64;

// What Winograd's transforms cost, in multiply-adds of the direct kernels, as measured with 16 to 512 channels on
// Zen 5.

/// Of a square and a channel, of x or of y: transforms of patches and results, which wait for L2.
inline constexpr double kWinogradPerSquare = 230;
/// Of a pair of channels: transforms of taps.
inline constexpr double kWinogradPerTaps = 600;
/// How many times faster it has to be; for less, results had better stay those of the direct kernels.
inline constexpr double kWinogradGain = 1.15;

// ---- tiles over runs of taps (gather.cpp)

/// Depth of the part of a panel that stays in L2 while pixels pass by, in elements: 512 KiB of 64 columns of floats.
/// Sums are cut there, so last bits hang on it.
template <class T>
inline constexpr Index kPanelDepth = static_cast<Index>(8192 / sizeof(T));

/// Images in a tile, at most. Image strides are powers of two more often than not, so that the same pixel of all images
/// falls into one set of the L1 cache, which has 8 to 12 ways: with 16 images 16-channel layers ran at 0.44 of peak,
/// with 8 at 0.71. Products of pairs take longer to come out, so that 8 sums at a time do not fill the units: with 12
/// the same layers ran 13 % faster.
template <class T>
inline constexpr Index kImageRows = std::is_same_v<T, Pair> ? 12 : 8;

/// Bytes of packed weights above which they do not stay in L2 beside the images: tasks then take one panel each.
inline constexpr Index kResidentWeights = 512 * 1024;

/// What packing a weight costs, in multiply-adds, where the number of tasks is decided.
inline constexpr double kWeightPackCost = 16;

// ---- weight gradients (weight_grad.cpp); last bits hang on all of them

/// Elements of gradients that are packed at a time, or read where they lie if all filters fit into one panel: those of
/// 128 pixels with 64 filters, 32 KiB of floats, stay in L1 or next to it while all taps and channels pass by. It also
/// bounds the length of one chain of additions.
inline constexpr Index kGradientBlock = 128 * 64;

/// Taps x channels of a task: with 64 filters 147 KiB of sums, which stay in L2.
inline constexpr Index kSumRows = 576;

/// Channels of a task, however many taps: packed gradients have to be used for something.
inline constexpr Index kFewestChannels = 32;

/// Filters of a panel as tasks are counted: the same on all instruction sets, whose panels are not.
inline constexpr Index kNominalPanel = 64;

/// Channels below which the taps of a kernel row make one piece: fewer would fill too little of a tile.
inline constexpr Index kMergeBelow = 16;

// ---- one channel per group (depthwise.cpp)

/// What a product costs, in multiply-adds of a tile: memory bound, some 8 times as much.
inline constexpr double kDepthwiseCost = 8;

// ---- Winograd (winograd.cpp, winograd_weight_grad.cpp)

/// Squares at a time: eight register tiles of six; with 64 channels each way 400 KiB.
inline constexpr Index kWinogradSquares = 48;

/// Channels of taps that are transformed at a time: a cache line of w, and with 64 filters 36 KiB.
inline constexpr Index kWinogradPackChannels = 16;

/// What transforming the taps of a pair of channels costs, in multiply-adds, where the number of tasks is decided.
inline constexpr double kWinogradPackCost = 64;

/// Squares at a time in a weight gradient; it also bounds the length of one chain of additions, so last bits hang on
/// it.
inline constexpr Index kWinogradGradientSquares = 96;

/// Channels and filters of a task of a weight gradient: with a block of patches 2.5 MiB, that pass by once.
inline constexpr Index kWinogradCellChannels = 256, kWinogradCellFilters = 64;

/// Filters that a weight gradient is cut in multiples of: the widest vector.
inline constexpr Index kWinogradColumns = 16;

}  // namespace tuning
}  // namespace tapestry::kernels
