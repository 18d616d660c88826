#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tapestry/autograd/memory/handle.h>
#include <tapestry/autograd/random.h>
#include <tapestry/datasets/loader.h>
#include <tapestry/nn/module.h>
#include <tapestry/nn/optim/optimizer.h>
#include <tapestry/nn/optim/schedules.h>
#include <tapestry/nn/train/state.h>

namespace tapestry::nn::train {

using Settings = std::vector<std::pair<std::string, std::string>>;  ///< names and values

struct CheckpointOptions {
  Settings settings = {};        ///< must be the same in the run that goes on: model, seed, data set
  Settings notes = {};           ///< kept beside them and not compared
  bool lower_is_better = false;  ///< of the value given to save(): true for a loss
  /// Names of settings, and of optimizers and schedules, in which the run that goes on may differ: what was changed on
  /// purpose. Such an optimizer keeps the rates and momenta that it has here.
  std::vector<std::string> may_differ = {};
};

/// What a file says of itself.
struct CheckpointInfo {
  Position position;
  bool complete = false;  ///< false: weights alone (model.safetensors)
  std::optional<double> best;
  Settings settings, notes;  ///< in order of their names
};

/// Keeps a training run in files, from which it goes on bit for bit, wherever it was stopped:
///
///     train::Checkpoint checkpoint("runs/first", {.settings = {{"model", "resnet20"}, {"seed", "1"}}});
///     checkpoint.add("model", model).add("sgd", sgd).add("rate", schedule).add("random", default_generator())
///         .add("loader", loader).add("metrics", metrics).add("curves", curves);
///     train::Position at = checkpoint.resume_if_any();
///     ...
///     checkpoint.save(at, test.top1());
///
/// Three files, each written in one step, so that a crash leaves the old one or the new one, whole:
///
///     checkpoint.safetensors   everything that was added, settings and notes, after the last save()
///     best.safetensors         the same after the save() with the best value so far
///     model.safetensors        weights alone of the last save(), under PyTorch's keys; with several modules one file
///                              each, under the name it was added with
///
/// Every file carries checksums (nn/safetensors.h); one that was damaged is refused, and so is a complete one without.
class Checkpoint {
 public:
  /// Makes the folder, with its parents, if it is not there, and removes what writers left in it that were killed.
  /// Throws FileError when the folder cannot be made.
  explicit Checkpoint(std::string folder, CheckpointOptions options = {}, Here here = {});
  ~Checkpoint();
  Checkpoint(Checkpoint&&) noexcept;
  Checkpoint& operator=(Checkpoint&&) noexcept;

  /// Adds a part of the run. Handles (modules, generators) are kept; everything else is referred to and must outlive
  /// this object. Throws std::invalid_argument for a name that is taken, is one of tapestry, setting, note, checkpoint
  /// and best, or is not of letters, digits, _ and -; std::logic_error for a second loader.
  ///
  /// Of a module, parameters and buffers are kept; of an optimizer its state, learning rates and momenta, checked
  /// against what it is made with; of a schedule its t, checked against the rates up to there; of a loader the position
  /// given to save(), checked against its batch size, shuffling, seed and number of samples; of a Stateful what state()
  /// gives (Metrics, Log, Curves).
  Checkpoint& add(std::string_view name, const Module& module, Here here = {});
  Checkpoint& add(std::string_view name, optim::Optimizer& optimizer, Here here = {});
  Checkpoint& add(std::string_view name, optim::Schedule& schedule, Here here = {});
  Checkpoint& add(std::string_view name, const Generator& generator, Here here = {});
  Checkpoint& add(std::string_view name, datasets::Loader& loader, Here here = {});
  Checkpoint& add(std::string_view name, double& number, Here here = {});
  Checkpoint& add(std::string_view name, Index& number, Here here = {});
  template <Stateful T>
  Checkpoint& add(std::string_view name, T& piece, Here here = {}) {
    const CallSite site(here);
    return add_part(name, make_handle<StatefulPart<T>>(piece));
  }

  /// Writes the files, and makes the folder again if it is gone; true when `value` is the best so far (NaN never is).
  /// The end of an epoch is the start of the next one: {epoch + 1, 0}. Throws std::invalid_argument for a negative
  /// position and a step at or beyond the loader's steps of an epoch, FileError when a file cannot be written.
  bool save(const Position& position, std::optional<double> value = {}, Here here = {});

  /// Puts every part into the state that the file has kept, the loader at the position that is returned. Everything is
  /// checked before anything changes. Throws FileError for a file that is damaged or no checkpoint, and one that lists
  /// every difference: settings, parts that are missing on one side, tensors of other shapes, values that no training
  /// leaves, a position outside the epoch. Of a file much larger than this run's and of another model, the header alone
  /// is read.
  Position resume(const std::string& path, Here here = {});
  Position resume(Here here = {}) { return resume(last_path(), here); }
  /// Position {} when there is no last_path().
  Position resume_if_any(Here here = {}) { return exists() ? resume(here) : Position{}; }

  /// Goes on from weights alone, or from the weights of a complete file: everything but the modules stays as it is, the
  /// loader at the position that is returned. Throws as resume() does.
  Position resume_weights(const std::string& path, Here here = {});

  [[nodiscard]] bool exists() const;  ///< whether there is a last_path()
  [[nodiscard]] std::string last_path() const;
  [[nodiscard]] std::string best_path() const;
  /// Best value given to save(), in earlier runs too.
  [[nodiscard]] std::optional<double> best() const noexcept;

  /// What a file says of itself, complete or not; settings that are not there are empty. Throws FileError.
  [[nodiscard]] static CheckpointInfo info(const std::string& path, Here here = {});

 private:
  /// How a part's memory is taken and given back.
  class Part {
   public:
    virtual ~Part() = default;
    [[nodiscard]] virtual const char* kind() const = 0;
    [[nodiscard]] virtual State state() const = 0;
    /// What load() would object to, a line each, "\n  seed: 1 there, 2 here"; empty for nothing.
    [[nodiscard]] virtual std::string differences(const State& state) const = 0;
    virtual void load(const State& state) = 0;
    /// Where it was made otherwise than this one; what differences() does not tell.
    [[nodiscard]] virtual std::string made_otherwise(const State&) const { return {}; }
    /// load() of a state that was made otherwise.
    virtual void load_otherwise(const State& state) { load(state); }
  };
  template <class T>
  class StatefulPart final : public Part {
   public:
    explicit StatefulPart(T& piece) : piece_(piece) {}
    [[nodiscard]] const char* kind() const override { return "state"; }
    [[nodiscard]] State state() const override { return piece_.state(); }
    [[nodiscard]] std::string differences(const State& state) const override {
      T copy = piece_;
      return refusal([&] { copy.load_state(state); });
    }
    void load(const State& state) override { piece_.load_state(state); }

   private:
    T& piece_;
  };
  struct Parts;
  struct Impl;

  /// "\n  " and what f throws; empty when it throws nothing.
  template <class F>
  [[nodiscard]] static std::string refusal(const F& f) {
    try {
      f();
    } catch (const std::exception& e) {
      return "\n  " + without_place(e.what());
    }
    return {};
  }
  Checkpoint& add_part(std::string_view name, Handle<Part> part);

  Handle<Impl> impl_;
};

/// Copies the weights in a file of a Checkpoint into a model, whichever of its files it is. Throws FileError as load()
/// does; the model is unchanged then.
void load_weights(const Module& module, const std::string& path, Here here = {});

}  // namespace tapestry::nn::train
