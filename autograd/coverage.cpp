#include <tapestry/autograd/coverage.h>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include <tapestry/autograd/detail/leaf.h>

namespace tapestry {
namespace {

std::string reason_of(const CoverageGap& gap) {
  if (gap.why == NoGradient::frozen) return "frozen: it does not require grad";
  if (gap.why == NoGradient::detached) return "detached at " + gap.where;
  return "not used in what backward() was called for";
}

}  // namespace

bool Coverage::complete() const noexcept {
  return std::all_of(gaps.begin(), gaps.end(), [](const CoverageGap& gap) { return gap.why == NoGradient::frozen; });
}

Coverage coverage(const std::vector<Tensor>& parameters) {
  Coverage out{static_cast<Index>(parameters.size()), {}};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& x = parameters[i];
    CoverageGap gap{.name = std::to_string(i), .shape = x.shape()};
    const Node* const node = x.impl().node.get();
    if (!node) {
      gap.why = NoGradient::frozen;
    } else {
      if (!node->is_leaf() || static_cast<const Leaf*>(node)->has_received()) continue;
      if (node->where().module) gap.name = node->where().module;
      const Here cut = node->detached_at();
      if (cut.file) {
        gap.why = NoGradient::detached;
        gap.where = to_string(Location{.file = cut.file, .line = cut.line});
      }
    }
    out.gaps.push_back(std::move(gap));
  }
  return out;
}

std::string to_string(const Coverage& coverage) {
  std::size_t name = 0, shape = 0;
  for (const CoverageGap& gap : coverage.gaps) {
    name = std::max(name, gap.name.size());
    shape = std::max(shape, to_string(gap.shape).size());
  }
  std::string out;
  for (const CoverageGap& gap : coverage.gaps) {
    out += fmt::format("{:<{}}  {:<{}}  {}\n", gap.name, name, to_string(gap.shape), shape, reason_of(gap));
  }
  return out + fmt::format("{} of {} parameters have received a gradient\n",
                           coverage.parameters - std::ssize(coverage.gaps), coverage.parameters);
}

std::ostream& operator<<(std::ostream& out, const Coverage& coverage) { return out << to_string(coverage); }

}  // namespace tapestry
