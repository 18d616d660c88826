#pragma once

#include <string_view>
#include <vector>

#include <tapestry/autograd/tensor.h>

namespace tapestry {

/// Sums of products in Einstein's notation, as in NumPy and PyTorch: each operand's dimensions are named by letters,
///
///     einsum("ik,kj->ij", {a, b})           matrix product
///     einsum("bqhd,bkhd->bhqk", {q, k})     scores of attention, head by head
///     einsum("...ii->...i", {a})            diagonals
///     einsum("i,j,k->", {a, b, c})          the sum over all products
///
/// and the result is, for all values of the letters behind the arrow, the sum over all values of the others of the
/// products of the operands' elements.
///
///   equation   terms of letters (a-z, A-Z, which differ), one per operand, separated by commas; then -> and the
///              result's letters, each once. Blanks do not count. Without an arrow the result has the dimensions of ...
///              and then, in alphabetical order (A before a), the letters that occur once.
///   ...        in a term: all dimensions that have no letter there; they broadcast. Where the result has no ... they
///              are summed over.
///   operands   of one dtype, f32, f64 or bf16; a letter's extents are equal, or 1, which broadcasts. A letter that
///              stands twice in a term takes the diagonal of these dimensions, whose extents must be equal.
///   y          a tensor of its own, of that dtype
///
/// Operands are multiplied from the left, two at a time, each time as permute, reshape and a batched matmul, with no
/// copy where an operand's dimensions stand in an order that matmul takes; what no later term needs is summed over at
/// once. Composed of other ops, subject to autocast and precision as matmul is. Keeps what those ops keep.
///
/// Throws std::invalid_argument, naming the term or the letter, for an equation that breaks these rules, for operands
/// that do not fit it, and where two operands together have more than kMaxRank dimensions that are still needed.
[[nodiscard]] Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands, Here here = {});

}  // namespace tapestry
