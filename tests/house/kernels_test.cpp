#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

/// What holds in ops/kernels beyond who includes whom.
BOOST_AUTO_TEST_SUITE(kernels_test)

namespace fs = std::filesystem;

namespace {

struct Line {
  std::string file;  ///< "ops/kernels/reduce.cpp"
  std::size_t number;
  std::string text;
};

/// All lines of sources and headers below a folder of the repository.
std::vector<Line> lines_of(const std::string& folder) {
  std::vector<Line> lines;
  const fs::path root = TAPESTRY_SOURCE_DIR;
  for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
    const auto extension = entry.path().extension();
    if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp")) continue;
    std::ifstream file(entry.path());
    std::string text;
    for (std::size_t number = 1; std::getline(file, text); ++number) {
      lines.push_back({fs::relative(entry.path(), root).string(), number, text});
    }
  }
  return lines;
}

/// The name of the tuning number that a line defines, or "": a constant that says how work is cut, or from where on
/// something pays.
std::string tuning_number(const std::string& line) {
  static const std::regex pattern(
      R"(constexpr\s+(?:Index|double|float|int|long|std::size_t|std::int64_t)\s+)"
      R"((k(?:\w*(?:Grain|Task|Block|Piece|Cost|Few|Most|Resident)|\w+(?:Below|Above|From|Depth))\w*))");
  std::smatch match;
  const bool is_derived = line.find("tuning::") != std::string::npos;
  return !is_derived && std::regex_search(line, match, pattern) ? match[1].str() : "";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_tuning_number_is_recognised) {
  BOOST_TEST(tuning_number("constexpr Index kGrain = 32 * 1024;") == "kGrain");
  BOOST_TEST(tuning_number("  static constexpr double kSmallestTask =") == "kSmallestTask");
  BOOST_TEST(tuning_number("constexpr Index kTaps = 9;") == "");
  BOOST_TEST(tuning_number("  constexpr Index kBlockBytes = 4 * tuning::kNormBlock;") == "");
  BOOST_TEST(tuning_number("  const Index grain = tuning::kGrain;") == "");
}

BOOST_AUTO_TEST_CASE(tuning_numbers_stand_in_tuning_h) {
  // What a matrix unit is not worth being woken for stands with it: that file includes nothing that others do.
  const std::vector<std::string> exceptions{"ops/kernels/gemm/microkernel_amx-inl.h kFewest"};
  std::string offenders;
  std::size_t found = 0;
  for (const Line& line : lines_of("ops")) {
    const std::string name = tuning_number(line.text);
    if (name.empty()) continue;
    ++found;
    if (line.file.ends_with("/tuning.h")) continue;
    if (std::find(exceptions.begin(), exceptions.end(), line.file + " " + name) != exceptions.end()) continue;
    offenders += line.file + ":" + std::to_string(line.number) + " defines " + name + "\n";
  }
  BOOST_TEST(offenders == "");
  BOOST_TEST(found > 20U);
}

BOOST_AUTO_TEST_CASE(every_tuning_number_has_a_reason) {
  for (const char* file : {"ops/kernels/base/tuning.h", "ops/kernels/gemm/tuning.h", "ops/kernels/conv2d/tuning.h"}) {
    std::ifstream in(fs::path(TAPESTRY_SOURCE_DIR) / file);
    std::string before, line;
    int numbers = 0;
    while (std::getline(in, line)) {
      if (line.starts_with("inline constexpr")) {
        ++numbers;
        const bool has_reason =
            before.starts_with("///") || before.starts_with("template") || before.starts_with("inline constexpr");
        BOOST_TEST(has_reason, file << ": " << line);
      }
      before = line;
    }
    BOOST_TEST(numbers > 5, file);
  }
}

BOOST_AUTO_TEST_CASE(switches_for_tests_are_included_by_tests_and_by_the_file_that_obeys) {
  std::string offenders;
  std::size_t found = 0;
  for (const char* folder : {"autograd", "ops", "nn", "datasets", "examples"}) {
    for (const Line& line : lines_of(folder)) {
      if (line.text.find("#include") == std::string::npos || line.text.find("testing.h") == std::string::npos) continue;
      ++found;
      if (line.file == "ops/kernels/gemm/microkernel_bf16.cpp") continue;
      offenders += line.file + ":" + std::to_string(line.number) + line.text + "\n";
    }
  }
  BOOST_TEST(offenders == "");
  BOOST_TEST(found == 1U);
}

BOOST_AUTO_TEST_CASE(which_convolution_is_taken_stands_in_one_file) {
  // The door is the one header of the room that ops include; the methods are named where they are chosen and run.
  std::string offenders;
  for (const Line& line : lines_of("ops")) {
    const bool in_room = line.file.starts_with("ops/kernels/conv2d/");
    const bool includes_room = line.text.find("#include <tapestry/ops/kernels/conv2d/") != std::string::npos;
    if (!in_room && includes_room && line.text.find("conv2d/select.h>") == std::string::npos) {
      offenders += line.file + ":" + std::to_string(line.number) + " " + line.text + "\n";
    }
    const bool may_name =
        line.file.starts_with("ops/kernels/conv2d/select.") || line.file.starts_with("ops/kernels/conv2d/conv2d.");
    if (!may_name && line.text.find("Conv2dMethod") != std::string::npos) {
      offenders += line.file + ":" + std::to_string(line.number) + " " + line.text + "\n";
    }
  }
  BOOST_TEST(offenders == "");
}

BOOST_AUTO_TEST_SUITE_END()
