#include <tapestry/autograd/record.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/packed.h>
#include <tapestry/autograd/detail/rows.h>
#include <tapestry/autograd/detail/sweep.h>

namespace tapestry {

Tensor detail::fresh(Tensor y) {
  if (y.impl().node || y.impl().use_count() > 1) return without_history(y);
  return y;
}

void detail::add_tangent(Tensor& sum, Tensor part) {
  if (!part.defined()) return;
  sum = sum.defined() ? added(sum, part) : std::move(part);
}

void detail::check_once() {
  if (!is_grad_enabled()) return;
  const char* op = CallSite::current().rule_of;
  throw_logic("{}: its gradient rule was declared `once` and cannot be differentiated again", op ? op : "once");
}

void detail::check_count(std::size_t gradients, std::size_t inputs) {
  if (gradients == inputs) return;
  const char* op = CallSite::current().rule_of;
  throw_logic("{}: its rule must return one gradient per input, {}; got {}", op ? op : "backward", inputs, gradients);
}

bool detail::check_outputs(const char* name, const std::vector<Tensor>& ys) {
  for (std::size_t i = 0; i < ys.size(); ++i) {
    if (!ys[i].defined()) throw_invalid("{}: every output must be defined; output {} is not", name, i);
    if (!is_float(ys[i].dtype()) || ys[i].dtype() != ys[0].dtype()) {
      throw_invalid("{}: the outputs must have one float dtype; output {} is {}, output 0 is {}", name, i,
                    ys[i].dtype(), ys[0].dtype());
    }
  }
  return !ys.empty() && is_grad_enabled();
}

Tensor detail::joined(const std::vector<Tensor>& parts, const std::vector<Shape>& shapes, Dtype dtype) {
  Index total = 0;
  std::vector<Tensor> all;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    total += shapes[i].numel();
    all.push_back(i < parts.size() && parts[i].defined() ? parts[i] : zeros(shapes[i], {.dtype = dtype}));
  }
  return stack_rows(all, {total}, dtype);
}

std::vector<Tensor> detail::parted(const Tensor& whole, const std::vector<Shape>& shapes) {
  std::vector<Tensor> parts;
  Index at = 0;
  for (const Shape& shape : shapes) {
    parts.push_back(take_part(whole, shape, at));
    at += shape.numel();
  }
  return parts;
}

std::vector<Shape> detail::shapes_of(const std::vector<Tensor>& xs) {
  std::vector<Shape> shapes;
  for (const Tensor& x : xs) shapes.push_back(x.shape());
  return shapes;
}

void Saved::unpack_or_throw() const {
  if (const Ref<Node>& node = tensor_.impl().node; node && node->name == detail::kPacked) {
    tensor_ = detail::unpacked(node);
    remember();
    return;
  }
  const char* op = CallSite::current().rule_of;
  if (!op) op = "saved";
  if (tensor_.impl().generation != generation_) {
    throw_logic("{}: an input saved for backward was given other elements by set_data or Module::to", op);
  }
  throw_logic("{}: an input saved for backward was modified in place (saved at version {}, now {})", op, version_,
              tensor_.impl().storage->version());
}

}  // namespace tapestry
