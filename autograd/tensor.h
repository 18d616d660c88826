#pragma once

#include <initializer_list>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <tapestry/autograd/base/atomic.h>
#include <tapestry/autograd/base/call_site.h>
#include <tapestry/autograd/base/dtype.h>
#include <tapestry/autograd/base/number.h>
#include <tapestry/autograd/base/shape.h>
#include <tapestry/autograd/default_dtype.h>
#include <tapestry/autograd/memory/ref.h>
#include <tapestry/autograd/memory/storage.h>

namespace tapestry {

class Generator;
class Node;
class StandIns;
struct BackwardOptions;

namespace detail {

/// What a Tensor points to.
class TensorImpl final : public RefCounted {
 public:
  TensorImpl(const Shape& shape_of, Dtype dtype_of, Ref<Storage> storage_of, std::byte* data_of) noexcept;
  static void destroy(TensorImpl* impl) noexcept;

  /// The elements.
  [[nodiscard]] std::byte* bytes() const noexcept { return data_; }
  /// The elements of another tensor in place of these, for good.
  void take(const TensorImpl& other) {
    ++generation;
    shape = other.shape;
    dtype = other.dtype;
    storage = other.storage;
    data_ = other.data_;
  }

  Shape shape;
  Ref<Storage> storage;
  Ref<Node> node;  ///< takes part in differentiation exactly when it has one
  Dtype dtype;
  Atomic<std::uint16_t> stand_ins = 0;  ///< scopes in which copies of the handle become another one: stand_ins.h
  std::uint32_t generation = 0;  ///< how often take() was called: what was saved for backward may not be here any more

 private:
  ~TensorImpl();

  std::byte* data_;
};

/// A position that remembers the line it was written on: an operator has no place for a default argument.
struct Position {
  template <class N>
  requires std::is_integral_v<N> Position(N place, Here at = {})
  noexcept : index(static_cast<Index>(place)), here(at) {}
  Index index;
  Here here;
};

}  // namespace detail

/// A handle on an n-dimensional array, contiguous and row-major. Copying a Tensor copies the handle, not the elements;
/// a default-constructed one is undefined. Ops never change their arguments; `mutable_data` is the only way to write.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ref<detail::TensorImpl> impl) noexcept : impl_(std::move(impl)) {}
  Tensor(const Tensor& other) noexcept : impl_(other.impl_) {
    if (impl_ && impl_->stand_ins.load_relaxed() != 0) take_stand_in();
  }
  Tensor(Tensor&&) noexcept = default;
  Tensor& operator=(const Tensor&) noexcept = default;
  Tensor& operator=(Tensor&&) noexcept = default;
  ~Tensor() = default;

  [[nodiscard]] bool defined() const noexcept { return static_cast<bool>(impl_); }
  [[nodiscard]] const Shape& shape(Here here = {}) const { return checked("shape", here).shape; }
  [[nodiscard]] Dtype dtype(Here here = {}) const { return checked("dtype", here).dtype; }
  [[nodiscard]] Index dim(Here here = {}) const { return checked("dim", here).shape.rank(); }  ///< number of dimensions
  [[nodiscard]] Index size(Index d, Here here = {}) const;  ///< extent; d may count from the end
  [[nodiscard]] Index numel(Here here = {}) const {
    return checked("numel", here).shape.numel();
  }  ///< number of elements

  /// The elements. T must store the dtype (float for f32, ...), else std::invalid_argument.
  template <class T>
  [[nodiscard]] const T* data(Here here = {}) const {
    if (checked("data", here).dtype != dtype_of<T>) throw_wrong_type("data", dtype_of<T>, here);
    return reinterpret_cast<const T*>(impl_->bytes());
  }
  template <class T>
  [[nodiscard]] std::span<const T> span(Here here = {}) const& {
    return {data<T>(here), static_cast<std::size_t>(numel())};
  }
  template <class T>
  std::span<const T> span(Here here = {}) const&& =
      delete;  ///< of a temporary it would outlive the elements: name the tensor
  /// A copy of the elements, converted to T as `to` converts dtypes: floats to integers towards zero and to the nearest
  /// that T holds, NaN to 0.
  template <class T>
  [[nodiscard]] std::vector<T> to_vector(Here here = {}) const {
    std::vector<T> copy(static_cast<std::size_t>(numel(here)));
    visit(dtype(), [&]<class E>() {
      const E* const from = data<E>();
      for (std::size_t i = 0; i < copy.size(); ++i) copy[i] = detail::converted<T>(from[i]);
    });
    return copy;
  }

  /// The slice at one index of the first dimension, without that dimension, as select() gives it (ops/shape_ops.h);
  /// negative counts from the end. Recorded; shares storage. Throws std::out_of_range, and std::invalid_argument for a
  /// scalar.
  [[nodiscard]] Tensor operator[](const detail::Position& at) const;

  /// The elements, to be written. Counts as a modification, which every handle on the same storage sees: values saved
  /// for backward then refuse to be used. Throws std::logic_error for a tensor with history, and for a leaf that
  /// requires grad unless recording is off.
  template <class T>
  [[nodiscard]] T* mutable_data(Here here = {}) {
    if (checked("mutable_data", here).dtype != dtype_of<T>) throw_wrong_type("mutable_data", dtype_of<T>, here);
    if (impl_->node) check_writable(here);
    impl_->storage->bump_version();
    return reinterpret_cast<T*>(impl_->bytes());
  }

  /// The only element, converted to T. Throws std::invalid_argument unless numel() is 1.
  template <class T = double>
  [[nodiscard]] T item(Here here = {}) const {
    if (checked("item", here).shape.numel() != 1) throw_not_single(here);
    return visit(dtype(), [&]<class E>() { return detail::converted<T>(*data<E>()); });
  }

  /// True for a leaf asked to collect its gradient, and for everything computed from one while recording.
  [[nodiscard]] bool requires_grad(Here here = {}) const {
    return static_cast<bool>(checked("requires_grad", here).node);
  }

  /// Makes this a leaf whose gradient is wanted, or no longer: what was recorded before then adds to none. Throws
  /// std::invalid_argument for a dtype that is no float and std::logic_error for a tensor with history. Returns the
  /// tensor itself.
  Tensor& requires_grad(bool wanted, Here here = {});

  /// True for tensors that were not computed by a recorded op.
  [[nodiscard]] bool is_leaf(Here here = {}) const;

  /// What backward() has accumulated in this leaf, or result for which retain_grad() was called (hooks.h); undefined
  /// before, and after zero_grad().
  [[nodiscard]] Tensor grad(Here here = {}) const;
  void zero_grad(Here here = {}) const;
  void set_grad(const Tensor& grad, Here here = {}) const;  ///< same shape and dtype, else std::invalid_argument

  /// See <tapestry/autograd/backward.h>.
  void backward(Here here = {}) const;
  void backward(const BackwardOptions& options, Here here = {}) const;

  /// The same elements without history; shares the storage. What it was computed from remembers the line, for
  /// coverage().
  [[nodiscard]] Tensor detach(Here here = {}) const;

  /// Puts the elements of `other` in this tensor's place, for every handle on it: how a module changes its dtype. A
  /// leaf stays a leaf and loses its gradient. Throws std::logic_error for a tensor with history. So does, later,
  /// backward() through what was recorded before: neither the elements saved then nor that leaf are there any more.
  void set_data(const Tensor& other, Here here = {});

  /// True when both are handles on the same tensor.
  [[nodiscard]] bool is_same(const Tensor& other) const noexcept { return impl_ == other.impl_; }

  /// For authors of ops: the parts behind the handle. Throws std::logic_error when undefined.
  [[nodiscard]] detail::TensorImpl& impl() const {
    if (!impl_) throw_undefined("tensor", {nullptr, 0});
    return *impl_;
  }

 private:
  friend class StandIns;
  [[gnu::cold]] void take_stand_in() noexcept;
  [[nodiscard]] detail::TensorImpl& checked(const char* call, Here here) const {
    if (!impl_) throw_undefined(call, here);
    return *impl_;
  }
  // Cold, so that what calls them is small enough to be inlined wherever elements are read.
  [[noreturn, gnu::cold]] static void throw_undefined(const char* call, Here here);
  [[noreturn, gnu::cold]] void throw_wrong_type(const char* call, Dtype asked, Here here) const;
  [[noreturn, gnu::cold]] void throw_not_single(Here here) const;
  void check_writable(const Here& here) const;

  Ref<detail::TensorImpl> impl_;
};

// --- making tensors

struct TensorOptions {
  /// Where none is given, default_dtype(), f32; for integer values in tensor, full and arange i64, for bool values
  /// bool.
  std::optional<Dtype> dtype = {};
  bool requires_grad = false;
};

namespace detail {
[[nodiscard]] Tensor arange(Number begin, Number end, Number step, const TensorOptions& options, Here here);
[[nodiscard]] Tensor tensor_of_numbers(std::span<const Number> values, const Shape& shape, const TensorOptions& options,
                                       Here here);
[[noreturn, gnu::cold]] void throw_undefined(const char* call, const char* argument);
void check_row_length(Index length, Index expected, Here here);
}  // namespace detail

[[nodiscard]] Tensor empty(const Shape& shape, Dtype dtype, Here here = {});  ///< uninitialised
/// The same in default_dtype().
[[nodiscard]] inline Tensor empty(const Shape& shape, Here here = {}) { return empty(shape, default_dtype(), here); }
[[nodiscard]] Tensor zeros(const Shape& shape, const TensorOptions& options = {}, Here here = {});
[[nodiscard]] Tensor ones(const Shape& shape, const TensorOptions& options = {}, Here here = {});
/// i64 for an integer, default_dtype() for a floating-point number. Throws std::invalid_argument for a value that an
/// integer dtype cannot hold.
[[nodiscard]] Tensor full(const Shape& shape, Number value, const TensorOptions& options = {}, Here here = {});
[[nodiscard]] Tensor empty_like(const Tensor& x, Here here = {});
[[nodiscard]] Tensor zeros_like(const Tensor& x, Here here = {});
[[nodiscard]] Tensor ones_like(const Tensor& x, Here here = {});
[[nodiscard]] Tensor full_like(const Tensor& x, Number value, Here here = {});

/// Identity matrix [n, n].
[[nodiscard]] Tensor eye(Index n, const TensorOptions& options = {}, Here here = {});

/// begin, begin + step, ... up to but without end. i64 when called with integers, which are exact to the last bit, f32
/// (default_dtype()) with a floating-point number. Throws std::invalid_argument for step 0, a step away from end, and
/// elements that an integer dtype cannot hold.
[[nodiscard]] Tensor arange(Index end, const TensorOptions& options = {}, Here here = {});
template <class Begin, class End, class Step = int>
[[nodiscard]] Tensor arange(Begin begin, End end, Step step = 1, const TensorOptions& options = {}, Here here = {}) {
  return detail::arange(begin, end, step, options, here);
}

namespace detail {
/// As what values of type T are handed over: as they are if a Dtype stores them, else as the widest type of their kind.
template <class T>
using Passed = std::conditional_t<std::is_same_v<T, float> || std::is_same_v<T, std::int32_t> ||
                                      std::is_same_v<T, std::uint8_t> || std::is_same_v<T, bool>,
                                  T, std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>>;
/// A copy of the values of one of these types, float, double, std::int32_t, std::int64_t, std::uint8_t or bool.
template <class T>
[[nodiscard]] Tensor tensor_of(std::span<const T> values, const Shape& shape, const TensorOptions& options, Here here);
/// Refuses an integer beyond i64.
[[noreturn, gnu::cold]] void throw_beyond_i64(std::uint64_t value, Here here);
}  // namespace detail

/// A copy of the values, of any arithmetic type. i64 for integers, f32 (default_dtype()) for floating point, bool for
/// bool, unless options say otherwise. A list may mix them: tensor({1, 2.5}) is f32. Throws std::invalid_argument when
/// their number is not that of the shape, rows differ in length, or the dtype cannot hold a value.
template <class T>
[[nodiscard]] Tensor tensor(std::span<const T> values, const Shape& shape, const TensorOptions& options = {},
                            Here here = {}) {
  using Passed = detail::Passed<T>;
  if constexpr (std::is_same_v<T, Passed>) {
    return detail::tensor_of(values, shape, options, here);
  } else {
    std::vector<Passed> passed;
    for (const T value : values) {
      if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(Passed)) {
        if (static_cast<Passed>(value) < 0) detail::throw_beyond_i64(value, here);
      }
      passed.push_back(static_cast<Passed>(value));
    }
    return detail::tensor_of(std::span<const Passed>(passed), shape, options, here);
  }
}
template <class T>
[[nodiscard]] Tensor tensor(const std::vector<T>& values, const Shape& shape, const TensorOptions& options = {},
                            Here here = {}) {
  if constexpr (std::is_same_v<T, bool>) {  // vector<bool> has no elements to span
    const std::vector<std::uint8_t> bytes(values.begin(), values.end());
    return tensor(std::span<const std::uint8_t>(bytes), shape, {options.dtype.value_or(boolean), options.requires_grad},
                  here);
  } else {
    return tensor(std::span<const T>(values), shape, options, here);
  }
}
template <class T>
[[nodiscard]] Tensor tensor(std::initializer_list<T> values, const TensorOptions& options = {}, Here here = {}) {
  return tensor(std::span<const T>(values.begin(), values.size()), {static_cast<Index>(values.size())}, options, here);
}
[[nodiscard]] inline Tensor tensor(std::initializer_list<Number> values, const TensorOptions& options = {},
                                   Here here = {}) {
  return detail::tensor_of_numbers({values.begin(), values.size()}, {static_cast<Index>(values.size())}, options, here);
}
template <class T>
[[nodiscard]] Tensor tensor(std::initializer_list<std::initializer_list<T>> rows, const TensorOptions& options = {},
                            Here here = {}) {
  std::vector<T> values;
  const Index columns = rows.size() == 0 ? 0 : static_cast<Index>(rows.begin()->size());
  for (const auto& row : rows) {
    detail::check_row_length(static_cast<Index>(row.size()), columns, here);
    values.insert(values.end(), row.begin(), row.end());
  }
  const Shape shape{static_cast<Index>(rows.size()), columns};
  if constexpr (std::is_same_v<T, Number>) return detail::tensor_of_numbers(values, shape, options, here);
  else return tensor(values, shape, options, here);
}
[[nodiscard]] inline Tensor tensor(std::initializer_list<std::initializer_list<Number>> rows,
                                   const TensorOptions& options = {}, Here here = {}) {
  return tensor<Number>(rows, options, here);
}
[[nodiscard]] Tensor scalar(double value, const TensorOptions& options = {}, Here here = {});  ///< shape []

namespace detail {
extern template Tensor tensor_of(std::span<const float>, const Shape&, const TensorOptions&, Here);
extern template Tensor tensor_of(std::span<const double>, const Shape&, const TensorOptions&, Here);
extern template Tensor tensor_of(std::span<const std::int32_t>, const Shape&, const TensorOptions&, Here);
extern template Tensor tensor_of(std::span<const std::int64_t>, const Shape&, const TensorOptions&, Here);
extern template Tensor tensor_of(std::span<const std::uint8_t>, const Shape&, const TensorOptions&, Here);
extern template Tensor tensor_of(std::span<const bool>, const Shape&, const TensorOptions&, Here);
}  // namespace detail

/// The elements in the form of nested lists, long ones shortened in the middle, then shape and dtype.
std::ostream& operator<<(std::ostream& out, const Tensor& x);
[[nodiscard]] std::string to_string(const Tensor& x);

namespace detail {

/// Another tensor over the same storage, without history: `shape` elements from byte `offset` of x on.
[[nodiscard]] Tensor alias(const Tensor& x, const Shape& shape, Index byte_offset = 0);

/// What x.detach() gives, for ops: nobody is told that it was cut off.
[[nodiscard]] inline Tensor without_history(const Tensor& x) { return alias(x, x.shape()); }

}  // namespace detail
}  // namespace tapestry
