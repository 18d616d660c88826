#include <tapestry/autograd/tape.h>

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <unordered_set>

#include <tapestry/autograd/detail/tape_picture.h>
#include <tapestry/autograd/node.h>

namespace tapestry {

Tape Tape::of(const Tensor& x) {
  Tape tape;
  if (!x.requires_grad()) return tape;
  std::vector<const Node*> to_visit{x.impl().node.get()};
  std::unordered_set<const Node*> seen{to_visit.front()};
  while (!to_visit.empty()) {
    const Node& node = *to_visit.back();
    to_visit.pop_back();
    Entry entry{.seq = node.seq,
                .op = node.name,
                .shape = node.shape,
                .dtype = node.dtype,
                .bytes_kept = node.bytes_kept(),
                .where = to_string(node.where()),
                .line = to_string(Location{.file = node.where().file, .line = node.where().line}),
                .module = node.where().module ? node.where().module : "",
                .inputs = {},
                .released = node.released()};
    for (const Ref<Node>& input : node.inputs()) {
      if (!input) continue;
      entry.inputs.push_back(input->seq);
      if (seen.insert(input.get()).second) to_visit.push_back(input.get());
    }
    tape.entries_.push_back(std::move(entry));
  }
  std::sort(tape.entries_.begin(), tape.entries_.end(), [](const Entry& a, const Entry& b) { return a.seq < b.seq; });
  return tape;
}

std::int64_t Tape::bytes_kept() const noexcept {
  std::int64_t sum = 0;
  for (const Entry& entry : entries_) sum += entry.bytes_kept;
  return sum;
}

std::string Tape::to_dot() const {
  std::string dot = "digraph tape {\n  rankdir = BT;\n  node [fontname = \"Helvetica\", fontsize = 11];\n";
  for (const Entry& e : entries_) {
    const bool leaf = e.inputs.empty();
    std::string label = fmt::format("{}\\n{} {}", e.op, name_of(e.dtype), to_string(e.shape));
    if (e.bytes_kept > 0) label += fmt::format("\\nkeeps {} bytes", e.bytes_kept);
    if (!e.where.empty()) label += "\\n" + e.where;
    dot += fmt::format("  n{} [label = \"{}\", shape = {}{}];\n", e.seq, label, leaf ? "box" : "ellipse",
                       leaf ? ", style = filled, fillcolor = \"#dbe9f6\"" : "");
    for (const std::uint64_t input : e.inputs) dot += fmt::format("  n{} -> n{};\n", input, e.seq);
  }
  return dot + "}\n";
}

std::string Tape::to_svg(const PictureOptions& options) const {
  return detail::picture_of(detail::folded(entries_, options.most_nodes));
}

std::ostream& operator<<(std::ostream& out, const Tape& tape) {
  out << fmt::format("{:>8}  {:<20} {:<24} {:>14}  {:<20} {}\n", "seq", "op", "output", "bytes kept", "inputs",
                     "where");
  for (const Tape::Entry& e : tape.entries()) {
    std::string inputs;
    for (const std::uint64_t input : e.inputs) inputs += (inputs.empty() ? "" : " ") + std::to_string(input);
    out << fmt::format("{:>8}  {:<20} {:<24} {:>14}  {:<20} {}\n", e.seq, e.op + (e.released ? " (released)" : ""),
                       fmt::format("{} {}", name_of(e.dtype), to_string(e.shape)), e.bytes_kept, inputs, e.where);
  }
  return out << fmt::format("{} entries, {} bytes kept\n", tape.entries().size(), tape.bytes_kept());
}

}  // namespace tapestry
