#include <support/expect.h>

#include <sstream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/record.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>
#include <tapestry/ops/unary.h>

BOOST_AUTO_TEST_SUITE(tape_test)

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_CASE(the_tape_lists_what_was_recorded_in_order) {
  const Tensor x = tensor({1., 2.}, {.dtype = f64, .requires_grad = true});
  const int line = __LINE__ + 1;
  const Tensor product = x * x;
  const Tensor y = sum(product);
  const Tape tape = Tape::of(y);
  const auto& entries = tape.entries();
  BOOST_REQUIRE(entries.size() == 3U);
  BOOST_TEST(entries[0].op == "leaf");
  BOOST_TEST(entries[1].op == "mul");
  BOOST_TEST(entries[2].op == "sum");
  BOOST_TEST(entries[1].shape == (Shape{2}));
  BOOST_TEST(entries[2].shape == Shape{});
  BOOST_TEST(entries[1].dtype == f64);
  BOOST_TEST(entries[1].bytes_kept == 32);
  BOOST_TEST(entries[2].bytes_kept == 0);
  BOOST_TEST(tape.bytes_kept() == 32);
  BOOST_TEST(entries[1].where == "tape_test.cpp:" + std::to_string(line));
  BOOST_TEST(entries[1].inputs == (std::vector<std::uint64_t>{entries[0].seq, entries[0].seq}));
  BOOST_TEST(entries[2].inputs == (std::vector<std::uint64_t>{entries[1].seq}));
  BOOST_TEST(!entries[1].released);
}

BOOST_AUTO_TEST_CASE(a_module_is_named_beside_the_line) {
  const Tensor x = ones({2}, {.requires_grad = true});
  const ModuleScope module(intern("layer1.fc"));
  const Tensor y = x * 2;
  const std::string where = Tape::of(y).entries().back().where;
  BOOST_TEST(where.substr(where.find(" in ")) == " in layer1.fc");
}

BOOST_AUTO_TEST_CASE(the_table_has_a_row_per_entry_and_the_sum_of_bytes) {
  const Tensor x = ones({2, 3}, {.requires_grad = true});
  std::ostringstream out;
  out << Tape::of(x * x);
  const std::string text = out.str();
  BOOST_TEST(text.find("bytes kept") != std::string::npos);
  BOOST_TEST(text.find("f32 [2, 3]") != std::string::npos);
  BOOST_TEST(text.find("2 entries, 48 bytes kept\n") != std::string::npos);
  BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 4);
}

BOOST_AUTO_TEST_CASE(the_graph_is_written_in_the_language_of_graphviz) {
  const Tensor x = ones({2}, {.requires_grad = true});
  const Tape tape = Tape::of(x * 2);
  const std::string dot = tape.to_dot();
  const std::string from = std::to_string(tape.entries()[0].seq);
  const std::string to = std::to_string(tape.entries()[1].seq);
  BOOST_TEST(dot.rfind("digraph tape {\n", 0) == 0U);
  BOOST_TEST(dot.find("n" + from + " -> n" + to + ";") != std::string::npos);
  BOOST_TEST(dot.find("shape = box") != std::string::npos);
  BOOST_TEST(dot.find("mul\\nf32 [2]") != std::string::npos);
  BOOST_TEST(dot.substr(dot.size() - 2) == "}\n");
}

namespace {

std::size_t count_of(const std::string& text, const std::string& what) {
  std::size_t count = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

/// Two modules, the second of two parts, each of `ops` squares that keep 12 bytes.
Tensor in_modules(int ops) {
  Tensor x = ones({3}, {.requires_grad = true});
  for (const char* const path : {"first", "second.a", "second.b"}) {
    const ModuleScope module(intern(path));
    for (int i = 0; i < ops; ++i) x = square(x);
  }
  return x;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_picture_has_a_box_per_entry_and_a_line_per_input) {
  const Tensor x = ones({2, 3}, {.requires_grad = true}), w = ones({3}, {.requires_grad = true});
  const Tensor y = sum(x * w + x);
  const Tape tape = Tape::of(y);
  const std::string svg = tape.to_svg();
  BOOST_TEST(svg.rfind("<svg xmlns=\"http://www.w3.org/2000/svg\" width=", 0) == 0U);
  BOOST_TEST(svg.substr(svg.size() - 7) == "</svg>\n");
  BOOST_TEST(count_of(svg, "<g class=\"leaf\">") == 2U);
  BOOST_TEST(count_of(svg, "<g class=\"op\">") == 3U);
  BOOST_TEST(count_of(svg, "marker-end") == 5U);
  BOOST_TEST(count_of(svg, ">mul</text>") == 1U);
  BOOST_TEST(count_of(svg, ">f32 [2, 3], keeps 36 B</text>") == 1U);
  BOOST_TEST(count_of(svg, "tape_test.cpp:") == 5U);
  BOOST_TEST(count_of(svg, "nan") == 0U);
}

BOOST_AUTO_TEST_CASE(a_large_graph_is_folded_by_module_the_deepest_first) {
  const Tape tape = Tape::of(in_modules(10));
  BOOST_TEST(count_of(tape.to_svg({.most_nodes = 31}), "<g class=\"op\">") == 30U);
  const std::string folded = tape.to_svg({.most_nodes = 30});
  BOOST_TEST(count_of(folded, "<g class=\"group\">") == 3U);
  BOOST_TEST(count_of(folded, "<g class=\"leaf\">") == 1U);
  BOOST_TEST(count_of(folded, ">second.b</text>") == 1U);
  BOOST_TEST(count_of(folded, ">10 ops, keeps 120 B</text>") == 3U);
  BOOST_TEST(count_of(folded, ">10 square</text>") == 3U);
  BOOST_TEST(count_of(folded, "marker-end") == 3U);
  const std::string twice = tape.to_svg({.most_nodes = 3});
  BOOST_TEST(count_of(twice, "<g class=\"group\">") == 2U);
  BOOST_TEST(count_of(twice, ">second</text>") == 1U);
}

BOOST_AUTO_TEST_CASE(what_is_still_too_large_loses_its_beginning_and_says_so) {
  Tensor x = ones({1}, {.requires_grad = true});
  for (int i = 0; i < 5000; ++i) x = x + 1;
  const std::string svg = Tape::of(x).to_svg({.most_nodes = 10});
  BOOST_TEST(count_of(svg, "<g class=\"op\">") == 10U);
  BOOST_TEST(count_of(svg, ">4991 earlier boxes are not drawn</text>") == 1U);
  BOOST_TEST(count_of(svg, "marker-end") == 10U);
}

BOOST_AUTO_TEST_CASE(the_picture_of_nothing_is_a_picture) {
  BOOST_TEST(Tape::of(ones({2})).to_svg().find("</svg>") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(names_cannot_break_the_picture) {
  const Tensor x = ones({1}, {.requires_grad = true});
  const ModuleScope module(intern("a<b>&\"c"));
  const std::string svg = Tape::of(x * 2).to_svg();
  BOOST_TEST(count_of(svg, "a&lt;b&gt;&amp;&quot;c") == 1U);
}

BOOST_AUTO_TEST_CASE(what_is_kept_is_added_up_by_line_module_and_op) {
  const Tensor x = ones({4}, {.requires_grad = true});
  const int line = __LINE__ + 1;
  const Tensor y = square(x) * square(x);
  Tensor z;
  {
    const ModuleScope module(intern("head"));
    z = sum(exp(y));
  }
  const Tape tape = Tape::of(z);
  const auto lines = tape.kept(Tape::By::line);
  BOOST_REQUIRE(lines.size() == 2U);
  BOOST_TEST(lines[0].name == "tape_test.cpp:" + std::to_string(line));
  BOOST_TEST(lines[0].bytes == 64);  // two squares keep x, the product both squares
  BOOST_TEST(lines[0].ops == 3);
  BOOST_TEST(lines[1].bytes == 16);
  const auto modules = tape.kept(Tape::By::module);
  BOOST_REQUIRE(modules.size() == 2U);
  BOOST_TEST(modules[0].name.empty());
  BOOST_TEST(modules[1].name == "head");
  BOOST_TEST(modules[1].bytes == 16);
  const auto ops = tape.kept(Tape::By::op);
  BOOST_REQUIRE(ops.size() == 3U);
  BOOST_TEST(ops[0].bytes == 32);
  std::int64_t sum_of_ops = 0;
  for (const auto& op : ops) sum_of_ops += op.bytes;
  BOOST_TEST(sum_of_ops == tape.bytes_kept());
}

BOOST_AUTO_TEST_CASE(a_saving_is_what_a_module_keeps_less_what_it_is_given) {
  const auto savings = Tape::of(in_modules(10)).savings();
  BOOST_REQUIRE(savings.size() == 4U);
  BOOST_TEST(savings[0].module == "second");
  BOOST_TEST(savings[0].kept == 240);
  BOOST_TEST(savings[0].entries == 12);
  BOOST_TEST(savings[0].saved() == 228);
  BOOST_TEST(savings[1].module == "first");  // is given a leaf, which is there anyway
  BOOST_TEST(savings[1].saved() == 120);
  BOOST_TEST(savings[3].saved() == 108);
  BOOST_TEST(Tape::of(in_modules(1)).savings().size() == 2U);  // second.a and second.b alone would save nothing
}

BOOST_AUTO_TEST_CASE(the_memory_report_has_a_table_each_and_the_savings) {
  const std::string report = Tape::of(in_modules(10)).memory_report(2);
  BOOST_TEST(report.rfind("kept for backward: 360 B by 31 entries\n", 0) == 0U, report);
  for (const char* const title : {"  line\n", "  module\n", "  op\n"})
    BOOST_TEST(count_of(report, title) == 1U, report);
  BOOST_TEST(count_of(report, "       120 B    33.3     10  first\n") == 1U, report);
  BOOST_TEST(count_of(report, "1 more\n") == 1U, report);
  BOOST_TEST(count_of(report, "       228 B    63.3        240 B  second\n") == 1U, report);
  BOOST_TEST(count_of(report, "2 more\n") == 1U, report);
}

BOOST_AUTO_TEST_CASE(a_constant_has_an_empty_tape) { BOOST_TEST(Tape::of(ones({2})).entries().empty()); }

BOOST_AUTO_TEST_CASE(what_was_played_is_marked_and_keeps_nothing) {
  const Tensor x = ones({2}, {.requires_grad = true});
  const Tensor y = sum(x * x);
  y.backward();
  const Tape tape = Tape::of(y);
  BOOST_REQUIRE(tape.entries().size() == 1U);
  BOOST_TEST(tape.entries()[0].released);
  BOOST_TEST(tape.bytes_kept() == 0);
}

BOOST_AUTO_TEST_CASE(looking_at_the_tape_owns_nothing) {
  const std::int64_t before = memory_stats().live_nodes;
  Tape tape;
  {
    const Tensor x = ones({2}, {.requires_grad = true});
    tape = Tape::of(x * x);
  }
  BOOST_TEST(memory_stats().live_nodes == before);
  BOOST_TEST(tape.entries().size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()
