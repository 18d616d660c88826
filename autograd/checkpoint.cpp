#include <tapestry/autograd/checkpoint.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/sweep.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>

namespace tapestry {

// --- what is kept

/// Counts the calls of the ops that can be kept, in both calls of a function: a result is known by its number.
class detail::Keeper {
 public:
  explicit Keeper(const CheckpointOptions& options) : ops_(options.keep_ops), names_(options.keep_names) {
    constexpr std::string_view kCostly[] = {"conv2d", "linear", "matmul"};
    for (const std::string& op : ops_) {
      if (std::find(std::begin(kCostly), std::end(kCostly), op) != std::end(kCostly)) continue;
      throw_invalid("checkpoint: keep_ops must be of conv2d, linear and matmul; got '{}'", op);
    }
  }

  [[nodiscard]] Tensor next(const char* op) {
    const Tensor further_out = outer_ ? outer_->next(op) : Tensor();
    ++calls_;
    op_ = op;
    if (!again_) return further_out;
    const auto found = results_.find(calls_);
    if (found == results_.end()) return {};
    if (found->second.op != std::string_view(op)) {
      throw_logic("checkpoint: the function must call the same ops when it is called again; {} became {}",
                  found->second.op, op);
    }
    return found->second.y();
  }

  void computed(const Tensor& y) {
    if (outer_) outer_->computed(y);
    if (again_) return;
    latest_ = y;
    if (std::find(ops_.begin(), ops_.end(), op_) != ops_.end()) keep_latest();
  }

  void keep(std::string_view name, const Tensor& x) {
    if (outer_) outer_->keep(name, x);
    if (again_ || std::find(names_.begin(), names_.end(), name) == names_.end()) return;
    if (!latest_.defined() || latest_.impl().storage != x.impl().storage) {
      throw_invalid("keep: '{}' must be the result of the conv2d, linear or matmul that was called last", name);
    }
    keep_latest();
  }

  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

  /// For the time of a call of the function.
  class Scope {
   public:
    Scope(Keeper* now, bool again) noexcept : outer_(std::exchange(thread_modes.keeper, now)) {
      if (!now) return;
      now->outer_ = again ? nullptr : outer_;
      now->again_ = again;
      now->calls_ = 0;
    }
    ~Scope() {
      if (Keeper* const now = std::exchange(thread_modes.keeper, outer_)) now->latest_ = {};
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Keeper* outer_;
  };

 private:
  struct Kept {
    const char* op;
    Saved y;
  };

  void keep_latest() {
    if (results_.try_emplace(calls_, Kept{op_, Saved(latest_)}).second) bytes_ += bytes_of(latest_);
  }

  const std::vector<std::string> ops_, names_;
  std::unordered_map<std::size_t, Kept> results_;  // by the number of the call
  std::size_t calls_ = 0;
  const char* op_ = nullptr;  // of the latest call
  Tensor latest_;             // the first time: its result
  bool again_ = false;
  Keeper* outer_ = nullptr;
  std::int64_t bytes_ = 0;
};

Tensor detail::kept_result(const char* op) { return thread_modes.keeper->next(op); }
void detail::computed_result(const Tensor& y) { thread_modes.keeper->computed(y); }

Tensor keep(std::string_view name, const Tensor& x, Here here) {
  const CallSite site(here);
  if (!x.defined()) throw_invalid("keep: '{}' must be a defined tensor", name);
  if (detail::Keeper* const keeper = detail::thread_modes.keeper) keeper->keep(name, x);
  return x;
}

// --- calling again

namespace {

using Function = Callable<Tensor(const std::vector<Tensor>&)>;

/// Positions of the generators that a function draws from.
class RandomState {
 public:
  explicit RandomState(const std::vector<Generator*>& generators) {
    add(default_generator());
    for (Generator* generator : generators) add(*generator);
  }

  /// Puts them back where they were, and returns where they have been meanwhile.
  RandomState restore() {
    RandomState now = *this;
    for (auto& [generator, state] : now.states_) state = generator.state();
    for (auto& [generator, state] : states_) generator.set_state(state);
    return now;
  }

 private:
  void add(const Generator& generator) { states_.emplace_back(generator, generator.state()); }
  std::vector<std::pair<Generator, Generator::State>> states_;
};

/// What was in force when the function was called, and is again when it is called once more.
class Surroundings {
 public:
  explicit Surroundings(const std::vector<Generator*>& generators)
      : random_(generators), modes_(detail::thread_modes), location_(detail::call_state.location) {}

  template <class F>
  Tensor again(const F& f) {
    const Within within(*this);
    return f();
  }

 private:
  /// A second call: random numbers and place, too, are what they were before when it ends.
  class Within : public detail::KeptModes {
   public:
    explicit Within(Surroundings& first)
        : random_(first.random_.restore()), location_(std::exchange(detail::call_state.location, first.location_)) {
      detail::thread_modes = first.modes_;
      detail::thread_modes.grad_enabled = detail::thread_modes.record_reverse = true;
      detail::thread_modes.recomputing = true;
      detail::thread_modes.keeper = nullptr;  // that of the first call has ended
      detail::thread_modes.tangent_level = outside().tangent_level;
    }
    ~Within() {
      random_.restore();
      detail::call_state.location = location_;
    }
    Within(const Within&) = delete;
    Within& operator=(const Within&) = delete;

   private:
    RandomState random_;
    Location location_;
  };

  RandomState random_;
  detail::ThreadModes modes_;
  Location location_;
};

/// Calls its function again instead of a rule, and sends dy to the new result: its nodes are the newest on the tape, so
/// the sweep that plays this one plays them next.
class CheckpointNode final : public Node {
 public:
  CheckpointNode(const Tensor& y, const Location& location, Function f, const std::vector<Tensor>& xs,
                 Surroundings surroundings, Handle<detail::Keeper> keeper)
      : Node("checkpoint", y.shape(), y.dtype(), location),
        f_(std::move(f)),
        surroundings_(std::move(surroundings)),
        keeper_(std::move(keeper)),
        bytes_(keeper_ ? keeper_->bytes() : 0) {
    for (const Tensor& x : xs) {
      xs_.emplace_back(x);
      inputs_.push_back(x.defined() ? detail::reverse_node(x.impl().node) : Ref<Node>());
      bytes_ += detail::bytes_of(x);
    }
  }

  void backward(const Tensor& dy, Sweep& sweep) override {
    std::vector<Tensor> xs;
    for (const Saved& x : xs_) xs.push_back(x());
    const Tensor y = surroundings_.again([&] {
      const detail::Keeper::Scope scope(keeper_.get(), true);
      return f_(xs);
    });
    if (y.shape() != shape || y.dtype() != dtype) {
      throw_logic("checkpoint: the function must return the same when it is called again, {} {}; got {} {}", dtype,
                  shape, y.dtype(), y.shape());
    }
    if (detail::has_reverse_node(y)) send(sweep, detail::reverse_node(y.impl().node), dy);
  }

  void release() noexcept override {
    f_ = nullptr;
    keeper_ = {};
    xs_.clear();
    inputs_.clear();
  }

  [[nodiscard]] std::span<const Ref<Node>> inputs() const noexcept override { return inputs_; }
  [[nodiscard]] std::int64_t bytes_kept() const noexcept override { return released() ? 0 : bytes_; }

 private:
  Function f_;
  std::vector<Saved> xs_;
  std::vector<Ref<Node>> inputs_;
  Surroundings surroundings_;
  Handle<detail::Keeper> keeper_;  // null: nothing is kept
  std::int64_t bytes_;
};

}  // namespace

Tensor checkpoint(const Function& f, const std::vector<Tensor>& xs, const CheckpointOptions& options, Here here) {
  if (!is_grad_enabled() || detail::thread_modes.tangent_level != 0) return f(xs);
  Surroundings surroundings(options.generators);
  Handle<detail::Keeper> keeper;
  if (!options.keep_ops.empty() || !options.keep_names.empty()) {
    const CallSite site(here);
    keeper = make_handle<detail::Keeper>(options);
  }
  Tensor y = no_grad([&] {
    if (!keeper) return f(xs);  // a checkpoint further out may keep something
    const detail::Keeper::Scope scope(keeper.get(), false);
    return f(xs);
  });
  y = detail::fresh(std::move(y));
  y.impl().node = Ref<Node>::adopt(
      new CheckpointNode(y, detail::location_or(here), f, xs, std::move(surroundings), std::move(keeper)));
  return y;
}

Tensor checkpoint(const Callable<Tensor(const Tensor&)>& f, const Tensor& x, const CheckpointOptions& options,
                  Here here) {
  return checkpoint([f](const std::vector<Tensor>& xs) { return f(xs.front()); }, std::vector<Tensor>{x}, options,
                    here);
}

}  // namespace tapestry
