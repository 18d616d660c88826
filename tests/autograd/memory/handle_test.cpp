#include <support/expect.h>

#include <utility>

#include <tapestry/autograd/memory/handle.h>

using namespace tapestry;

BOOST_AUTO_TEST_SUITE(handle_test)

namespace {

struct Base {
  virtual ~Base() = default;
};

struct Counted : Base {
  explicit Counted(int& alive_of) : alive(&alive_of) { ++*alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() override { --*alive; }
  int* alive;
};

/// As in a public header: what it holds is defined further below.
class Owner {
 public:
  Owner();
  [[nodiscard]] int value() const;

 private:
  struct State;
  Handle<State> state_;
};

int through_copies(const Owner& owner) {
  Owner copy = owner;
  const Owner moved = std::move(copy);
  copy = moved;
  return copy.value();
}

struct Owner::State {
  int value;
};

Owner::Owner() : state_(make_handle<State>(State{7})) {}
int Owner::value() const { return state_->value; }

}  // namespace

BOOST_AUTO_TEST_CASE(the_last_handle_destroys_what_they_share) {
  int alive = 0;
  {
    Handle<Counted> first = make_handle<Counted>(alive);
    const Handle<Counted> second = first;
    BOOST_TEST((first == second));
    BOOST_TEST(first.owner()->use_count() == 2U);
    first = {};
    BOOST_TEST(!first);
    BOOST_TEST(alive == 1);
  }
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(a_moved_handle_is_empty) {
  int alive = 0;
  Handle<Counted> first = make_handle<Counted>(alive);
  const Handle<Counted> second = std::move(first);
  BOOST_TEST(!first);  // NOLINT(bugprone-use-after-move)
  BOOST_TEST((first.get() == nullptr));
  BOOST_TEST(second.owner()->use_count() == 1U);
}

BOOST_AUTO_TEST_CASE(a_handle_on_a_derived_object_is_one_on_its_base) {
  int alive = 0;
  {
    const Handle<const Base> base = make_handle<const Counted>(alive);
    BOOST_TEST(alive == 1);
    BOOST_TEST((dynamic_cast<const Counted*>(base.get()) != nullptr));
  }
  BOOST_TEST(alive == 0);
  BOOST_TEST((!std::is_convertible_v<Handle<const Base>, Handle<Base>>));
  BOOST_TEST((!std::is_convertible_v<Handle<Base>, Handle<Counted>>));
}

BOOST_AUTO_TEST_CASE(classes_with_a_handle_copy_where_their_state_is_unknown) {
  BOOST_TEST(through_copies(Owner()) == 7);
}

BOOST_AUTO_TEST_SUITE_END()
