#!/bin/sh
# Installs into a folder of its own, then builds and runs consumer/ through find_package and through pkg-config.
#   installed_test.sh CMAKE BUILD_FOLDER CONSUMER_FOLDER COMPILER
set -eu
cmake=$1 build=$2 consumer=$3 compiler=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/prefix" >"$work/log" || { cat "$work/log"; exit 1; }
check() { # check PROGRAM: says what it should
  "$1" >"$work/out"
  cat "$work/out"
  grep -q '^gradient of 216 weights$' "$work/out"
  grep -q '^conv2d: input has 4 channels, weight expects 3 (input \[2, 8, 8, 4\], weight \[8, 3, 3, 3\], groups 1)$' "$work/out"
  grep -q '^  at main.cpp:14' "$work/out"
}
"$cmake" -S "$consumer" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$compiler" \
  >"$work/log" 2>&1 && "$cmake" --build "$work/build" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
check "$work/build/consumer"
if command -v pkg-config >/dev/null 2>&1; then
  PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name tapestry.pc)")
  export PKG_CONFIG_PATH
  # shellcheck disable=SC2046  # a list of words
  "$compiler" -std=c++20 "$consumer/main.cpp" -o "$work/program" $(pkg-config --static --cflags --libs tapestry)
  check "$work/program"
fi
