// write_mutants SOURCES TABLES OUT: writes OUT/tapestry/... , the sources that the tables name with all their mutants,
// and OUT/tapestry_mutant.{h,cpp}, which ask the environment for the one to switch on.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "campaigns/mutants/table.h"

namespace {

namespace fs = std::filesystem;
using namespace tapestry::mutants;

/// Leaves a file alone that says the same already: nothing is compiled again for it.
void write(const fs::path& path, const std::string& text) {
  if (fs::exists(path) && read_text(path.string()) == text) return;
  fs::create_directories(path.parent_path());
  if (!(std::ofstream(path) << text)) throw std::runtime_error(path.string() + ": cannot be written");
}

constexpr const char* kHeader = R"(#pragma once
extern int tapestry_mutant_number;
inline bool tapestry_mutant(int number) { return number == tapestry_mutant_number; }
)";

std::string implementation(const std::vector<File>& files) {
  std::string rows;
  for (const File& file : files) {
    for (const Mutant& mutant : file.mutants) {
      rows += fmt::format("    {{R\"key({})key\", {}}},\n", mutant.key(), mutant.number());
    }
  }
  return fmt::format(R"(#include <tapestry_mutant.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
struct Mutant {{
  const char* key;
  int number;
}};
static const Mutant mutants[] = {{
{}}};
static int number_of(const char* wanted) {{
  if (wanted == nullptr) return 0;
  for (const Mutant& mutant : mutants) {{
    if (std::strcmp(mutant.key, wanted) == 0) return mutant.number;
  }}
  std::fprintf(stderr, "there is no mutant '%s'\n", wanted);
  std::_Exit(99);
}}
int tapestry_mutant_number = number_of(std::getenv("TAPESTRY_MUTANT"));
)",
                     rows);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: write_mutants SOURCES TABLES OUT\n", stderr);
    return 2;
  }
  try {
    const fs::path sources = argv[1], out = argv[3];
    const std::vector<File> files = read_tables(argv[2]);
    int wrong = 0;
    for (const File& file : files) {
      try {
        write(out / "tapestry" / file.path, with_mutants(file, read_text((sources / file.path).string())));
      } catch (const std::runtime_error& e) {
        std::fprintf(stderr, "%s\n", e.what());
        ++wrong;
      }
    }
    if (wrong > 0) return 1;
    write(out / "tapestry_mutant.h", kHeader);
    write(out / "tapestry_mutant.cpp", implementation(files));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "write_mutants: %s\n", e.what());
    return 1;
  }
}
