#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <tapestry/autograd/base/callable.h>
#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/tensor.h>

namespace tapestry::datasets {

/// Names one visit to one sample. What a transform draws is a function of the key alone, so the number of threads, the
/// batch size and the order of visits change nothing.
struct SampleKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;
  std::uint64_t index = 0;  ///< of the sample in its data set
  std::uint64_t path = 0;   ///< which of several composed transforms draws

  /// The stream of random numbers of this key. Transforms of different kinds pass different purposes, so that calling
  /// two of them with one key gives independent draws.
  [[nodiscard]] Generator generator(std::uint64_t purpose = 0) const;

  /// The key for part number `part` of a transform made of several.
  [[nodiscard]] SampleKey child(std::uint64_t part) const;
};

struct Sample {
  Tensor image;  ///< u8 [H, W, C] until a transform says otherwise
  std::int64_t target = 0;
};

/// From an image to an image; must not write to its argument, which may share the data set's storage.
using ImageTransform = Callable<Tensor(const Tensor& image, const SampleKey& key)>;
using TargetTransform = Callable<std::int64_t(std::int64_t target)>;

/// A finite list of samples. Implementations are cheap to copy (they share what they hold) and may be read from several
/// threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  [[nodiscard]] virtual std::size_t size() const = 0;

  /// Sample `index` with the transforms applied under `key`. Throws std::out_of_range unless index < size().
  [[nodiscard]] virtual Sample get(std::size_t index, const SampleKey& key) const = 0;
  [[nodiscard]] Sample get(std::size_t index, Here here = {}) const {
    const OuterSite site(here);
    return get(index, {.index = index});
  }

 protected:
  Dataset() = default;
  Dataset(const Dataset&) = default;
  Dataset& operator=(const Dataset&) = default;
};

namespace detail {

/// A smart pointer to a data set.
template <class P>
concept DatasetPointer = !std::is_pointer_v<P> && requires(const P& p) {
  requires std::derived_from<std::remove_cvref_t<decltype(*p)>, Dataset>;
};

/// Shares the pointer, and so what it points to.
template <DatasetPointer P>
[[nodiscard]] Handle<const Dataset> handle_of(P pointer) {
  const Handle<const P> kept = make_handle<const P>(std::move(pointer));
  return {kept.owner(), *kept ? &**kept : nullptr};
}

}  // namespace detail

/// Any data set, held by those that are made of others: a copy of a data set, or what a smart pointer owns. Cheap to
/// copy.
class AnyDataset {
 public:
  template <std::derived_from<Dataset> D>
  AnyDataset(D dataset) : held_(make_handle<const D>(std::move(dataset))) {}
  template <detail::DatasetPointer P>
  AnyDataset(P pointer) : held_(detail::handle_of(std::move(pointer))) {}
  AnyDataset(Handle<const Dataset> dataset) noexcept : held_(std::move(dataset)) {}

  [[nodiscard]] const Dataset& operator*() const noexcept { return *held_; }
  [[nodiscard]] const Dataset* operator->() const noexcept { return held_.get(); }
  /// Whether there is one: a pointer may have been null.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(held_); }

 private:
  Handle<const Dataset> held_;
};

}  // namespace tapestry::datasets
