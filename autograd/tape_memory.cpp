#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include <tapestry/autograd/tape.h>

namespace tapestry {
namespace {

bool is_leaf(const Tape::Entry& e) { return e.op == "leaf"; }

/// Whether `module` is `outer` or within it.
bool is_within(const std::string& module, const std::string& outer) {
  return module == outer || (module.size() > outer.size() && module.starts_with(outer) && module[outer.size()] == '.');
}

std::string text_of_bytes(std::int64_t bytes) {
  const auto b = static_cast<double>(bytes);
  if (bytes >= 1 << 20) return fmt::format("{:.1f} MiB", b / (1 << 20));
  if (bytes >= 1 << 10) return fmt::format("{:.1f} KiB", b / (1 << 10));
  return fmt::format("{} B", bytes);
}

}  // namespace

std::vector<Tape::Kept> Tape::kept(By by) const {
  std::map<std::string, Kept> sums;
  for (const Entry& e : entries_) {
    if (is_leaf(e)) continue;
    const std::string& name = by == By::line ? e.line : by == By::module ? e.module : e.op;
    Kept& sum = sums[name];
    sum.name = name;
    sum.bytes += e.bytes_kept;
    ++sum.ops;
  }
  std::vector<Kept> out;
  for (auto& [name, sum] : sums) {
    if (sum.bytes > 0) out.push_back(std::move(sum));
  }
  std::stable_sort(out.begin(), out.end(), [](const Kept& a, const Kept& b) { return a.bytes > b.bytes; });
  return out;
}

std::vector<Tape::Saving> Tape::savings() const {
  std::set<std::string> modules;  // and all that they are in
  std::unordered_map<std::uint64_t, const Entry*> by_seq;
  for (const Entry& e : entries_) {
    by_seq[e.seq] = &e;
    if (is_leaf(e)) continue;
    for (std::string name = e.module; !name.empty();) {
      modules.insert(name);
      const auto dot = name.rfind('.');
      name.resize(dot == std::string::npos ? 0 : dot);
    }
  }
  std::vector<Saving> out;
  for (const std::string& module : modules) {
    Saving saving{.module = module};
    std::set<std::uint64_t> given;
    for (const Entry& e : entries_) {
      if (is_leaf(e) || !is_within(e.module, module)) continue;
      saving.kept += e.bytes_kept;
      for (const std::uint64_t input : e.inputs) {
        const Entry& from = *by_seq.at(input);
        if (is_leaf(from) || is_within(from.module, module) || !given.insert(input).second) continue;
        saving.entries += from.shape.numel() * item_bytes(from.dtype);
      }
    }
    if (saving.saved() > 0) out.push_back(std::move(saving));
  }
  std::stable_sort(out.begin(), out.end(), [](const Saving& a, const Saving& b) { return a.saved() > b.saved(); });
  return out;
}

std::string Tape::memory_report(std::size_t rows) const {
  const std::int64_t all = bytes_kept();
  const auto part = [&](std::int64_t bytes) {
    return all > 0 ? 100 * static_cast<double>(bytes) / static_cast<double>(all) : 0;
  };
  std::string out = fmt::format("kept for backward: {} by {} entries\n", text_of_bytes(all), entries_.size());
  for (const auto& [by, title] :
       {std::pair(By::line, "line"), std::pair(By::module, "module"), std::pair(By::op, "op")}) {
    const std::vector<Kept> list = kept(by);
    out += fmt::format("\n{:>12} {:>7} {:>6}  {}\n", "bytes", "%", "ops", title);
    for (std::size_t i = 0; i < std::min(rows, list.size()); ++i) {
      out += fmt::format("{:>12} {:>7.1f} {:>6}  {}\n", text_of_bytes(list[i].bytes), part(list[i].bytes), list[i].ops,
                         list[i].name.empty() ? "(none)" : list[i].name);
    }
    if (list.size() > rows) out += fmt::format("{:>12} {} more\n", "", list.size() - rows);
  }
  const std::vector<Saving> list = savings();
  if (list.empty()) return out;
  out += fmt::format("\n{:>12} {:>7} {:>12}  checkpointing this module would save so much of what it keeps\n", "saves",
                     "%", "keeps");
  for (std::size_t i = 0; i < std::min(rows, list.size()); ++i) {
    out += fmt::format("{:>12} {:>7.1f} {:>12}  {}\n", text_of_bytes(list[i].saved()), part(list[i].saved()),
                       text_of_bytes(list[i].kept), list[i].module);
  }
  if (list.size() > rows) out += fmt::format("{:>12} {} more\n", "", list.size() - rows);
  return out;
}

}  // namespace tapestry
