#include "command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

namespace tapestry::examples {
namespace {

constexpr std::size_t kHelpWidth = 73;      // columns of help beside 27 of flags: 100 in all
constexpr std::size_t kLongestToken = 200;  // characters shown of what was typed: two lines of a terminal
constexpr std::size_t kLongestName = 40;    // a longer word is no misspelt flag

/// 'token', with what no terminal should be sent written as \xNN, and the end of very long ones left out.
std::string shown(std::string_view token) {
  std::string text = "'";
  for (const char c : token.substr(0, kLongestToken)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) text += fmt::format("\\x{:02X}", byte);
    else text += c;
  }
  text += "'";
  if (token.size() > kLongestToken) text += fmt::format(" and so on, {} characters", token.size());
  return text;
}

/// Letters to insert, remove, replace, or swap with their neighbours, from a to b.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = std::exchange(last, row);
  }
  return last[b.size()];
}

/// The name that was probably meant; empty when none is close.
std::string nearest(std::string_view name, const std::vector<std::string>& names) {
  if (name.size() > kLongestName) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : names) {
    const bool begins = name.size() >= 3 && candidate.starts_with(name);
    const std::size_t distance = begins ? 1 : edit_distance(name, candidate);
    if (distance < best_distance && distance < std::max(name.size(), candidate.size())) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

[[noreturn]] void refuse(const std::string& flag, const std::string& expected, std::string_view token,
                         const std::string& hint = {}) {
  throw UsageError(fmt::format("{} expects {}; got {}{}", flag, expected, shown(token), hint));
}

/// Reads all of `token`, as from_chars does: no locale, no spaces, no sign in front but '-'.
template <class T>
bool read(const std::string& token, T& value) {
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  return error == std::errc() && end == token.data() + token.size();
}

}  // namespace

std::int64_t whole_number(const std::string& flag, const std::string& token, WholeRange range) {
  std::int64_t value = 0;
  if (!read(token, value) || value < range.least || value > range.most) {
    refuse(flag, fmt::format("a whole number from {} to {}", range.least, range.most), token);
  }
  return value;
}

double number(const std::string& flag, const std::string& token, NumberRange range) {
  double value = 0;
  const bool is_number = read(token, value) && std::isfinite(value);
  const bool low = value < range.least || (range.above_least && value == range.least);
  const bool high = value > range.most || (range.below_most && value == range.most);
  if (!is_number || low || high) {
    refuse(flag,
           fmt::format("a number {} {:g} and {} {:g}", range.above_least ? "above" : "of at least", range.least,
                       range.below_most ? "below" : "at most", range.most),
           token);
  }
  return value;
}

std::string choice(const std::string& flag, const std::string& token, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), token) != choices.end()) return token;
  const std::string meant = nearest(token, choices);
  refuse(flag, fmt::format("one of {}", fmt::join(choices, ", ")), token,
         meant.empty() ? "" : fmt::format("; did you mean {}?", meant));
}

std::string text(const std::string& flag, const std::string& token) {
  if (token.empty()) refuse(flag, "a word that is not empty", token);
  return token;
}

void parse(CLI::App& app, const std::vector<std::string>& words) {
  app.allow_extras();  // refused below, with a better word than CLI11's
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ArgumentMismatch&) {
    for (const CLI::Option* option : app.get_options()) {
      if (option->count() > 1) throw UsageError(option->get_name() + " is given twice");
    }
    throw;
  }
  for (const std::string& extra : app.remaining()) {
    const std::string name = extra.substr(0, extra.find('='));
    if (!name.starts_with("--")) {
      throw UsageError(fmt::format("unexpected argument {}; flags begin with --, --help lists them", shown(extra)));
    }
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) names.push_back(option->get_name());
    const std::string meant = nearest(name, names);
    throw UsageError(fmt::format("unknown flag {}; {}", shown(name),
                                 meant.empty() ? "--help lists all flags" : fmt::format("did you mean {}?", meant)));
  }
}

std::string wrapped(std::string_view help) {
  std::string out;
  std::size_t column = 0;
  while (!help.empty()) {
    const std::size_t end = std::min(help.find(' '), help.size());
    if (column > 0 && column + 1 + end > kHelpWidth) {
      out += '\n';
      column = 0;
    } else if (column > 0) {
      out += ' ';
      ++column;
    }
    out += help.substr(0, end);
    column += end;
    help.remove_prefix(std::min(end + 1, help.size()));
  }
  return out;
}

std::string shell_command(const std::vector<std::string>& words) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+";
  std::string command;
  for (const std::string& word : words) {
    if (!command.empty()) command += ' ';
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) {
      command += word;
      continue;
    }
    command += '\'';
    for (const char c : word) command += c == '\'' ? std::string("'\\''") : std::string(1, c);
    command += '\'';
  }
  return command;
}

}  // namespace tapestry::examples
