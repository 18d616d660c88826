// Prints the rooms of the house: floor, files, lines, and the rooms that each includes; then the cycles, of which there
// should be none.
//
//   include_graph [TREE]    the root of the sources, by default those it was compiled from
#include "include_graph.h"

#include <fmt/format.h>

#include <cstdio>

using namespace tapestry::house;

namespace {

int report_cycles(const char* between, const std::vector<std::string>& cycles) {
  fmt::print("cycles between {}: {}\n", between, cycles.empty() ? "none" : "");
  for (const std::string& cycle : cycles) fmt::print("  {}\n", cycle);
  return static_cast<int>(cycles.size());
}

}  // namespace

int main(int argc, char** argv) {
  struct Size {
    int files = 0, lines = 0;
  };
  const Sources sources =
      read_sources(argc > 1 ? argv[1] : TAPESTRY_SOURCE_DIR, {"autograd", "ops", "nn", "datasets", "examples"});
  const Graph rooms = graph_of_rooms(sources);
  std::map<std::string, Size> sizes;
  Size all;
  for (const auto& [name, file] : sources) {
    for (Size* size : {&sizes[room_of(name)], &all}) {
      ++size->files;
      size->lines += file.lines;
    }
  }
  const std::vector<std::string> room_cycles = cycles_of(rooms);
  std::vector<std::pair<int, std::string>> order;
  if (room_cycles.empty()) {
    for (const auto& [room, floor] : floors_of(rooms)) order.emplace_back(floor, room);
  } else {
    for (const auto& [room, needs] : rooms) order.emplace_back(-1, room);  // nobody can tell which is above which
  }
  std::sort(order.begin(), order.end());
  fmt::print("{:>5} {:>6} {:>7}  {:24} includes\n", "floor", "files", "lines", "room");
  for (const auto& [floor, room] : order) {
    const std::set<std::string>& needs = rooms.at(room);
    fmt::print("{:>5} {:>6} {:>7}  {:24} {}\n", floor < 0 ? "?" : std::to_string(floor), sizes[room].files,
               sizes[room].lines, room, fmt::join(needs, " "));
  }
  fmt::print("{:>5} {:>6} {:>7}  all\n", "", all.files, all.lines);
  const int cycles = report_cycles("rooms", room_cycles) + report_cycles("files", cycles_of(graph_of_files(sources)));
  return cycles == 0 ? 0 : 1;
}
