#include <tapestry/ops/kernels/eigh.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <tapestry/autograd/memory/scratch.h>
#include <tapestry/ops/kernels/base/tuning.h>

namespace tapestry::kernels {
namespace {

/// Sweeps after which rotations end in any case. Convergence is quadratic: eight are many for any matrix.
constexpr int kSweeps = 64;

/// Working memory of one matrix: what is being rotated to a diagonal, the product of all rotations, and its order.
struct Workspace {
  Index n;
  Scratch<double> matrix, vectors;  // [n, n], the rows of the second are eigenvectors
  Scratch<Index> order;

  explicit Workspace(Index n_of) : n(n_of), matrix(n_of * n_of), vectors(n_of * n_of), order(n_of) {}
};

/// Turns rows p and q of [n, n] by an angle with this cosine and sine.
void rotate_rows(double* m, Index n, Index p, Index q, double cosine, double sine) {
  double* const row_p = m + p * n;
  double* const row_q = m + q * n;
  for (Index k = 0; k < n; ++k) {
    const double at_p = row_p[k], at_q = row_q[k];
    row_p[k] = cosine * at_p - sine * at_q;
    row_q[k] = sine * at_p + cosine * at_q;
  }
}

void rotate_columns(double* m, Index n, Index p, Index q, double cosine, double sine) {
  for (Index k = 0; k < n; ++k) {
    const double at_p = m[k * n + p], at_q = m[k * n + q];
    m[k * n + p] = cosine * at_p - sine * at_q;
    m[k * n + q] = sine * at_p + cosine * at_q;
  }
}

/// The sum of squares off the diagonal is below what rounding leaves beside those of the whole matrix.
bool is_diagonal(const double* m, Index n) {
  double off = 0, all = 0;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) {
      const double square = m[i * n + j] * m[i * n + j];
      all += square;
      if (i != j) off += square;
    }
  }
  constexpr double kRounding = std::numeric_limits<double>::epsilon() / 4;
  return off <= kRounding * kRounding * all;
}

/// Cyclic Jacobi: each rotation makes one pair of elements zero, the smaller of the two angles at that.
void diagonalize(Workspace& work) {
  const Index n = work.n;
  double* const m = work.matrix.data();
  double* const v = work.vectors.data();
  std::fill_n(v, n * n, 0.0);
  for (Index i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < kSweeps && !is_diagonal(m, n); ++sweep) {
    for (Index p = 0; p + 1 < n; ++p) {
      for (Index q = p + 1; q < n; ++q) {
        const double off = m[p * n + q];
        if (off == 0) continue;
        // tan(2 angle) = 2 off / (m_qq - m_pp); the quotient may be infinite, which is an angle of 0.
        const double ratio = (m[q * n + q] - m[p * n + p]) / (2 * off);
        const double tangent = std::copysign(1.0, ratio) / (std::abs(ratio) + std::sqrt(ratio * ratio + 1));
        const double cosine = 1 / std::sqrt(tangent * tangent + 1), sine = tangent * cosine;
        rotate_columns(m, n, p, q, cosine, sine);
        rotate_rows(m, n, p, q, cosine, sine);
        m[p * n + q] = m[q * n + p] = 0;
        rotate_rows(v, n, p, q, cosine, sine);
      }
    }
  }
}

template <class T>
void decompose(const T* a, T* out, Workspace& work) {
  const Index n = work.n;
  double* const m = work.matrix.data();
  double largest = 0;
  bool finite = true;
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) {
      const double mean = static_cast<double>(a[i * n + j]) / 2 + static_cast<double>(a[j * n + i]) / 2;
      finite = finite && std::isfinite(mean);
      largest = std::max(largest, std::abs(mean));
      m[i * n + j] = mean;
    }
  }
  if (!finite) {
    std::fill_n(out, (n + 1) * n, std::numeric_limits<T>::quiet_NaN());
    return;
  }
  const double scale = largest > 0 ? largest : 1;  // squares are of numbers up to 1
  for (Index i = 0; i < n * n; ++i) m[i] /= scale;
  diagonalize(work);
  Index* const order = work.order.data();
  std::iota(order, order + n, Index{0});
  std::sort(order, order + n, [=](Index i, Index j) {
    const double at_i = m[i * n + i], at_j = m[j * n + j];
    return at_i != at_j ? at_i < at_j : i < j;
  });
  for (Index k = 0; k < n; ++k) {
    const Index from = order[k];
    const double* const vector = work.vectors.data() + from * n;
    double peak = 0;
    for (Index i = 0; i < n; ++i) {
      if (std::abs(vector[i]) > std::abs(peak)) peak = vector[i];
    }
    out[k] = static_cast<T>(m[from * n + from] * scale);
    for (Index i = 0; i < n; ++i) out[(i + 1) * n + k] = static_cast<T>(peak < 0 ? -vector[i] : vector[i]);
  }
}

}  // namespace

template <class T>
void eigh(const T* a, Index count, Index n, T* out) {
  if (n == 0) return;
  const double work = 100 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  const Index per_task = std::max<Index>(1, static_cast<Index>(tuning::kSmallestTask / work));
  parallel_for(count, per_task, [=](Index begin, Index end) {
    Workspace workspace(n);
    for (Index i = begin; i < end; ++i) decompose(a + i * n * n, out + i * (n + 1) * n, workspace);
  });
}

template void eigh(const float*, Index, Index, float*);
template void eigh(const double*, Index, Index, double*);

}  // namespace tapestry::kernels
