#pragma once

#include <tapestry/nn/module.h>
#include <tapestry/ops/activation.h>
#include <tapestry/ops/unary.h>

/// The activation functions of <tapestry/ops/activation.h> and <tapestry/ops/unary.h> as layers.
namespace tapestry::nn {

class ReLU : public Module {
 public:
  ReLU();
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
};

class Sigmoid : public Module {
 public:
  Sigmoid();
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
};

class Tanh : public Module {
 public:
  Tanh();
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
};

class SiLU : public Module {
 public:
  SiLU();
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;
};

class GELU : public Module {
 public:
  explicit GELU(const GeluOptions& options = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  GeluOptions options_;
};

class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(const LeakyReluOptions& options = {});
  [[nodiscard]] Tensor operator()(const Tensor& x, Here here = {}) const;

 private:
  LeakyReluOptions options_;
};

}  // namespace tapestry::nn
