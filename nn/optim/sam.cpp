#include <tapestry/nn/optim/sam.h>

#include <cmath>
#include <stdexcept>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/nn/optim/detail/check.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/optimizer_step.h>

namespace tapestry::nn::optim {

SAM::SAM(Optimizer& inner, const SAMOptions& options, Here here) : inner_(inner), options_(options) {
  const CallSite site(here);
  detail::check_not_negative("SAM", "rho", options.rho);
}

void SAM::first_step(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  if (is_up_) throw_logic("SAM: second_step() must come between two calls of first_step()");
  std::vector<Moved> moved;
  std::vector<Tensor> ways;
  double squares = 0;
  for (std::size_t g = 0; g < inner_.groups(); ++g) {
    const Parameters of_group = inner_.parameters(g);
    for (const NamedTensor& x : of_group.list()) {
      const Tensor gradient = x.tensor.grad();
      if (!gradient.defined()) continue;
      const Tensor plain = tapestry::detail::without_history(gradient), p = tapestry::detail::without_history(x.tensor);
      const Tensor way = options_.adaptive ? p * plain : plain;
      squares += sum_of_squares(way);
      ways.push_back(options_.adaptive ? p * way : way);
      moved.push_back({x.tensor, clone(p)});
    }
  }
  if (moved.empty()) throw_logic("SAM: backward() must come before first_step(); no parameter has a gradient");
  const double length = std::sqrt(squares);
  if (!std::isfinite(length)) {
    throw std::runtime_error(format_message("SAM: the norm of all gradients must be finite; got {}", length) +
                             place_lines());
  }
  for (std::size_t i = 0; i < moved.size(); ++i) {
    scale_and_add_in_place(moved[i].parameter, 1, ways[i], options_.rho / (length + 1e-12));
  }
  moved_ = std::move(moved);
  is_up_ = true;
  inner_.zero_grad();
}

void SAM::restore(Here here) {
  const CallSite site(here);
  const NoGradGuard guard;
  for (auto& [parameter, before] : moved_) copy_in_place(parameter, before);
  moved_.clear();
  is_up_ = false;
}

void SAM::second_step(Here here) {
  const CallSite site(here);
  if (!is_up_) throw_logic("SAM: first_step() must come before second_step()");
  restore();
  inner_.step();
}

Tensor SAM::step(const Callable<Tensor()>& closure, Here here) {
  const CallSite site(here);
  if (is_up_) throw_logic("SAM: second_step() must come between two calls of first_step()");
  const EnableGradGuard recording;
  const auto gradients = [&] {
    inner_.zero_grad();
    const Tensor loss = closure();
    loss.backward();
    return loss;
  };
  try {
    const Tensor loss = gradients();
    first_step();
    static_cast<void>(gradients());
    second_step();
    return loss;
  } catch (...) {
    restore();
    throw;
  }
}

}  // namespace tapestry::nn::optim
