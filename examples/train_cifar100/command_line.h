#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

/// What CLI11 leaves to programs: numbers that read the same in every locale, choices, errors that show the whole token
/// and name the flag that was meant.
namespace tapestry::examples {

/// A mistake in the command line, as is CLI::ParseError; the program ends with status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct WholeRange {
  std::int64_t least, most;
};

struct NumberRange {
  double least, most;
  bool above_least = false;  ///< least itself is not allowed
  bool below_most = false;   ///< most itself is not allowed
};

// A flag's value; all throw UsageError "--epochs expects a whole number from 1 to 100; got '0'".
[[nodiscard]] std::int64_t whole_number(const std::string& flag, const std::string& token, WholeRange range);
[[nodiscard]] double number(const std::string& flag, const std::string& token, NumberRange range);
[[nodiscard]] std::string choice(const std::string& flag, const std::string& token,
                                 const std::vector<std::string>& choices);
[[nodiscard]] std::string text(const std::string& flag, const std::string& token);

/// Reads the words behind a program's name. What is no flag of the app's is refused with the nearest one named. Throws
/// UsageError or CLI::ParseError.
void parse(CLI::App& app, const std::vector<std::string>& words);

/// `help` in lines that fit beside CLI11's column of flags.
[[nodiscard]] std::string wrapped(std::string_view help);

/// The words as a command for a shell, quoted where that is needed.
[[nodiscard]] std::string shell_command(const std::vector<std::string>& words);

}  // namespace tapestry::examples
