#pragma once

#include <tapestry/autograd/base/parallel.h>

/// The additions before and after Winograd's products. Private to ops/kernels.
namespace tapestry::kernels {

/// A transform of n small matrices at a time, all alike: matrix i has its entries at from[0][i], from[1][i] ..., row by
/// row, and those of the result at to[0][i], to[1][i] ... No result may overlap an operand.
using WinogradTransform = void (*)(Index n, const float* const* from, float* const* to);

/// With the matrices of Lavin & Gray (2015), a convolution of a 4x4 patch d with 3x3 taps g is A' (G g G' * B' d B) A,
/// where * multiplies element by element and ' transposes; so its gradients are those of a product of three linear
/// maps, and need the same matrices.
///
///        1  0 -1  0         1    0    0
///   B' = 0  1  1  0    G = 1/2  1/2  1/2    A' = 1  1  1  0
///        0 -1  1  0        1/2 -1/2  1/2         0  1 -1 -1
///        0  1  0 -1         0    0    1
struct WinogradTransforms {
  WinogradTransform patch;        ///< 4x4 -> 4x4: B' d B
  WinogradTransform taps;         ///< 3x3 -> 4x4: G g G'
  WinogradTransform result;       ///< 4x4 -> 2x2: A' m A
  WinogradTransform result_grad;  ///< 2x2 -> 4x4: A y A', the transpose of `result`
  WinogradTransform taps_grad;    ///< 4x4 -> 3x3: G' u G, the transpose of `taps`
};

/// For the best instruction set of this CPU.
[[nodiscard]] const WinogradTransforms& winograd_transforms();

}  // namespace tapestry::kernels
