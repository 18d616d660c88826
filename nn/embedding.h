#pragma once

#include <optional>

#include <tapestry/nn/module.h>

namespace tapestry::nn {

/// embedding: rows of a table chosen by i64 or i32 indices x [...] -> [..., dim].
///
///   weight  [count, dim], begins normal with deviation 1, the row .padding_idx with 0
///
/// Throws std::invalid_argument for extents below 1 and a .padding_idx outside [0, count), when called
/// std::out_of_range for an index outside it.
class Embedding : public Module {
 public:
  struct Options {
    std::optional<Index> padding_idx = {};  ///< this row is looked up, but gets no gradient
  };

  Embedding(Index count, Index dim, Here here = {}) : Embedding(count, dim, Options{}, here) {}
  Embedding(Index count, Index dim, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }

 private:
  std::optional<Index> padding_idx_;
  Tensor weight_;
};

}  // namespace tapestry::nn
