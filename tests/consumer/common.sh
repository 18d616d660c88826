# For the tests of this folder, which source it and set: cmake source build compiler consumer work

fail() {
  echo "FAILED: $*"
  cat "$work/log" 2>/dev/null
  exit 1
}
# quietly COMMAND...: what it prints is shown when it fails.
quietly() { "$@" >"$work/log" 2>&1 || fail "$*"; }
begun=$(date +%s)
step() { echo "$(($(date +%s) - begun)) s: $*"; }

# cached NAME: a setting of the build under test.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
flags=$(cached CMAKE_CXX_FLAGS)

# The sources without what was built or downloaded.
copy_sources() {
  mkdir "$work/source"
  tar -C "$source" --exclude=./build --exclude=./data --exclude=./runs --exclude=./.git -cf - . |
    tar -C "$work/source" -xf -
}
# configure SOURCE BUILD OPTION...: as the build under test, whose objects are used again.
configure() {
  from=$1
  to=$2
  shift 2
  "$cmake" -S "$from" -B "$to" -G "$(cached CMAKE_GENERATOR)" -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_CXX_FLAGS="$flags" \
    -DCMAKE_CXX_COMPILER_LAUNCHER="sh;$consumer/reuse_object.sh;$build" \
    -DCMAKE_BUILD_TYPE="$(cached CMAKE_BUILD_TYPE)" -DTAPESTRY_PARALLEL="$(cached TAPESTRY_PARALLEL)" "$@"
}

check() { # check PROGRAM: the consumer says what it should
  "$1" >"$work/log" || fail "$1: exit status"
  grep -q '^gradient of 216 weights$' "$work/log" || fail "$1: no gradient"
  grep -qF 'conv2d: input has 4 channels, weight expects 3 (input [2, 8, 8, 4], weight [8, 3, 3, 3], groups 1)' \
    "$work/log" || fail "$1: no error"
  grep -q '^  at main.cpp:14' "$work/log" || fail "$1: the error does not name the user's line"
}
