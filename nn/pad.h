#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry::nn {

/// Rows and columns of zeros around images x [N, H, W, C]; negative numbers crop. `ZeroPad2d{2}` is the same on all
/// sides.
class ZeroPad2d : public Module {
 public:
  struct Options {
    Index top = 0, bottom = 0, left = 0, right = 0;  ///< pixels added on each side; negative ones are taken away
  };

  explicit ZeroPad2d(Index all_sides, Here here = {})
      : ZeroPad2d(Options{all_sides, all_sides, all_sides, all_sides}, here) {}
  explicit ZeroPad2d(const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Options options_;
};

/// Images x [N, H, W, C] mirrored at their borders, which are not repeated: each number is below the extent. Otherwise
/// as ZeroPad2d.
class ReflectionPad2d : public Module {
 public:
  using Options = ZeroPad2d::Options;

  explicit ReflectionPad2d(Index all_sides, Here here = {})
      : ReflectionPad2d(Options{all_sides, all_sides, all_sides, all_sides}, here) {}
  explicit ReflectionPad2d(const Options& options, Here here = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  Options options_;
};

}  // namespace tapestry::nn
