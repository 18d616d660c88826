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

template <class T>
T convert(double value) {
  if constexpr (std::is_same_v<T, BFloat16>) return BFloat16(static_cast<float>(value));
  else if constexpr (std::is_same_v<T, bool>) return value != 0;
  else return static_cast<T>(value);
}

/// Refuses numbers that an integer dtype cannot hold.
template <class T>
void check_fits(const char* op, double value) {
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    constexpr double low = static_cast<double>(std::numeric_limits<T>::lowest());
    const double high = std::ldexp(1.0, std::numeric_limits<T>::digits);  // one past the largest
    if (!(value >= low && value < high && value == std::floor(value))) {
      throw_invalid("{}: the value must be one that {} can hold; got {}", op, dtype_of<T>, value);
    }
  }
}

}  // namespace

Tensor full(const Shape& shape, double value, const TensorOptions& options, Here here) {
  const CallSite site(here);
  Tensor y = empty(shape, options.dtype.value_or(f32));
  visit(y.dtype(), [&]<class T>() {
    check_fits<T>("full", value);
    std::fill_n(y.mutable_data<T>(), y.numel(), convert<T>(value));
  });
  if (options.requires_grad) y.requires_grad(true);
  return y;
}

Tensor zeros(const Shape& shape, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return full(shape, 0, options);
}
Tensor ones(const Shape& shape, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return full(shape, 1, options);
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
Tensor full_like(const Tensor& x, double value, Here here) {
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
    for (Index i = 0; i < n; ++i) out[i * n + i] = convert<T>(1);
  });
  if (options.requires_grad) y.requires_grad(true);
  return y;
}

Tensor arange(Index end, const TensorOptions& options, Here here) {
  const CallSite site(here);
  return detail::arange(0, static_cast<double>(end), 1, {options.dtype.value_or(i64), options.requires_grad}, here);
}

Tensor detail::arange(double begin, double end, double step, const TensorOptions& options, Here here) {
  const CallSite site(here);
  if (step == 0) throw_invalid("arange: step must not be 0");
  if ((end - begin) * step < 0) {
    throw_invalid("arange: step must lead from begin to end; got begin {}, end {}, step {}", begin, end, step);
  }
  const double length = std::ceil((end - begin) / step);
  if (!(length <= 0x1p59)) {  // nor for NaN
    throw_invalid("arange: there must be at most 2^59 elements; got begin {}, end {}, step {}", begin, end, step);
  }
  const auto n = static_cast<Index>(length);
  Tensor y = empty({n}, *options.dtype);
  visit(y.dtype(), [&]<class T>() {
    T* out = y.mutable_data<T>();
    for (Index i = 0; i < n; ++i) out[i] = convert<T>(begin + step * static_cast<double>(i));
  });
  if (options.requires_grad) y.requires_grad(true);
  return y;
}

void detail::check_row_length(Index length, Index expected, Here here) {
  if (length == expected) return;
  const CallSite site(here);
  throw_invalid("tensor: rows must have equal lengths; got {} and {}", expected, length);
}

template <class T>
Tensor tensor(std::span<const T> values, const Shape& shape, const TensorOptions& options, Here here) {
  const CallSite site(here);
  if (static_cast<Index>(values.size()) != shape.numel()) {
    throw_invalid("tensor: the number of values must be that of shape {}, {}; got {}", shape, shape.numel(),
                  values.size());
  }
  constexpr Dtype natural = std::is_same_v<T, bool> ? boolean : std::is_integral_v<T> ? i64 : f32;
  Tensor y = empty(shape, options.dtype.value_or(natural));
  visit(y.dtype(), [&]<class U>() {
    U* out = y.mutable_data<U>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_integral_v<T> && std::is_integral_v<U>) {
        if (!std::is_same_v<U, bool> && static_cast<T>(static_cast<U>(values[i])) != values[i]) {
          throw_invalid("tensor: the value must be one that {} can hold; got {}", y.dtype(), values[i]);
        }
        out[i] = static_cast<U>(values[i]);
      } else {
        check_fits<U>("tensor", static_cast<double>(values[i]));
        out[i] = convert<U>(static_cast<double>(values[i]));
      }
    }
  });
  if (options.requires_grad) y.requires_grad(true);
  return y;
}

template Tensor tensor(std::span<const float>, const Shape&, const TensorOptions&, Here);
template Tensor tensor(std::span<const double>, const Shape&, const TensorOptions&, Here);
template Tensor tensor(std::span<const std::int32_t>, const Shape&, const TensorOptions&, Here);
template Tensor tensor(std::span<const std::int64_t>, const Shape&, const TensorOptions&, Here);
template Tensor tensor(std::span<const std::uint8_t>, const Shape&, const TensorOptions&, Here);
template Tensor tensor(std::span<const bool>, const Shape&, const TensorOptions&, Here);

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
