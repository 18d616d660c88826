# What Doxygen is to read in place of our files. Pages and comments are written to be read as they are; this tells
# Doxygen what a reader sees:
#
#   - a comment right in front of a namespace is about the file; every header has a page;
#   - a comment in front of several declarations without a blank line between them is about all of them;
#   - constructors, assignments, comparisons and call operators without a comment are what the class's comment is about;
#   - names that explain themselves in the header have their sentence in glossary.txt;
#   - lines set in by two blanks or more are a table of shapes or code, to be shown as they stand;
#   - <tapestry/...> is a header, no tag of HTML;
#   - links to sections (#...) lead to the page, links to sources, which are no part of the site, are names.

BEGIN {
  while ((getline line < glossary) > 0) {
    if (line ~ /^(#|$)/) continue
    separator = index(line, ": ")
    meaning[substr(line, 1, separator - 1)] = substr(line, separator + 2)
  }
}

# --- pages

FILENAME ~ /\.md$/ {
  if ($0 ~ /^ *```/) fenced = !fenced
  if (!fenced && $0 !~ /^ *```/) {
    if ($0 ~ /^ *<!-- from /) next
    while (match($0, /\]\([A-Za-z0-9_.\/-]+\.md#[^)]*\)/)) {
      link = substr($0, RSTART, RLENGTH)
      sub(/#[^)]*/, "", link)
      $0 = substr($0, 1, RSTART - 1) link substr($0, RSTART + RLENGTH)
    }
    while (match($0, /\[[^]]*\]\((\.\.\/)?(examples|nn|ops|autograd|datasets|tests)\/[^)]*\)/)) {
      link = substr($0, RSTART, RLENGTH)
      sub(/\]\(.*/, "", link)
      $0 = substr($0, 1, RSTART - 1) "`" substr(link, 2) "`" substr($0, RSTART + RLENGTH)
    }
    gsub(/\\\|/, "\\&#124;")
  }
  print
  next
}

# --- headers

function depth_of(line) {
  match(line, /^ */)
  return RLENGTH
}

# The comment in block[1 ... lines], as Doxygen wants it.
function print_block(indentation,    i, text, is_code, is_list) {
  is_code = is_list = 0
  for (i = 1; i <= lines; ++i) {
    text = block[i]
    if (text ~ /^ *- /) is_list = 1
    if (text ~ /^ *$/) is_list = 0
    if (is_code && depth_of(text) <= 2) {  # a blank line is set in by nothing
      print indentation "/// \\endcode"
      is_code = 0
    } else if (!is_code && depth_of(text) > 2 && !is_list) {
      print indentation "/// \\code{.unparsed}"
      is_code = 1
    }
    print indentation "///" (is_code ? substr(text, 3) : untagged(text))
  }
  if (is_code) print indentation "/// \\endcode"
}

# Without what Doxygen would take for tags: <tapestry/ops/norm.h>, f<float>().
function untagged(text) {
  while (match(text, /<[A-Za-z][A-Za-z0-9_\/.]*>/)) {
    if (substr(text, RSTART, 10) == "<tapestry/") {
      text = substr(text, 1, RSTART - 1) substr(text, RSTART + 1, RLENGTH - 2) substr(text, RSTART + RLENGTH)
    } else {
      text = substr(text, 1, RSTART - 1) "&lt;" substr(text, RSTART + 1, RLENGTH - 2) "&gt;" substr(text, RSTART + RLENGTH)
    }
  }
  return text
}

# The name that a line declares: `Index dim = 0;`, `void step();`, `struct Options {`.
function declared(line) {
  sub(/^ *(\[\[nodiscard\]\] )?/, "", line)
  if (match(line, /operator *[^ (a-z]+/)) return substr(line, RSTART, RLENGTH)
  while (sub(/<[^<>]*>/, "", line)) continue
  if (line ~ /^(class|struct|enum class) /) {
    sub(/^(enum )?(class|struct) /, "", line)
    sub(/[ :;{].*/, "", line)
    return line
  }
  if (line ~ /^#define /) {
    sub(/^#define /, "", line)
    sub(/[ (].*/, "", line)
    return line
  }
  if (line ~ /^using /) {
    sub(/^using /, "", line)
    sub(/ .*/, "", line)
    return line
  }
  if (match(line, /^[^(=;{]*\(/)) line = substr(line, 1, RLENGTH - 1)
  else sub(/ *[=;{,].*/, "", line)
  sub(/.*[ *&]/, "", line)
  return line
}

# `Index h, w;`: several members with one meaning.
function are_several(line) { return line ~ /^ *[^ ]+ [a-z_]+( = [^,;(]+)?(, [a-z_]+( = [^,;(]+)?)+;/ }

# What the glossary says of a member of the innermost class, or of a class itself.
function explained(name,    key) {
  key = class_name[level] "::" name
  if (level > 0 && key in meaning) return meaning[key]
  if (name in meaning) return meaning[name]
  if (name ~ /Options$/) return meaning["*Options"]
  return ""
}

/^ *\/\/\/( |$)/ {
  if (!in_comment) lines = 0
  in_comment = 1
  indentation = substr($0, 1, depth_of($0))
  block[++lines] = substr($0, depth_of($0) + 4)
  next
}

{
  depth = depth_of($0)
  has_comment = in_comment
  if (in_comment) {
    if ($0 ~ /^namespace / && !has_file++) print indentation "/// \\file"
    print_block(indentation)
    if ($0 ~ /^namespace /) lines = 0
    block_depth = depth
    in_comment = 0
  }
  if ($0 ~ /^namespace / && !has_file++) print "/// \\file"
  if ($0 ~ /^ *$/) lines = 0  # the end of a paragraph
  if ($0 ~ /^extern template/) next  # of a template that has been explained
  if ($0 ~ /^ *template <.*>$/ && !has_comment && held == "") {
    held = $0  # what is said of it comes first
    next
  }
  is_explained = 0
  outer_level = level
  # A class begins; its members are set in by two.
  sub(/alignas\([0-9]+\) /, "")
  if (match($0, /^ *(template <.*> )?(class|struct) [A-Za-z0-9_]+/) && $0 ~ /\{$/) {
    name = substr($0, RSTART, RLENGTH)
    sub(/.* /, "", name)
    ++level
    class_name[level] = name
    class_depth[level] = depth
    starts_class = 1
  } else {
    starts_class = 0
  }
  continues = after_template
  after_template = $0 ~ /^ *template <.*>$/ || $0 ~ /^ *requires .*[^;{}]$/
  # Seen from outside: a class is a member of what it stands in.
  level_now = level
  level = outer_level
  member_depth = level > 0 ? class_depth[level] + 2 : 0
  is_start = depth == member_depth && $0 !~ /^ *($|[{}#\/]|public:|private:|protected:|template <.*>$|namespace|extern)/
  if ($0 ~ /^ *requires/ && held == "") is_start = 0
  if ($0 ~ /^#define TAPESTRY_/) is_start = 1
  if (is_start && $0 ~ /^ *using / && $0 !~ / = /) is_start = 0
  if (is_start && !has_comment && !continues && $0 !~ /\/\/\/</ && !(lines > 0 && block_depth == depth && !starts_class)) {
    text = explained(declared($0))
    is_explained = text != ""
    if (is_explained && !are_several($0)) print substr($0, 1, depth) "/// " text
  }
  level = level_now
  if (is_start && !is_explained && !starts_class && !has_comment && !continues && $0 !~ /\/\/\/</) {
    special = level > 0 && ($0 ~ ("^ *(explicit |constexpr |virtual )*~?" class_name[level] "\\(") || $0 ~ ("[ )]" class_name[level] "\\(") || $0 ~ /operator(\(\)|=|==)\(/)
    if (lines > 0 && block_depth == depth) print_block(substr($0, 1, depth))
    else if (special) print substr($0, 1, depth) "/// See the class."
  }
  if (held != "") print held
  held = ""
  if (!is_explained && match($0, /\/\/\/< /)) text = substr($0, RSTART + RLENGTH)
  if (level > 0 && are_several($0) && (is_explained || $0 ~ /\/\/\/</)) {
    sub(/; *\/\/\/<.*/, ";")
    match($0, /^ *[^ ]+ /)
    type = substr($0, 1, RLENGTH)
    count = split(substr($0, RLENGTH + 1), parts, ", ")
    for (i = 1; i <= count; ++i) {
      sub(/;$/, "", parts[i])
      print type parts[i] ";  ///< " text
    }
  } else if (match($0, /\/\/\/</)) {
    print substr($0, 1, RSTART - 1) substr($0, RSTART, 4) untagged(substr($0, RSTART + 4))
  } else {
    print
  }
  if (starts_class) lines = 0
  if (level > 0 && $0 ~ /^ *\};/ && depth == class_depth[level]) {
    --level
    lines = 0
  }
}
