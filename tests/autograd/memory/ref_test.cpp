#include <boost/test/unit_test.hpp>

#include <thread>
#include <utility>
#include <vector>

#include <tapestry/autograd/memory/ref.h>

BOOST_AUTO_TEST_SUITE(ref_test)

using namespace tapestry;

namespace {

struct Counted final : RefCounted {
  explicit Counted(int* destroyed_of) : destroyed(destroyed_of) {}
  static void destroy(Counted* object) noexcept {
    ++*object->destroyed;
    delete object;
  }
  int* destroyed;
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_last_reference_destroys_the_object_once) {
  int destroyed = 0;
  {
    Ref<Counted> a = Ref<Counted>::adopt(new Counted(&destroyed));
    BOOST_TEST(a->use_count() == 1U);
    Ref<Counted> b = a;
    BOOST_TEST(a->use_count() == 2U);
    BOOST_TEST((a == b));
    const Ref<Counted> c = std::move(a);
    BOOST_TEST(!a);
    BOOST_TEST(c->use_count() == 2U);
    b = c;  // itself again
    BOOST_TEST(b->use_count() == 2U);
    b = {};
    BOOST_TEST(destroyed == 0);
  }
  BOOST_TEST(destroyed == 1);
}

BOOST_AUTO_TEST_CASE(an_empty_reference_owns_nothing) {
  const Ref<Counted> none, of_null(nullptr);
  BOOST_TEST(!none);
  BOOST_TEST((none == of_null));
  BOOST_TEST(none.get() == nullptr);
}

BOOST_AUTO_TEST_CASE(references_may_be_dropped_by_many_threads_at_once) {
  int destroyed = 0;
  for (int round = 0; round < 50; ++round) {
    Ref<Counted> object = Ref<Counted>::adopt(new Counted(&destroyed));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([copy = object]() mutable {
        for (int i = 0; i < 100; ++i) const Ref<Counted> another = copy;
        copy = {};
      });
    }
    object = {};
    for (std::thread& thread : threads) thread.join();
    BOOST_TEST(destroyed == round + 1);
  }
}

BOOST_AUTO_TEST_SUITE_END()
