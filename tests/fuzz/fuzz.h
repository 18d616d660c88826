#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <tapestry/autograd/base/file.h>
#include <tapestry/autograd/memory/allocator.h>

/// A fuzz target is one file here, which defines LLVMFuzzerTestOneInput: it reads the bytes as a file of its format.
/// Either they are read, or a FileError says why not, or they ask for more memory than the limit; all else is a find.
///
///     clang, preset fuzz:   search_png -max_total_time=600 some_folder  searches
///     any compiler:         fuzz_png                                    what the generator makes, and changes of it
///     any compiler:         fuzz_png --write some_folder                writes that, to begin a search with
///     any compiler:         fuzz_png some_file                          a find, once more
namespace tapestry::fuzz {

/// Gives the bytes as a file would.
class Memory final : public ByteSource {
 public:
  explicit Memory(std::span<const std::uint8_t> bytes) : left_(bytes) {}
  std::int64_t read_some(std::byte* to, std::size_t bytes) override;

 private:
  std::span<const std::uint8_t> left_;
};

/// Runs `read` on the bytes; what it may throw is swallowed.
template <class Read>
int run(const std::uint8_t* data, std::size_t size, Read read) {
  set_memory_limit(std::int64_t{1} << 28);
  try {
    read(std::span(data, size));
  } catch (const FileError&) {
  } catch (const OutOfMemory&) {
  }
  return 0;
}

/// What a search begins with: files that are right and files that are wrong. Each target defines it.
[[nodiscard]] std::vector<std::vector<std::uint8_t>> seeds();

}  // namespace tapestry::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
