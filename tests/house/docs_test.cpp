#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

/// The pages: what they show of C++ stands in a program or test that is compiled and run, and their links lead
/// somewhere. A block of C++ is announced by a line `<!-- from examples/05_custom_op.cpp -->` right before it.
BOOST_AUTO_TEST_SUITE(docs_test)

namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

const fs::path kRoot = TAPESTRY_SOURCE_DIR;

Lines lines_of(const fs::path& path) {
  std::ifstream file(path);
  Lines lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// README, CONTRIBUTING, CHANGELOG and docs/.
std::vector<fs::path> pages() {
  std::vector<fs::path> found;
  for (const char* folder : {"", "docs"}) {
    for (const auto& entry : fs::directory_iterator(kRoot / folder)) {
      if (entry.path().extension() == ".md") found.push_back(entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string name_of(const fs::path& page) { return fs::relative(page, kRoot).string(); }
bool starts_with(const std::string& text, std::string_view with) { return text.rfind(with, 0) == 0; }

/// Without the indentation that all lines share, and without blanks at their ends.
Lines dedented(Lines lines) {
  std::size_t indentation = std::string::npos;
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(" \t") + 1);
    if (!line.empty()) indentation = std::min(indentation, line.find_first_not_of(' '));
  }
  for (std::string& line : lines) {
    if (!line.empty()) line.erase(0, indentation);
  }
  return lines;
}

/// Whether `block` stands in `file` as consecutive lines.
bool occurs(const Lines& block, const Lines& file) {
  if (block.empty() || block.size() > file.size()) return false;
  const Lines wanted = dedented(block);
  const auto size = static_cast<std::ptrdiff_t>(block.size());
  for (auto at = file.begin(); file.end() - at >= size; ++at) {
    if (dedented(Lines(at, at + size)) == wanted) return true;
  }
  return false;
}

struct Block {
  int line;  ///< of its opening fence
  std::string language;
  std::string from;  ///< what the line before names; empty without such a line
  Lines text;
};

/// The fenced blocks of a page; fences may be indented, as in a list.
std::vector<Block> blocks_of(const Lines& page) {
  std::vector<Block> blocks;
  bool inside = false;
  std::string before;
  for (std::size_t i = 0; i < page.size(); ++i) {
    const auto start = page[i].find_first_not_of(' ');
    const std::string line = start == std::string::npos ? "" : page[i].substr(start);
    if (starts_with(line, "```")) {
      if (!inside) {
        Block block{static_cast<int>(i) + 1, line.substr(3), "", {}};
        const std::string mark = "<!-- from ";
        const auto end = before.find(" -->");
        if (starts_with(before, mark) && end != std::string::npos) {
          block.from = before.substr(mark.size(), end - mark.size());
        }
        blocks.push_back(block);
      }
      inside = !inside;
    } else if (inside) {
      blocks.back().text.push_back(page[i]);
    }
    before = line;
  }
  return blocks;
}

/// What GitHub makes of a heading: lower case, blanks as hyphens, other punctuation left out.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '_' || c == '-' || byte >= 0x80) anchor += static_cast<char>(std::tolower(byte));
    else if (c == ' ') anchor += '-';
  }
  return anchor;
}

std::set<std::string> anchors_of(const fs::path& page) {
  std::set<std::string> anchors;
  bool inside = false;
  for (const std::string& line : lines_of(page)) {
    if (starts_with(line, "```")) inside = !inside;
    const auto level = line.find_first_not_of('#');
    if (!inside && level > 0 && level != std::string::npos && line[level] == ' ') {
      anchors.insert(anchor_of(line.substr(level + 1)));
    }
  }
  return anchors;
}

struct Link {
  int line;
  std::string target;
};

/// Inline links and pictures outside code.
std::vector<Link> links_of(const Lines& page) {
  std::vector<Link> links;
  bool fenced = false;
  for (std::size_t i = 0; i < page.size(); ++i) {
    if (page[i].find("```") != std::string::npos) fenced = !fenced;
    if (fenced) continue;
    std::string text;  // the line without `code`
    bool code = false;
    for (const char c : page[i]) {
      if (c == '`') code = !code;
      else if (!code) text += c;
    }
    for (auto at = text.find("]("); at != std::string::npos; at = text.find("](", at + 2)) {
      const auto end = text.find(')', at);
      if (end != std::string::npos) links.push_back({static_cast<int>(i) + 1, text.substr(at + 2, end - at - 2)});
    }
  }
  return links;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_looks_for_blocks_finds_them) {
  const std::vector<Block> blocks =
      blocks_of({"<!-- from a.cpp -->", "```cpp", "int x;", "```", "", "  ```sh", "ls", "  ```"});
  BOOST_TEST_REQUIRE(blocks.size() == 2U);
  BOOST_TEST(blocks[0].from == "a.cpp");
  BOOST_TEST(blocks[0].language == "cpp");
  BOOST_TEST(blocks[1].from == "");
  BOOST_TEST(blocks[1].line == 6);
  const Lines file{"{", "  if (x) {", "", "    y();  ", "  }", "}"};
  BOOST_TEST(occurs({"if (x) {", "", "  y();", "}"}, file));
  BOOST_TEST(!occurs({"if (x) {", "  y();", "}"}, file));
  BOOST_TEST(!occurs({"if (x) {", "", "y();", "}"}, file));
  BOOST_TEST(!occurs({}, file));
  BOOST_TEST(anchor_of("Half the bits: bf16, f32") == "half-the-bits-bf16-f32");
  const std::vector<Link> links = links_of({"[a](b.md) and `[not](this)`, ![c](d.svg)", "```", "[no](code)", "```"});
  BOOST_TEST_REQUIRE(links.size() == 2U);
  BOOST_TEST(links[1].target == "d.svg");
}

BOOST_AUTO_TEST_CASE(every_block_of_cpp_stands_in_a_file_that_is_compiled_and_run) {
  int checked = 0;
  for (const fs::path& page : pages()) {
    for (const Block& block : blocks_of(lines_of(page))) {
      if (block.language != "cpp") continue;
      const std::string where = name_of(page) + ":" + std::to_string(block.line) + ": ";
      ++checked;
      if (block.from.empty()) {
        BOOST_ERROR(where + "no line <!-- from FILE --> right before this block");
        continue;
      }
      const bool is_run = starts_with(block.from, "examples/") || starts_with(block.from, "tests/docs/");
      BOOST_TEST(is_run, where + block.from + " is no example and no test of the pages");
      BOOST_TEST(occurs(block.text, lines_of(kRoot / block.from)),
                 where + "this block does not stand in " + block.from);
    }
  }
  BOOST_TEST(checked > 20);
}

BOOST_AUTO_TEST_CASE(links_lead_somewhere) {
  int checked = 0;
  for (const fs::path& page : pages()) {
    for (const Link& link : links_of(lines_of(page))) {
      if (link.target.find("://") != std::string::npos) continue;
      ++checked;
      const std::string where = name_of(page) + ":" + std::to_string(link.line) + ": ";
      const auto hash = link.target.find('#');
      const std::string file = link.target.substr(0, hash);
      const fs::path target = file.empty() ? page : page.parent_path() / file;
      BOOST_TEST(fs::exists(target), where + "there is no " + link.target);
      if (hash != std::string::npos && target.extension() == ".md") {
        BOOST_TEST(anchors_of(target).contains(link.target.substr(hash + 1)), where + "there is no " + link.target);
      }
    }
  }
  BOOST_TEST(checked > 20);
}

BOOST_AUTO_TEST_CASE(every_page_is_reached_from_the_readme) {
  std::set<std::string> linked;
  for (const Link& link : links_of(lines_of(kRoot / "README.md")))
    linked.insert(link.target.substr(0, link.target.find('#')));
  for (const fs::path& page : pages()) {
    if (name_of(page) != "README.md")
      BOOST_TEST(linked.contains(name_of(page)), "README.md has no link to " + name_of(page));
  }
}

BOOST_AUTO_TEST_CASE(examples_are_numbered_short_and_listed) {
  const Lines listing = lines_of(kRoot / "docs/getting_started.md");
  constexpr std::size_t lines_allowed = 120;  // what one reads in one go
  int examples = 0;
  for (const auto& entry : fs::directory_iterator(kRoot / "examples")) {
    if (entry.path().extension() != ".cpp") continue;
    ++examples;
    const std::string name = name_of(entry.path());
    BOOST_TEST(lines_of(entry.path()).size() <= lines_allowed, name);
    const bool is_listed = std::any_of(listing.begin(), listing.end(), [&](const std::string& line) {
      return line.find("../" + name) != std::string::npos;
    });
    BOOST_TEST(is_listed, "docs/getting_started.md does not list " + name);
  }
  BOOST_TEST(examples > 8);
}

BOOST_AUTO_TEST_SUITE_END()
