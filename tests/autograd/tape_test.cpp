#include <support/expect.h>

#include <sstream>

#include <tapestry/autograd/backward.h>
#include <tapestry/autograd/memory/allocator.h>
#include <tapestry/autograd/record.h>
#include <tapestry/autograd/tape.h>
#include <tapestry/ops/binary.h>
#include <tapestry/ops/reduce.h>

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
