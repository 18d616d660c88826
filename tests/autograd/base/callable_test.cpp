#include <support/expect.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include <tapestry/autograd/base/callable.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(callable_test)

namespace {

int twice(int x) { return 2 * x; }

struct Adds {
  int n;
  int operator()(int x) const { return x + n; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(functions_lambdas_and_objects_are_called) {
  int calls = 0;
  BOOST_TEST(Callable<int(int)>(twice)(3) == 6);
  BOOST_TEST(Callable<int(int)>(&twice)(3) == 6);
  BOOST_TEST(Callable<int(int)>([](int x) { return x - 1; })(3) == 2);
  BOOST_TEST(Callable<int(int)>(Adds{4})(3) == 7);
  BOOST_TEST(Callable<double(int)>(Adds{4})(3) == 7.0);
  Callable<void(int)>([&](int x) { return calls += x; })(5);  // what it returns is dropped
  BOOST_TEST(calls == 5);
}

BOOST_AUTO_TEST_CASE(arguments_pass_through_uncopied) {
  std::string text = "a text that is longer than what a string holds inside";
  const char* const before = text.data();
  const Callable<std::string(std::string &&)> take = [](std::string&& s) { return std::move(s); };
  BOOST_TEST((take(std::move(text)).data() == before));
  int n = 1;
  Callable<void(int&)>([](int& x) { x = 8; })(n);
  BOOST_TEST(n == 8);
}

BOOST_AUTO_TEST_CASE(a_copy_has_state_of_its_own_and_a_moved_one_is_empty) {
  const Callable<int()> first = [n = 0]() mutable { return ++n; };
  BOOST_TEST(first() == 1);
  Callable<int()> copy = first;
  BOOST_TEST(first() == 2);
  BOOST_TEST(copy() == 2);
  const Callable<int()> moved = std::move(copy);
  BOOST_TEST(moved() == 3);
  BOOST_TEST(!copy);  // NOLINT(bugprone-use-after-move)
  copy = moved;
  BOOST_TEST(copy() == 4);
  copy = nullptr;
  BOOST_TEST(!copy);
}

BOOST_AUTO_TEST_CASE(what_is_empty_makes_an_empty_callable_which_says_so_when_called) {
  BOOST_TEST(!Callable<int(int)>());
  BOOST_TEST(!Callable<int(int)>(nullptr));
  BOOST_TEST(!Callable<int(int)>(std::function<int(int)>()));
  BOOST_TEST(!Callable<double(int)>(Callable<int(int)>()));
  BOOST_TEST(!Callable<int(int)>(static_cast<int (*)(int)>(nullptr)));
  BOOST_TEST(!!Callable<int(int)>(std::function<int(int)>(twice)));
  BOOST_TEST(!!Callable<int(int)>([](int x) { return x; }));  // converts to a function pointer, which is not null
  BOOST_TEST(error<std::logic_error>([] { Callable<int(int)>()(1); }) ==
             "callable: it must hold a function; this one is empty");
}

BOOST_AUTO_TEST_CASE(what_is_held_is_found_by_its_type) {
  const Callable<int(int)> f = Adds{4};
  BOOST_REQUIRE(f.target<Adds>() != nullptr);
  BOOST_TEST(f.target<Adds>()->n == 4);
  BOOST_TEST((f.target<int (*)(int)>() == nullptr));
  BOOST_TEST((Callable<int(int)>().target<Adds>() == nullptr));
}

BOOST_AUTO_TEST_CASE(only_what_can_be_called_that_way_converts) {
  using F = Callable<int(std::string)>;
  BOOST_TEST((std::is_convertible_v<decltype([](const std::string&) { return 1; }), F>));
  BOOST_TEST((!std::is_convertible_v<decltype([](int) { return 1; }), F>));
  BOOST_TEST((!std::is_convertible_v<decltype([](const std::string&) { return "one"; }), F>));
  BOOST_TEST((!std::is_convertible_v<int, F>));
}

BOOST_AUTO_TEST_SUITE_END()
