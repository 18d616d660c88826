// Whether there is anything that could fail: what no output depends on, neither by gradient nor by value, and outputs
// that depend on nothing.
#include <tapestry/autograd/gradcheck/detail/check.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include <tapestry/autograd/base/check.h>

namespace tapestry::detail {
namespace {

constexpr std::size_t kAll = static_cast<std::size_t>(-1);
// A step of a function that is constant in pieces must be seen, too.
constexpr double kMoves[] = {1e-6, 1e-3, 0.3, 0.3, 2, 2, 2, 2};

constexpr const char* kPermit = ".allow_independent = true permits it";

}  // namespace

bool Check::reacts(std::size_t k, std::size_t o) {
  for (const double move : kMoves) {
    Values y;
    try {
      y = evaluate_at([&](std::size_t input, double* x) {
        if (k != kAll && input != k) return;
        for (Index e = 0; e < inputs_[wanted_[input]].numel(); ++e) {
          x[e] +=
              generator_.uniform(0.5, 1) * (generator_.uniform() < 0.5 ? -move : move) * std::max(1.0, std::abs(x[e]));
        }
      });
    } catch (const std::exception&) {
      return true;  // it looks at the values
    }
    if (o == kAll ? !same_bits(y, y_) : !same_bits(output_part(y, o), output_part(y_, o))) return true;
  }
  return false;
}

void Check::check_dependence(const std::vector<Tensor>& ys) {
  std::vector<std::size_t> idle;
  for (std::size_t k = 0; k < wanted_.size(); ++k) {
    if (!reached_[k] && !reacts(k, kAll)) idle.push_back(k);
  }
  if (idle.size() == wanted_.size()) {
    fail(
        fmt::format("there is nothing to check: no output depends on any input, neither by gradient nor by value. f "
                    "must use what it is called with, or read leaves that require grad; {}",
                    kPermit));
    return;
  }
  for (const std::size_t k : idle) {
    const std::size_t i = wanted_[k];
    fail(
        fmt::format("no output depends on input {} {}, neither by gradient nor by value: nothing could fail for it; {}",
                    input_name(i), to_string(inputs_[i].shape()), kPermit));
  }
  for (std::size_t o = 0; o < ys.size(); ++o) {
    if (ys[o].requires_grad() || reacts(kAll, o)) continue;
    fail(
        fmt::format("output {} {} depends on no input, neither by gradient nor by value: nothing could fail for it; {}",
                    o, to_string(shapes_[o]), kPermit));
  }
}

}  // namespace tapestry::detail
