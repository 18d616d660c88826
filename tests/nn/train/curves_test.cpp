#include <support/expect.h>
#include <support/temporary_folder.h>

#include <cmath>
#include <limits>

#include <tapestry/autograd/base/file.h>
#include <tapestry/nn/train/curves.h>

using namespace tapestry;
using namespace tapestry::test;
using train::Curves;

BOOST_AUTO_TEST_SUITE(curves_test)

namespace {

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t times = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++times;
  return times;
}

Curves two_panels() {
  Curves curves("a run");
  for (int epoch = 1; epoch <= 3; ++epoch) {
    curves.add("Loss", "training", epoch, 3. / epoch);
    curves.add("Loss", "test", epoch, 4. / epoch);
    curves.add("Accuracy, %", "test top-1", epoch, 20 * epoch);
  }
  return curves;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_series_is_a_line_with_its_name_and_its_last_value) {
  Curves curves = two_panels();
  curves.panel("Accuracy, %", {.decimals = 1, .highest = 100});
  const std::string svg = curves.svg();
  BOOST_TEST(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  BOOST_TEST(svg.ends_with("</svg>\n"));
  BOOST_TEST(count(svg, "<polyline") == 3U);
  for (const char* text : {">a run<", ">Loss<", ">training<", ">test<", ">Accuracy, %<", ">test top-1<", ">epoch<",
                           ">1.00<", ">1.33<", ">60.0<"}) {
    BOOST_TEST(svg.find(text) != svg.npos, text);
  }
  BOOST_TEST(count(svg, "<circle") == 12U);  // nine points, three in legends
}

BOOST_AUTO_TEST_CASE(points_lie_where_their_values_are) {
  Curves curves;
  curves.add("p", "s", 0, 0);
  curves.add("p", "s", 1, 10);
  curves.add("p", "s", 2, 5);
  // The plot is 390 x 270 pixels from (56, 106); the axis goes from 0 to 10.
  BOOST_TEST(curves.svg().find("points=\"56.0,376.0 251.0,106.0 446.0,241.0\"") != std::string::npos, curves.svg());
}

BOOST_AUTO_TEST_CASE(many_points_get_no_dots) {
  Curves curves;
  for (int i = 0; i < 100; ++i) curves.add("p", "s", i, i);
  BOOST_TEST(count(curves.svg(), "<circle") == 0U);
}

BOOST_AUTO_TEST_CASE(a_value_that_is_no_number_leaves_a_gap) {
  Curves curves;
  for (const double y : {1., 2., std::nan(""), 3., HUGE_VAL, 4.}) curves.add("p", "s", y, y);
  const std::string svg = curves.svg();
  BOOST_TEST(count(svg, "nan") == 0U);
  BOOST_TEST(count(svg, "inf") == 0U);
  BOOST_TEST(count(svg, "<polyline") == 3U);
}

BOOST_AUTO_TEST_CASE(every_run_can_be_drawn) {
  BOOST_TEST(Curves().svg().ends_with("</svg>\n"));  // nothing yet
  for (const double y : {0., -3., 5., 1e-12, 1e300}) {
    Curves one;
    one.add("p", "one point", 0, y);
    BOOST_TEST(one.svg().ends_with("</svg>\n"), y);
  }
  for (const double x : {0., -7., 1e18, 1e300}) {
    Curves one;
    one.add("p", "one point", x, 1);
    BOOST_TEST(one.svg().ends_with("</svg>\n"), x);
  }
  Curves constant;
  for (int i = 0; i < 3; ++i) constant.add("p", "s", i, 7);
  BOOST_TEST(constant.svg().ends_with("</svg>\n"));
}

BOOST_AUTO_TEST_CASE(names_are_escaped) {
  Curves curves("a < b & \"c\"\x01", "x > y");
  curves.add("<p>", "&s", 1, 1);
  const std::string svg = curves.svg();
  for (const char* text : {"a &lt; b &amp; \"c\"<", "x &gt; y", "&lt;p&gt;", "&amp;s"}) {
    BOOST_TEST(svg.find(text) != svg.npos, text);
  }
}

BOOST_AUTO_TEST_CASE(panel_options_are_checked) {
  Curves curves;
  BOOST_TEST(error<std::invalid_argument>([&] { curves.panel("p", {.decimals = 10}); }) ==
             "curves: decimals must be in [0, 9]; got 10");
  BOOST_TEST(error<std::invalid_argument>([&] { curves.panel("p", {.highest = std::nan("")}); }) ==
             "curves: the highest value must be a number; got NaN");
}

BOOST_AUTO_TEST_CASE(points_come_back_and_the_programs_own_options_stay) {
  const Curves curves = two_panels();
  Curves other("a run");
  other.add("Other", "gone", 1, 1);
  other.load_state(curves.state());
  BOOST_TEST(count(other.svg(), "gone") == 0U);
  BOOST_TEST(count(other.svg(), "<polyline") == 3U);
  Curves fresh("a run");
  fresh.load_state(curves.state());
  BOOST_TEST(fresh.svg() == curves.svg());
  train::State bad = curves.state();
  bad.tensors[1].tensor = zeros({3, 3}, {.dtype = f64});
  BOOST_TEST(error<std::invalid_argument>([&] { fresh.load_state(bad); }) == "1: f64 [3, 3] there, f64 [N, 2] here");
  BOOST_TEST(fresh.svg() == curves.svg());
}

BOOST_AUTO_TEST_CASE(the_file_holds_the_picture) {
  const TemporaryFolder folder;
  two_panels().write((folder / "curves.svg").string());
  BOOST_TEST(read_text_file((folder / "curves.svg").string()) == two_panels().svg());
}

BOOST_AUTO_TEST_SUITE_END()
