#pragma once

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "../cases.h"
#include "../report.h"

/// What LibTorch's twins share. They take the flags of our benchmarks, measure the same cases in the same way and print
/// the same lines, and never link tapestry: each side runs alone in its process, so that two thread pools cannot get in
/// each other's way.
namespace twin {

namespace bench = tapestry::bench;

inline bench::Options parse(int argc, char** argv, double budget = 0.3) {
  const bench::Options options = bench::parse_common(argc, argv, budget);
  torch::set_num_threads(options.threads);
  // On every thread of the pool, as it is a register of each; tapestry's kernels count subnormal numbers as zero too.
  at::parallel_for(0, options.threads, 1, [](int64_t, int64_t) { at::globalContext().setFlushDenormal(true); });
  return options;
}

inline bench::Report report(const bench::Options& options, const std::string& what, int field_width = 24) {
  const std::string library = std::string("LibTorch ") + TORCH_VERSION;
  bench::Report report(options, field_width, {{"library", library}});
  report.note(library + ", " + what + ", " + std::to_string(options.threads) + " threads");
  return report;
}

/// LibTorch's two image layouts. Only the better one counts in a comparison.
struct Layout {
  const char* name;
  at::MemoryFormat format;
};
constexpr Layout kLayouts[] = {{"NCHW", at::MemoryFormat::Contiguous},
                               {"channels last", at::MemoryFormat::ChannelsLast}};
constexpr const char* kNoLayout = "any";  ///< where no image is involved

}  // namespace twin
