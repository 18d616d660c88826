#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

/// Who includes whom, between files and between rooms. A room is a folder; what lies in its detail/ belongs to it.
namespace tapestry::house {

/// From each node to those it needs. Every node is a key.
using Graph = std::map<std::string, std::set<std::string>>;

struct SourceFile {
  int lines = 0;
  std::set<std::string> includes;  ///< those of our files, as paths in the tree
};
using Sources = std::map<std::string, SourceFile>;

/// The umbrella stands above all rooms, whatever folder it lies in.
inline const std::string kUmbrella = "autograd/tapestry.h";

inline std::string room_of(const std::string& file) {
  if (file == kUmbrella) return "(umbrella)";
  const std::string folder = std::filesystem::path(file).parent_path().string();
  return folder.ends_with("/detail") ? folder.substr(0, folder.size() - 7) : folder;
}

/// All sources and headers under these folders of the tree.
inline Sources read_sources(const std::filesystem::path& root, const std::vector<std::string>& folders) {
  namespace fs = std::filesystem;
  std::map<std::string, std::vector<std::string>> spelled;  // includes as they are written
  Sources sources;
  for (const std::string& folder : folders) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cpp") continue;
      const std::string name = entry.path().lexically_relative(root).generic_string();
      SourceFile& file = sources[name];
      std::ifstream stream(entry.path());
      for (std::string line; std::getline(stream, line); ++file.lines) {
        if (!line.starts_with("#include ")) continue;
        const auto begin = line.find_first_of("<\"") + 1;
        spelled[name].push_back(line.substr(begin, line.find_last_of(">\"") - begin));
      }
    }
  }
  for (const auto& [name, targets] : spelled) {
    for (std::string target : targets) {
      const std::string beside = (std::filesystem::path(name).parent_path() / target).generic_string();
      if (target == "tapestry/tapestry.h") target = "tapestry/" + kUmbrella;
      if (target.starts_with("tapestry/")) target.erase(0, 9);
      for (const std::string& path : {target, beside, "examples/" + target}) {
        if (sources.contains(path)) sources[name].includes.insert(path);
      }
    }
  }
  return sources;
}

inline Graph graph_of_files(const Sources& sources) {
  Graph graph;
  for (const auto& [name, file] : sources) graph[name] = file.includes;
  return graph;
}

inline Graph graph_of_rooms(const Sources& sources) {
  Graph graph;
  for (const auto& [name, file] : sources) {
    const std::string room = room_of(name);
    std::set<std::string>& needs = graph[room];
    for (const std::string& target : file.includes) {
      if (room_of(target) != room) needs.insert(room_of(target));
    }
  }
  return graph;
}

/// Every set of nodes that all reach each other, as "a b c"; none in a graph whose arrows all run one way. (Tarjan,
/// "Depth-first search and linear graph algorithms", 1972.)
inline std::vector<std::string> cycles_of(const Graph& graph) {
  struct State {
    int number = 0, lowest = 0;
    bool open = false;
  };
  std::map<std::string, State> states;
  std::vector<std::string> open, cycles;
  int count = 0;
  const std::function<void(const std::string&)> visit = [&](const std::string& node) {
    State& state = states[node];
    state = {++count, count, true};
    open.push_back(node);
    for (const std::string& target : graph.at(node)) {
      if (states[target].number == 0) visit(target);
      if (states[target].open) state.lowest = std::min(state.lowest, states[target].lowest);
    }
    if (state.lowest != state.number) return;
    const auto first = std::find(open.begin(), open.end(), node);
    std::string cycle;
    for (auto it = first; it != open.end(); ++it) {
      states[*it].open = false;
      cycle += (cycle.empty() ? "" : " ") + *it;
    }
    if (open.end() - first > 1 || graph.at(node).contains(node)) cycles.push_back(cycle);
    open.erase(first, open.end());
  };
  for (const auto& [node, targets] : graph) {
    if (states[node].number == 0) visit(node);
  }
  return cycles;
}

/// The floor of each node: 0 for what needs nothing, else one above the highest that it needs. For graphs without
/// cycles.
inline std::map<std::string, int> floors_of(const Graph& graph) {
  std::map<std::string, int> floors;
  const std::function<int(const std::string&)> floor = [&](const std::string& node) {
    if (const auto known = floors.find(node); known != floors.end()) return known->second;
    int highest = -1;
    for (const std::string& target : graph.at(node)) highest = std::max(highest, floor(target));
    return floors[node] = highest + 1;
  };
  for (const auto& [node, targets] : graph) floor(node);
  return floors;
}

}  // namespace tapestry::house
