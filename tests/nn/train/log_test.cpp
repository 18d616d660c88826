#include <support/expect.h>
#include <support/temporary_folder.h>

#include <clocale>
#include <limits>

#include <tapestry/autograd/base/file.h>
#include <tapestry/nn/train/log.h>

using namespace tapestry;
using namespace tapestry::test;
using train::Log;

BOOST_AUTO_TEST_SUITE(log_test)

BOOST_AUTO_TEST_CASE(rows_become_csv_and_json_lines) {
  Log log;
  BOOST_TEST(log.csv() == "");
  BOOST_TEST(log.json_lines() == "");
  log.add({{"epoch", 1}, {"loss", 2.5}, {"top1", 1. / 3}});
  log.add({{"epoch", Index{2}}, {"loss", 1e-10}, {"top1", 1U}});
  BOOST_TEST(log.csv() == "epoch,loss,top1\n1,2.5,0.3333333\n2,1e-10,1\n");
  BOOST_TEST(log.json_lines() ==
             "{\"epoch\": 1, \"loss\": 2.5, \"top1\": 0.3333333}\n{\"epoch\": 2, \"loss\": 1e-10, \"top1\": 1}\n");
  BOOST_TEST(log.json(1) + "\n" == log.json_lines().substr(log.json(0).size() + 1));
  BOOST_TEST(log.rows() == 2U);
  BOOST_TEST(log.at(0, "top1") == 1. / 3);
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_said_so) {
  Log log;
  log.add(
      {{"a", std::numeric_limits<double>::quiet_NaN()}, {"b", std::numeric_limits<double>::infinity()}, {"c", -0.}});
  BOOST_TEST(log.csv() == "a,b,c\nnan,inf,0\n");
  BOOST_TEST(log.json(0) == "{\"a\": null, \"b\": null, \"c\": 0}");
}

BOOST_AUTO_TEST_CASE(whole_numbers_are_written_whole) {
  Log log;
  log.add({{"a", std::int64_t{9007199254740991}}, {"b", 123456789}, {"c", 123456789.5}});
  BOOST_TEST(log.csv() == "a,b,c\n9007199254740991,123456789,1.234568e+08\n");
}

BOOST_AUTO_TEST_CASE(a_locale_with_commas_changes_nothing) {
  const char* const found = std::setlocale(LC_ALL, "de_DE.UTF-8");
  Log log;
  log.add({{"a", .5}});
  const std::string text = log.csv();
  std::setlocale(LC_ALL, "C");
  BOOST_TEST(text == "a\n0.5\n");
  if (!found) BOOST_TEST_MESSAGE("there is no German locale here");
}

BOOST_AUTO_TEST_CASE(rows_that_do_not_fit_are_refused_and_not_half_added) {
  Log log;
  log.add({{"epoch", 1}, {"loss", 2}});
  BOOST_TEST(error<std::invalid_argument>([&] {
               log.add({{"epoch", 2}});
             }) == "log: a row must have the columns of the first one, epoch, loss; got epoch");
  BOOST_TEST(error<std::invalid_argument>([&] {
               log.add({{"loss", 2}, {"epoch", 2}});
             }) == "log: a row must have the columns of the first one, epoch, loss; got loss, epoch");
  BOOST_TEST(error<std::invalid_argument>([] {
               Log().add({{"a", 1}, {"a", 1}});
             }) == "log: each column must be named once; got a twice");
  for (const char* name : {"", "a,b", "a\"b", "a\\b", "a\nb"}) {
    BOOST_TEST(error<std::invalid_argument>([&] {
                 Log().add({{name, 1}});
               }) ==
               "log: a column's name must be without commas, quotation marks, backslashes and control characters, and "
               "not empty; got '" +
                   std::string(name) + "'");
  }
  BOOST_TEST(error<std::invalid_argument>([] { Log().add({}); }) ==
             "log: a row must have at least one number; got none");
  BOOST_TEST(error<std::out_of_range>([&] { (void)log.at(0, "los"); }) ==
             "log: a column must be one of epoch, loss; got los");
  BOOST_TEST(error<std::out_of_range>([&] { (void)log.json(1); }) == "log: a row must be in [0, 1); got 1");
  BOOST_TEST(log.csv() == "epoch,loss\n1,2\n");
}

BOOST_AUTO_TEST_CASE(files_hold_the_text_and_a_folder_that_is_missing_is_named) {
  const TemporaryFolder folder;
  Log log;
  log.add({{"epoch", 1}});
  log.write_csv((folder / "metrics.csv").string());
  log.write_json_lines((folder / "metrics.jsonl").string());
  BOOST_TEST(read_text_file((folder / "metrics.csv").string()) == log.csv());
  BOOST_TEST(read_text_file((folder / "metrics.jsonl").string()) == log.json_lines());
  const std::string text = error<FileError>([&] { log.write_csv((folder.path() / "no" / "metrics.csv").string()); });
  BOOST_TEST(text.find("no/metrics.csv") != text.npos, text);
}

BOOST_AUTO_TEST_CASE(numbers_come_back_to_the_last_bit) {
  Log log, other;
  log.add({{"a", .1}, {"b", 1. / 3}});
  log.add({{"a", std::numeric_limits<double>::quiet_NaN()}, {"b", 1e300}});
  other.load_state(log.state());
  BOOST_TEST(other.csv() == log.csv());
  BOOST_TEST(other.at(0, "b") == 1. / 3);
  Log different;
  different.add({{"c", 1}});
  BOOST_TEST(error<std::invalid_argument>([&] { different.load_state(log.state()); }) == "columns: a,b there, c here");
  BOOST_TEST(different.csv() == "c\n1\n");
  Log empty;
  empty.load_state(Log().state());
  BOOST_TEST(empty.rows() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
