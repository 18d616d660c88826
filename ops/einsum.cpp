#include <tapestry/ops/einsum.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>

#include <tapestry/autograd/base/check.h>
#include <tapestry/ops/autocast.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/cast.h>
#include <tapestry/ops/detail/common.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>

namespace tapestry {
namespace {

/// A letter, or, below 0, a dimension that ... stands for: -1 is the last one. All operands count them alike.
using Label = int;
using Labels = std::vector<Label>;

constexpr char kEllipsis = '.';  // in a term that has been read, for all three dots

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool contains(const Labels& labels, Label label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}
std::string name_of(Label label) {
  return label < 0 ? "..." : std::string("'").append(1, static_cast<char>(label)).append("'");
}

/// The terms of an equation, without blanks, each ... as one character.
struct Equation {
  std::vector<std::string> terms;
  std::optional<std::string> result;  ///< absent without an arrow
};

Equation parsed(std::string_view equation) {
  Equation read;
  read.terms.emplace_back();
  std::string* term = &read.terms.back();
  for (std::size_t i = 0; i < equation.size(); ++i) {
    const char c = equation[i];
    if (c == ' ') continue;
    if (is_letter(c)) {
      term->push_back(c);
    } else if (equation.substr(i, 3) == "..." && term->find(kEllipsis) == std::string::npos) {
      term->push_back(kEllipsis);
      i += 2;
    } else if (c == ',' && !read.result) {
      read.terms.emplace_back();
      term = &read.terms.back();
    } else if (equation.substr(i, 2) == "->" && !read.result) {
      term = &read.result.emplace();
      ++i;
    } else {
      throw_invalid(
          "einsum: an equation must consist of letters, commas, one ... per term and one ->; got \"{}\", which is none "
          "at character {}",
          equation, i);
    }
  }
  return read;
}

/// A tensor whose dimensions have names, each its own.
struct Named {
  Tensor x;
  Labels labels;

  [[nodiscard]] bool has(Label label) const { return contains(labels, label); }
  [[nodiscard]] Index extent(Label label) const {
    return x.shape()[std::find(labels.begin(), labels.end(), label) - labels.begin()];
  }

  /// The same with its dimensions in this order, one of its own labels after another.
  [[nodiscard]] Named ordered(const Labels& order) const {
    if (order == labels) return *this;
    std::vector<Index> dims;
    for (const Label label : order) {
      dims.push_back(std::find(labels.begin(), labels.end(), label) - labels.begin());
    }
    return {permute(x, dims), order};
  }

  /// Without the dimension at d, whose extent is 1.
  [[nodiscard]] Named without(std::size_t d) const {
    Labels rest = labels;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(d));
    return {reshape(x, x.shape().without(static_cast<Index>(d))), rest};
  }

  /// Summed over all labels but these.
  [[nodiscard]] Named kept(const Labels& wanted) const {
    std::vector<Index> dims;
    Labels rest;
    for (std::size_t d = 0; d < labels.size(); ++d) {
      if (contains(wanted, labels[d])) rest.push_back(labels[d]);
      else dims.push_back(static_cast<Index>(d));
    }
    if (dims.empty()) return *this;
    return {to(sum(x, {.dim = Dims(dims)}), x.dtype()), rest};
  }
};

/// x with the dimensions p < q, of equal extent n, as one: of a matrix [n, n], read as n n elements, the diagonal is
/// every (n + 1)st.
Tensor diagonal(const Tensor& x, Index p, Index q) {
  std::vector<Index> order;
  for (Index d = 0; d < x.dim(); ++d) {
    if (d != p && d != q) order.push_back(d);
  }
  order.push_back(p);
  order.push_back(q);
  const Tensor last = permute(x, order);
  const Index n = x.shape()[p], rank = x.dim();
  const Tensor flat = reshape(last, last.shape().without(rank - 1).with(rank - 2, n * n));
  return slice(flat, {.dim = -1, .step = n + 1});
}

/// The operand with names on its dimensions, of which none stands twice. `dots`: what ... stands for in it.
Named named(const Tensor& x, const std::string& term, std::size_t position) {
  const auto letters = static_cast<Index>(term.size()) - (term.find(kEllipsis) != std::string::npos ? 1 : 0);
  const bool has_dots = letters != static_cast<Index>(term.size());
  if (has_dots ? x.dim() < letters : x.dim() != letters) {
    throw_invalid("einsum: operand {} must have {}{} dimensions; got {}", position, has_dots ? "at least " : "",
                  letters, x.shape());
  }
  Named operand{x, {}};
  for (const char c : term) {
    if (c != kEllipsis) operand.labels.push_back(c);
    else
      for (Index d = x.dim() - letters; d > 0; --d) operand.labels.push_back(static_cast<Label>(-d));
  }
  for (std::size_t q = 1; q < operand.labels.size();) {
    const auto first = std::find(operand.labels.begin(), operand.labels.end(), operand.labels[q]);
    const auto p = static_cast<std::size_t>(first - operand.labels.begin());
    if (p == q) {
      ++q;
      continue;
    }
    const Label label = operand.labels[q];
    const Shape& shape = operand.x.shape();
    if (shape[static_cast<Index>(p)] != shape[static_cast<Index>(q)]) {
      throw_invalid("einsum: extents of {} must be equal within an operand; got {} and {} in operand {}",
                    name_of(label), shape[static_cast<Index>(p)], shape[static_cast<Index>(q)], position);
    }
    operand.x = diagonal(operand.x, static_cast<Index>(p), static_cast<Index>(q));
    operand.labels.erase(operand.labels.begin() + static_cast<std::ptrdiff_t>(q));
    operand.labels.erase(operand.labels.begin() + static_cast<std::ptrdiff_t>(p));
    operand.labels.push_back(label);
    q = 1;
  }
  return operand;
}

/// The result's labels, checked.
Labels result_labels(const Equation& equation, const std::vector<Named>& operands) {
  Index dots = 0;
  std::map<Label, int> count;  // of letters, in alphabetical order
  for (const Named& operand : operands) {
    for (const Label label : operand.labels) dots = std::max<Index>(dots, -label);
  }
  for (const std::string& term : equation.terms) {
    for (const char c : term) {
      if (c != kEllipsis) ++count[c];
    }
  }
  Labels labels;
  const auto add_dots = [&] {
    for (Index d = dots; d > 0; --d) labels.push_back(static_cast<Label>(-d));
  };
  if (!equation.result) {
    add_dots();
    for (const auto& [letter, times] : count) {
      if (times == 1) labels.push_back(letter);
    }
    return labels;
  }
  for (const char c : *equation.result) {
    if (c == kEllipsis) {
      add_dots();
      continue;
    }
    if (contains(labels, c))
      throw_invalid("einsum: a letter of the result must stand there once; got {} twice", name_of(c));
    if (!count.contains(c)) {
      throw_invalid("einsum: a letter of the result must stand in a term; got {}, which stands in none", name_of(c));
    }
    labels.push_back(c);
  }
  return labels;
}

/// Takes away dimensions of extent 1 that are to broadcast against a larger extent of another operand: an operand
/// without a label is constant along it.
void drop_broadcast(std::vector<Named>& operands) {
  std::map<Label, Index> extents;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    for (const Label label : operands[i].labels) {
      const Index extent = operands[i].extent(label);
      const auto [known, is_new] = extents.emplace(label, extent);
      if (is_new || extent == known->second || extent == 1) continue;
      if (known->second != 1) {
        throw_invalid("einsum: extents of {} must be equal or 1; got {} and, in operand {}, {}", name_of(label),
                      known->second, i, extent);
      }
      known->second = extent;
    }
  }
  for (Named& operand : operands) {
    for (std::size_t d = operand.labels.size(); d-- > 0;) {
      if (operand.x.shape()[static_cast<Index>(d)] == 1 && extents[operand.labels[d]] != 1)
        operand = operand.without(d);
    }
  }
}

Labels joined(std::initializer_list<const Labels*> parts) {
  Labels all;
  for (const Labels* part : parts) all.insert(all.end(), part->begin(), part->end());
  return all;
}

Index product(const Named& x, const Labels& labels) {
  Index n = 1;
  for (const Label label : labels) n *= x.extent(label);
  return n;
}

/// The product of two operands, summed over all labels that are not wanted.
Named contracted(Named a, Named b, const Labels& wanted) {
  // What only one of them has, and nobody wants, is summed over first.
  a = a.kept(joined({&wanted, &b.labels}));
  b = b.kept(joined({&wanted, &a.labels}));
  Labels batch, inner, of_a, of_b;
  for (const Label label : a.labels) {
    if (!b.has(label)) of_a.push_back(label);
    else if (contains(wanted, label)) batch.push_back(label);
    else inner.push_back(label);
  }
  for (const Label label : b.labels) {
    if (!a.has(label)) of_b.push_back(label);
  }
  const Labels labels = joined({&batch, &of_a, &of_b});
  if (static_cast<Index>(labels.size()) > kMaxRank) {
    throw_invalid("einsum: a product of two operands must have at most {} dimensions that are still needed; got {}",
                  kMaxRank, labels.size());
  }
  const Index m = product(a, of_a), k = product(a, inner), n = product(b, of_b), count = product(a, batch);
  std::vector<Index> extents;
  for (const Label label : labels) extents.push_back(a.has(label) ? a.extent(label) : b.extent(label));
  const Shape shape{std::span<const Index>(extents)};
  // An operand whose dimensions stand the other way round is left like that, and matmul told so.
  const bool turn_a = a.labels == joined({&batch, &inner, &of_a}) && !of_a.empty() && !inner.empty();
  const bool turn_b = b.labels == joined({&batch, &of_b, &inner}) && !of_b.empty() && !inner.empty();
  if (!turn_a) a = a.ordered(joined({&batch, &of_a, &inner}));
  if (!turn_b) b = b.ordered(joined({&batch, &inner, &of_b}));
  if (inner.empty()) {
    const Tensor y = reshape(a.x, Shape{count, m, 1}) * reshape(b.x, Shape{count, 1, n});
    return {reshape(y, shape), labels};
  }
  const Tensor left = reshape(a.x, turn_a ? Shape{count, k, m} : Shape{count, m, k});
  const Tensor right = reshape(b.x, turn_b ? Shape{count, n, k} : Shape{count, k, n});
  const Tensor y = matmul(left, right, {.transpose_a = turn_a, .transpose_b = turn_b});
  return {reshape(y, shape), labels};
}

}  // namespace

Tensor einsum(std::string_view text, const std::vector<Tensor>& given, Here here) {
  const CallSite site(here);
  if (given.empty()) throw_invalid("einsum: there must be an operand; got none");
  for (const Tensor& x : given) check_defined("einsum", "an operand", x);
  std::vector<Tensor> xs = given;
  const bool lower =
      is_autocast_enabled() && std::all_of(xs.begin(), xs.end(), [](const Tensor& x) { return is_f32_or_bf16(x, x); });
  for (Tensor& x : xs) {
    if (lower) x = to(x, bf16);
    check_any_float("einsum", x, "an operand");
    check_same_dtype("einsum", xs.front(), x);
  }
  const Equation equation = parsed(text);
  if (equation.terms.size() != xs.size()) {
    throw_invalid("einsum: there must be one term per operand; got {} in \"{}\" and {} operands", equation.terms.size(),
                  text, xs.size());
  }
  std::vector<Named> operands;
  for (std::size_t i = 0; i < xs.size(); ++i) operands.push_back(named(xs[i], equation.terms[i], i));
  const Labels wanted = result_labels(equation, operands);
  drop_broadcast(operands);
  Named y = operands.front();
  for (std::size_t i = 1; i < operands.size(); ++i) {
    Labels needed = wanted;
    for (std::size_t later = i + 1; later < operands.size(); ++later) {
      needed.insert(needed.end(), operands[later].labels.begin(), operands[later].labels.end());
    }
    y = contracted(std::move(y), operands[i], needed);
  }
  const Tensor result = y.kept(wanted).ordered(wanted).x;
  const bool shares = std::any_of(given.begin(), given.end(),
                                  [&](const Tensor& x) { return x.impl().storage == result.impl().storage; });
  return shares ? clone(result) : result;
}

}  // namespace tapestry
