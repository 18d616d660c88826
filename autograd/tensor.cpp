#include <tapestry/autograd/tensor.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/hook_list.h>
#include <tapestry/autograd/detail/leaf.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/node.h>

namespace tapestry {

// --- the parts

namespace {

Tensor make(const Shape& shape, Dtype dtype, Ref<Storage> storage, std::byte* data) {
  void* block = detail::allocate_block(sizeof(detail::TensorImpl));
  return Tensor(Ref<detail::TensorImpl>::adopt(new (block) detail::TensorImpl(shape, dtype, std::move(storage), data)));
}

Leaf* leaf_of(const Tensor& x) {
  Node* node = detail::reverse_node(x.impl().node).get();
  return node && node->is_leaf() ? static_cast<Leaf*>(node) : nullptr;
}

}  // namespace

detail::TensorImpl::TensorImpl(const Shape& shape_of, Dtype dtype_of, Ref<Storage> storage_of,
                               std::byte* data_of) noexcept
    : shape(shape_of), storage(std::move(storage_of)), dtype(dtype_of), data_(data_of) {}

detail::TensorImpl::~TensorImpl() = default;

void detail::TensorImpl::destroy(TensorImpl* impl) noexcept {
  impl->~TensorImpl();
  free_block(impl, sizeof(TensorImpl));
}

Tensor detail::alias(const Tensor& x, const Shape& shape, Index byte_offset) {
  return make(shape, x.dtype(), x.impl().storage, x.impl().bytes() + byte_offset);
}

Index Tensor::size(Index d, Here here) const {
  const CallSite site(here, nullptr);  // no op
  return shape()[normalize_dim("size", d, dim())];
}

Tensor& Tensor::requires_grad(bool wanted, Here here) {
  const CallSite site(here);
  if (impl().node && !impl().node->is_leaf()) {
    throw_logic("requires_grad: only a leaf can be changed; this tensor is the result of {}, use detach()",
                impl().node->name);
  }
  if (!wanted) impl().node = {};
  else if (!is_float(dtype())) throw_invalid("requires_grad: the dtype must be a float; got {}", dtype());
  else if (!impl().node) impl().node = Ref<Node>::adopt(new Leaf(shape(), dtype()));
  return *this;
}

bool Tensor::is_leaf(Here here) const {
  const Node* const node = checked("is_leaf", here).node.get();
  return !node || node->is_leaf();
}

Tensor Tensor::grad(Here here) const {
  (void)checked("grad", here);
  if (const Leaf* leaf = leaf_of(*this)) return leaf->grad();
  return detail::HookList::retained(detail::reverse_node(impl().node));
}

void Tensor::zero_grad(Here here) const {
  (void)checked("zero_grad", here);
  if (Leaf* leaf = leaf_of(*this)) leaf->set_grad({});
  else detail::HookList::forget_retained(detail::reverse_node(impl().node));
}

void Tensor::set_grad(const Tensor& grad, Here here) const {
  const CallSite site(here);
  Leaf* leaf = leaf_of(*this);
  if (!leaf) throw_logic("set_grad: the tensor must be a leaf that requires grad");
  if (grad.defined() && (grad.shape() != shape() || grad.dtype() != dtype())) {
    throw_invalid("set_grad: the gradient must be {} {}; got {} {}", dtype(), shape(), grad.dtype(), grad.shape());
  }
  leaf->set_grad(grad);
}

void Tensor::backward(Here here) const { tapestry::backward(*this, {}, here); }
void Tensor::backward(const BackwardOptions& options, Here here) const { tapestry::backward(*this, options, here); }

Tensor Tensor::detach(Here here) const {
  const detail::TensorImpl& mine = checked("detach", here);
  if (mine.node && is_grad_enabled()) note_detached(*mine.node, here);
  return detail::without_history(*this);
}

void Tensor::set_data(const Tensor& other, Here here) {
  const CallSite site(here);
  detail::TensorImpl& mine = impl();
  const detail::TensorImpl& theirs = other.impl();
  const bool leaf = static_cast<bool>(mine.node);
  if (!is_leaf()) throw_logic("set_data: the tensor must have no history; it is the result of {}", mine.node->name);
  if (leaf && !is_float(theirs.dtype)) throw_invalid("set_data: a leaf's dtype must be a float; got {}", theirs.dtype);
  mine.storage->bump_version();  // values saved from it belong to a tensor that is no more
  mine.take(theirs);
  if (leaf) {
    static_cast<Leaf&>(*mine.node).retire();
    mine.node = Ref<Node>::adopt(new Leaf(mine.shape, mine.dtype, mine.node->where()));
  }
}

void Tensor::throw_undefined(const char* call, Here here) {
  if (const char* const rule_of = CallSite::current().rule_of) detail::throw_undefined(rule_of, "what its rule uses");
  if (const char* const op = detail::call_state.call) detail::throw_undefined(op, "every argument");
  const CallSite site(here, call);
  throw_logic("{}: the tensor must be defined; this handle is empty", call);
}

void detail::throw_undefined(const char* call, const char* argument) {
  throw_logic("{}: {} must be a defined tensor; got an empty handle", call, argument);
}

void Tensor::throw_wrong_type(const char* call, Dtype asked, Here here) const {
  const CallSite site(here);
  throw_invalid("{}: the element type must be that of the tensor, {}; got {}", call, dtype(), asked);
}

void Tensor::check_writable(const Here& here) const {
  const CallSite site(here);
  if (!impl().node->is_leaf()) {
    throw_logic("mutable_data: a tensor with history cannot be written; it is the result of {}, use detach()",
                impl().node->name);
  }
  if (is_grad_enabled()) {
    throw_logic("mutable_data: a leaf that requires grad can be written under no_grad only");
  }
}

void Tensor::throw_not_single(Here here) const {
  const CallSite site(here);
  throw_invalid("item: the tensor must have one element; got shape {}", shape());
}

// --- making tensors

Tensor empty(const Shape& shape, Dtype dtype, Here here) {
  const std::int64_t bytes = shape.numel() * item_bytes(dtype);
  Ref<Storage> storage = [&] {
    try {
      return Storage::allocate(bytes);
    } catch (const OutOfMemory&) {  // asked again to say where: a CallSite for every tensor would cost as much as it
      const CallSite site(here);
      return Storage::allocate(bytes);
    }
  }();
  std::byte* data = storage->data();
  return make(shape, dtype, std::move(storage), data);
}

namespace {

/// The number as a T; refuses one that an integer dtype cannot hold.
template <class T>
T fitting(const char* op, const Number& value) {
  if (!detail::holds<T>(value)) {
    throw_invalid("{}: the value must be one that {} can hold; got {}", op, dtype_of<T>, to_string(value));
  }
  return detail::as<T>(value);
}

Dtype natural_dtype(const Number& value) {
  if (value.is_boolean()) return boolean;
  return value.is_integer() ? i64 : default_dtype();
}

Tensor finished(Tensor y, const TensorOptions& options) {
  if (options.requires_grad) y.requires_grad(true);
  return y;
}

}  // namespace

Tensor full(const Shape& shape, Number value, const TensorOptions& options, Here here) {
  const CallSite site(here);
  Tensor y = empty(shape, options.dtype.value_or(natural_dtype(value)));
  visit(y.dtype(), [&]<class T>() { std::fill_n(y.mutable_data<T>(), y.numel(), fitting<T>("full", value)); });
  return finished(std::move(y), options);
}

Tensor zeros(const Shape& shape, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return full(shape, 0, {options.dtype.value_or(default_dtype()), options.requires_grad});
}
Tensor ones(const Shape& shape, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return full(shape, 1, {options.dtype.value_or(default_dtype()), options.requires_grad});
}
Tensor empty_like(const Tensor& x, Here here) {
  const CallSite site(here);
  return empty(x.shape(), x.dtype());
}
Tensor zeros_like(const Tensor& x, Here here) {
  const CallSite site(here);
  return full(x.shape(), 0, {.dtype = x.dtype()});
}
Tensor ones_like(const Tensor& x, Here here) {
  const CallSite site(here);
  return full(x.shape(), 1, {.dtype = x.dtype()});
}
Tensor full_like(const Tensor& x, Number value, Here here) {
  const CallSite site(here);
  return full(x.shape(), value, {.dtype = x.dtype()});
}
Tensor scalar(double value, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return full({}, value, options);
}

Tensor eye(Index n, const TensorOptions& options, Here here) {
  const CallSite site(here);
  Tensor y = zeros({n, n}, {.dtype = options.dtype});
  visit(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (Index i = 0; i < n; ++i) out[i * n + i] = detail::converted<T>(1);
  });
  return finished(std::move(y), options);
}

Tensor arange(Index end, const TensorOptions& options, Here here) { return detail::arange(0, end, 1, options, here); }

namespace {

/// How many steps lead from begin up to but without end. Integers do not overflow on the way.
Index steps_between(const Number& begin, const Number& end, const Number& step) {
  const auto distance = [](std::int64_t from, std::int64_t to) {
    return static_cast<std::uint64_t>(to) - static_cast<std::uint64_t>(from);
  };
  const bool up = step.real() > 0;
  if (step.real() == 0) throw_invalid("arange: step must not be 0");
  const bool away = begin.is_integer() && end.is_integer()
                        ? (up ? end.integer() < begin.integer() : begin.integer() < end.integer())
                        : (end.real() - begin.real()) * step.real() < 0;
  if (away) {
    throw_invalid("arange: step must lead from begin to end; got begin {}, end {}, step {}", to_string(begin),
                  to_string(end), to_string(step));
  }
  bool fits = false;
  Index n = 0;
  if (begin.is_integer() && end.is_integer() && step.is_integer()) {
    const std::uint64_t way = up ? distance(begin.integer(), end.integer()) : distance(end.integer(), begin.integer());
    const std::uint64_t stride = up ? distance(0, step.integer()) : distance(step.integer(), 0);
    const std::uint64_t count = way / stride + (way % stride != 0 ? 1 : 0);
    fits = count <= std::uint64_t{1} << 59;
    n = static_cast<Index>(count);
  } else {
    const double count = std::ceil((end.real() - begin.real()) / step.real());
    fits = count <= 0x1p59;  // NaN does not
    n = fits ? static_cast<Index>(count) : 0;
  }
  if (!fits) {
    throw_invalid("arange: there must be at most 2^59 elements; got begin {}, end {}, step {}", to_string(begin),
                  to_string(end), to_string(step));
  }
  return n;
}

}  // namespace

Tensor detail::arange(Number begin, Number end, Number step, const TensorOptions& options, Here here) {
  const CallSite site(here);
  const Index n = steps_between(begin, end, step);
  const bool integers = begin.is_integer() && end.is_integer() && step.is_integer();
  const auto at = [&](Index i) {
    if (!integers) return Number(begin.real() + step.real() * static_cast<double>(i));
    // Between begin and end, whatever the product wraps around to.
    return Number(
        static_cast<std::int64_t>(static_cast<std::uint64_t>(begin.integer()) +
                                  static_cast<std::uint64_t>(step.integer()) * static_cast<std::uint64_t>(i)));
  };
  Tensor y = empty({n}, options.dtype.value_or(integers ? i64 : default_dtype()));
  visit(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (Index i = 0; i < n; ++i) out[i] = fitting<T>("arange", at(i));
  });
  return finished(std::move(y), options);
}

void detail::check_row_length(Index length, Index expected, Here here) {
  if (length == expected) return;
  const CallSite site(here);
  throw_invalid("tensor: rows must have equal lengths; got {} and {}", expected, length);
}

void detail::throw_beyond_i64(std::uint64_t value, Here here) {
  const CallSite site(here);
  throw_invalid("tensor: the value must be one that i64 can hold; got {}", std::to_string(value));
}

namespace {

/// y of values, each a Number or what becomes one.
template <class T>
Tensor copied(std::span<const T> values, Dtype natural, const Shape& shape, const TensorOptions& options) {
  if (static_cast<Index>(values.size()) != shape.numel()) {
    throw_invalid("tensor: the number of values must be that of shape {}, {}; got {}", shape, shape.numel(),
                  values.size());
  }
  Tensor y = empty(shape, options.dtype.value_or(natural));
  visit(y.dtype(), [&]<class U>() {
    U* out = y.mutable_data<U>();
    if constexpr (std::is_same_v<T, U>) {
      std::copy(values.begin(), values.end(), out);
    } else {
      for (std::size_t i = 0; i < values.size(); ++i) out[i] = fitting<U>("tensor", values[i]);
    }
  });
  return finished(std::move(y), options);
}

}  // namespace

template <class T>
Tensor detail::tensor_of(std::span<const T> values, const Shape& shape, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return copied(values, natural_dtype(T{}), shape, options);
}

Tensor detail::tensor_of_numbers(std::span<const Number> values, const Shape& shape, const TensorOptions& options,
                                 Here here) {
  const CallSite site(here);
  const auto all = [&](bool (Number::*is)() const noexcept) {
    return !values.empty() && std::all_of(values.begin(), values.end(), [&](const Number& v) { return (v.*is)(); });
  };
  const Dtype natural = all(&Number::is_boolean) ? boolean : all(&Number::is_integer) ? i64 : default_dtype();
  return copied(values, natural, shape, options);
}

namespace detail {
template Tensor tensor_of(std::span<const float>, const Shape&, const TensorOptions&, Here);
template Tensor tensor_of(std::span<const double>, const Shape&, const TensorOptions&, Here);
template Tensor tensor_of(std::span<const std::int32_t>, const Shape&, const TensorOptions&, Here);
template Tensor tensor_of(std::span<const std::int64_t>, const Shape&, const TensorOptions&, Here);
template Tensor tensor_of(std::span<const std::uint8_t>, const Shape&, const TensorOptions&, Here);
template Tensor tensor_of(std::span<const bool>, const Shape&, const TensorOptions&, Here);
}  // namespace detail

// --- printing

namespace {

constexpr Index kEdge = 3;        // items shown at each end of a long dimension
constexpr Index kPrintAll = 200;  // tensors up to this many elements are printed whole

template <class T>
void print_level(std::string& out, const T* data, const Shape& shape, Index d) {
  if (d == shape.rank()) {
    if constexpr (std::is_same_v<T, BFloat16>) out += fmt::format("{:.6g}", static_cast<float>(*data));
    else if constexpr (std::is_floating_point_v<T>) out += fmt::format("{:.6g}", *data);
    else out += fmt::format("{}", *data);
    return;
  }
  const Index n = shape[d];
  const Index stride = shape.numel(d + 1, shape.rank());
  const bool shorten = shape.numel() > kPrintAll && n > 2 * kEdge;
  const std::string separator =
      d + 1 == shape.rank() ? ", " : ",\n" + std::string(static_cast<std::size_t>(d) + 1, ' ');
  out += '[';
  for (Index i = 0; i < n; ++i) {
    if (i > 0) out += separator;
    if (shorten && i == kEdge) {
      out += "..." + separator;
      i = n - kEdge;
    }
    print_level(out, data + i * stride, shape, d + 1);
  }
  out += ']';
}

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "undefined tensor";
  std::string out;
  visit(x.dtype(), [&]<class T>() { print_level(out, x.data<T>(), x.shape(), 0); });
  return fmt::format("{} {} {}", out, name_of(x.dtype()), to_string(x.shape()));
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace tapestry
