#pragma once

#include <tapestry/autograd/base/parallel.h>

/// The numbers that decide how fast kernels are, not what they compute: those that several families share, and those of
/// families of one file. gemm/tuning.h and conv2d/tuning.h have theirs; sizes of register tiles stand with the
/// micro-kernels, since registers decide them. Private to ops/kernels.
///
/// A reason that speaks of time comes with the program that prints the time (tests/bench): change a number and compare.
/// Where chunks of a sum are cut by one of them, the order of additions, and so the last bits, hang on it: kGrain in
/// reduce and optimizer_step, kNormBlock, kNormGrain, kLayerNormBlock, and what says so in the other two files.
namespace tapestry::kernels::tuning {

// ---- the machine

/// Bytes that are read and written together, on any x86-64.
inline constexpr Index kCacheLine = 64;

/// Bytes between a read and what is asked for ahead of it, in loops that do too much arithmetic per line for the
/// processor to run far ahead by itself: four pages. On a Zen 5 the gradient of batch_norm and relu took 3.5 ms on 33.5
/// MB without asking and takes 2.3 (bench_memory_bound), a depthwise convolution of stride 2 half of its time
/// (bench_conv).
inline constexpr Index kPrefetchAhead = 16 * 1024;

// ---- how small a task may be

/// Elements of a task of a plain loop. A core moves some 10 GB/s, so that it takes 25 us to read and write as many
/// floats; another one wakes in 2 to 20 us. With fewer it would come too late to help (bench_overhead,
/// bench_memory_bound).
inline constexpr Index kGrain = 32 * 1024;

/// The same where an element costs more: an exponential (softmax, losses), three to five streams of memory
/// (optimizers), or a place that may be anywhere (index).
inline constexpr Index kCostlyGrain = 16 * 1024;

/// Bytes of a task that only copies: kGrain floats.
inline constexpr Index kCopyBytes = 4 * kGrain;

/// Rows of `row` elements in a task of about `grain` elements.
[[nodiscard]] constexpr Index rows_per_task(Index row, Index grain = kGrain) {
  const Index rows = grain / (row > 0 ? row : 1);
  return rows > 0 ? rows : 1;
}

/// Multiply-adds of a task of a product or convolution: some 20 us of one core (bench_gemm, at 32 to 128).
inline constexpr double kSmallestTask = 2e6;

/// Tasks that a product or convolution is cut into where it is large enough: with 64 of about the same size, the last
/// one to end keeps the other cores waiting for 1/64 of the time per core.
inline constexpr Index kTasks = 64;

/// The same where every task keeps sums of its own, that take memory and have to be added up: weight gradients.
inline constexpr Index kSumTasks = 32;

// ---- families of one file

/// Columns of a strided softmax that are computed together: maxima and sums, 128 doubles each, lie on the stack, and
/// every line of memory is used whole.
inline constexpr Index kSoftmaxColumns = 128;

/// Neighbouring lines that a scan walks together: their last sums, 64 doubles, stay in L1 or registers, and every line
/// of memory is used whole.
inline constexpr Index kScanColumns = 64;

/// Elements of batch_norm that are added up in the operand's type before the sum goes on in double: small enough to
/// stay in the first two cache levels between the pass for the mean and the one for the deviations.
inline constexpr Index kNormBlock = 8 * 1024;

/// Elements of a group of batch_norm's rows: one task, one set of partial sums.
inline constexpr Index kNormGrain = 64 * 1024;

/// Rows whose gradients in layer_norm's weight and bias are added up in the operand's type before the sum goes on in
/// double: as far as float can be trusted, and few enough for conversions not to count.
inline constexpr Index kLayerNormBlock = 64;

/// Elements of bfloat16 that are widened together for the loops of float: three buffers of 8 KiB, half of L1.
inline constexpr Index kBf16Piece = 2048;

/// Columns of a task's unit where few and long rows are paired for products of bfloat16: 16 KiB of floats.
inline constexpr Index kPairPiece = 4096;

/// Elements on a side of the square tiles of a transposed copy: read and written, one of 8-byte elements is half of a
/// 32 KiB L1 cache.
inline constexpr Index kTransposeTile = 32;

/// Neighbouring elements that a task of index_add or scatter_add adds to, at the least: four cache lines of floats, so
/// that the processor sees them coming.
inline constexpr Index kFewestLines = 64;

}  // namespace tapestry::kernels::tuning
