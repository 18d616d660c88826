#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <tapestry/autograd/base/check.h>
#include <tapestry/nn/detail/value_faults.h>
#include <tapestry/nn/serialize.h>
#include <tapestry/nn/train/checkpoint.h>
#include <tapestry/nn/train/detail/checkpoint_file.h>

/// What a checkpoint can keep: how the memory of modules, optimizers, schedules and the like is taken and given back.
namespace tapestry::nn::train {

inline constexpr const char* kNothing = "nothing";
inline constexpr double kSameRate = 1e-9;  // relative: another machine's cosine may differ in its last bits

using TensorMap = std::map<std::string, Tensor>;

[[nodiscard]] TensorMap as_map(const State& state);
[[nodiscard]] std::vector<NamedTensor> as_list(const TensorMap& tensors);
[[nodiscard]] bool is_among(const std::string& name, const std::vector<std::string>& names);

/// Settings of both sides that differ and must not; what is on one side only differs from nothing.
[[nodiscard]] std::string setting_differences(const Settings& theirs, const Settings& ours,
                                              const std::vector<std::string>& may_differ = {});

template <class T>
[[nodiscard]] Tensor list_of(const std::vector<T>& values, Dtype dtype) {
  return tensor(values, {static_cast<Index>(values.size())}, {.dtype = dtype});
}

struct Checkpoint::Parts {
  class OfModule final : public Part {
   public:
    explicit OfModule(Module module) : module_(std::move(module)) {}
    [[nodiscard]] const char* kind() const override { return "module"; }
    [[nodiscard]] State state() const override { return {as_list(file_state(module_)), {}}; }
    [[nodiscard]] std::string differences(const State& state) const override {
      return file_state_differences(module_, as_map(state));
    }
    void load(const State& state) override { load_file_state(module_, as_map(state)); }
    [[nodiscard]] const Module& module() const { return module_; }

   private:
    Module module_;
  };

  class OfOptimizer final : public Part {
   public:
    explicit OfOptimizer(optim::Optimizer& optimizer) : optimizer_(optimizer) {
      for (std::size_t g = 0; g < optimizer.groups(); ++g) {
        const std::string group = optimizer.groups() > 1 ? format_message("group {} ", g) : "";
        made_with_.emplace_back(group + "lr", text_of(optimizer.initial_lr(g)));
        made_with_.emplace_back(group + "momentum", text_of(optimizer.momentum(g)));
        for (const auto& [name, value] : optimizer.settings(g)) made_with_.emplace_back(group + name, value);
      }
    }
    [[nodiscard]] const char* kind() const override { return "optimizer"; }
    [[nodiscard]] State state() const override {
      State state{as_list(optimizer_.state()), made_with_};
      std::vector<double> rates, momenta;
      for (std::size_t g = 0; g < optimizer_.groups(); ++g) {
        rates.push_back(optimizer_.lr(g));
        momenta.push_back(optimizer_.momentum(g));
      }
      // Keys of tensors have a dot, these have none.
      state.tensors.push_back({"lr", list_of(rates, f64)});
      state.tensors.push_back({"momentum", list_of(momenta, f64)});
      return state;
    }
    [[nodiscard]] std::string differences(const State& state) const override {
      std::string values;
      for (const auto& [name, x] : slots_of(state)) {
        const bool square = name.ends_with("exp_avg_sq");
        values += nn::detail::value_faults(name, x, square ? nn::detail::Sign::not_negative : nn::detail::Sign::any);
      }
      return optimizer_.state_differences(slots_of(state)) + values + refusal([&] {
               // Put on and taken off again: what the optimizer refuses is its own matter.
               const auto groups = optimizer_.groups();
               const auto rates = numbers(state, "lr"), momenta = numbers(state, "momentum");
               for (std::size_t g = 0; g < groups; ++g) {
                 if (!(rates[g] >= 0) || std::isinf(rates[g]))
                   throw_invalid("lr: must be finite and at least 0; got {}", rates[g]);
                 const double before = optimizer_.momentum(g);
                 optimizer_.set_momentum(momenta[g], g);
                 optimizer_.set_momentum(before, g);
               }
             });
    }
    void load(const State& state) override {
      const auto rates = numbers(state, "lr"), momenta = numbers(state, "momentum");
      optimizer_.load_state(slots_of(state));
      for (std::size_t g = 0; g < optimizer_.groups(); ++g) {
        optimizer_.set_lr(rates[g], g);
        optimizer_.set_momentum(momenta[g], g);
      }
    }
    [[nodiscard]] std::string made_otherwise(const State& state) const override {
      return setting_differences(state.texts, made_with_);
    }
    void load_otherwise(const State& state) override { optimizer_.load_state(slots_of(state)); }

   private:
    [[nodiscard]] static TensorMap slots_of(const State& state) {
      TensorMap slots = as_map(state);
      slots.erase("lr");
      slots.erase("momentum");
      return slots;
    }
    [[nodiscard]] std::vector<double> numbers(const State& state, const char* name) const {
      const Tensor& x = state.tensor(name, f64, {static_cast<Index>(optimizer_.groups())});
      return {x.span<double>().begin(), x.span<double>().end()};
    }

    optim::Optimizer& optimizer_;
    Settings made_with_;  // as it was added: a schedule may move rates and momenta
  };

  class OfSchedule final : public Part {
   public:
    explicit OfSchedule(optim::Schedule& schedule) : schedule_(schedule) {}
    [[nodiscard]] const char* kind() const override { return "schedule"; }
    [[nodiscard]] State state() const override {
      return {{{"t", list_of<Index>({schedule_.t()}, i64)}, {"rates", list_of(rates_until(schedule_.t()), f64)}}, {}};
    }
    [[nodiscard]] std::string differences(const State& state) const override {
      return refusal([&] {
        if (t_in(state) < 0) throw_invalid("t: must be at least 0; got {}", t_in(state));
        (void)schedule_.lr_at(t_in(state), 1);  // throws where the schedule has ended
      });
    }
    void load(const State& state) override { schedule_.set_t(t_in(state)); }
    [[nodiscard]] std::string made_otherwise(const State& state) const override {
      return refusal([&] {
        const std::vector<double> here = rates_until(t_in(state));
        const auto there = state.tensor("rates", f64, {static_cast<Index>(here.size())}).span<double>();
        for (std::size_t i = 0; i < here.size(); ++i) {
          if (std::abs(there[i] - here[i]) <= kSameRate * std::abs(here[i])) continue;
          throw_invalid("rate after {} of {} steps, for 1 at first: {} there, {} here", sample(i, t_in(state)),
                        t_in(state), there[i], here[i]);
        }
      });
    }

   private:
    /// 0, 1, 3, 7, ... and t: what the run has seen of the schedule. What comes is asked for only when it has come.
    [[nodiscard]] static Index sample(std::size_t i, Index t) { return std::min((Index{1} << i) - 1, t); }
    [[nodiscard]] std::vector<double> rates_until(Index t) const {
      std::vector<double> rates;
      for (std::size_t i = 0; rates.empty() || sample(i - 1, t) < t; ++i)
        rates.push_back(schedule_.lr_at(sample(i, t), 1));
      return rates;
    }
    [[nodiscard]] static Index t_in(const State& state) { return state.tensor("t", i64, {1}).data<Index>()[0]; }

    optim::Schedule& schedule_;
  };

  class OfGenerator final : public Part {
   public:
    explicit OfGenerator(Generator generator) : generator_(std::move(generator)) {}
    [[nodiscard]] const char* kind() const override { return "generator"; }
    [[nodiscard]] State state() const override {
      const Generator::State s = generator_.state();
      return {{{"state", list_of<Index>({std::bit_cast<Index>(s.seed), std::bit_cast<Index>(s.stream),
                                         std::bit_cast<Index>(s.offset)},
                                        i64)}},
              {}};
    }
    [[nodiscard]] std::string differences(const State& state) const override {
      return refusal([&] { (void)state.tensor("state", i64, {3}); });
    }
    void load(const State& state) override {
      const Index* const s = state.tensor("state", i64, {3}).data<Index>();
      generator_.set_state(
          {std::bit_cast<std::uint64_t>(s[0]), std::bit_cast<std::uint64_t>(s[1]), std::bit_cast<std::uint64_t>(s[2])});
    }

   private:
    Generator generator_;
  };

  /// Its position is the run's, so what it keeps is only what makes that position mean the same.
  class OfLoader final : public Part {
   public:
    explicit OfLoader(const datasets::Loader& loader) : loader_(loader) {}
    [[nodiscard]] const char* kind() const override { return "loader"; }
    [[nodiscard]] State state() const override {
      const auto& options = loader_.options();
      return {{},
              {{"batch", std::to_string(options.batch)},
               {"drop_last", options.drop_last ? "yes" : "no"},
               {"samples", std::to_string(loader_.dataset().size())},
               {"seed", std::to_string(options.seed)},
               {"shuffle", options.shuffle ? "yes" : "no"}}};
    }
    [[nodiscard]] std::string differences(const State& there) const override {
      return setting_differences(there.texts, state().texts);
    }
    void load(const State&) override {}

   private:
    const datasets::Loader& loader_;
  };

  template <class Number>
  class OfNumber final : public Part {
   public:
    explicit OfNumber(Number& number) : number_(number) {}
    [[nodiscard]] const char* kind() const override { return "number"; }
    [[nodiscard]] State state() const override { return {{{"value", list_of<Number>({number_}, kDtype)}}, {}}; }
    [[nodiscard]] std::string differences(const State& state) const override {
      return refusal([&] { (void)state.tensor("value", kDtype, {1}); });
    }
    void load(const State& state) override { number_ = state.tensor("value", kDtype, {1}).data<Number>()[0]; }

   private:
    static constexpr Dtype kDtype = dtype_of<Number>;
    Number& number_;
  };
};

}  // namespace tapestry::nn::train
