#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

/// The loops around read(2) and write(2), which may move fewer bytes than asked for and be interrupted. The call is a
/// parameter, so that tests can hand in one that does both.
namespace tapestry::detail {

inline constexpr std::size_t kLargestTransfer = std::size_t{1} << 30;  // bytes; some systems refuse 2^31 in one call

struct Transfer {
  std::size_t bytes = 0;  ///< moved
  int error = 0;          ///< errno of the call that failed; 0: none did
};

/// Fills `to`; `read_some(pointer, bytes)` is as read(2). Fewer bytes without an error: the end came first.
template <class ReadSome>
[[nodiscard]] Transfer read_fully(std::span<std::byte> to, ReadSome&& read_some) {
  Transfer done;
  while (done.bytes < to.size()) {
    const std::int64_t got = read_some(to.data() + done.bytes, std::min(to.size() - done.bytes, kLargestTransfer));
    if (got > 0) done.bytes += static_cast<std::size_t>(got);
    else if (got == 0) break;
    else if (errno != EINTR) return {done.bytes, errno};
  }
  return done;
}

/// Writes all of `from`; `write_some(pointer, bytes)` is as write(2). A call that writes nothing counts as EIO: going
/// on would never end.
template <class WriteSome>
[[nodiscard]] Transfer write_fully(std::span<const std::byte> from, WriteSome&& write_some) {
  Transfer done;
  while (done.bytes < from.size()) {
    const std::int64_t put = write_some(from.data() + done.bytes, std::min(from.size() - done.bytes, kLargestTransfer));
    if (put > 0) done.bytes += static_cast<std::size_t>(put);
    else if (put == 0) return {done.bytes, EIO};
    else if (errno != EINTR) return {done.bytes, errno};
  }
  return done;
}

}  // namespace tapestry::detail
