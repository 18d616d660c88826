#pragma once

#include <cstddef>
#include <string>
#include <vector>

/// Faults to seed into sources of the library, one table (tables/*.txt) per family:
///
///     file ops/cast.cpp
///     tests ops/cast_test ops/bf16_test
///     rows to clone
///
///     mutant the gradient is rounded to bf16
///     @ Tensor to(const Tensor& x
///     - to(dy, dtype)
///     + to(to(dy, bf16), dtype)
///     = why no test can see it
///
/// `tests` are programs and suites that can see the file's faults, the likeliest first; `rows` are those of the op
/// table that are walked after them. A text that is an expression is replaced as one, a statement (that ends in ; or })
/// as one. A blank stands for any white space. The text must occur once; with `@` it is the first one after a place
/// that occurs once. `=` explains an equivalent mutant: it is run, too, and must survive.
namespace tapestry::mutants {

struct Mutant {
  std::string file, name;
  std::string context, original, replacement;
  std::string equivalent;  ///< why nothing can tell it from the original; else empty
  std::size_t line = 0;    ///< of the table

  /// What the environment names it by.
  [[nodiscard]] std::string key() const { return file + ": " + name; }
  /// What the sources know it by: of the key, so that a new mutant does not change those of other files. Never 0.
  [[nodiscard]] int number() const;
};

struct File {
  std::string path;                ///< in the repository
  std::vector<std::string> tests;  ///< program/suite
  std::string rows;                ///< of the op table, separated by blanks
  std::string includes;            ///< lines that replacements need
  std::vector<Mutant> mutants;
};

/// Reads all tables of a folder, in the order of their names. Throws std::runtime_error naming table and line for what
/// is no table.
[[nodiscard]] std::vector<File> read_tables(const std::string& folder);

/// One table's text.
[[nodiscard]] std::vector<File> parse(const std::string& table, const std::string& text);

/// The source with all of the file's mutants in it, each of which TAPESTRY_MUTANT=key switches on. Throws
/// std::runtime_error naming the mutant whose text is not there, or is not unique, or overlaps with another's.
[[nodiscard]] std::string with_mutants(const File& file, const std::string& source);

/// What a file holds. Throws std::runtime_error when it can't be read.
[[nodiscard]] std::string read_text(const std::string& path);

}  // namespace tapestry::mutants
