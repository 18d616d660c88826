#include <tapestry/autograd/detail/tape_picture.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

namespace tapestry::detail {
namespace {

using Entry = Tape::Entry;
using Number = std::size_t;

bool is_leaf(const Entry& e) { return e.op == "leaf"; }

std::string text_of_bytes(std::int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (bytes >= 1 << 20) return fmt::format("{:.1f} MiB", b / (1 << 20));
  if (bytes >= 1 << 10) return fmt::format("{:.1f} KiB", b / (1 << 10));
  return fmt::format("{} B", bytes);
}

/// The first `depth` names of a path.
std::string prefix_of(const std::string& path, Index depth) {
  std::size_t at = 0;
  for (Index d = 0; d < depth; ++d) {
    at = path.find('.', at);
    if (at == std::string::npos) return path;
    ++at;
  }
  return at == 0 ? std::string() : path.substr(0, at - 1);
}

Index depth_of(const std::string& path) {
  return path.empty() ? 0 : 1 + static_cast<Index>(std::count(path.begin(), path.end(), '.'));
}

/// Which group each entry is in: ops that follow each other on the tape under one key are one, so that groups never
/// depend on each other both ways; an empty key is a group of its own. A leaf is with the first op that uses it if it
/// has that op's key, else alone, in front of it.
struct Groups {
  std::vector<Number> of;
  Number count = 0;
};

Groups grouped(const std::vector<Entry>& entries, const std::vector<std::string>& keys,
               const std::unordered_map<std::uint64_t, Number>& number_of) {
  constexpr Number kNone = static_cast<Number>(-1);
  Groups groups{std::vector<Number>(entries.size(), kNone), 0};
  const std::string* latest = nullptr;
  for (Number i = 0; i < entries.size(); ++i) {
    if (is_leaf(entries[i])) continue;
    const bool joins = latest && !keys[i].empty() && *latest == keys[i];
    const auto leaves = [&](const auto& f) {
      for (const std::uint64_t input : entries[i].inputs) {
        const Number from = number_of.at(input);
        if (groups.of[from] == kNone) f(from);
      }
    };
    leaves([&](Number from) {
      if (keys[i].empty() || keys[from] != keys[i]) groups.of[from] = groups.count++;
    });
    // A leaf that has just got the latest number stands before a group that goes on: numbers need not be in order.
    if (!joins) groups.of[i] = groups.count++;
    else groups.of[i] = groups.of[static_cast<Number>(latest - keys.data())];
    leaves([&](Number from) { groups.of[from] = groups.of[i]; });
    latest = &keys[i];
  }
  for (Number& group : groups.of) {
    if (group == kNone) group = groups.count++;  // a leaf alone
  }
  return groups;
}

std::string title_of_leaf(const Entry& e) { return e.module.empty() ? "leaf" : e.module; }

TapeBox box_of(const Entry& e) {
  TapeBox box;
  const std::string form = fmt::format("{} {}", name_of(e.dtype), to_string(e.shape));
  if (is_leaf(e)) {
    box.kind = TapeBox::Kind::leaf;
    box.lines = {title_of_leaf(e), form};
    if (e.module.empty() && !e.line.empty()) box.lines.push_back(e.line);
    return box;
  }
  box.lines = {e.op, e.bytes_kept > 0 ? fmt::format("{}, keeps {}", form, text_of_bytes(e.bytes_kept)) : form};
  std::string place = e.line;
  if (!e.module.empty()) place += (place.empty() ? "in " : " in ") + e.module;
  if (!place.empty()) box.lines.push_back(place);
  if (e.released) box.lines.emplace_back("played and released");
  return box;
}

TapeBox box_of(const std::string& key, const std::vector<const Entry*>& members) {
  if (members.size() == 1) return box_of(*members.front());
  TapeBox box{.kind = TapeBox::Kind::group};
  std::map<std::string, Index> ops;
  std::int64_t kept = 0, elements = 0;
  Index leaves = 0, count = 0;
  const Entry* last = nullptr;
  for (const Entry* const e : members) {
    if (is_leaf(*e)) {
      ++leaves;
      elements += e->shape.numel();
      continue;
    }
    ++count;
    ++ops[e->op];
    kept += e->bytes_kept;
    last = e;
  }
  box.lines.push_back(key);
  if (leaves > 0) {
    box.lines.push_back(fmt::format("{} {} of {} elements", leaves, leaves == 1 ? "leaf" : "leaves", elements));
  }
  if (!last) return box;
  box.lines.push_back(fmt::format("{} op{}, keeps {}", count, count == 1 ? "" : "s", text_of_bytes(kept)));
  std::string list;
  for (const auto& [op, n] : ops) {
    if (list.size() > 32) {
      list += ", ...";
      break;
    }
    list += (list.empty() ? "" : ", ") + (n > 1 ? fmt::format("{} {}", n, op) : op);
  }
  box.lines.push_back(std::move(list));
  box.lines.push_back(fmt::format("gives {} {}", name_of(last->dtype), to_string(last->shape)));
  return box;
}

/// Boxes of groups, in the order in which the groups end: inputs first. The last `most` of them, and one that stands
/// for those before.
std::vector<TapeBox> boxes_of(const std::vector<Entry>& entries, const std::vector<std::string>& keys,
                              const Groups& groups, const std::unordered_map<std::uint64_t, Number>& number_of,
                              Number most) {
  // A group stands where its first op does; a leaf alone where it is first used.
  std::vector<std::vector<Number>> members(groups.count);
  std::vector<Number> first(groups.count, entries.size());
  for (Number i = 0; i < entries.size(); ++i) {
    members[groups.of[i]].push_back(i);
    if (is_leaf(entries[i])) continue;
    Number& mine = first[groups.of[i]];
    mine = std::min(mine, i);
    for (const std::uint64_t input : entries[i].inputs) {
      const Number from = number_of.at(input);
      if (is_leaf(entries[from]) && groups.of[from] != groups.of[i]) {
        first[groups.of[from]] = std::min(first[groups.of[from]], mine);
      }
    }
  }
  std::vector<Number> order(groups.count);
  for (Number g = 0; g < groups.count; ++g) order[g] = g;
  const auto is_leaf_group = [&](Number g) {
    return std::all_of(members[g].begin(), members[g].end(), [&](Number i) { return is_leaf(entries[i]); });
  };
  std::stable_sort(order.begin(), order.end(), [&](Number a, Number b) {
    if (first[a] != first[b]) return first[a] < first[b];
    return is_leaf_group(a) && !is_leaf_group(b);
  });
  std::vector<TapeBox> boxes;
  const Number cut = order.size() > most ? order.size() - most : 0;
  if (cut > 0) {
    boxes.push_back(
        {.lines = {"...", fmt::format("{} earlier boxes are not drawn", cut)}, .kind = TapeBox::Kind::note});
  }
  std::vector<Number> place(groups.count, 0);
  for (Number at = cut; at < order.size(); ++at) {
    const Number g = order[at];
    place[g] = boxes.size();
    std::vector<const Entry*> list;
    std::set<Number> inputs;
    for (const Number i : members[g]) {
      list.push_back(&entries[i]);
      for (const std::uint64_t input : entries[i].inputs) {
        const Number from = groups.of[number_of.at(input)];
        if (from != g) inputs.insert(place[from]);
      }
    }
    boxes.push_back(box_of(keys[members[g].front()], list));
    boxes.back().inputs.assign(inputs.begin(), inputs.end());
  }
  return boxes;
}

}  // namespace

std::vector<TapeBox> folded(const std::vector<Entry>& entries, Index most) {
  const auto limit = static_cast<Number>(std::max<Index>(1, most));
  std::unordered_map<std::uint64_t, Number> number_of;
  Index deepest = 0;
  for (Number i = 0; i < entries.size(); ++i) {
    number_of[entries[i].seq] = i;
    if (!is_leaf(entries[i])) deepest = std::max(deepest, depth_of(entries[i].module));
  }
  for (Index depth = deepest + 1; depth >= 1; --depth) {
    std::vector<std::string> keys(entries.size());
    if (depth <= deepest) {
      for (Number i = 0; i < entries.size(); ++i) {
        // A parameter goes with the module it is of, whose path ends before its own name.
        const std::string& path = entries[i].module;
        const auto dot = path.rfind('.');
        keys[i] = prefix_of(!is_leaf(entries[i]) ? path : dot == std::string::npos ? "" : path.substr(0, dot), depth);
      }
    }
    const Groups groups = grouped(entries, keys, number_of);
    if (groups.count <= limit || depth == 1) return boxes_of(entries, keys, groups, number_of, limit);
  }
  return {};
}

}  // namespace tapestry::detail
