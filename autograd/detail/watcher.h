#pragma once

#include <span>

#include <tapestry/autograd/node.h>

namespace tapestry::detail {

/// Looks on, from where it is made until it ends, while this thread computes and plays the tape. What it does not want
/// to hear goes on to the one further out; what it overrides it passes on itself.
class Watcher : public CallWatcher {
 public:
  Watcher() noexcept : outer_(static_cast<Watcher*>(call_state.watcher)) { call_state.watcher = this; }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  void call_began(const char* call) noexcept override {
    if (outer_) outer_->call_began(call);
  }
  void call_ended() noexcept override {
    if (outer_) outer_->call_ended();
  }
  /// An op has computed y of these inputs, some of which may be undefined; whether it is recorded is open.
  virtual void computed(const char* op, const Tensor& y, std::span<const Tensor* const> inputs, const Location& where) {
    if (outer_) outer_->computed(op, y, inputs, where);
  }
  /// The rules of `node` are about to be played with dy; played() follows, also when they throw, this does, or one that
  /// looks on beside it does before this is called.
  virtual void playing(const Node& node, const Tensor& dy) {
    if (outer_) outer_->playing(node, dy);
  }
  virtual void played(const Node& node) {
    if (outer_) outer_->played(node);
  }
  /// The rule that is being played, or the caller of backward(), gives `to` a gradient.
  virtual void sent(const Node& to, const Tensor& gradient) {
    if (outer_) outer_->sent(to, gradient);
  }

 protected:
  ~Watcher() { call_state.watcher = outer_; }

 private:
  Watcher* outer_;
};

/// Who looks on at this thread; null: nobody.
[[nodiscard]] inline Watcher* current_watcher() noexcept { return static_cast<Watcher*>(call_state.watcher); }

}  // namespace tapestry::detail
