#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

/// Who may include whom, read from the sources themselves. CMake's header verification adds that every public header
/// compiles alone.
BOOST_AUTO_TEST_SUITE(layering_test)

namespace fs = std::filesystem;

namespace {

struct Include {
  std::string file;  ///< "ops/relu.cpp"
  int line;
  std::string target;  ///< "tapestry/ops/relu.h"
  bool quoted;

  [[nodiscard]] std::string text() const {
    return file + ":" + std::to_string(line) + " includes " + (quoted ? '"' + target + '"' : '<' + target + '>') + "\n";
  }
};

/// All includes of sources and headers under one folder; subfolders too where asked for.
std::vector<Include> includes_of(const std::string& folder, bool recursive = false) {
  std::vector<Include> includes;
  const fs::path root = TAPESTRY_SOURCE_DIR;
  const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  const auto scan = [&](const fs::directory_entry& entry) {
    const auto extension = entry.path().extension();
    if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp")) return;
    std::ifstream file(entry.path());
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      std::smatch match;
      if (!std::regex_search(line, match, pattern)) continue;
      includes.push_back({fs::relative(entry.path(), root).string(), number, match[2], match[1] == "\""});
    }
  };
  if (!fs::exists(root / folder)) return includes;
  if (recursive) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) scan(entry);
  } else {
    for (const auto& entry : fs::directory_iterator(root / folder)) scan(entry);
  }
  return includes;
}

bool starts_with(const std::string& text, std::string_view with) { return text.rfind(with, 0) == 0; }
bool is_header(const Include& include) { return include.file.ends_with(".h"); }
bool is_ours(const Include& include) { return starts_with(include.target, "tapestry/"); }

/// Those that break a rule, one per line.
template <class Allowed>
std::string offenders(const std::vector<Include>& includes, const Allowed& allowed) {
  std::string text;
  for (const Include& include : includes) {
    if (!allowed(include)) text += include.text();
  }
  return text;
}

/// Includes only these of our folders.
auto only(std::vector<std::string> folders) {
  return [folders = std::move(folders)](const Include& include) {
    if (!is_ours(include)) return true;
    for (const std::string& folder : folders) {
      if (starts_with(include.target, "tapestry/" + folder)) return true;
    }
    return false;
  };
}

const std::vector<std::string> kPublicFolders{"autograd", "ops", "nn", "nn/optim", "nn/models", "datasets"};

}  // namespace

BOOST_AUTO_TEST_CASE(the_sources_are_found) {
  BOOST_TEST(includes_of("autograd").size() > 50U);
  BOOST_TEST(includes_of("ops").size() > 50U);
  BOOST_TEST(includes_of("ops/kernels").size() > 20U);
}

BOOST_AUTO_TEST_CASE(autograd_includes_no_other_folder) {
  // The umbrella lies here and is installed one level up; it is the one file that names all folders.
  BOOST_TEST(offenders(includes_of("autograd"), [](const Include& include) {
               return include.file == "autograd/tapestry.h" || only({"autograd/"})(include);
             }) == "");
}

BOOST_AUTO_TEST_CASE(ops_include_autograd_and_ops) {
  BOOST_TEST(offenders(includes_of("ops"), only({"autograd/", "ops/"})) == "");
}

BOOST_AUTO_TEST_CASE(headers_of_ops_show_no_kernel_and_no_tape) {
  BOOST_TEST(offenders(includes_of("ops"), [](const Include& include) {
               if (!is_header(include)) return true;
               return !starts_with(include.target, "tapestry/ops/kernels/") &&
                      include.target != "tapestry/autograd/node.h" && include.target != "tapestry/autograd/record.h";
             }) == "");
}

BOOST_AUTO_TEST_CASE(kernels_see_pointers_and_sizes) {
  BOOST_TEST(offenders(includes_of("ops/kernels"), only({"autograd/parallel.h", "autograd/dtype.h", "ops/kernels/"})) ==
             "");
}

BOOST_AUTO_TEST_CASE(kernels_for_newer_processors_are_sealed) {
  // What such a file compiles must not be shared with others: it includes plain data and intrinsics.
  BOOST_TEST(offenders(includes_of("ops/kernels"), [](const Include& include) {
               const bool sealed = starts_with(include.file, "ops/kernels/microkernel_avx512_") ||
                                   starts_with(include.file, "ops/kernels/microkernel_amx");
               if (include.file == "ops/kernels/pair_tile.h") return include.target == "cstdint";
               if (!sealed) return include.target != "immintrin.h";
               return include.target == "immintrin.h" || include.target == "tapestry/ops/kernels/pair_tile.h" ||
                      starts_with(include.target, "tapestry/ops/kernels/microkernel_avx512_") ||
                      starts_with(include.target, "tapestry/ops/kernels/microkernel_amx");
             }) == "");
}

BOOST_AUTO_TEST_CASE(nn_includes_ops_and_autograd_but_no_kernel) {
  BOOST_TEST(
      offenders(includes_of("nn", true), [](const Include& include) {
        return only({"autograd/", "ops/", "nn/"})(include) && !starts_with(include.target, "tapestry/ops/kernels/");
      }) == "");
}

BOOST_AUTO_TEST_CASE(datasets_include_autograd_only) {
  BOOST_TEST(offenders(includes_of("datasets"), only({"autograd/", "datasets/"})) == "");
}

BOOST_AUTO_TEST_CASE(public_headers_include_no_tbb_fmt_highway_or_stb) {
  for (const std::string& folder : kPublicFolders) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 if (!is_header(include)) return true;
                 for (const char* library : {"tbb/", "oneapi/", "fmt/", "hwy/", "stb"}) {
                   if (starts_with(include.target, library)) return false;
                 }
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(each_library_stays_in_its_place) {
  for (const std::string& folder : kPublicFolders) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 if (starts_with(include.target, "tbb/")) return include.file == "autograd/parallel.cpp";
                 if (starts_with(include.target, "hwy/")) return false;  // ops/kernels only, which is no public folder
                 if (starts_with(include.target, "stb")) return starts_with(include.file, "datasets/");
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(our_headers_are_spelled_with_their_prefix) {
  for (const char* folder : {"autograd", "ops", "nn", "datasets"}) {
    BOOST_TEST(offenders(includes_of(folder, true), [](const Include& include) {
                 if (include.quoted) return false;
                 for (const char* bare : {"autograd/", "ops/", "nn/", "datasets/", "kernels/"}) {
                   if (starts_with(include.target, bare)) return false;
                 }
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(every_header_begins_with_pragma_once) {
  for (const std::string& folder : kPublicFolders) {
    const fs::path path = fs::path(TAPESTRY_SOURCE_DIR) / folder;
    if (!fs::exists(path)) continue;
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      std::string line;
      std::getline(file, line);
      BOOST_TEST(line == "#pragma once", entry.path().string());
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
