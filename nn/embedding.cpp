#include <tapestry/nn/embedding.h>

#include <fmt/format.h>

#include <algorithm>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/layer.h>
#include <tapestry/nn/init.h>
#include <tapestry/ops/index.h>

namespace tapestry::nn {

Embedding::Embedding(Index count, Index dim, const Options& options, Here here) : padding_idx_(options.padding_idx) {
  const CallSite site(here);
  detail::check_positive("Embedding", "count", count);
  detail::check_positive("Embedding", "dim", dim);
  if (padding_idx_ && (*padding_idx_ < 0 || *padding_idx_ >= count)) {
    throw_invalid("Embedding: padding_idx must be in [0, {}); got {}", count, *padding_idx_);
  }
  Tensor table = init::normal({count, dim}, 0, 1);
  if (padding_idx_) std::fill_n(table.mutable_data<float>() + *padding_idx_ * dim, dim, 0.0F);
  weight_ = param("weight", std::move(table));
  describe(fmt::format("Embedding {} x {}", count, dim));
}

Tensor Embedding::operator()(const Tensor& x, Here here) const {
  const LayerScope scope(*this, here);
  return scope.output(embedding(weight_, scope.input(x), {.padding_idx = padding_idx_}));
}

}  // namespace tapestry::nn
