#pragma once

#include <optional>

#include <tapestry/nn/module.h>
#include <tapestry/ops/norm.h>

namespace tapestry::nn {

/// batch_norm of x [N, H, W, C] over all but the channels. In training mode it uses the batch's statistics and moves
/// the running ones, in eval mode it uses the running ones. What mostly follows it is part of the layer, if asked for:
///
///     norm(x)                                            batch_norm
///     norm(x, {.relu = true})                            relu(batch_norm)
///     norm(x, {.relu = true, .residual = shortcut})      relu(batch_norm + shortcut)
///
/// relu(norm(x) + shortcut) gives the same numbers in more time; see <tapestry/ops/norm.h>.
///
///   weight, bias                [C], begin with 1 and 0
///   running_mean, running_var   [C], buffers, begin with 0 and 1
///   num_batches_tracked         [], buffer, i64
///
/// Throws std::invalid_argument for an input that is no image or has another number of channels, and for a residual
/// that is not as the input.
class BatchNorm2d : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    std::optional<double> momentum = 0.1;  ///< weight of the new batch; nullopt: the average of all batches
    bool affine = true;                    ///< weight and bias
    bool track_running_stats = true;       ///< else the batch's own statistics serve in eval mode too
    bool relu = false;                     ///< every call ends in relu, at no cost: for use in a Sequential
  };

  /// What one call does to its result, in the same pass over memory.
  struct After {
    bool relu = false;     ///< max(., 0) at the end, also if the layer's options do not ask for it
    Tensor residual = {};  ///< added before that: of x's shape and dtype
  };

  explicit BatchNorm2d(Index channels, Here here = {}) : BatchNorm2d(channels, Options{}, here) {}
  BatchNorm2d(Index channels, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
  [[nodiscard]] Tensor operator()(const Tensor& x, const After& after, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }
  [[nodiscard]] const Tensor& running_mean() const noexcept { return running_mean_; }
  [[nodiscard]] const Tensor& running_var() const noexcept { return running_var_; }

 private:
  Index channels_;
  Options options_;
  Tensor weight_, bias_;
  Tensor running_mean_, running_var_, num_batches_tracked_;
};

/// While one lives, batch normalisation layers called on this thread in training mode count all batches alike, whatever
/// their momentum: running statistics are averages since num_batches_tracked was 0. See optim::update_bn.
class CumulativeStatistics {
 public:
  CumulativeStatistics() noexcept;
  ~CumulativeStatistics();
  CumulativeStatistics(const CumulativeStatistics&) = delete;
  CumulativeStatistics& operator=(const CumulativeStatistics&) = delete;

  [[nodiscard]] static bool is_active() noexcept;  ///< whether one lives on this thread

 private:
  bool outer_;
};

/// batch_norm of x [N, C] or [N, L, C] over all but the channels; otherwise as BatchNorm2d, with the same parameters
/// and buffers.
class BatchNorm1d : public Module {
 public:
  using Options = BatchNorm2d::Options;

  explicit BatchNorm1d(Index channels, Here here = {}) : BatchNorm1d(channels, Options{}, here) {}
  BatchNorm1d(Index channels, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }
  [[nodiscard]] const Tensor& running_mean() const noexcept { return running_mean_; }
  [[nodiscard]] const Tensor& running_var() const noexcept { return running_var_; }

 private:
  Index channels_;
  Options options_;
  Tensor weight_, bias_;
  Tensor running_mean_, running_var_, num_batches_tracked_;
};

/// group_norm of x [N, ..., channels]; weight and bias [channels] begin with 1 and 0. Throws std::invalid_argument
/// unless groups divides channels, and for an input with another number of channels.
class GroupNorm : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    bool affine = true;  ///< weight and bias
  };

  GroupNorm(Index groups, Index channels, Here here = {}) : GroupNorm(groups, channels, Options{}, here) {}
  GroupNorm(Index groups, Index channels, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }

 private:
  Index groups_, channels_;
  double eps_;
  Tensor weight_, bias_;
};

/// instance_norm of x [N, H, W, C]: every channel of every image by its own statistics, alike in training and in eval
/// mode. Has no parameters unless .affine asks for a weight and a bias, [C], which begin with 1 and 0. Throws
/// std::invalid_argument for an input that is no image, has another number of channels or one pixel.
class InstanceNorm2d : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    bool affine = false;  ///< weight and bias
  };

  explicit InstanceNorm2d(Index channels, Here here = {}) : InstanceNorm2d(channels, Options{}, here) {}
  InstanceNorm2d(Index channels, const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }  ///< undefined unless .affine
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }

 private:
  Index channels_;
  double eps_;
  Tensor weight_, bias_;
};

/// rms_norm over the last dimensions, normalized_shape; weight of that shape begins with 1.
class RMSNorm : public Module {
 public:
  struct Options {
    std::optional<double> eps = {};  ///< nullopt: the machine epsilon of the input's dtype
    bool affine = true;              ///< weight
  };

  explicit RMSNorm(const Shape& normalized_shape, Here here = {}) : RMSNorm(normalized_shape, Options{}, here) {}
  explicit RMSNorm(Index features, Here here = {}) : RMSNorm(Shape{features}, Options{}, here) {}
  RMSNorm(const Shape& normalized_shape, const Options& options, Here here = {});
  RMSNorm(Index features, const Options& options, Here here = {}) : RMSNorm(Shape{features}, options, here) {}
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }

 private:
  Shape normalized_shape_;
  std::optional<double> eps_;
  Tensor weight_;
};

/// layer_norm over the last dimensions, normalized_shape; weight and bias of that shape begin with 1 and 0.
class LayerNorm : public Module {
 public:
  struct Options {
    double eps = 1e-5;
    bool affine = true;  ///< weight and bias
  };

  explicit LayerNorm(const Shape& normalized_shape, Here here = {}) : LayerNorm(normalized_shape, Options{}, here) {}
  explicit LayerNorm(Index features, Here here = {}) : LayerNorm(Shape{features}, Options{}, here) {}
  LayerNorm(const Shape& normalized_shape, const Options& options, Here here = {});
  LayerNorm(Index features, const Options& options, Here here = {}) : LayerNorm(Shape{features}, options, here) {}
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

  [[nodiscard]] const Tensor& weight() const noexcept { return weight_; }
  [[nodiscard]] const Tensor& bias() const noexcept { return bias_; }

 private:
  Shape normalized_shape_;
  double eps_;
  Tensor weight_, bias_;
};

}  // namespace tapestry::nn
