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

/// All includes of sources and headers under one folder, its subfolders included.
std::vector<Include> includes_of(const std::string& folder) {
  std::vector<Include> includes;
  const fs::path root = TAPESTRY_SOURCE_DIR;
  const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const auto extension = entry.path().extension();
    if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp")) continue;
    std::ifstream file(entry.path());
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      std::smatch match;
      if (!std::regex_search(line, match, pattern)) continue;
      includes.push_back({fs::relative(entry.path(), root).string(), number, match[2], match[1] == "\""});
    }
  }
  return includes;
}

bool starts_with(const std::string& text, std::string_view with) { return text.rfind(with, 0) == 0; }
bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }
bool is_header(const Include& include) { return include.file.ends_with(".h"); }

/// Private by its place: in a folder detail/, or a kernel. Neither is installed.
bool is_private(std::string_view path) { return contains(path, "/detail/") || contains(path, "/kernels/"); }
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

const std::vector<std::string> kFolders{"autograd", "ops", "nn", "datasets"};

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

BOOST_AUTO_TEST_CASE(autograd_stands_on_memory_and_memory_on_base) {
  BOOST_TEST(offenders(includes_of("autograd/base"), only({"autograd/base/"})) == "");
  BOOST_TEST(offenders(includes_of("autograd/memory"), only({"autograd/base/", "autograd/memory/"})) == "");
}

BOOST_AUTO_TEST_CASE(ops_include_autograd_and_ops) {
  BOOST_TEST(offenders(includes_of("ops"), only({"autograd/", "ops/"})) == "");
}

BOOST_AUTO_TEST_CASE(headers_of_ops_show_no_tape) {
  BOOST_TEST(offenders(includes_of("ops"), [](const Include& include) {
               if (!is_header(include) || is_private(include.file)) return true;
               return include.target != "tapestry/autograd/node.h" && include.target != "tapestry/autograd/record.h";
             }) == "");
}

BOOST_AUTO_TEST_CASE(public_headers_include_no_private_one) {
  for (const std::string& folder : kFolders) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 return !is_header(include) || is_private(include.file) || !is_private(include.target);
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(what_is_private_is_included_by_its_own_room_only) {
  // autograd/memory/detail/arena.h belongs to autograd/memory; kernels belong to ops.
  for (const std::string& folder : kFolders) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 for (const char* mark : {"/detail/", "/kernels/"}) {
                   const auto at = include.target.find(mark);
                   if (at == std::string::npos) continue;
                   const std::string room = include.target.substr(9, at - 9 + 1);  // behind "tapestry/"
                   if (!starts_with(include.file, room)) return false;
                 }
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(kernels_see_pointers_and_sizes) {
  BOOST_TEST(offenders(includes_of("ops/kernels"), only({"autograd/base/", "autograd/memory/", "ops/kernels/"})) == "");
}

BOOST_AUTO_TEST_CASE(kernels_for_newer_processors_are_sealed) {
  // What such a file compiles must not be shared with others: it includes plain data and intrinsics.
  BOOST_TEST(offenders(includes_of("ops/kernels"), [](const Include& include) {
               const bool sealed = starts_with(include.file, "ops/kernels/gemm/microkernel_avx512_") ||
                                   starts_with(include.file, "ops/kernels/gemm/microkernel_amx");
               if (include.file == "ops/kernels/simd/pair.h") return include.target == "cstdint";
               if (include.file == "ops/kernels/gemm/pair_tile.h") {
                 return include.target == "cstdint" || include.target == "tapestry/ops/kernels/simd/pair.h";
               }
               if (!sealed) return include.target != "immintrin.h";
               return include.target == "immintrin.h" || include.target == "tapestry/ops/kernels/gemm/pair_tile.h" ||
                      starts_with(include.target, "tapestry/ops/kernels/gemm/microkernel_avx512_") ||
                      starts_with(include.target, "tapestry/ops/kernels/gemm/microkernel_amx");
             }) == "");
}

BOOST_AUTO_TEST_CASE(nn_includes_ops_and_autograd_but_no_kernel_and_no_training) {
  BOOST_TEST(offenders(includes_of("nn"), [](const Include& include) {
               if (starts_with(include.file, "nn/train/")) return true;
               return only({"autograd/", "ops/", "nn/"})(include) &&
                      !starts_with(include.target, "tapestry/ops/kernels/") &&
                      !starts_with(include.target, "tapestry/nn/train/");
             }) == "");
}

BOOST_AUTO_TEST_CASE(training_stands_on_all_the_rest) {
  BOOST_TEST(includes_of("nn/train").size() > 50U);
  BOOST_TEST(offenders(includes_of("nn/train"), [](const Include& include) {
               return only({"autograd/", "ops/", "nn/", "datasets/"})(include) &&
                      !starts_with(include.target, "tapestry/ops/kernels/");
             }) == "");
}

BOOST_AUTO_TEST_CASE(datasets_include_autograd_only) {
  BOOST_TEST(offenders(includes_of("datasets"), only({"autograd/", "datasets/"})) == "");
}

BOOST_AUTO_TEST_CASE(public_headers_include_no_tbb_fmt_highway_json_or_stb) {
  for (const std::string& folder : kFolders) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 if (!is_header(include) || is_private(include.file)) return true;
                 for (const char* library : {"tbb/", "oneapi/", "fmt/", "hwy/", "nlohmann/", "stb"}) {
                   if (starts_with(include.target, library)) return false;
                 }
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(each_library_stays_in_its_place) {
  for (const std::string& folder : kFolders) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 if (starts_with(include.target, "tbb/")) return include.file == "autograd/base/parallel_tbb.cpp";
                 if (starts_with(include.target, "hwy/")) return starts_with(include.file, "ops/kernels/");
                 if (starts_with(include.target, "fmt/")) return !is_header(include);
                 if (starts_with(include.target, "nlohmann/"))
                   return starts_with(include.file, "nn/") && !is_header(include);
                 if (starts_with(include.target, "stb")) return include.file == "datasets/image_file.cpp";
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(our_headers_are_spelled_with_their_prefix) {
  for (const char* folder : {"autograd", "ops", "nn", "datasets"}) {
    BOOST_TEST(offenders(includes_of(folder), [](const Include& include) {
                 if (include.quoted) return false;
                 for (const char* bare : {"autograd/", "ops/", "nn/", "datasets/", "kernels/"}) {
                   if (starts_with(include.target, bare)) return false;
                 }
                 return true;
               }) == "");
  }
}

BOOST_AUTO_TEST_CASE(every_header_begins_with_pragma_once) {
  for (const std::string& folder : kFolders) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(TAPESTRY_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".h" || entry.path().stem().string().ends_with("-inl"))
        continue;  // read once per target
      std::ifstream file(entry.path());
      std::string line;
      std::getline(file, line);
      BOOST_TEST(line == "#pragma once", entry.path().string());
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
