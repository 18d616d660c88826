#include <tapestry/autograd/profile.h>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/detail/watcher.h>

namespace tapestry {
namespace {

using Clock = std::chrono::steady_clock;

double bytes_of(const Tensor& x) { return static_cast<double>(x.numel() * item_bytes(x.dtype())); }
double elements(const Tensor& x) { return static_cast<double>(x.numel()); }

/// Matrices in a batch.
double batch_of(const Tensor& x) { return x.dim() > 2 ? static_cast<double>(x.shape().numel(0, x.dim() - 2)) : 1; }

double extent(const Tensor& x, Index d) { return static_cast<double>(x.shape()[d < 0 ? d + x.dim() : d]); }

/// Products that an op added up when it computed y from these; 0 for what is neither convolution nor matrix product.
double products_of(std::string_view op, const Tensor& y, std::span<const Tensor* const> inputs) {
  const bool two = inputs.size() >= 2 && inputs[0]->defined() && inputs[1]->defined() && y.numel() > 0;
  if (!two) return 0;
  const Tensor &a = *inputs[0], &b = *inputs[1];
  if (op == "conv2d") return elements(y) * elements(b) / std::max(1., extent(b, 0));
  if (op == "conv2d_input_grad") return elements(a) * elements(b) / std::max(1., extent(b, 0));
  if (op == "conv2d_weight_grad") return elements(b) * elements(y) / std::max(1., extent(b, -1));
  if (op == "linear") return elements(y) * extent(b, -1);
  if (op == "matmul") {
    // |a| |b| |y| = batches of each, times (M N K)^2
    const double batch = batch_of(y);
    return batch * std::sqrt(elements(a) * elements(b) * elements(y) / (batch_of(a) * batch_of(b) * batch));
  }
  return 0;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", static_cast<int>(c));
    else out += c;
  }
  return out;
}

const char* name_of(Profile::Pass pass) {
  if (pass == Profile::Pass::forward) return "forward";
  return pass == Profile::Pass::backward ? "backward" : "whole";
}

std::string line_of(const Location& where) { return to_string(Location{.file = where.file, .line = where.line}); }

bool plays_the_tape(std::string_view call) { return call == "backward" || call == "grad"; }

}  // namespace

class Profile::Impl {
 public:
  explicit Impl(const ProfileOptions& given) : options(given) { looking.emplace(*this); }

  /// What has begun and not ended.
  struct Open {
    Event event;
    double inner_bytes = 0;      // of the ops within
    double sent_bytes = 0;       // dy and what the rules sent, unless that is dy in another shape
    const Node* node = nullptr;  // that is being played, and
    const Tensor* dy = nullptr;
    bool is_call = false;
  };

  class Looking final : public detail::Watcher {
   public:
    explicit Looking(Impl& impl) : impl_(impl) {}

    void call_began(const char* call) noexcept override {
      Watcher::call_began(call);
      const Pass pass = plays_the_tape(call) ? Pass::whole : Pass::forward;
      impl_.begin(call, CallSite::current(), pass, {}).is_call = true;
    }
    void call_ended() noexcept override {
      if (!impl_.open.empty() && impl_.open.back().is_call) impl_.end();  // else it began before this was made
      Watcher::call_ended();
    }
    void computed(const char* op, const Tensor& y, std::span<const Tensor* const> inputs,
                  const Location& where) override {
      Watcher::computed(op, y, inputs, where);
      if (impl_.open.empty()) return;
      double bytes = 0;
      for (const Tensor* const x : inputs) {
        if (!x->defined()) continue;
        if (&*x->impl().storage == &*y.impl().storage) return;  // the same elements: nothing was done
        bytes += bytes_of(*x);
      }
      Open& now = impl_.open.back();
      now.inner_bytes += bytes + bytes_of(y);
      const double macs = products_of(op, y, inputs);
      now.event.macs += macs;
      now.event.flops += macs > 0 ? 2 * macs : elements(y);
      if (now.is_call) now.event.shape = y.shape();
    }
    void playing(const Node& node, const Tensor& dy) override {
      Watcher::playing(node, dy);
      Open& now = impl_.begin(node.name, node.where(), Pass::backward, dy.shape());
      now.node = &node, now.dy = &dy;
    }
    void played(const Node& node) override {
      if (!impl_.open.empty() && impl_.open.back().node == &node) impl_.end();
      Watcher::played(node);
    }
    void sent(const Node& to, const Tensor& gradient) override {
      Watcher::sent(to, gradient);
      if (impl_.open.empty() || !impl_.open.back().dy) return;
      Open& now = impl_.open.back();
      if (&*gradient.impl().storage == &*now.dy->impl().storage) return;
      if (now.sent_bytes == 0) now.sent_bytes = bytes_of(*now.dy);
      now.sent_bytes += bytes_of(gradient);
    }

   private:
    Impl& impl_;
  };

  [[nodiscard]] std::int64_t now() const {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - began).count();
  }

  Open& begin(const char* op, const Location& where, Pass pass, const Shape& shape) {
    Open& one = open.emplace_back();
    one.event.op = op;
    one.event.where = line_of(where);
    if (where.module) one.event.module = where.module;
    one.event.pass = pass;
    one.event.shape = shape;
    one.event.begin_ns = now();
    return one;
  }

  void end() {
    Open& one = open.back();
    one.event.nanoseconds = now() - one.event.begin_ns;
    if (one.event.pass != Pass::whole) one.event.bytes = std::max(one.inner_bytes, one.sent_bytes);
    if (one.event.pass == Pass::backward && one.event.flops == 0) {
      one.event.flops = static_cast<double>(one.event.shape.numel());  // a loop of its own, of which no op has told
    }
    events.push_back(std::move(one.event));
    open.pop_back();
  }

  ProfileOptions options;
  Clock::time_point began = Clock::now();
  std::vector<Event> events;
  std::vector<Open> open;
  std::optional<Looking> looking;
};

Profile::Profile(const ProfileOptions& options) : impl_(make_handle<Impl>(options)) {}
Profile::~Profile() { stop(); }

void Profile::stop() noexcept { impl_->looking.reset(); }

std::vector<Profile::Event> Profile::events() const { return impl_->events; }

std::vector<Profile::Row> Profile::rows(By by) const {
  std::map<std::pair<std::string, Pass>, Row> sums;
  double in_rules = 0;
  for (const Event& e : impl_->events) {
    const std::string name = e.pass == Pass::whole || by == By::op ? e.op : by == By::module ? e.module : e.where;
    Row& row = sums[{name, e.pass}];
    row.name = name;
    row.pass = e.pass;
    ++row.calls;
    row.seconds += static_cast<double>(e.nanoseconds) * 1e-9;
    row.flops += e.flops;
    row.bytes += e.bytes;
    if (e.pass == Pass::backward) in_rules += static_cast<double>(e.nanoseconds) * 1e-9;
  }
  std::vector<Row> out;
  double whole = 0;
  for (const auto& [key, row] : sums) whole += row.pass == Pass::whole ? row.seconds : 0;
  for (auto& sum : sums) {
    Row& row = sum.second;
    if (row.pass == Pass::whole) row.seconds = whole > 0 ? row.seconds * std::max(0., 1 - in_rules / whole) : 0;
    const auto part = [&](double amount, double peak) {
      return peak > 0 && row.seconds > 0 ? amount / row.seconds * 1e-9 / peak : 0;
    };
    if (row.pass != Pass::whole) {
      row.part_of_peak =
          std::max(part(row.flops, impl_->options.peak_gflops), part(row.bytes, impl_->options.peak_gbytes));
    }
    out.push_back(std::move(row));
  }
  std::stable_sort(out.begin(), out.end(), [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  return out;
}

std::string Profile::table(By by) const {
  const std::vector<Row> all = rows(by);
  const char* const what = by == By::op ? "op" : by == By::module ? "module" : "line";
  double total = 0;
  std::size_t width = 12;
  for (const Row& row : all) {
    total += row.seconds;
    width = std::max(width, row.name.size());
  }
  const bool peaks = impl_->options.peak_gflops > 0 || impl_->options.peak_gbytes > 0;
  std::string out = fmt::format("{:<{}}  {:<8} {:>8} {:>11} {:>6} {:>9} {:>8}{}\n", what, width, "pass", "calls", "ms",
                                "%", "GFLOP/s", "GB/s", peaks ? "  of peak" : "");
  for (const Row& row : all) {
    const auto speed = [&](double amount) { return row.seconds > 0 ? amount / row.seconds * 1e-9 : 0; };
    out += fmt::format("{:<{}}  {:<8} {:>8} {:>11.3f} {:>6.1f}", row.name.empty() ? "(none)" : row.name, width,
                       row.pass == Pass::whole ? "tape" : name_of(row.pass), row.calls, row.seconds * 1e3,
                       total > 0 ? 100 * row.seconds / total : 0);
    if (row.pass != Pass::whole) {
      out += fmt::format(" {:>9.1f} {:>8.1f}", speed(row.flops), speed(row.bytes));
      if (peaks) out += fmt::format("  {:>5.0f} %", 100 * row.part_of_peak);
    }
    out += '\n';
  }
  return out + fmt::format("{:.3f} ms in {} events\n", total * 1e3, impl_->events.size());
}

std::string Profile::trace() const {
  std::string out = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [";
  bool first = true;
  for (const Event& e : impl_->events) {
    const std::string name = e.pass == Pass::backward ? e.op + " (gradient)" : e.op;
    out += fmt::format(
        "{}\n{{\"name\": \"{}\", \"cat\": \"{}\", \"ph\": \"X\", \"ts\": {:.3f}, \"dur\": {:.3f}, \"pid\": 1, \"tid\": "
        "1, "
        "\"args\": {{\"where\": \"{}\", \"module\": \"{}\", \"shape\": \"{}\", \"flops\": {:.0f}, \"bytes\": "
        "{:.0f}}}}}",
        first ? "" : ",", escaped(name), name_of(e.pass), static_cast<double>(e.begin_ns) * 1e-3,
        static_cast<double>(e.nanoseconds) * 1e-3, escaped(e.where), escaped(e.module), to_string(e.shape), e.flops,
        e.bytes);
    first = false;
  }
  return out + "\n]}\n";
}

void Profile::write_trace(const std::string& path, Here here) const {
  const CallSite site(here);
  write_file(path, trace());
}

}  // namespace tapestry
