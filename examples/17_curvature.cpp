// The largest eigenvalues of a network's Hessian by the method of Lanczos (1950), which needs only products of the
// Hessian with vectors. The model and the pictures are those of CIFAR-100 in shape; the matrix, of 10^10 elements, is
// never formed. A product costs about two gradients.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <tapestry/tapestry.h>

using namespace tapestry;

constexpr Index kImages = 64, kClasses = 100;
constexpr int kSteps = 12;  // of the method
constexpr int kTraining = 10;

using Weights = std::vector<Tensor>;

double dot(const Weights& a, const Weights& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += sum(to(a[i] * b[i], f64)).item();
  return total;
}

/// a + factor * b.
Weights plus(const Weights& a, double factor, const Weights& b) {
  Weights out;
  for (std::size_t i = 0; i < a.size(); ++i) out.push_back(a[i] + factor * b[i]);
  return out;
}

/// Eigenvalues of the symmetric matrix with this diagonal and these numbers beside it, by Jacobi's rotations.
std::vector<double> eigenvalues(const std::vector<double>& diagonal, const std::vector<double>& beside) {
  const std::size_t n = diagonal.size();
  std::vector<std::vector<double>> m(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) {
    m[i][i] = diagonal[i];
    if (i + 1 < n) m[i][i + 1] = m[i + 1][i] = beside[i];
  }
  for (int sweep = 0; sweep < 50; ++sweep) {
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (std::abs(m[p][q]) < 1e-14) continue;
        const double angle = 0.5 * std::atan2(2 * m[p][q], m[q][q] - m[p][p]), c = std::cos(angle), s = std::sin(angle);
        for (std::size_t k = 0; k < n; ++k) {
          const double kp = m[k][p], kq = m[k][q];
          m[k][p] = c * kp - s * kq;
          m[k][q] = s * kp + c * kq;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = m[p][k], qk = m[q][k];
          m[p][k] = c * pk - s * qk;
          m[q][k] = s * pk + c * qk;
        }
      }
    }
  }
  std::vector<double> values;
  for (std::size_t i = 0; i < n; ++i) values.push_back(m[i][i]);
  std::sort(values.rbegin(), values.rend());
  return values;
}

int main() {
  manual_seed(1);
  const datasets::Patterns pictures({.size = kImages, .transform = datasets::ToFloat()});
  const auto model = nn::models::make("lecture_cnn", kClasses);
  Tensor images, labels;
  for (const auto& [x, y] : datasets::Loader(pictures, {.batch = kImages})) images = x, labels = y;
  const ListFunction loss = [&](const Weights& at) {
    return cross_entropy(nn::functional_call(model, at, images), labels);
  };
  optim::SGD sgd(model.parameters(), {.lr = 0.05, .momentum = 0.9});
  for (int step = 0; step < kTraining; ++step) {
    sgd.zero_grad();
    cross_entropy(model(images), labels).backward();
    sgd.step();
  }

  Weights at, v;
  for (const Tensor& p : model.parameters()) {
    at.push_back(p.detach());
    v.push_back(randn(p.shape()));
  }
  v = plus(v, 1 / std::sqrt(dot(v, v)) - 1, v);
  std::vector<Weights> basis;
  std::vector<double> diagonal, beside;
  std::printf("%lld parameters\nproducts   largest eigenvalues\n", static_cast<long long>(model.count_parameters()));
  double largest = 0, before = 0;
  for (int step = 1; step <= kSteps; ++step) {
    basis.push_back(v);
    Weights w = hvp(loss, at, v);
    diagonal.push_back(dot(w, v));
    for (int again = 0; again < 2; ++again) {  // against all before: rounding would bring found ones back
      for (const Weights& known : basis) w = plus(w, -dot(w, known), known);
    }
    const double length = std::sqrt(dot(w, w));
    const std::vector<double> found = eigenvalues(diagonal, beside);
    before = largest;
    largest = found[0];
    if (step % 3 == 0) {
      std::printf("%8d  ", step);
      for (std::size_t k = 0; k < std::min<std::size_t>(found.size(), 4); ++k) std::printf(" %10.5f", found[k]);
      std::printf("\n");
    }
    beside.push_back(length);
    v = plus(w, 1 / length - 1, w);
  }
  return std::abs(largest - before) < 0.02 * std::abs(largest) ? 0 : 1;
}
