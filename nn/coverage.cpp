#include <tapestry/nn/coverage.h>

namespace tapestry::nn {

Coverage coverage(const Module& model) {
  Coverage out;
  for (const NamedTensor& x : model.named_parameters()) {
    Coverage one = tapestry::coverage({x.tensor});
    for (CoverageGap& gap : one.gaps) {
      gap.name = x.name;
      out.gaps.push_back(std::move(gap));
    }
    ++out.parameters;
  }
  return out;
}

}  // namespace tapestry::nn
