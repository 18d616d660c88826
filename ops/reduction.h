#pragma once

namespace tapestry {

/// From one loss per element (per row for cross_entropy and nll_loss) to the result.
enum class Reduction {
  mean,      ///< a scalar: the average
  sum,       ///< a scalar
  none,      ///< all of them
  batchmean  ///< of kl_div only: the sum divided by the first extent
};

}  // namespace tapestry
