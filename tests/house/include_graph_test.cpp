#include "include_graph.h"

#include <support/expect.h>

using namespace tapestry::house;

BOOST_AUTO_TEST_SUITE(include_graph_test)

namespace {

const Sources& library() {
  static const Sources sources = read_sources(TAPESTRY_SOURCE_DIR, {"autograd", "ops", "nn", "datasets", "examples"});
  return sources;
}

std::string joined(const std::vector<std::string>& cycles) {
  std::string text;
  for (const std::string& cycle : cycles) text += cycle + "\n";
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_cycle_is_found) {
  const Graph graph{{"a", {"b"}}, {"b", {"c"}}, {"c", {"b", "d"}}, {"d", {}}, {"e", {"e", "a"}}};
  BOOST_TEST(joined(cycles_of(graph)) == "b c\ne\n");
}

BOOST_AUTO_TEST_CASE(a_floor_is_one_above_the_highest_that_is_needed) {
  const auto floors = floors_of({{"a", {"b", "d"}}, {"b", {"c"}}, {"c", {"d"}}, {"d", {}}, {"e", {}}});
  BOOST_TEST((floors == std::map<std::string, int>{{"a", 3}, {"b", 2}, {"c", 1}, {"d", 0}, {"e", 0}}));
}

BOOST_AUTO_TEST_CASE(the_sources_are_found) {
  BOOST_TEST(library().size() > 150U);
  BOOST_TEST(library().at("autograd/tensor.h").includes.contains("autograd/base/shape.h"));
  BOOST_TEST(library().at("autograd/tensor.h").lines > 100);
  BOOST_TEST(room_of("autograd/memory/detail/arena.h") == "autograd/memory");
}

BOOST_AUTO_TEST_CASE(no_files_include_each_other) { BOOST_TEST(joined(cycles_of(graph_of_files(library()))) == ""); }

BOOST_AUTO_TEST_CASE(no_rooms_include_each_other) { BOOST_TEST(joined(cycles_of(graph_of_rooms(library()))) == ""); }

BOOST_AUTO_TEST_CASE(floors_stand_one_above_the_other) {
  Graph rooms = graph_of_rooms(library());
  if (!cycles_of(rooms).empty()) return;  // said by the test above
  const auto floors = floors_of(rooms);
  BOOST_TEST(floors.at("autograd/base") == 0);
  BOOST_TEST(floors.at("autograd/memory") == 1);
  BOOST_TEST(floors.at("autograd/memory") < floors.at("autograd"));
  BOOST_TEST(floors.at("autograd") < floors.at("ops"));
  BOOST_TEST(floors.at("ops/kernels") < floors.at("ops"));
  BOOST_TEST(floors.at("ops") < floors.at("nn"));
  BOOST_TEST(floors.at("autograd") < floors.at("datasets"));
}

BOOST_AUTO_TEST_SUITE_END()
