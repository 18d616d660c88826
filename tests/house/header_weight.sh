#!/bin/sh
# What including the public headers costs a user: lines after the preprocessor for each of them, and the time that
# compiling a first program takes. Prints both, and fails above the bounds below.
#   header_weight.sh SOURCE_FOLDER INCLUDE_FOLDER COMPILER PROGRAM
set -eu
source=$1 include=$2 compiler=$3 program=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Lines with g++ 12, whose <string> and <vector> are 32,700 of them: 37,000 for a tensor and 51,500 for everything when
# this was written. What would break a bound at once: <functional> 14,000, <memory> 14,000, <filesystem> 17,000.
bound_of() {
  case $1 in
    autograd/tensor.h) echo 45000 ;;
    *) echo 60000 ;;
  esac
}
too_heavy=0
cd "$source"
for header in tapestry.h $(find autograd ops nn datasets -name '*.h' | grep -vE '/(detail|kernels)/|^autograd/tapestry.h$'); do
  lines=$(echo "#include <tapestry/$header>" | "$compiler" -std=c++20 -I"$include" -E -x c++ - | wc -l)
  echo "$lines $(bound_of "$header") tapestry/$header"
done | sort -n >"$work/lines"
awk 'BEGIN { printf "%9s %9s\n", "lines", "at most" } { printf "%9d %9d  %s%s\n", $1, $2, $3, ($1 > $2 ? "  TOO HEAVY" : "") }' \
  "$work/lines"
awk '$1 > $2 { bad = 1 } END { exit bad }' "$work/lines" || too_heavy=1

# Seconds of the processor, not of the clock, the least of three runs; and as a multiple of what an almost empty
# program takes, so that the machine does not matter.
seconds_of() { # seconds_of FILE
  for run in 1 2 3; do
    times >"$work/before"
    "$compiler" -std=c++20 -O2 -I"$include" -c "$1" -o "$work/object.o"
    times >"$work/after"
    tail -q -n 1 "$work/before" "$work/after" | cut -d ' ' -f 1 |
      awk -F '[ms]' '{ t[NR] = 60 * $1 + $2 } END { print t[2] - t[1] }' >>"$work/runs"
  done
  sort -n "$work/runs" | head -n 1
  rm "$work/runs"
}
most_times=8
printf '#include <string>\n#include <vector>\nint main() {}\n' >"$work/reference.cpp"
printf '#include <tapestry/tapestry.h>\nint main() {}\n' >"$work/umbrella.cpp"
seconds_of "$work/reference.cpp" >"$work/reference"
seconds_of "$work/umbrella.cpp" >"$work/umbrella"
seconds_of "$program" >"$work/program"
paste "$work/reference" "$work/umbrella" "$work/program" | awk -v most=$most_times -v name="${program##*/}" '
  { printf "seconds to compile: %.2f with <string> and <vector>, %.2f with <tapestry/tapestry.h>, ", $1, $2
    printf "%.2f for %s (%.1f times the first, at most %d)\n", $3, name, $3 / $1, most
    exit ($3 > most * $1) }' || too_heavy=1
exit $too_heavy
