#include <tapestry/autograd/checkpoint.h>

#include <tapestry/autograd/base/check.h>
#include <tapestry/autograd/detail/sweep.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/random.h>
#include <tapestry/autograd/record.h>

namespace tapestry {
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
                 Surroundings surroundings)
      : Node("checkpoint", y.shape(), y.dtype(), location), f_(std::move(f)), surroundings_(std::move(surroundings)) {
    for (const Tensor& x : xs) {
      xs_.emplace_back(x);
      inputs_.push_back(x.defined() ? detail::reverse_node(x.impl().node) : Ref<Node>());
      bytes_ += detail::bytes_of(x);
    }
  }

  void backward(const Tensor& dy, Sweep& sweep) override {
    std::vector<Tensor> xs;
    for (const Saved& x : xs_) xs.push_back(x());
    const Tensor y = surroundings_.again([&] { return f_(xs); });
    if (y.shape() != shape || y.dtype() != dtype) {
      throw_logic("checkpoint: the function must return the same when it is called again, {} {}; got {} {}", dtype,
                  shape, y.dtype(), y.shape());
    }
    if (detail::has_reverse_node(y)) send(sweep, detail::reverse_node(y.impl().node), dy);
  }

  void release() noexcept override {
    f_ = nullptr;
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
  std::int64_t bytes_ = 0;
};

}  // namespace

Tensor checkpoint(const Function& f, const std::vector<Tensor>& xs, const CheckpointOptions& options, Here here) {
  if (!is_grad_enabled() || detail::thread_modes.tangent_level != 0) return f(xs);
  Surroundings surroundings(options.generators);
  Tensor y = no_grad([&] { return f(xs); });
  y = detail::fresh(std::move(y));
  const Location location = detail::location_or(here);
  y.impl().node = Ref<Node>::adopt(new CheckpointNode(y, location, f, xs, std::move(surroundings)));
  return y;
}

Tensor checkpoint(const Callable<Tensor(const Tensor&)>& f, const Tensor& x, const CheckpointOptions& options,
                  Here here) {
  return checkpoint([f](const std::vector<Tensor>& xs) { return f(xs.front()); }, std::vector<Tensor>{x}, options,
                    here);
}

}  // namespace tapestry
