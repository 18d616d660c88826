#include <tapestry/datasets/detail/input_file.h>

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <numeric>

#include "datasets/files.h"
#include "support/expect.h"

using namespace tapestry;
using namespace tapestry::datasets;
using namespace tapestry::test;

namespace {

/// A source that gives one byte per call, with an interrupt before each; fails with `error` at byte `bad`, ends at
/// `end`.
ReadSome dripping(std::int64_t end, std::int64_t bad = -1, int error = 0) {
  return [=, at = std::int64_t{0}, interrupted = false](std::uint8_t* to, std::size_t bytes) mutable -> std::int64_t {
    BOOST_REQUIRE(bytes > 0);
    interrupted = !interrupted;
    errno = EINTR;
    if (interrupted) return -1;
    errno = error;
    if (at == bad) return -1;
    if (at == end) return 0;
    *to = static_cast<std::uint8_t>(at++);
    return 1;
  };
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(input_file_test)

BOOST_AUTO_TEST_CASE(c13_short_reads_and_interrupts_are_retried) {
  InputFile file("drip", 100, dripping(100));
  ByteVector bytes(100);
  file.read(bytes);
  ByteVector wanted(100);
  std::iota(wanted.begin(), wanted.end(), std::uint8_t{0});
  BOOST_TEST(bytes == wanted, boost::test_tools::per_element());
  BOOST_TEST(file.offset() == 100U);
}

BOOST_AUTO_TEST_CASE(c13_an_error_of_the_disk_is_reported_where_it_happened) {
  InputFile file("drip", 100, dripping(100, 57, EIO), "put it back");
  ByteVector bytes(100);
  BOOST_TEST(error<DataError>([&] { file.read(bytes); }) ==
             "drip, byte 57: expected readable bytes; got Input/output error\n  put it back");
}

BOOST_AUTO_TEST_CASE(c12_a_file_that_shrinks_while_it_is_read_is_refused) {
  InputFile file("drip", 100, dripping(60));
  ByteVector bytes(100);
  BOOST_TEST(error<DataError>([&] { file.read(bytes); }) ==
             "drip, byte 60: expected 40 more bytes; got the end of the file");
  const TemporaryFolder folder;
  put_file(folder / "real", bytes);
  InputFile real(folder / "real");
  BOOST_TEST(real.size() == 100U);
  std::filesystem::resize_file(folder / "real", 10);
  BOOST_CHECK_THROW(real.read(bytes), DataError);
}

BOOST_AUTO_TEST_CASE(a_written_file_appears_whole) {
  const TemporaryFolder folder;
  const ByteVector bytes{1, 2, 3};
  write_file(folder / "new", [&](const Append& append) {
    append(bytes);
    append(bytes);
    BOOST_TEST(!std::filesystem::exists(folder / "new"));
  });
  BOOST_TEST(get_file(folder / "new") == ByteVector({1, 2, 3, 1, 2, 3}), boost::test_tools::per_element());
  BOOST_TEST(names_in(folder.path()).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_failed_write_leaves_the_old_file_and_nothing_else) {
  const TemporaryFolder folder;
  const ByteVector bytes{1, 2, 3};
  put_file(folder / "old", bytes);
  BOOST_CHECK_THROW(write_file(folder / "old",
                               [&](const Append& append) {
                                 append(ByteVector(100));
                                 throw std::runtime_error("no more");
                               }),
                    std::runtime_error);
  BOOST_TEST(get_file(folder / "old") == bytes, boost::test_tools::per_element());
  BOOST_TEST(names_in(folder.path()).size() == 1U);
  BOOST_TEST(error<DataError>([&] { write_file(folder / "none/file", [](const Append&) {}); }) ==
             (folder / "none/file").string() + ": expected a file that can be written; got No such file or directory");
  std::filesystem::create_directory(folder / "folder");
  BOOST_CHECK_THROW(write_file(folder / "folder", [](const Append&) {}), DataError);
  BOOST_TEST(names_in(folder.path()).size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()
