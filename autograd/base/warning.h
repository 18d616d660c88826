#pragma once

#include <string_view>

#include <tapestry/autograd/base/callable.h>

/// What is likely a mistake and no error.
namespace tapestry {

/// Is given the whole text, of one or more lines, without the end of the last one.
using WarningHandler = Callable<void(std::string_view text)>;

/// Who hears of warnings from now on, from all threads; an empty one silences them. At first they are written to
/// standard error. Returns the one before.
WarningHandler set_warning_handler(WarningHandler handler);

/// The handler that writes to standard error.
[[nodiscard]] WarningHandler warnings_to_stderr();

/// Passes a warning on to the handler; what that throws, it throws.
void warn(std::string_view text);

}  // namespace tapestry
