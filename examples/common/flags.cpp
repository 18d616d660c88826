#include <common/flags.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace tapestry::examples {

namespace {

constexpr std::size_t kHelpColumn = 27;
constexpr std::size_t kHelpWidth = 100;

/// Edits that lead from a to b: letters inserted, removed, replaced, or two neighbours swapped.
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

/// Appends `text` word by word, indented to the help column from the second line on.
void append_wrapped(std::string& out, std::size_t column, std::string_view text) {
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    if (column > kHelpColumn && column + word.size() > kHelpWidth) {
      while (!out.empty() && out.back() == ' ') out.pop_back();
      out += '\n';
      out.append(kHelpColumn, ' ');
      column = kHelpColumn;
    }
    out += word;
    out += ' ';
    column += word.size() + 1;
    begin = end + 1;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  out += '\n';
}

std::string describe(const NumberRange& range) {
  return fmt::format("a number {} {:g} and {} {:g}", range.above_least ? "above" : "of at least", range.least,
                     range.below_most ? "below" : "at most", range.most);
}

}  // namespace

std::string quoted(std::string_view token) {
  constexpr std::size_t kLongest = 200;  // characters: two lines of a terminal
  const bool too_long = token.size() > kLongest;
  std::string text = "'";
  for (const char c : too_long ? token.substr(0, kLongest) : token) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) text += fmt::format("\\x{:02X}", byte);
    else text += c;
  }
  text += "'";
  if (too_long) text += fmt::format(" and so on, {} characters", token.size());
  return text;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& names) {
  if (name.size() > 40) return {};
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

Flags::Flags(std::string program, std::string purpose) : program_(std::move(program)), purpose_(std::move(purpose)) {}

void Flags::section(std::string title) { section_ = std::move(title); }

void Flags::add(Entry entry) {
  entry.section = section_;
  entries_.push_back(std::move(entry));
}

void Flags::flag(std::string name, bool& target, std::string help) {
  add({std::move(name), {}, std::move(help), {}, [&target](std::string_view, std::string_view) { target = true; }});
}

void Flags::positional(std::string value_name, std::optional<std::string>& target, std::string help) {
  positionals_.push_back(
      {value_name, value_name, std::move(help), {}, [&target](std::string_view flag, std::string_view token) {
         target = read_text(flag, token);
       }});
}

std::string Flags::nearest(std::string_view name) const {
  std::vector<std::string> names = {"help"};
  for (const Entry& entry : entries_) names.push_back(entry.name);
  return nearest_name(name, names);
}

Flags::Entry& Flags::find(std::string_view name) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.name == name; });
  if (entry != entries_.end()) return *entry;
  const std::string meant = nearest(name);
  throw UsageError(fmt::format("unknown flag {}; {}", quoted(fmt::format("--{}", name)),
                               meant.empty() ? "--help lists all flags" : fmt::format("did you mean --{}?", meant)));
}

bool Flags::parse(int argc, const char* const* argv) {
  const std::vector<std::string_view> tokens(argv + std::min(argc, 1), argv + argc);
  // Asked for help, a program answers, whatever else is on the line.
  if (std::any_of(tokens.begin(), tokens.end(), [](std::string_view t) { return t == "--help" || t == "-h"; })) {
    fmt::print("{}", help());
    return false;
  }
  std::size_t positionals = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string_view token = tokens[i];
    if (!token.starts_with("-") || token == "-") {
      if (positionals == positionals_.size()) {
        throw UsageError(fmt::format("unexpected argument {}; flags begin with --, --help lists them", quoted(token)));
      }
      const Entry& entry = positionals_[positionals++];
      entry.read(entry.name, token);
      continue;
    }
    if (!token.starts_with("--")) {
      throw UsageError(fmt::format("unknown flag {}; flags begin with --, --help lists them", quoted(token)));
    }
    const std::size_t equals = token.find('=');
    Entry& entry = find(token.substr(2, equals == std::string_view::npos ? equals : equals - 2));
    const std::string flag = "--" + entry.name;
    if (std::exchange(entry.given, true)) throw UsageError(fmt::format("{} is given twice", flag));
    std::string_view value;
    if (equals != std::string_view::npos) {
      if (entry.value_name.empty()) throw UsageError(fmt::format("{} takes no value; got {}", flag, quoted(token)));
      value = token.substr(equals + 1);
    } else if (!entry.value_name.empty()) {
      if (i + 1 == tokens.size() || tokens[i + 1].starts_with("--")) {
        throw UsageError(fmt::format("{} needs a value: {} {}", flag, flag, entry.value_name));
      }
      value = tokens[++i];
    }
    entry.read(flag, value);
  }
  return true;
}

std::string Flags::help() const {
  std::string usage = fmt::format("usage: {}", program_);
  for (const Entry& entry : positionals_) usage += fmt::format(" [{}]", entry.value_name);
  std::string out = fmt::format("{} [--flag value ...]\n\n{}\n", usage, purpose_);
  const auto list = [&out](const std::string& head, const Entry& entry) {
    std::string left = "  " + head;
    left.resize(std::max(left.size() + 1, kHelpColumn), ' ');
    out += left;
    const std::string suffix = entry.default_text.empty() ? "" : fmt::format(" (default {})", entry.default_text);
    append_wrapped(out, left.size(), entry.help + suffix);
  };
  if (!positionals_.empty()) out += "\n";
  for (const Entry& entry : positionals_) list(entry.value_name, entry);
  const std::string* section = nullptr;
  for (const Entry& entry : entries_) {
    if (!section || *section != entry.section)
      out += fmt::format("\n{}\n", entry.section.empty() ? "Flags" : entry.section);
    section = &entry.section;
    list(fmt::format("--{}{}{}", entry.name, entry.value_name.empty() ? "" : " ", entry.value_name), entry);
  }
  list("--help", {{}, {}, "prints this", {}, {}});
  return out;
}

std::string Flags::default_of(double value) { return fmt::format("{:g}", value); }

std::int64_t Flags::read_integer(std::string_view flag, std::string_view token, IntegerRange range) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc() || end != token.data() + token.size() || value < range.least || value > range.most) {
    throw UsageError(
        fmt::format("{} expects a whole number from {} to {}; got {}", flag, range.least, range.most, quoted(token)));
  }
  return value;
}

double Flags::read_number(std::string_view flag, std::string_view token, NumberRange range) {
  double value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  const bool read = error == std::errc() && end == token.data() + token.size() && std::isfinite(value);
  const bool low = value < range.least || (range.above_least && value == range.least);
  const bool high = value > range.most || (range.below_most && value == range.most);
  if (!read || low || high) {
    throw UsageError(fmt::format("{} expects {}; got {}", flag, describe(range), quoted(token)));
  }
  return value;
}

std::string Flags::read_choice(std::string_view flag, std::string_view token, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), token) == choices.end()) {
    const std::string meant = nearest_name(token, choices);
    throw UsageError(fmt::format("{} expects one of {}; got {}{}", flag, fmt::join(choices, ", "), quoted(token),
                                 meant.empty() ? "" : fmt::format("; did you mean {}?", meant)));
  }
  return std::string(token);
}

std::string Flags::read_text(std::string_view flag, std::string_view token) {
  if (token.empty()) throw UsageError(fmt::format("{} must not be empty", flag));
  return std::string(token);
}

std::string Flags::help_with_choices(std::string help, const std::vector<std::string>& choices) {
  return fmt::format("{}: {}", fmt::join(choices, ", "), help);
}

int run_main(std::string_view program, const std::function<int()>& body) {
  int status = 1;
  try {
    status = body();
  } catch (const UsageError& error) {
    fmt::print(stderr, "{}: {}\n", program, error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", program, error.what());
    return 1;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(stderr, "{}: what it had to say could not be written to standard output\n", program);
    return status == 0 ? 1 : status;
  }
  return status;
}

}  // namespace tapestry::examples
