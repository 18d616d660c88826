#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <tapestry/nn/module.h>
#include <tapestry/nn/optim/namespace.h>

/// Optimizers: `step()` changes parameters in place by their .grad(), one pass over memory per tensor, the same bits
/// for any number of threads. A parameter without a gradient is left alone: no decay, no state. The first step warns of
/// those that have never had one, unless they are frozen (<tapestry/nn/coverage.h>).
namespace tapestry::nn::optim {

/// The parameters an optimizer is given: tensors, or tensors with names, which key its state.
class Parameters {
 public:
  Parameters(const std::vector<Tensor>& tensors);  ///< named "0", "1", ...
  Parameters(std::initializer_list<Tensor> tensors) : Parameters(std::vector<Tensor>(tensors)) {}
  Parameters(std::vector<NamedTensor> named) : list_(std::move(named)) {}
  [[nodiscard]] const std::vector<NamedTensor>& list() const noexcept { return list_; }

 private:
  std::vector<NamedTensor> list_;
};

/// Parameters with options of their own.
template <class Options>
struct Group {
  Parameters parameters;
  Options options = {};
};

/// What all optimizers share. Groups are numbered in order of addition. Neither copied nor moved: schedules hold a
/// reference.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  virtual void step(Here here = {}) = 0;
  void zero_grad(Here here = {}) const;

  [[nodiscard]] std::size_t groups() const noexcept { return initial_lr_.size(); }
  /// What a group was given, under the names that key its state.
  [[nodiscard]] Parameters parameters(std::size_t group = 0) const;
  [[nodiscard]] virtual double lr(std::size_t group = 0) const = 0;
  /// Throws std::invalid_argument for a negative value or NaN.
  void set_lr(double lr, std::size_t group = 0, Here here = {});
  /// What the group was given at first: what schedules multiply.
  [[nodiscard]] double initial_lr(std::size_t group = 0) const { return initial_lr_.at(group); }

  /// Momentum of SGD, the first beta of Adam: what OneCycleLR moves.
  [[nodiscard]] virtual double momentum(std::size_t group = 0) const = 0;
  virtual void set_momentum(double momentum, std::size_t group = 0, Here here = {}) = 0;

  /// What the group was made with besides, as names and values: {"weight_decay", "0.0005"}. A checkpoint compares it.
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> settings(std::size_t group = 0) const;

  /// What step() remembers: "conv1.weight.momentum_buffer" and the like. Copies; parameters that had no gradient yet
  /// have none. With the parameters restored too, training goes on bit for bit.
  [[nodiscard]] virtual std::map<std::string, Tensor> state(Here here = {}) const;
  /// Throws std::invalid_argument listing all that is missing, unexpected or misshapen; nothing has changed then.
  virtual void load_state(const std::map<std::string, Tensor>& state, Here here = {});
  /// What load_state() would object to, a line each, "\n  missing: conv1.weight.momentum_buffer"; empty for nothing.
  [[nodiscard]] virtual std::string state_differences(const std::map<std::string, Tensor>& state) const;

 protected:
  /// One parameter and what is remembered about it: a list of tensors under the names that slot_names() gives.
  struct Entry {
    std::string name;
    Tensor parameter;
    std::vector<Tensor> slots;  ///< empty before the first step with a gradient
    Index step = 0;
    bool fresh = false;  ///< the slots have been made and no step has filled them yet
  };

  Optimizer() = default;

  /// Checks and takes a group's parameters; returns its number. Throws std::invalid_argument for one that is undefined,
  /// the result of an op, no f32 or f64, or there already, and for a name that is taken.
  std::size_t add_entries(const char* optimizer, const Parameters& parameters, double lr);
  [[nodiscard]] std::vector<Entry>& entries(std::size_t group) { return entries_.at(group); }
  [[nodiscard]] const std::vector<Entry>& entries(std::size_t group) const { return entries_.at(group); }

  virtual void assign_lr(double lr, std::size_t group) = 0;
  /// Names of the tensors kept per parameter in this group, in the order of Entry::slots.
  [[nodiscard]] virtual std::vector<std::string> slot_names(std::size_t group) const = 0;

  /// Gives the entry zero-filled slots if it has none.
  void make_slots(Entry& entry, std::size_t count);
  /// Gives zero-filled slots to all entries with a gradient that have none: to all of them or, when memory is short, to
  /// none. A step begins with it, so that it fails before it has changed a parameter.
  void make_missing_slots();
  /// At the first call, warns of parameters that have never received a gradient. A step begins with it.
  void warn_of_gaps(const char* optimizer);

 private:
  /// The entries with a state's values; adds what is wrong with it to `problems`.
  [[nodiscard]] std::vector<std::vector<Entry>> with_state(const std::map<std::string, Tensor>& state,
                                                           std::string& problems) const;

  std::vector<std::vector<Entry>> entries_;
  std::vector<double> initial_lr_;
  bool asked_for_gaps_ = false;
};

}  // namespace tapestry::nn::optim
