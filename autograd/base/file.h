#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <tapestry/autograd/base/call_site.h>

/// Files, for everything here that reads or writes one, and for data sets of your own: a reader that checks, a writer
/// that leaves the old file or the new one, and one error that says which file, where, and what is wrong.
namespace tapestry {

/// A file that cannot be opened, read or written, or whose contents are not what they should be:
///
///     data/train.bin: cannot be read: permission denied
///     data/train.bin, byte 6149: expected record 2 with a fine label below 100; got 100
///
/// and below, where there is some, advice on a line of its own.
class FileError : public std::runtime_error {
 public:
  static constexpr std::int64_t nowhere = -1;  ///< offset of a fault that is at no byte in particular

  /// Contents that are wrong. `offset` is the byte from the start of the file, or `nowhere`.
  FileError(const std::string& path, std::int64_t offset, const std::string& expected, const std::string& got,
            const std::string& advice = {});

  /// What the system refuses: `action` says what cannot be done ("be read"), `error_number` is its errno.
  [[nodiscard]] static FileError refused(const std::string& path, const std::string& action, int error_number,
                                         std::int64_t offset = nowhere, const std::string& advice = {});

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::int64_t offset() const noexcept { return offset_; }
  [[nodiscard]] const std::string& expected() const noexcept { return expected_; }  ///< empty when the system refused
  [[nodiscard]] const std::string& got() const noexcept { return got_; }            ///< the system's reason, then
  [[nodiscard]] int error_number() const noexcept { return error_number_; }         ///< errno; 0 for wrong contents

 private:
  struct Text;
  FileError(const std::string& path, std::int64_t offset, Text text, int error_number);

  std::string path_;
  std::int64_t offset_;
  std::string expected_, got_;
  int error_number_ = 0;
};

// --- reading

/// Where bytes come from, front to back.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// As POSIX read(2): up to `bytes` bytes to `to`; how many came, 0 at the end, -1 with errno set.
  virtual std::int64_t read_some(std::byte* to, std::size_t bytes) = 0;
};

/// A file that is read front to back. Plain reads: a mapped file that shrinks would kill the process. Only regular
/// files are opened, so that the size is known before anything is allocated, and a pipe keeps nobody waiting; folders,
/// pipes, sockets and devices are refused by name.
class FileReader {
 public:
  /// Opens the file. `advice` ends every message about it. Throws FileError.
  explicit FileReader(const std::string& path, const std::string& advice = {});

  /// The same over any other source of `size` bytes, which must outlive it; `name` stands for the path in errors.
  FileReader(const std::string& name, std::int64_t size, ByteSource& source, const std::string& advice = {});

  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&&) = delete;
  ~FileReader();

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::int64_t size() const noexcept { return size_; }      ///< bytes, when it was opened
  [[nodiscard]] std::int64_t offset() const noexcept { return offset_; }  ///< of the byte that read() begins with

  /// Fills `to`, however small the pieces are in which the bytes come. Throws FileError when the file ends first.
  void read(std::span<std::byte> to);

  /// Throws FileError unless all that the source gives has been read.
  void expect_end();

  /// Throws a FileError about this file.
  [[noreturn]] void fail(std::int64_t offset, const std::string& expected, const std::string& got) const;

 private:
  std::size_t read_what_comes(std::span<std::byte> to);

  std::string path_, advice_;
  std::int64_t size_ = 0;
  std::int64_t offset_ = 0;
  int descriptor_ = -1;           ///< of the file; -1 when there is a source
  ByteSource* source_ = nullptr;  ///< null for a file
};

struct ReadFileOptions {
  std::int64_t limit = INT64_MAX;  ///< bytes; a larger file is refused before memory is asked for
  std::string advice = {};         ///< ends every message
};

/// All bytes of a regular file. Throws FileError: when it cannot be read, is larger than the limit, or changes its size
/// meanwhile.
[[nodiscard]] std::vector<std::byte> read_file(const std::string& path, const ReadFileOptions& options = {},
                                               Here here = {});

/// The same as text, unchanged.
[[nodiscard]] std::string read_text_file(const std::string& path, const ReadFileOptions& options = {}, Here here = {});

inline constexpr std::size_t file_kind_bytes = 512;  ///< of a file's beginning are all that file_kind() looks at

/// What a file's first bytes say it is: "a gzip file (unpack it first)", "a PNG picture", "a web page (...)"; empty
/// when they say nothing that is known. For messages about files of another kind than the expected one.
[[nodiscard]] std::string file_kind(std::span<const std::byte> beginning);

// --- writing

/// A file that is written whole or not at all. The bytes go to a new file in the same folder, which commit() puts in
/// place: whoever reads meanwhile, and whoever comes after a crash or a power cut, finds the old file or the new one.
///
/// Until commit() has returned, the old file is intact, and what leaves early leaves nothing behind (a killed process:
/// a hidden .tapestry-*.tmp, see remove_stale_temporaries(); a failure to synchronise the folder comes too late for the
/// old file). An existing file
/// keeps its permissions, and one without write permission is refused. A link keeps its place: the file that it names
/// is replaced, or made where there is none. What is no regular file - a folder, a pipe, a device - is refused. Of
/// several writers at once one wins whole. Every function throws FileError.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Synchronises the file with the disk, moves it to its place and synchronises the folder. Once, as the last call.
  void commit();

 private:
  struct State;
  State* state_;
};

/// Removes the .tapestry-*.tmp that killed writers have left in a folder, and returns how many. Those of a writer that
/// lives stay, in whatever process: it holds a lock on its file (flock), which ends with it. Throws nothing: what
/// cannot be seen or removed, or lies on a file system without locks, stays.
std::size_t remove_stale_temporaries(const std::string& folder);

/// Makes a folder, with its parents, where it is missing. Throws FileError.
void make_folder(const std::string& path, Here here = {});

/// Makes the folder and calls write(), which writes files into it. Where the folder or a file that is being written is
/// taken away meanwhile (someone tidies up during a long run), both are done again, up to ten times in all. Throws what
/// make_folder() and write() throw.
template <class Write>
void write_into_folder(const std::string& folder, const Write& write, Here here = {});

/// Writes a file as AtomicFile does. Throws FileError.
void write_file(const std::string& path, std::span<const std::byte> bytes, Here here = {});
void write_file(const std::string& path, std::string_view text, Here here = {});

namespace detail {
/// Whether what was refused is a file or folder that is gone.
[[nodiscard]] bool was_taken_away(const FileError& refusal) noexcept;
}  // namespace detail

template <class Write>
void write_into_folder(const std::string& folder, const Write& write, Here here) {
  constexpr int kTries = 10;  // one removal of a folder can get in the way more than once
  for (int tries = kTries;; --tries) try {
      make_folder(folder, here);
      return write();
    } catch (const FileError& refusal) {
      if (tries == 1 || !detail::was_taken_away(refusal)) throw;
    }
}

}  // namespace tapestry
