#include <tapestry/datasets/loader.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/autograd/base/background_task.h>
#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/base/parallel.h>
#include <tapestry/datasets/detail/shuffle.h>

namespace tapestry::datasets {
namespace {

constexpr Index kSamplesPerTask = 8;                         // about 50 us of cropping and normalising
constexpr std::uint64_t kOrderStream = 0x4F52444552000000U;  // "ORDER": streams no epoch-less user of the seed has

using Order = std::vector<std::size_t>;

Order sampled_order(std::size_t size, const LoaderOptions& options, std::uint64_t epoch) {
  Order order = options.sampler.order(options.seed, epoch);
  if (order.size() != options.sampler.size()) {
    throw_logic("loader: the sampler must give as many samples as it says, {}; got {}", options.sampler.size(),
                order.size());
  }
  for (const std::size_t index : order) {
    if (index >= size) {
      throw_out_of_range("loader: the sampler must give indices below {}, the data set's size; got {}", size, index);
    }
  }
  return order;
}

Order make_order(std::size_t size, const LoaderOptions& options, std::uint64_t epoch) {
  if (options.sampler) return sampled_order(size, options, epoch);
  Order order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!options.shuffle) return order;
  Generator generator(options.seed, kOrderStream + epoch);
  detail::shuffle(order, generator);
  return order;
}

/// How often each position's sample has come before in the order; empty where none comes twice.
std::vector<std::uint32_t> visits_before(const Order& order, std::size_t size) {
  std::vector<std::uint32_t> visits(size);
  std::vector<std::uint32_t> before(order.size());
  bool any = false;
  for (std::size_t i = 0; i < order.size(); ++i) {
    before[i] = visits[order[i]]++;
    any = any || before[i] != 0;
  }
  return any ? before : std::vector<std::uint32_t>();
}

/// The current exception as a SampleError that has it nested; called inside a handler.
std::exception_ptr as_sample_error(std::size_t index, const Here& here) {
  try {
    try {
      throw;
    } catch (const std::exception& e) {
      std::throw_with_nested(SampleError(index, e.what(), here));
    } catch (...) {
      std::throw_with_nested(SampleError(index, "an exception of unknown type", here));
    }
  } catch (...) {
    return std::current_exception();
  }
}

void put(const Sample& sample, const Batch& batch, Index position) {
  const Tensor& image = sample.image;
  if (image.shape() != batch.images.shape().without(0) || image.dtype() != batch.images.dtype()) {
    throw_invalid("loader: all images of a batch must be alike, {} {}; got {} {}", batch.images.dtype(),
                  batch.images.shape().without(0), image.dtype(), image.shape());
  }
  const auto bytes = static_cast<std::size_t>(image.numel() * item_bytes(image.dtype()));
  std::memcpy(batch.images.impl().bytes() + static_cast<std::size_t>(position) * bytes, image.impl().bytes(), bytes);
  reinterpret_cast<std::int64_t*>(batch.labels.impl().bytes())[position] = sample.target;
}

}  // namespace

namespace {

/// The message with the line of the loop, unless what was thrown has told a better one.
std::string message_of(std::size_t index, const std::string& what, const Here& here) {
  const OuterSite site(here);
  std::string message = format_message("loader: sample {}: {}", index, what);
  return without_place(message) == message ? message + place_lines() : message;
}

}  // namespace

SampleError::SampleError(std::size_t index, const std::string& what, Here here)
    : std::runtime_error(message_of(index, what, here)), index_(index) {}

/// One epoch under way. The background task makes batches in order and stops ahead of the loop by `prefetch` of them.
class Loader::Pass {
 public:
  Pass(Handle<const Dataset> dataset, const Options& options, std::uint64_t epoch, Index first, Index batches,
       const Here& here)
      : dataset_(std::move(dataset)),
        options_(options),
        epoch_(epoch),
        batches_(batches),
        order_(make_order(dataset_->size(), options, epoch)),
        before_(options.sampler ? visits_before(order_, dataset_->size()) : std::vector<std::uint32_t>()),
        first_(first),
        here_(here),
        taken_(first) {
    if (options_.prefetch > 0 && batches_ > 0) task_.emplace([this] { produce(); });
  }
  Pass(const Pass&) = delete;
  Pass& operator=(const Pass&) = delete;
  ~Pass() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
  }

  /// The next batch; nothing after the last one. Throws what making it threw.
  std::optional<Batch> next() {
    if (taken_ == batches_) return std::nullopt;
    const Index number = taken_++;
    if (!task_) return make(number);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !ready_.empty(); });
    Made made = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    changed_.notify_all();
    if (made.error) {
      taken_ = batches_;
      std::rethrow_exception(made.error);
    }
    return std::move(made.batch);
  }

 private:
  struct Made {
    Batch batch;
    std::exception_ptr error;
  };

  void produce() {
    for (Index number = first_; number < batches_; ++number) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopping_ || static_cast<Index>(ready_.size()) < options_.prefetch; });
        if (stopping_) return;
      }
      Made made;
      try {
        made.batch = make(number);
      } catch (...) {
        made.error = std::current_exception();
      }
      const bool failed = made.error != nullptr;
      {
        const std::scoped_lock lock(mutex_);
        ready_.push_back(std::move(made));
      }
      changed_.notify_all();
      if (failed) return;
    }
  }

  bool stopping() {
    const std::scoped_lock lock(mutex_);
    return stopping_;
  }

  /// The sample at a position of the order.
  Sample sample(Index position) const {
    const auto at = static_cast<std::size_t>(position);
    const SampleKey key{.seed = options_.seed, .epoch = epoch_, .index = order_[at]};
    const std::uint32_t before = before_.empty() ? 0 : before_[at];
    return dataset_->get(order_[at], before == 0 ? key : key.child(before));
  }

  /// All samples are made even when one fails, and the first failure in the batch's order is reported: which thread is
  /// faster does not decide what the caller sees.
  Batch make(Index number) {
    const Index begin = number * options_.batch;
    const Index count = std::min(options_.batch, static_cast<Index>(order_.size()) - begin);
    const std::size_t* order = order_.data() + begin;
    std::vector<std::exception_ptr> errors(static_cast<std::size_t>(count));
    Batch batch;
    try {
      const Sample first = sample(begin);
      batch.images = empty(first.image.shape().inserted(0, count), first.image.dtype());
      batch.labels = empty({count}, i64);
      put(first, batch, 0);
    } catch (...) {
      std::rethrow_exception(as_sample_error(order[0], here_));
    }
    parallel_for(count - 1, kSamplesPerTask, [&](Index from, Index to) {
      if (stopping()) return;
      for (Index i = from + 1; i < to + 1; ++i) {
        try {
          put(sample(begin + i), batch, i);
        } catch (...) {
          errors[static_cast<std::size_t>(i)] = as_sample_error(order[i], here_);
        }
      }
    });
    for (const std::exception_ptr& error : errors) {
      if (error) std::rethrow_exception(error);
    }
    return batch;
  }

  const Handle<const Dataset> dataset_;
  const Options options_;
  const std::uint64_t epoch_;
  const Index batches_;
  const Order order_;
  const std::vector<std::uint32_t> before_;  // see visits_before()
  const Index first_;
  const Here here_;
  Index taken_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Made> ready_;
  bool stopping_ = false;
  std::optional<BackgroundTask> task_;  // last: its destructor waits for what uses the rest
};

Loader::Loader(Handle<const Dataset> dataset, Options options, Here here)
    : dataset_(std::move(dataset)), options_(std::move(options)) {
  const CallSite site(here);
  constexpr Index kMostAhead = 1024;  // batches; far beyond any use, and small enough to count bytes with
  if (!dataset_) throw_invalid("loader: dataset must be given; got none");
  if (options_.batch < 1) throw_invalid("loader: batch must be at least 1; got {}", options_.batch);
  if (options_.sampler && options_.shuffle) {
    throw_invalid("loader: shuffle must be false where a sampler is given; got true");
  }
  if (options_.prefetch < 0 || options_.prefetch > kMostAhead) {
    throw_invalid("loader: prefetch must be in [0, {}]; got {}", kMostAhead, options_.prefetch);
  }
}

Loader::Iterator::Iterator(Handle<Pass> pass) : pass_(std::move(pass)) { ++*this; }

Loader::Iterator& Loader::Iterator::operator++() {
  batch_ = {};  // before the next one is waited for: the allocator can reuse its memory
  try {
    std::optional<Batch> next = pass_->next();
    if (next) batch_ = std::move(*next);
    else pass_ = {};
  } catch (...) {
    pass_ = {};
    throw;
  }
  return *this;
}

Loader::Iterator Loader::begin(Here here) {
  const CallSite site(here);
  Handle<Pass> pass = make_handle<Pass>(dataset_, options_, epoch_, first_batch_, batches(), here);
  first_batch_ = 0;
  ++epoch_;
  return Iterator(std::move(pass));
}

void Loader::set_position(std::uint64_t epoch, Index batch, Here here) {
  const CallSite site(here);
  if (batch < 0 || (batch > 0 && batch >= batches())) {
    throw_invalid("loader: a position must be before one of the epoch's {} batches; got batch {}", batches(), batch);
  }
  epoch_ = epoch;
  first_batch_ = batch;
}

Index Loader::batches() const noexcept {
  const auto size = static_cast<Index>(options_.sampler ? options_.sampler.size() : dataset_->size());
  return options_.drop_last ? size / options_.batch : size / options_.batch + (size % options_.batch != 0 ? 1 : 0);
}

}  // namespace tapestry::datasets
