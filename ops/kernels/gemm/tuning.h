#pragma once

#include <tapestry/autograd/base/parallel.h>
#include <tapestry/ops/kernels/base/tuning.h>

/// Block sizes and crossovers of matrix products; see <tapestry/ops/kernels/base/tuning.h>. bench_gemm prints what they
/// decide: rows of a table are shapes, m x n x k. Elements are numbers, or pairs of bfloat16. Private to ops/kernels.
namespace tapestry::kernels::tuning {

// ---- blocks

/// Depth of a block, in elements: its panel of 64 columns, 128 KiB, stays in L2 while the rows pass by. It also bounds
/// the length of one chain of additions, so last bits hang on it.
template <class T>
inline constexpr Index kDepthBlock = static_cast<Index>(2048 / sizeof(T));

/// Depth of the one block that a bfloat16 result is made in, in pairs: it is no place for partial sums. A panel then
/// fills half of L2; beyond, sums are floats and are rounded at the end.
inline constexpr Index kDeepestPairs = 2048;

/// Rows of a task: with a depth block 192 KiB of A, that stay in L2 while all panels of the task pass by.
inline constexpr Index kRowsPerTask = 96;

/// Multiply-adds that one product of a batch must have to be worth all threads by itself; smaller ones are shared out
/// whole. Four smallest tasks.
inline constexpr double kLargeProduct = 8e6;

/// What packing an element costs, in multiply-adds, where the number of tasks is decided.
inline constexpr double kPackCost = 16;

// ---- how B is read

/// Rows up to which every panel of B is used too little to be packed ahead of the loop.
inline constexpr Index kFewRows = 96;

/// Rows up to which reading B where it lies costs less than copying it.
inline constexpr Index kRowsInPlace = 64;

/// Columns from which a transposed A is packed; with fewer, every element of it is read too seldom to be copied first.
inline constexpr Index kPackAFrom = 96;

// ---- dot products

/// Up to kDotRows rows, dot products along k beat tiles of packed panels on any instruction set (on AVX-512 up to twice
/// as many), from kDotDepth on, where adding up the lanes of a sum does not count.
inline constexpr Index kDotRows = 4;
inline constexpr Index kDotDepth = 64;

/// They are bound by reading B, which takes about 8 times as long as multiplying it.
inline constexpr double kDotCost = 8;

// ---- turned round

/// With this many rows, packing a transposed B costs a noticeable part of the product (a third at 32 rows, a quarter at
/// 128 of a depth of 3072), and turning the result round much less.
inline constexpr Index kTurnFrom = 8, kTurnTo = 128;

/// What turning an element of the result round costs, in multiply-adds.
inline constexpr double kTurnCost = 16;

}  // namespace tapestry::kernels::tuning
