#include "campaigns/gradcheck_mutations/faults.h"

#include <fmt/format.h>

#include <functional>
#include <string_view>
#include <utility>

#include <tapestry/autograd/node.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

namespace tapestry {
extern Tensor (*send_hook)(const Node& to, Tensor gradient);  // autograd/detail/sweep.cpp, compiled for us
namespace detail {
extern Tensor (*tangent_hook)(const Node& node, Tensor tangent);  // autograd/detail/dual.cpp, likewise
}
}  // namespace tapestry

namespace tapestry::mutations {
namespace {

struct {
  Site site;
  Tensor matrix;
  Kind kind = Kind::value;
} planted;

std::set<Site> seen;

Site site_of(const Node& to, const Tensor& gradient) {
  const char* const op = CallSite::current().rule_of;
  // check_grads puts a node of its own before the leaves of functions that are gradients.
  const std::string_view target = std::string_view(to.name) == "input" ? "leaf" : to.name;
  return {fmt::format("{} -> {} {}", op != nullptr ? op : "dy", target, to_string(gradient.shape())), gradient.shape()};
}

Site tangent_site_of(const Node& node, const Tensor& tangent) {
  return {fmt::format("tangent of {} {}", node.name, to_string(tangent.shape())), tangent.shape(), true};
}

/// matrix g, with g's shape. Recorded when g is.
Tensor times(const Tensor& matrix, const Tensor& g) {
  return reshape(matmul(matrix, reshape(g, {g.numel(), 1})), g.shape());
}

Tensor plant_at(const Site& site, Tensor g) {
  if (g.dtype() != f64 || !(site == planted.site)) return g;
  switch (planted.kind) {
    case Kind::value: return times(planted.matrix, g);
    case Kind::nonlinear: return g * (1 + 1e-3 * g);
    case Kind::derivative: break;
  }
  // The same values; what comes back through them is the fault's.
  return record("planted", g.detach(), wrt(g, [m = planted.matrix](const Tensor& dy) { return times(m, dy); }));
}

Tensor note_at(Site site, Tensor g) {
  if (g.dtype() == f64 && g.numel() > 0) seen.insert(std::move(site));
  return g;
}

/// Lets `at` have what every site makes.
template <auto at>
void set_hooks() {
  send_hook = [](const Node& to, Tensor g) { return at(site_of(to, g), g); };
  detail::tangent_hook = [](const Node& node, Tensor t) { return at(tangent_site_of(node, t), t); };
}

void clear_hooks() {
  send_hook = nullptr;
  detail::tangent_hook = nullptr;
}

/// out(e) = sum of in(from) over what `source(e)` adds to the list, each with its weight.
using Sources = std::function<std::vector<std::pair<Index, double>>(Index e)>;

Fault fault(std::string name, Index n, const Sources& sources) {
  Tensor m = zeros({n, n}, {.dtype = f64});
  double* const out = m.mutable_data<double>();
  for (Index e = 0; e < n; ++e) {
    for (const auto& [from, weight] : sources(e)) out[e * n + from] += weight;
  }
  return {std::move(name), std::move(m)};
}

Fault scaled(std::string name, Index n, const std::function<double(Index e)>& weight) {
  return fault(std::move(name), n, [&](Index e) { return std::vector<std::pair<Index, double>>{{e, weight(e)}}; });
}

/// Element e with another position along dimension d.
Index along(const Shape& s, Index e, Index d, const std::function<Index(Index)>& position) {
  const Index inner = s.numel(d + 1, s.rank()), i = e / inner % s[d];
  return e + (position(i) - i) * inner;
}

bool on_border(const Shape& s, Index e) {
  for (Index d = s.rank(); d-- > 0; e /= s[d]) {
    if (s[d] > 2 && (e % s[d] == 0 || e % s[d] == s[d] - 1)) return true;
  }
  return false;
}

}  // namespace

std::vector<Fault> faults_for(const Shape& s) {
  const Index n = s.numel();
  if (n == 0 || n > kLargest) return {};
  using List = std::vector<std::pair<Index, double>>;
  std::vector<Fault> faults{
      scaled("sign", n, [](Index) { return -1; }),
      scaled("twice", n, [](Index) { return 2; }),
      scaled("half", n, [](Index) { return 0.5; }),
      scaled("one part in 100,000 too much", n, [](Index) { return 1 + 1e-5; }),
      scaled("lost", n, [](Index) { return 0; }),
  };
  if (n > 1) {
    faults.push_back(scaled("the first element lost", n, [](Index e) { return e == 0 ? 0 : 1; }));
    faults.push_back(scaled("the last element lost", n, [n](Index e) { return e == n - 1 ? 0 : 1; }));
    faults.push_back(scaled("the middle element twice", n, [n](Index e) { return e == n / 2 ? 2 : 1; }));
    faults.push_back(scaled("only the first element", n, [](Index e) { return e == 0 ? 1 : 0; }));
    faults.push_back(fault("the first two swapped", n, [](Index e) { return List{{e < 2 ? 1 - e : e, 1.0}}; }));
    faults.push_back(fault("the first for all", n, [](Index) { return List{{0, 1.0}}; }));
    const auto count = static_cast<double>(n);
    faults.push_back(scaled("n - 1 for n", n, [count](Index) { return count / (count - 1); }));
    faults.push_back(scaled("a mean for a sum", n, [count](Index) { return 1 / count; }));
    faults.push_back(fault("a term lost", n, [n, count](Index e) {
      List list{{e, 1.0}};
      for (Index i = 0; i < n; ++i) list.emplace_back(i, -1 / count);
      return list;
    }));
  }
  bool has_border = false, has_inside = false;
  for (Index e = 0; e < n; ++e) (on_border(s, e) ? has_border : has_inside) = true;
  if (has_border && has_inside) {
    faults.push_back(scaled("the border lost", n, [&](Index e) { return on_border(s, e) ? 0 : 1; }));
    faults.push_back(scaled("the border twice", n, [&](Index e) { return on_border(s, e) ? 2 : 1; }));
  }
  for (Index d = 0; d < s.rank(); ++d) {
    const Index extent = s[d];
    if (extent < 2) continue;
    const auto size = static_cast<double>(extent);
    faults.push_back(fault(fmt::format("rolled along {}", d), n, [&](Index e) {
      return List{{along(s, e, d, [&](Index i) { return (i + 1) % extent; }), 1.0}};
    }));
    faults.push_back(fault(fmt::format("off by one along {}", d), n, [&](Index e) {
      const Index from = along(s, e, d, [](Index i) { return i + 1; });
      const bool last = along(s, e, d, [](Index) { return 0; }) == e - (extent - 1) * s.numel(d + 1, s.rank());
      return last ? List{} : List{{from, 1.0}};
    }));
    faults.push_back(fault(fmt::format("reversed along {}", d), n, [&](Index e) {
      return List{{along(s, e, d, [&](Index i) { return extent - 1 - i; }), 1.0}};
    }));
    faults.push_back(fault(fmt::format("averaged along {}", d), n, [&](Index e) {
      List list;
      for (Index i = 0; i < extent; ++i) list.emplace_back(along(s, e, d, [i](Index) { return i; }), 1 / size);
      return list;
    }));
    faults.push_back(fault(fmt::format("added up along {}", d), n, [&](Index e) {
      List list;
      for (Index i = 0; i < extent; ++i) list.emplace_back(along(s, e, d, [i](Index) { return i; }), 1.0);
      return list;
    }));
    if (extent < n) {
      faults.push_back(scaled(fmt::format("divided by extent {}", d), n, [size](Index) { return 1 / size; }));
      faults.push_back(scaled(fmt::format("{} - 1 for {} of dimension {}", extent, extent, d), n,
                              [size](Index) { return size / (size - 1); }));
    }
    if (d + 1 < s.rank() && s[d + 1] > 1) {
      faults.push_back(fault(fmt::format("transposed in {} and {}", d, d + 1), n, [&](Index e) {
        const Index inner = s.numel(d + 2, s.rank()), rows = s[d], columns = s[d + 1], block = rows * columns * inner;
        const Index within = e % block / inner, from = within % rows * columns + within / rows;
        return List{{e / block * block + from * inner + e % inner, 1.0}};
      }));
    }
  }
  return faults;
}

Planted::Planted(const Site& site, const Fault& what, Kind kind) {
  planted = {site, what.matrix, kind};
  set_hooks<plant_at>();
}

Planted::~Planted() { clear_hooks(); }

Recorder::Recorder() {
  seen.clear();
  set_hooks<note_at>();
}

Recorder::~Recorder() { clear_hooks(); }

const std::set<Site>& Recorder::sites() const { return seen; }

}  // namespace tapestry::mutations
