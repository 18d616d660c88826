#pragma once

/// Checks that optimizers share.
namespace tapestry::nn::optim::detail {

/// Throws std::invalid_argument "SGD: lr must be at least 0; got -1" for a negative value or NaN.
void check_not_negative(const char* optimizer, const char* what, double value);

/// Throws std::invalid_argument "Adam: the first beta must be in [0, 1); got 1" unless 0 <= value < 1.
void check_beta(const char* optimizer, const char* what, double value);

/// For optimizers without momentum: throws std::invalid_argument "Adagrad: there is no momentum to set; got 0.9" for
/// anything but 0.
void check_no_momentum(const char* optimizer, double momentum);

}  // namespace tapestry::nn::optim::detail
