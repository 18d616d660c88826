#!/bin/sh
# Builds and runs a user's program whose project takes the library in by FetchContent, which is add_subdirectory.
#   subdirectory_test.sh CMAKE SOURCE_FOLDER BUILD_FOLDER COMPILER
set -eu
cmake=$1 source=$2 build=$3 compiler=$4
consumer=$source/tests/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$consumer/common.sh"

quietly configure "$consumer/subdirectory" "$work/build" -DFETCHCONTENT_SOURCE_DIR_TAPESTRY="$source"
quietly "$cmake" --build "$work/build"
check "$work/build/consumer"
quietly "$cmake" --install "$work/build" --prefix "$work/prefix"
[ -z "$(find "$work/prefix" -type f 2>/dev/null)" ] || fail "a part of another project installs nothing unless asked"
step "FetchContent"
