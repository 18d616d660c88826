#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// A small parser for command lines. A program says once what each flag is called, where its value goes, what is
/// allowed and what it means; reading, checking, messages and --help follow from that.
///
///     int epochs = 2;
///     Flags flags("train", "Trains a network.");
///     flags.integer("epochs", epochs, {1, 1000}, "N", "how often every image is seen");
///     if (!flags.parse(argc, argv)) return 0;   // --help has been printed
namespace tapestry::examples {

/// A mistake in the command line; run_main() ends the program with status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct IntegerRange {
  std::int64_t least;
  std::int64_t most;
};

struct NumberRange {
  double least;
  double most;
  bool above_least = false;  ///< least itself is not allowed
  bool below_most = false;   ///< most itself is not allowed
};

class Flags {
 public:
  Flags(std::string program, std::string purpose);

  /// Flags added from now on stand under this title in --help.
  void section(std::string title);

  // A target is a variable, whose value is the default that --help shows, or a std::optional of one, which stays empty
  // when the flag is not given.
  template <class Target>
  void integer(std::string name, Target& target, IntegerRange range, std::string value_name, std::string help) {
    add({std::move(name), std::move(value_name), std::move(help), default_of(target),
         [&target, range](std::string_view flag, std::string_view token) {
           assign(target, read_integer(flag, token, range));
         }});
  }
  template <class Target>
  void number(std::string name, Target& target, NumberRange range, std::string value_name, std::string help) {
    add({std::move(name), std::move(value_name), std::move(help), default_of(target),
         [&target, range](std::string_view flag, std::string_view token) {
           assign(target, read_number(flag, token, range));
         }});
  }
  template <class Target>
  void choice(std::string name, Target& target, std::vector<std::string> choices, std::string value_name,
              std::string help) {
    add({std::move(name), std::move(value_name), help_with_choices(std::move(help), choices), default_of(target),
         [&target, choices](std::string_view flag, std::string_view token) {
           assign(target, read_choice(flag, token, choices));
         }});
  }
  template <class Target>
  void text(std::string name, Target& target, std::string value_name, std::string help) {
    add({std::move(name), std::move(value_name), std::move(help), default_of(target),
         [&target](std::string_view flag, std::string_view token) { assign(target, read_text(flag, token)); }});
  }

  /// Takes no value: false unless given.
  void flag(std::string name, bool& target, std::string help);

  /// An argument without a name. They may be left out, the last ones first.
  void positional(std::string value_name, std::optional<std::string>& target, std::string help);

  /// Reads `--name value` and `--name=value`. False after printing the help that --help asks for. Throws UsageError for
  /// an unknown flag, a bad value, a flag given twice.
  [[nodiscard]] bool parse(int argc, const char* const* argv);

  [[nodiscard]] std::string help() const;

 private:
  using Read = std::function<void(std::string_view flag, std::string_view token)>;
  struct Entry {
    std::string name;
    std::string value_name;  ///< empty: takes no value
    std::string help;
    std::string default_text;
    Read read;
    std::string section = {};
    bool given = false;
  };

  void add(Entry entry);
  [[nodiscard]] Entry& find(std::string_view name);
  [[nodiscard]] std::string nearest(std::string_view name) const;

  static std::int64_t read_integer(std::string_view flag, std::string_view token, IntegerRange range);
  static double read_number(std::string_view flag, std::string_view token, NumberRange range);
  static std::string read_choice(std::string_view flag, std::string_view token,
                                 const std::vector<std::string>& choices);
  static std::string read_text(std::string_view flag, std::string_view token);
  static std::string help_with_choices(std::string help, const std::vector<std::string>& choices);

  template <class T, class Value>
  static void assign(T& target, Value value) {
    target = static_cast<T>(std::move(value));
  }
  template <class T, class Value>
  static void assign(std::optional<T>& target, Value value) {
    target = static_cast<T>(std::move(value));
  }
  static std::string default_of(std::int64_t value) { return std::to_string(value); }
  static std::string default_of(int value) { return std::to_string(value); }
  static std::string default_of(std::uint64_t value) { return std::to_string(value); }
  static std::string default_of(double value);
  static std::string default_of(const std::string& value) { return value; }
  template <class T>
  static std::string default_of(const std::optional<T>&) {
    return {};
  }

  std::string program_, purpose_, section_;
  std::vector<Entry> entries_;
  std::vector<Entry> positionals_;
};

/// The name among `names` that `name` is probably a misspelling of; empty when none is close.
[[nodiscard]] std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

/// 'token', with what no terminal should be sent written as \xNN, and the middle left out of very long ones.
[[nodiscard]] std::string quoted(std::string_view token);

/// body(), with exceptions turned into a message on stderr and an exit status: 2 for UsageError, 1 for any other.
/// Output that could not be written counts as an error too.
int run_main(std::string_view program, const std::function<int()>& body);

}  // namespace tapestry::examples
