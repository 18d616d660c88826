#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/datasets/dataset.h>
#include <tapestry/datasets/samplers.h>

namespace tapestry::datasets {

struct LoaderOptions {
  Index batch = 1;         ///< samples per batch; the last one may have fewer
  bool shuffle = false;    ///< another order in every epoch, a function of seed and epoch
  std::uint64_t seed = 0;  ///< of the order and of what transforms draw
  bool drop_last = false;  ///< leave out a last batch that is not full
  Index prefetch = 2;      ///< batches prepared ahead in the background; 0: each when it is asked for
  Sampler sampler = {};    ///< chooses the samples and their order, where it is given; then without shuffle
};

/// Batch [B, ...] of images and i64 [B] of targets.
struct Batch {
  Tensor images;
  Tensor labels;
};

/// What a sample of a batch threw, with the sample's index in its data set; the original error is nested in it. The
/// message ends with the line of the error or, where that has none, of the loop.
class SampleError : public std::runtime_error {
 public:
  SampleError(std::size_t index, const std::string& what, Here here = {});
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

 private:
  std::size_t index_;
};

/// A data set in batches:
///
///     for (auto [images, labels] : Loader(train, {.batch = 128, .shuffle = true, .seed = 7})) ...
///
/// Every begin() starts the next epoch, the first one epoch 0. Which samples are in which batch and what their
/// transforms draw is a function of (seed, epoch, index), whatever the number of threads or batches prepared ahead. A
/// sample that a sampler visits more than once in an epoch has the key's child(k) at its visit k = 1, 2, ... after the
/// first.
/// Errors in a data set or transform reach the loop as SampleError, at the batch the sample belongs to. Leaving the
/// loop early is fine at any time.
class Loader {
  class Pass;

 public:
  using Options = LoaderOptions;

  /// Keeps a copy of the data set, which is cheap: data sets share what they hold. Throws std::invalid_argument unless
  /// batch >= 1, prefetch is in [0, 1024], and no sampler comes with shuffle.
  template <std::derived_from<Dataset> D>
  explicit Loader(D dataset, Options options = {}, Here here = {})
      : Loader(Handle<const Dataset>(make_handle<const D>(std::move(dataset))), options, here) {}
  explicit Loader(Handle<const Dataset> dataset, Options options = {}, Here here = {});

  /// The same for a data set behind a std::shared_ptr or another pointer that owns it.
  template <detail::DatasetPointer P>
  explicit Loader(P dataset, Options options = {}, Here here = {})
      : Loader(detail::handle_of(std::move(dataset)), options, here) {}

  struct End {};

  /// Input iterator over the batches of one epoch.
  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    using pointer = const Batch*;
    using reference = const Batch&;

    [[nodiscard]] const Batch& operator*() const noexcept { return batch_; }
    [[nodiscard]] const Batch* operator->() const noexcept { return &batch_; }
    Iterator& operator++();  ///< throws what the next batch threw; the iterator is then at the end
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, End) noexcept { return !it.pass_; }

   private:
    friend class Loader;
    explicit Iterator(Handle<Pass> pass);

    Handle<Pass> pass_;
    Batch batch_;
  };

  /// Throws what a sampler throws, std::out_of_range for a sample that it names and the data set does not have, and
  /// std::logic_error when it gives another number of them than it says.
  [[nodiscard]] Iterator begin(Here here = {});
  [[nodiscard]] static End end() noexcept { return {}; }

  [[nodiscard]] Index batches() const noexcept;                          ///< per epoch
  [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }  ///< which the next begin() starts
  void set_epoch(std::uint64_t epoch) noexcept {
    epoch_ = epoch;
    first_batch_ = 0;
  }
  /// The next begin() starts `epoch` at batch number `batch`, to go on where a training was stopped; the ones after it
  /// start at their epochs' first batches. Throws std::invalid_argument unless `batch` is 0 or in [0, batches()).
  void set_position(std::uint64_t epoch, Index batch, Here here = {});
  [[nodiscard]] const Dataset& dataset() const noexcept { return *dataset_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }

 private:
  Handle<const Dataset> dataset_;
  Options options_;
  std::uint64_t epoch_ = 0;
  Index first_batch_ = 0;  // of the next begin()
};

}  // namespace tapestry::datasets
