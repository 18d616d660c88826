#include <tapestry/autograd/base/file.h>

#include <support/expect.h>
#include <support/temporary_folder.h>

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <thread>

#include <tapestry/autograd/base/detail/transfer.h>

using namespace tapestry;
using namespace tapestry::test;

BOOST_AUTO_TEST_SUITE(file_test)

namespace {

namespace fs = std::filesystem;

using Bytes = std::vector<std::byte>;

std::string contents(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void put(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

Bytes counting(std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

/// Gives one byte per call, an interrupt before each; fails with `error` at byte `bad`, ends at `end`.
class Dripping final : public ByteSource {
 public:
  explicit Dripping(std::int64_t end, std::int64_t bad = -1, int error = 0) : end_(end), bad_(bad), error_(error) {}
  std::int64_t read_some(std::byte* to, std::size_t bytes) override {
    BOOST_REQUIRE(bytes > 0);
    interrupted_ = !interrupted_;
    errno = EINTR;
    if (interrupted_) return -1;
    errno = error_;
    if (at_ == bad_) return -1;
    if (at_ == end_) return 0;
    *to = static_cast<std::byte>(at_++);
    return 1;
  }

 private:
  std::int64_t end_, bad_, at_ = 0;
  int error_;
  bool interrupted_ = false;
};

std::string refusal_to_write(const fs::path& path, const std::string& text = "new") {
  return error<FileError>([&] { write_file(path, text); });
}
std::string refusal_to_read(const fs::path& path, const ReadFileOptions& options = {}) {
  return error<FileError>([&] { (void)read_file(path, options); });
}

/// For a scope, the process may not do what only root may. Nothing happens when it is somebody else's anyway.
class NotRoot {
 public:
  explicit NotRoot(const TemporaryFolder& folder) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() != 0) return;
    BOOST_REQUIRE(::chown(folder.path().c_str(), kNobody, static_cast<gid_t>(-1)) == 0);
    BOOST_REQUIRE(::seteuid(kNobody) == 0);
    was_root_ = true;
  }
  ~NotRoot() {
    if (was_root_ && ::seteuid(0) != 0) std::abort();
  }
  NotRoot(const NotRoot&) = delete;
  NotRoot& operator=(const NotRoot&) = delete;

 private:
  bool was_root_ = false;
};

/// For a scope, files cannot grow beyond so many bytes, as on a full disk: first a short write, then an error.
class LargestFile {
 public:
  explicit LargestFile(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    BOOST_REQUIRE(::getrlimit(RLIMIT_FSIZE, &old_) == 0);
    const rlimit limit{bytes, old_.rlim_max};
    BOOST_REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~LargestFile() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }
  LargestFile(const LargestFile&) = delete;
  LargestFile& operator=(const LargestFile&) = delete;

 private:
  rlimit old_ = {};
  void (*handler_)(int);
};

}  // namespace

// --- the error

BOOST_AUTO_TEST_CASE(an_error_says_file_place_what_was_expected_what_came_and_what_to_do) {
  const FileError e("a/b", 7, "a nine", "8", "count again");
  BOOST_TEST(e.what() == "a/b, byte 7: expected a nine; got 8\n  count again");
  BOOST_TEST((e.path() == "a/b" && e.offset() == 7 && e.expected() == "a nine" && e.got() == "8"));
  BOOST_TEST(e.error_number() == 0);
  BOOST_TEST(FileError("a", FileError::nowhere, "x", "y").what() == "a: expected x; got y");
  BOOST_TEST(FileError("a", 0, "x", "y").what() == "a, byte 0: expected x; got y");
}

BOOST_AUTO_TEST_CASE(what_the_system_refuses_is_said_in_a_sentence) {
  const FileError e = FileError::refused("a", "be read", ENOENT);
  BOOST_TEST(e.what() == "a: cannot be read: no such file or directory");
  BOOST_TEST((e.error_number() == ENOENT && e.expected().empty() && e.got() == "no such file or directory"));
  BOOST_TEST(FileError::refused("a", "be read", EIO, 9, "wait").what() ==
             "a, byte 9: cannot be read: input/output error\n  wait");
}

// --- reading

BOOST_AUTO_TEST_CASE(short_reads_and_interrupts_are_gone_on_after) {
  Dripping source(100);
  FileReader file("drip", 100, source);
  Bytes bytes(60);
  file.read(bytes);
  BOOST_TEST((bytes == counting(60)));
  BOOST_TEST((file.size() == 100 && file.offset() == 60));
  bytes.resize(40);
  file.read(bytes);
  file.expect_end();
  BOOST_TEST(file.offset() == 100);
}

BOOST_AUTO_TEST_CASE(an_error_of_the_disk_is_reported_where_it_happened) {
  Dripping source(100, 57, EIO);
  FileReader file("drip", 100, source, "put it back");
  Bytes bytes(100);
  try {
    file.read(bytes);
    BOOST_ERROR("no error");
  } catch (const FileError& e) {
    BOOST_TEST(e.what() == "drip, byte 57: cannot be read: input/output error\n  put it back");
    BOOST_TEST((e.offset() == 57 && e.error_number() == EIO));
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_shrinks_or_grows_while_it_is_read_is_refused) {
  Bytes bytes(100);
  Dripping shorter(60), longer(101);
  FileReader shrunk("drip", 100, shorter), grown("drip", 100, longer);
  BOOST_TEST(error<FileError>([&] { shrunk.read(bytes); }) ==
             "drip, byte 60: expected 40 more bytes; got the end of the file");
  grown.read(bytes);
  BOOST_TEST(error<FileError>([&] { grown.expect_end(); }) ==
             "drip, byte 100: expected the end of the file; got more bytes");
  const TemporaryFolder folder;
  put(folder / "real", std::string(100, 'x'));
  FileReader real(folder / "real");
  fs::resize_file(folder / "real", 10);
  BOOST_TEST(says(error<FileError>([&] { real.read(bytes); }), "byte 10: expected 90 more bytes"));
}

BOOST_AUTO_TEST_CASE(a_reader_that_is_moved_reads_on) {
  const TemporaryFolder folder;
  put(folder / "a", "12345");
  FileReader first(folder / "a");
  std::string text(3, ' ');
  first.read(std::as_writable_bytes(std::span(text)));
  FileReader second(std::move(first));
  text.resize(2);
  second.read(std::as_writable_bytes(std::span(text)));
  BOOST_TEST(text == "45");
  BOOST_TEST((second.size() == 5 && second.offset() == 5 && second.path() == folder / "a"));
}

BOOST_AUTO_TEST_CASE(whole_files_are_read_as_bytes_and_as_text) {
  const TemporaryFolder folder;
  const std::string text("a\r\n\0\xFF", 5);
  put(folder / "a", text);
  put(folder / "empty", "");
  BOOST_TEST((std::ranges::equal(read_file(folder / "a"), bytes_of(text))));
  BOOST_TEST(read_text_file(folder / "a") == text);
  BOOST_TEST(read_file(folder / "empty").empty());
  BOOST_TEST(read_text_file(folder / "empty").empty());
}

BOOST_AUTO_TEST_CASE(a_file_above_the_limit_is_refused_before_memory_is_asked_for) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  put(path, "12345");
  BOOST_TEST(read_text_file(path, {.limit = 5}) == "12345");
  BOOST_TEST(refusal_to_read(path, {.limit = 4}) == path.string() + ": expected at most 4 bytes; got 5");
  fs::resize_file(path, std::uintmax_t{1} << 36);  // takes no room on the disk
  BOOST_TEST(says(refusal_to_read(path, {.limit = 1000}), "expected at most 1000 bytes; got 68719476736"));
}

BOOST_AUTO_TEST_CASE(a_file_of_the_system_that_knows_no_size_is_refused,
                     *boost::unit_test::precondition([](auto) { return fs::exists("/proc/self/status"); })) {
  BOOST_TEST(refusal_to_read("/proc/self/status") ==
             "/proc/self/status, byte 0: expected the end of the file; got more bytes");
}

BOOST_AUTO_TEST_CASE(what_is_missing_or_no_regular_file_is_refused_by_name_and_without_waiting) {
  const TemporaryFolder folder;
  const auto at = [&](const char* name) { return (folder / name).string(); };
  BOOST_TEST(refusal_to_read(at("none")) == at("none") + ": cannot be read: no such file or directory");
  BOOST_TEST(refusal_to_read(folder.path()) == folder.path().string() + ": expected a regular file; got a folder");
  BOOST_REQUIRE(::mkfifo(at("pipe").c_str(), 0600) == 0);
  BOOST_TEST(refusal_to_read(at("pipe")) == at("pipe") + ": expected a regular file; got a pipe");
  BOOST_TEST(refusal_to_read("/dev/zero") == "/dev/zero: expected a regular file; got a device");
  BOOST_TEST(refusal_to_read("") == ": cannot be read: no such file or directory");
  BOOST_TEST(refusal_to_read(std::string("a\0b", 3)) == "a: expected a path without a zero byte; got one with");
  fs::create_symlink("circle", folder / "circle");
  BOOST_TEST(refusal_to_read(at("circle")) == at("circle") + ": cannot be read: too many levels of symbolic links");
  put(folder / "mine", "x");
  fs::permissions(folder / "mine", fs::perms::none);
  const NotRoot not_root(folder);
  BOOST_TEST(refusal_to_read(at("mine")) == at("mine") + ": cannot be read: permission denied");
}

BOOST_AUTO_TEST_CASE(advice_ends_what_a_reader_says_and_behind_it_stands_the_line) {
  const int line = __LINE__ + 2;
  try {
    (void)read_file("/nonexistent/file", {.advice = "look elsewhere"});
    BOOST_ERROR("no error");
  } catch (const FileError& e) {
    BOOST_TEST(e.what() ==
               "/nonexistent/file: cannot be read: no such file or directory\n  look elsewhere\n  at file_test.cpp:" +
                   std::to_string(line));
  }
}

BOOST_AUTO_TEST_CASE(other_kinds_of_files_are_known_by_their_first_bytes) {
  using namespace std::string_view_literals;
  const auto kind = [](std::string_view text) { return file_kind(bytes_of(text)); };
  BOOST_TEST(kind("\x1F\x8B\x08\0"sv) == "a gzip file (unpack it first)");
  BOOST_TEST(kind("PK\x03\x04") == "a zip archive (as PyTorch's .pt and NumPy's .npz are)");
  BOOST_TEST(kind("\x89HDF\r\n\x1a\n") == "an HDF5 file");
  BOOST_TEST(kind("\x89PNG\r\n\x1a\n") == "a PNG picture");
  BOOST_TEST(kind("\xFF\xD8\xFF\xE0") == "a JPEG picture");
  BOOST_TEST(kind("\x93NUMPY\x01") == "a NumPy .npy file");
  for (const char* protocol : {"\x80\x02", "\x80\x03", "\x80\x04", "\x80\x05"}) {
    BOOST_TEST(kind(protocol) == "a Python pickle (an old PyTorch file, or data of a Python version)");
  }
  BOOST_TEST(kind("<!DOCTYPE html>\n<html>") == "a web page (a download that failed?)");
  BOOST_TEST(kind("\xEF\xBB\xBF<html>") == "a web page (a download that failed?)");
  BOOST_TEST(kind("<svg>") == "text that begins with '<' (a web page?)");
  BOOST_TEST(kind("version https://git-lfs.github.com/spec/v1\noid sha256:") ==
             "a pointer of Git LFS (git lfs pull fetches the file itself)");
  BOOST_TEST(kind(std::string(257, '\0') + "ustar") == "a tar archive (unpack it first)");
  BOOST_TEST(kind("RIFF1234WEBPVP8 ") == "a WebP picture");
  BOOST_TEST(kind("") == "");
  BOOST_TEST(kind("\x80") == "");
  BOOST_TEST(kind("plain text") == "");
}

// --- writing

BOOST_AUTO_TEST_CASE(a_file_appears_whole_and_only_when_it_is_committed) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "new");
  file.write("abc");
  file.write(bytes_of(std::string_view("\0d", 2)));
  BOOST_TEST(!fs::exists(folder / "new"));
  file.commit();
  BOOST_TEST(contents(folder / "new") == std::string("abc\0d", 5));
  BOOST_TEST(folder.files() == 1U);
  BOOST_TEST(says(error<std::logic_error>([&] { file.write("x"); }), "write must come before commit"));
  BOOST_TEST(says(error<std::logic_error>([&] { file.commit(); }), "commit must be called once"));
  write_file(folder / "empty", "");
  BOOST_TEST(fs::file_size(folder / "empty") == 0U);
}

BOOST_AUTO_TEST_CASE(without_a_commit_the_old_file_stays_and_nothing_else) {
  const TemporaryFolder folder;
  put(folder / "old", "old");
  {
    AtomicFile file(folder / "old");
    file.write(std::string(100'000, 'x'));
    BOOST_TEST(folder.files() == 2U);
  }
  BOOST_TEST(contents(folder / "old") == "old");
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_CASE(a_path_without_a_folder_is_written_where_the_program_stands) {
  const TemporaryFolder folder;
  const fs::path here = fs::current_path();
  fs::current_path(folder.path());
  write_file("a", "new");
  fs::current_path(here);
  BOOST_TEST(contents(folder / "a") == "new");
}

BOOST_AUTO_TEST_CASE(what_killed_writers_left_is_removed_and_what_is_being_written_stays) {
  const TemporaryFolder folder;
  // A writer that was killed, and one that lives, in another process each.
  int ready[2] = {};
  BOOST_REQUIRE(::pipe(ready) == 0);
  const auto begin_to_write = [&](const char* name) {
    const pid_t child = ::fork();
    if (child == 0) {
      AtomicFile file(folder / name);
      file.write("half a file");
      if (::write(ready[1], "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    }
    char byte = 0;
    BOOST_REQUIRE(::read(ready[0], &byte, 1) == 1);
    return child;
  };
  const auto end = [](pid_t child) {
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
  };
  end(begin_to_write("killed"));
  const pid_t living = begin_to_write("living");
  AtomicFile mine(folder / "mine");  // of this process
  mine.write("whole");
  // What only looks like one of ours stays, too.
  put(folder / "tapestry-1-1.tmp", "x");
  put(folder / ".tapestry-1-1.txt", "x");
  fs::create_symlink("tapestry-1-1.tmp", folder / ".tapestry-2-2.tmp");
  fs::create_directory(folder / ".tapestry-3-3.tmp");
  BOOST_TEST(folder.files() == 7U);
  BOOST_TEST(remove_stale_temporaries(folder.path()) == 1U);
  BOOST_TEST(folder.files() == 6U);
  end(living);
  BOOST_TEST(remove_stale_temporaries(folder.path()) == 1U);
  mine.commit();
  BOOST_TEST(contents(folder / "mine") == "whole");
  BOOST_TEST(remove_stale_temporaries(folder.path()) == 0U);
  BOOST_TEST(remove_stale_temporaries(folder / "none") == 0U);
  ::close(ready[0]);
  ::close(ready[1]);
}

BOOST_AUTO_TEST_CASE(removing_beside_writers_costs_none_of_them_its_file) {
  const TemporaryFolder folder;
  std::atomic<bool> done = false;
  std::thread remover([&] {
    while (!done) (void)remove_stale_temporaries(folder.path());
  });
  for (int i = 0; i < 200; ++i) write_file(folder / "a", std::to_string(i));
  done = true;
  remover.join();
  BOOST_TEST(contents(folder / "a") == "199");
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_CASE(short_writes_and_interrupts_are_gone_on_after) {
  std::string written;
  bool interrupted = false;
  const auto drip = [&](const std::byte* from, std::size_t bytes) -> std::int64_t {
    BOOST_REQUIRE(bytes > 0);
    interrupted = !interrupted;
    errno = EINTR;
    if (interrupted) return -1;
    written += static_cast<char>(*from);
    return 1;
  };
  const detail::Transfer done = detail::write_fully(bytes_of("hello, disk"), drip);
  BOOST_TEST(written == "hello, disk");
  BOOST_TEST((done.bytes == 11U && done.error == 0));
}

BOOST_AUTO_TEST_CASE(a_write_that_fails_or_gets_nowhere_ends_the_loop) {
  int calls = 0;
  const auto fails_at = [&](int call, std::int64_t result) {
    calls = 0;
    return [&calls, call, result](const std::byte*, std::size_t) -> std::int64_t {
      errno = ENOSPC;
      return calls++ < call ? 2 : result;
    };
  };
  const detail::Transfer full = detail::write_fully(bytes_of("12345678"), fails_at(3, -1));
  BOOST_TEST((full.bytes == 6U && full.error == ENOSPC));
  const detail::Transfer stuck = detail::write_fully(bytes_of("12345678"), fails_at(2, 0));
  BOOST_TEST((stuck.bytes == 4U && stuck.error == EIO));
}

BOOST_AUTO_TEST_CASE(a_full_disk_leaves_the_old_file_and_no_temporary) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  put(path, "old");
  const std::string large(10'000, 'x');
  for (const rlim_t room : {0, 1, 4095, 4096, 9'999}) {
    const LargestFile limit(room);
    BOOST_TEST(refusal_to_write(path, large) == path.string() + ": cannot be written: file too large");
    BOOST_TEST(contents(path) == "old");
    BOOST_TEST(folder.files() == 1U);
  }
}

// A real disk of 64 KiB, mounted where only a child process sees it: what root may do, where it may.
BOOST_AUTO_TEST_CASE(a_disk_without_space_is_said_to_be_so,
                     *boost::unit_test::precondition([](auto) { return ::geteuid() == 0; })) {
  const TemporaryFolder folder;
  const std::string path = folder / "a";
  enum Result { right = 0, wrong, no_mount };
  const pid_t child = ::fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
      ::_exit(no_mount);
    }
    write_file(path, "old");
    const bool refused =
        refusal_to_write(path, std::string(1 << 20, 'x')) == path + ": cannot be written: no space left on device";
    ::_exit(refused && contents(path) == "old" && folder.files() == 1U ? right : wrong);
  }
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_REQUIRE(WIFEXITED(status));
  BOOST_TEST_MESSAGE((WEXITSTATUS(status) == no_mount ? "skipped: no disk can be mounted" : "mounted"));
  BOOST_TEST(WEXITSTATUS(status) != wrong);
}

BOOST_AUTO_TEST_CASE(nothing_is_put_in_place_after_a_write_that_failed) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a");
  {
    const LargestFile limit(5);
    BOOST_CHECK_THROW(file.write("123456789"), FileError);
  }
  BOOST_CHECK_THROW(file.write("1"), std::logic_error);
  BOOST_CHECK_THROW(file.commit(), std::logic_error);
  BOOST_TEST(folder.files() == 0U);
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_missing_none_or_closed_to_us_is_named_as_the_reason) {
  const TemporaryFolder folder;
  const auto at = [&](const char* name) { return (folder / name).string(); };
  BOOST_TEST(refusal_to_write(at("none/a")) == at("none/a") + ": cannot open its folder: no such file or directory");
  put(folder / "file", "x");
  BOOST_TEST(refusal_to_write(at("file/a")) == at("file/a") + ": cannot open its folder: not a directory");
  put(folder / "old", "old");
  const NotRoot not_root(folder);
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  BOOST_TEST(refusal_to_write(at("a")) == at("a") + ": cannot make a file in its folder: permission denied");
  fs::permissions(folder.path(), fs::perms::owner_all);
  BOOST_TEST(folder.files() == 2U);
}

BOOST_AUTO_TEST_CASE(a_folder_is_made_with_its_parents_or_the_reason_is_given) {
  const TemporaryFolder folder;
  const std::string deep = (folder / "a/b/c").string(), file = (folder / "file").string();
  for (int times = 0; times < 2; ++times) {
    make_folder(deep);
    BOOST_TEST(fs::is_directory(deep));
  }
  put(file, "x");
  const auto refusal = [](const std::string& path) { return error<FileError>([&] { make_folder(path); }); };
  BOOST_TEST(refusal(file) == file + ": cannot be made: not a directory");
  BOOST_TEST(refusal(file + "/a") == file + "/a: cannot be made: not a directory");
  BOOST_TEST(says(refusal(std::string("a\0b", 3)), "expected a path without a zero byte"));
}

BOOST_AUTO_TEST_CASE(a_folder_that_is_taken_away_while_it_is_written_to_is_made_again) {
  const TemporaryFolder folder;
  const fs::path place = folder / "deep/run";
  int writes = 0;
  write_into_folder(place.string(), [&] {
    write_file((place / "a").string(), "1");
    AtomicFile b((place / "b").string());
    b.write("2");
    if (++writes < 3) fs::remove_all(folder / "deep");
    b.commit();
  });
  BOOST_TEST(writes == 3);
  BOOST_TEST(read_text_file((place / "a").string()) == "1");
  BOOST_TEST(read_text_file((place / "b").string()) == "2");
  // What fails for another reason, or every time, is an error at once, or after the last try.
  writes = 0;
  BOOST_CHECK_THROW(write_into_folder(place.string(),
                                      [&] {
                                        ++writes;
                                        write_file(place.string(), "a folder stands there");
                                      }),
                    FileError);
  BOOST_TEST(writes == 1);
  writes = 0;
  BOOST_CHECK_THROW(write_into_folder(place.string(),
                                      [&] {
                                        ++writes;
                                        write_file((place / "none/c").string(), "3");
                                      }),
                    FileError);
  BOOST_TEST(writes == 10);
}

// One removal for every write, at any moment of it.
BOOST_AUTO_TEST_CASE(a_folder_that_somebody_keeps_removing_is_written_to_all_the_same) {
  const TemporaryFolder folder;
  const fs::path place = folder / "run";
  constexpr int kWrites = 300;
  std::atomic<int> written{0};
  std::atomic<bool> done{false};
  std::thread remover([&] {
    for (int removed = 0; !done; ++removed) {
      std::error_code ignored;
      fs::remove_all(place, ignored);
      while (!done && written <= removed) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::microseconds(removed % 30 * 20));
    }
  });
  try {
    for (; written < kWrites; ++written) {
      write_into_folder(place.string(), [&] { write_file((place / "a").string(), "1"); });
    }
  } catch (const FileError& refusal) {
    BOOST_ERROR(refusal.what());
  }
  done = true;
  remover.join();
  BOOST_TEST(written == kWrites);
}

// No device: should this fail, root would lose one.
BOOST_AUTO_TEST_CASE(what_is_no_regular_file_is_not_replaced) {
  const TemporaryFolder folder;
  const auto at = [&](const char* name) { return (folder / name).string(); };
  fs::create_directory(folder / "sub");
  BOOST_TEST(refusal_to_write(at("sub")) == at("sub") + ": expected a regular file to replace, or none; got a folder");
  BOOST_REQUIRE(::mkfifo(at("pipe").c_str(), 0600) == 0);
  BOOST_TEST(refusal_to_write(at("pipe")) == at("pipe") + ": expected a regular file to replace, or none; got a pipe");
  for (const char* path : {"sub/", "sub/.", "..", ""}) {
    BOOST_TEST(says(refusal_to_write(path[0] ? at(path) : path), "expected a path that ends with a file's name"));
  }
  BOOST_TEST(refusal_to_write(std::string("a\0b", 3)) == "a: expected a path without a zero byte; got one with");
  BOOST_TEST(folder.files() == 2U);
}

BOOST_AUTO_TEST_CASE(an_existing_file_keeps_its_permissions_and_a_new_one_follows_the_mask) {
  const TemporaryFolder folder;
  const auto mode = [&](const char* name) {
    struct stat status = {};
    BOOST_REQUIRE(::stat((folder / name).c_str(), &status) == 0);
    return static_cast<unsigned>(status.st_mode & 07777);
  };
  put(folder / "old", "old");
  for (const unsigned permissions : {0604U, 0600U, 0777U}) {
    BOOST_REQUIRE(::chmod((folder / "old").c_str(), permissions) == 0);
    write_file(folder / "old", "new");
    BOOST_TEST(mode("old") == permissions);
  }
  const mode_t mask = ::umask(027);
  write_file(folder / "new", "new");
  ::umask(mask);
  BOOST_TEST(mode("new") == 0640U);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_marked_read_only_is_not_replaced) {
  const TemporaryFolder folder;
  const auto path = folder / "kept";
  put(path, "old");
  fs::permissions(path, fs::perms::owner_read);
  const NotRoot not_root(folder);
  BOOST_TEST(refusal_to_write(path) == path.string() + ": cannot be written: permission denied");
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_CASE(a_link_keeps_its_place_and_what_it_names_is_written) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "sub");
  put(folder / "sub/file", "old");
  fs::create_symlink("sub/file", folder / "first");
  fs::create_symlink(folder / "first", folder / "second");
  write_file(folder / "second", "new");
  BOOST_TEST((fs::is_symlink(folder / "first") && fs::is_symlink(folder / "second")));
  BOOST_TEST(contents(folder / "sub/file") == "new");
  fs::create_symlink("sub/fresh", folder / "dangling");
  write_file(folder / "dangling", "made");
  BOOST_TEST(fs::is_symlink(folder / "dangling"));
  BOOST_TEST(contents(folder / "sub/fresh") == "made");
  fs::create_symlink("circle", folder / "circle");
  BOOST_TEST(refusal_to_write(folder / "circle") ==
             (folder / "circle").string() + ": cannot be written: too many levels of symbolic links");
}

BOOST_AUTO_TEST_CASE(of_several_writers_one_wins_whole_and_readers_see_whole_files) {
  const TemporaryFolder folder;
  const auto path = folder / "a";
  constexpr std::size_t kBytes = 200'000;
  write_file(path, std::string(kBytes, '0'));
  std::atomic<bool> failed{false};
  const auto write = [&](char letter) {
    try {
      for (int i = 0; i < 20; ++i) write_file(path, std::string(kBytes, letter));
    } catch (const FileError&) {
      failed = true;
    }
  };
  std::thread one(write, '1'), two(write, '2'), three(write, '3');
  bool whole = true;
  for (int i = 0; i < 100; ++i) {
    const std::string text = read_text_file(path);
    whole = whole && text.size() == kBytes && text.find_first_not_of(text[0]) == std::string::npos;
  }
  one.join();
  two.join();
  three.join();
  BOOST_TEST((whole && !failed));
  BOOST_TEST(folder.files() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
