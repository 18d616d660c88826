#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <vector>

#include <tapestry/autograd/memory/detail/arena.h>

BOOST_AUTO_TEST_SUITE(arena_test)

using namespace tapestry;

BOOST_AUTO_TEST_CASE(free_ranges_join_their_neighbours_and_give_the_best_fit) {
  std::vector<std::byte> memory(1000);
  std::byte* const at = memory.data();
  detail::FreeRanges free;
  BOOST_TEST(free.take(1) == nullptr);
  free.put(at, 100);
  free.put(at + 200, 50);
  free.put(at + 400, 80);
  BOOST_TEST(free.ranges().size() == 3U);
  BOOST_TEST(free.bytes() == 230U);
  BOOST_TEST(free.take(101) == nullptr);
  BOOST_TEST(free.take(60) == at + 400);  // 80 is nearer to 60 than 100 is
  BOOST_TEST(free.take(50) == at + 200);  // all of it
  BOOST_TEST(free.ranges().size() == 2U);
  free.put(at + 200, 50);
  free.put(at + 100, 100);  // closes the gap between two
  BOOST_TEST(free.ranges().size() == 2U);
  BOOST_TEST(free.ranges().front().bytes == 250U);
  free.put(at + 400, 60);  // in front of one
  free.put(at + 480, 20);  // behind one
  BOOST_TEST(free.ranges().size() == 2U);
  BOOST_TEST(free.ranges().back().begin == at + 400);
  BOOST_TEST(free.ranges().back().bytes == 100U);
  BOOST_TEST(free.bytes() == 350U);
  BOOST_TEST(free.take(250) == at);
  BOOST_TEST(free.bytes() == 100U);
}

BOOST_AUTO_TEST_SUITE_END()
