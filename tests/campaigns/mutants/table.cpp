#include "campaigns/mutants/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <stdexcept>

namespace tapestry::mutants {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

/// Where the text ends that matches `pattern` from `at` on, or npos. A blank of the pattern is any white space.
std::size_t match(const std::string& source, std::size_t at, const std::string& pattern) {
  for (const char c : pattern) {
    if (at == source.size()) return std::string::npos;
    if (c != ' ') {
      if (source[at++] != c) return std::string::npos;
      continue;
    }
    if (!is_blank(source[at])) return std::string::npos;
    while (at < source.size() && is_blank(source[at])) ++at;
  }
  return at;
}

struct Place {
  std::size_t begin, end;
};

Place find(const std::string& source, std::size_t from, const std::string& pattern) {
  for (std::size_t at = from; at < source.size(); ++at) {
    const std::size_t end = match(source, at, pattern);
    if (end != std::string::npos) return {at, end};
  }
  return {std::string::npos, std::string::npos};
}

[[noreturn]] void refuse(const Mutant& mutant, const std::string& text) {
  throw std::runtime_error(fmt::format("{} (line {} of its table): {}", mutant.key(), mutant.line, text));
}

Place only(const Mutant& mutant, const std::string& source, const std::string& pattern) {
  const Place place = find(source, 0, pattern);
  if (place.begin == std::string::npos) refuse(mutant, "the source has no '" + pattern + "'");
  if (find(source, place.begin + 1, pattern).begin != std::string::npos) {
    refuse(mutant, "the source has more than one '" + pattern + "'");
  }
  return place;
}

Place place_of(const Mutant& mutant, const std::string& source) {
  if (mutant.context.empty()) return only(mutant, source, mutant.original);
  const Place context = only(mutant, source, mutant.context);
  const Place place = find(source, context.begin, mutant.original);
  if (place.begin == std::string::npos) refuse(mutant, "there is no '" + mutant.original + "' after the context");
  return place;
}

/// A mutant and those within its text.
struct Seed {
  const Mutant* mutant;
  Place place;
};

bool is_statement(const std::string& text) { return text.back() == ';'; }

/// source[begin, end) with the seeds in it, which are sorted: outer ones first.
std::string render(const std::string& source, Place range, const Seed* first, const Seed* last) {
  std::string out;
  std::size_t at = range.begin;
  for (const Seed* seed = first; seed != last;) {
    const Seed* inner = seed + 1;
    while (inner != last && inner->place.begin < seed->place.end) ++inner;
    for (const Seed* s = seed + 1; s != inner; ++s) {
      if (s->place.end > seed->place.end) refuse(*s->mutant, "overlaps with " + seed->mutant->key());
    }
    const std::string original = render(source, seed->place, seed + 1, inner), &other = seed->mutant->replacement;
    out += source.substr(at, seed->place.begin - at);
    out += is_statement(seed->mutant->original)
               ? fmt::format("if (tapestry_mutant({})) {{ {} }} else {{ {} }}", seed->mutant->number(), other, original)
               : fmt::format("(tapestry_mutant({}) ? ({}) : ({}))", seed->mutant->number(), other, original);
    at = seed->place.end;
    seed = inner;
  }
  return out + source.substr(at, range.end - at);
}

}  // namespace

int Mutant::number() const {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : key()) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return static_cast<int>(hash % 2147483646U) + 1;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<File> parse(const std::string& table, const std::string& text) {
  std::vector<File> files;
  std::istringstream lines(text);
  std::size_t number = 0;
  const auto wrong = [&](const std::string& what) {
    throw std::runtime_error(fmt::format("{}:{}: {}", table, number, what));
  };
  const auto mutant = [&]() -> Mutant& {
    if (files.empty() || files.back().mutants.empty()) wrong("this line belongs to a mutant; there is none before it");
    return files.back().mutants.back();
  };
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const std::size_t blank = line.find(' ');
    if (blank == std::string::npos || blank + 1 == line.size()) wrong("a line is a word and what it says; got " + line);
    const std::string word = line.substr(0, blank), rest = line.substr(blank + 1);
    if (word != "file" && files.empty()) wrong("the first line must name a file; got " + line);
    if (word == "file") {
      files.push_back({.path = rest, .tests = {}, .rows = {}, .includes = {}, .mutants = {}});
    } else if (word == "tests") {
      std::istringstream names(rest);
      for (std::string name; names >> name;) files.back().tests.push_back(name);
    } else if (word == "rows") {
      files.back().rows = rest;
    } else if (word == "include") {
      files.back().includes += "#include <tapestry/" + rest + ">\n";
    } else if (word == "mutant") {
      Mutant seed;
      seed.file = files.back().path;
      seed.name = rest;
      seed.line = number;
      files.back().mutants.push_back(seed);
    } else if (word == "@") {
      mutant().context = rest;
    } else if (word == "-") {
      mutant().original = rest;
    } else if (word == "+") {
      mutant().replacement = rest;
    } else if (word == "=") {
      mutant().equivalent = rest;
    } else {
      wrong("a line begins with file, tests, rows, include, mutant, @, -, + or =; got " + line);
    }
  }
  for (const File& file : files) {
    if (file.tests.empty()) wrong(file.path + " has no tests");
    std::set<std::string> names;
    for (const Mutant& m : file.mutants) {
      if (m.original.empty() || m.replacement.empty()) wrong(m.key() + " lacks a text or its replacement");
      if (m.original == m.replacement) wrong(m.key() + " replaces a text by itself");
      if (!names.insert(m.name).second) wrong(m.key() + " is there twice");
    }
  }
  return files;
}

std::vector<File> read_tables(const std::string& folder) {
  std::vector<std::string> tables;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) tables.push_back(entry.path().string());
  std::sort(tables.begin(), tables.end());
  std::vector<File> files;
  std::set<int> numbers;
  for (const std::string& table : tables) {
    for (File& file : parse(table, read_text(table))) {
      for (const Mutant& mutant : file.mutants) {
        if (!numbers.insert(mutant.number()).second) refuse(mutant, "has the number of another one; change its name");
      }
      files.push_back(std::move(file));
    }
  }
  return files;
}

std::string with_mutants(const File& file, const std::string& source) {
  std::vector<Seed> seeds;
  std::string wrong;
  for (const Mutant& mutant : file.mutants) {
    try {
      seeds.push_back({&mutant, place_of(mutant, source)});
    } catch (const std::runtime_error& e) {
      wrong += (wrong.empty() ? "" : "\n") + std::string(e.what());
    }
  }
  if (!wrong.empty()) throw std::runtime_error(wrong);
  std::stable_sort(seeds.begin(), seeds.end(), [](const Seed& a, const Seed& b) {
    return a.place.begin != b.place.begin ? a.place.begin < b.place.begin : a.place.end > b.place.end;
  });
  return "#include <tapestry_mutant.h>\n" + file.includes +
         render(source, {0, source.size()}, seeds.data(), seeds.data() + seeds.size());
}

}  // namespace tapestry::mutants
