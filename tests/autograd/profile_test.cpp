#include <support/expect.h>
#include <support/temporary_folder.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include <tapestry/autograd/anomaly.h>
#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/grad_mode.h>
#include <tapestry/autograd/profile.h>
#include <tapestry/autograd/record.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/conv2d.h>
#include <tapestry/ops/matmul.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/shape_ops.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(profile_test)

using namespace tapestry;
using namespace tapestry::test;
using Pass = Profile::Pass;

namespace {

const Profile::Event& event_of(const std::vector<Profile::Event>& events, const std::string& op, Pass pass) {
  const auto found =
      std::find_if(events.begin(), events.end(), [&](const auto& e) { return e.op == op && e.pass == pass; });
  BOOST_REQUIRE_MESSAGE(found != events.end(), "no event of " + op);
  return *found;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_call_and_every_rule_is_an_event_with_its_line_and_module) {
  const Tensor x = ones({2, 3}, {.requires_grad = true});
  Profile profile;
  Tensor y;
  const int line = __LINE__ + 3;
  {
    const ModuleScope module(intern("head"));
    y = exp(x);
  }
  sum(y).backward();
  profile.stop();
  (void)exp(x);
  const std::vector<Profile::Event> events = profile.events();
  BOOST_REQUIRE(events.size() == 5U);
  const Profile::Event& forward = event_of(events, "exp", Pass::forward);
  std::string here = "profile_test.cpp:";  // g++ 12 warns of nothing where the two are added
  here.append(std::to_string(line));
  BOOST_TEST(forward.where == here);
  BOOST_TEST(forward.module == "head");
  BOOST_TEST(forward.shape == (Shape{2, 3}));
  BOOST_TEST(forward.flops == 6);
  BOOST_TEST(forward.bytes == 48);
  BOOST_TEST(forward.nanoseconds > 0);
  const Profile::Event& rule = event_of(events, "exp", Pass::backward);
  BOOST_TEST(rule.where == forward.where);
  BOOST_TEST(rule.module == "head");
  const Profile::Event& whole = event_of(events, "backward", Pass::whole);
  BOOST_TEST(whole.begin_ns <= rule.begin_ns);
  BOOST_TEST(whole.begin_ns + whole.nanoseconds >= rule.begin_ns + rule.nanoseconds);
  BOOST_TEST(forward.begin_ns + forward.nanoseconds <= whole.begin_ns);
}

BOOST_AUTO_TEST_CASE(products_are_counted_in_both_directions) {
  const Tensor x = ones({2, 8, 8, 3}, {.requires_grad = true}), w = ones({5, 3, 3, 3}, {.requires_grad = true});
  const Tensor a = ones({4, 6}, {.requires_grad = true}), b = ones({6, 7}, {.requires_grad = true});
  const Tensor s = ones({3, 4, 6}, {.requires_grad = true}), t = ones({3, 6, 7}, {.requires_grad = true});
  Profile profile;
  (sum(conv2d(x, w)) + sum(linear(a, transpose(b, 0, 1)))).backward();
  profile.stop();
  const double conv = 2. * 2 * 6 * 6 * 5 * 27, product = 2. * 4 * 6 * 7;
  BOOST_TEST(event_of(profile.events(), "conv2d", Pass::forward).flops == conv);
  BOOST_TEST(event_of(profile.events(), "conv2d", Pass::backward).flops == 2 * conv);
  BOOST_TEST(event_of(profile.events(), "linear", Pass::forward).flops == product);
  Profile batches;
  (void)matmul(a, b);
  (void)matmul(s, t);
  (void)matmul(s, b);
  batches.stop();
  BOOST_TEST(batches.events()[0].flops == product);
  BOOST_TEST(batches.events()[1].flops == 3 * product);
  BOOST_TEST(batches.events()[2].flops == 3 * product);
}

BOOST_AUTO_TEST_CASE(ops_without_a_tape_are_seen_and_views_move_nothing) {
  const NoGradGuard no_grad;
  const Tensor x = ones({4});
  Profile profile;
  (void)(x * 2);
  (void)reshape(x, {2, 2});
  profile.stop();
  BOOST_REQUIRE(profile.events().size() == 2U);
  BOOST_TEST(profile.events()[0].bytes == 32);
  BOOST_TEST(profile.events()[1].bytes == 0);
}

BOOST_AUTO_TEST_CASE(rows_add_up_by_op_module_and_line_and_the_tape_has_what_is_in_no_rule) {
  const Tensor x = ones({100}, {.requires_grad = true});
  Profile profile({.peak_gflops = 1000, .peak_gbytes = 1e-3});
  for (int i = 0; i < 3; ++i) sum(exp(x) * 2).backward();
  profile.stop();
  const auto rows = profile.rows();
  BOOST_REQUIRE(rows.size() == 7U);
  double total = 0, whole = 0;
  for (const auto& row : rows) {
    BOOST_TEST(row.calls == 3);
    total += row.seconds;
    if (row.pass == Pass::forward) BOOST_TEST(row.part_of_peak > 0);
  }
  BOOST_TEST(
      std::is_sorted(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; }));
  double forward_and_whole = 0;
  for (const auto& e : profile.events()) {
    if (e.pass != Pass::backward) forward_and_whole += static_cast<double>(e.nanoseconds) * 1e-9;
    if (e.pass == Pass::whole) whole += static_cast<double>(e.nanoseconds) * 1e-9;
  }
  BOOST_TEST(whole > 0);
  BOOST_TEST(total == forward_and_whole, boost::test_tools::tolerance(1e-6));
  BOOST_TEST(profile.rows(Profile::By::line).size() == 3U);
  BOOST_TEST(profile.rows(Profile::By::module).size() == 3U);
  const std::string table = profile.table();
  BOOST_TEST(table.rfind("op            pass        calls          ms      %   GFLOP/s     GB/s  of peak\n", 0) == 0U,
             table);
  BOOST_TEST(std::count(table.begin(), table.end(), '\n') == 9);
  BOOST_TEST(table.find(" in 21 events\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_trace_is_json_with_an_event_each) {
  const TemporaryFolder folder;
  const Tensor x = ones({100}, {.requires_grad = true});
  const ModuleScope module(intern("a\"b"));
  Profile profile;
  sum(exp(x)).backward();
  profile.stop();
  const std::string path = (folder.path() / "trace.json").string();
  profile.write_trace(path);
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  BOOST_REQUIRE(json["traceEvents"].size() == profile.events().size());
  for (const auto& e : json["traceEvents"]) {
    BOOST_TEST(e["ph"] == "X");
    BOOST_TEST(e["dur"].get<double>() >= 0);
    BOOST_TEST(e["args"]["module"] == "a\"b");
  }
  BOOST_TEST(json["traceEvents"][0]["name"] == "exp");
  BOOST_TEST(json["traceEvents"][2]["name"] == "sum (gradient)");
  BOOST_TEST(json["traceEvents"][2]["cat"] == "backward");
}

BOOST_AUTO_TEST_CASE(an_error_in_an_op_or_in_a_rule_leaves_the_profile_in_order) {
  const Tensor x = ones({2}, {.requires_grad = true});
  Profile profile;
  BOOST_CHECK_THROW((void)(x + ones({3})), std::invalid_argument);
  const Tensor y = record("fails", ones({2}), wrt(x, [](const Tensor&) -> Tensor { throw std::runtime_error("no"); }));
  BOOST_CHECK_THROW(sum(y).backward(), std::runtime_error);
  sum(x * 2).backward();
  {
    const AnomalyMode guard;
    BOOST_CHECK_THROW((void)log(zeros({2})), AnomalyError);
  }
  profile.stop();
  const auto events = profile.events();
  BOOST_TEST(event_of(events, "fails", Pass::backward).nanoseconds >= 0);
  BOOST_TEST(std::count_if(events.begin(), events.end(), [](const auto& e) { return e.pass == Pass::whole; }) == 2);
}

BOOST_AUTO_TEST_CASE(a_profile_that_begins_or_ends_within_a_call_sees_whole_calls_only) {
  const CallSite site(Here{}, "outer");
  Profile profile;
  (void)exp(ones({2}));
  profile.stop();
  BOOST_TEST(profile.events().empty());
}

BOOST_AUTO_TEST_SUITE_END()
