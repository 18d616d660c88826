#!/bin/sh
# Copies each small example into a folder of its own, compiles it there against an installed tapestry, with nothing but
# what pkg-config says, and runs it.
#
#   copied_out_test.sh EXAMPLES COMPILER PREFIX           against what is installed there
#   copied_out_test.sh EXAMPLES COMPILER CMAKE BUILD      installs a build into a folder of its own first
#
# Status 77: there is no pkg-config.
set -u
examples=$1
compiler=$2
lines_allowed=120  # what one reads in one go
command -v pkg-config >/dev/null 2>&1 || exit 77
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

prefix=$3
if [ $# -eq 4 ]; then
  prefix=$work/prefix
  "$3" --install "$4" --prefix "$prefix" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
fi
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name tapestry.pc)")
export PKG_CONFIG_PATH
flags=$(pkg-config --static --cflags --libs tapestry) || exit 1
LD_LIBRARY_PATH=$(pkg-config --variable=libdir tapestry)
export LD_LIBRARY_PATH

# try FILE: copies, compiles, runs; whatever is said goes to the file's log, which ends in "passed".
try() {
  name=$(basename "$1" .cpp)
  mkdir "$work/$name" && cp "$1" "$work/$name" && cd "$work/$name" || return 1
  {
    [ "$(wc -l <"$name.cpp")" -le $lines_allowed ] || { echo "longer than $lines_allowed lines"; return 1; }
    # Little optimisation: the library has been compiled, and an example only calls it.
    # shellcheck disable=SC2086  # a list of words
    "$compiler" -std=c++20 -O1 "$name.cpp" -o "$name" $flags || return 1
    ./"$name" </dev/null || return 1
    printf '\npassed\n'  # on a line of its own, also where a program ends in the middle of one
  } >"$work/$name.log" 2>&1
}

# Two at a time: a compiler needs a core and up to 1.5 GiB.
first=
failed=
check() { # check NAME: shows the log of an example that did not pass
  [ "$(tail -n 1 "$work/$1.log")" = passed ] && return
  failed="$failed $1"
  echo "--- $1"
  cat "$work/$1.log"
}
count=0
for file in "$examples"/quickstart.cpp "$examples"/[0-9]*.cpp; do
  name=$(basename "$file" .cpp)
  if grep -q '#include <boost/' "$file" && ! echo '#include <boost/test/included/unit_test.hpp>' | "$compiler" -E -x c++ - >/dev/null 2>&1; then
    echo "left out, there is no Boost.Test: $name"
    continue
  fi
  count=$((count + 1))
  try "$file" &
  if [ -z "$first" ]; then
    first=$name
  else
    wait
    check "$first"
    check "$name"
    first=
  fi
done
wait
[ -z "$first" ] || check "$first"
[ -z "$failed" ] || { echo "FAILED:$failed"; exit 1; }
echo "$count examples compiled and ran outside the repository"
