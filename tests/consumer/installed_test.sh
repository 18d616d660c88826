#!/bin/sh
# Installs the library from a copy of the sources, deletes copy and build, moves what was installed to another place,
# and builds and runs a user's program against that: with find_package, with pkg-config, and with the compiler alone.
#   installed_test.sh static|shared CMAKE SOURCE_FOLDER BUILD_FOLDER COMPILER
set -eu
variant=$1 cmake=$2 source=$3 build=$4 compiler=$5
consumer=$source/tests/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$consumer/common.sh"

case $variant in
  static) shared=OFF library=libtapestry.a ;;
  shared) shared=ON library=libtapestry.so ;;
esac
copy_sources
quietly configure "$work/source" "$work/build" -DBUILD_SHARED_LIBS=$shared \
  -DTAPESTRY_BUILD_TESTS=OFF -DTAPESTRY_BUILD_EXAMPLES=OFF
quietly "$cmake" --build "$work/build"
quietly "$cmake" --install "$work/build" --prefix "$work/first"
rm -rf "$work/source" "$work/build"
mv "$work/first" "$work/prefix"
prefix=$work/prefix
libraries=$(dirname "$(find "$prefix" -name $library)")
step "installed $variant, without sources"

# --- what lies there

find "$prefix" -type l | while read -r link; do
  case $(readlink "$link") in
    */*) fail "a link that may leave the prefix: $link -> $(readlink "$link")" ;;
  esac
done
strip -g "$libraries/$library"  # what a debugger reads may name sources
case $flags in
  *-fsanitize=*) ;;  # reports of sanitizers name sources
  *)
    found=$(grep -rlF -e "$source/" -e "$build/" -e "$work/source" -e "$work/build" -e "$work/first" "$prefix" || true)
    [ -z "$found" ] || fail "these name folders of the build: $found" ;;
esac
# Private headers lie in folders detail/ and kernels/; all others are installed, and none of those.
(cd "$source" && find autograd ops nn datasets -name '*.h' | grep -vE '/(detail|kernels)/' |
  sed 's|^autograd/tapestry.h$|tapestry.h|' | sort) >"$work/public"
(cd "$prefix/include/tapestry" && find . -type f | sed 's|^\./||' | sort) >"$work/installed"
diff "$work/public" "$work/installed" >"$work/log" || fail "installed headers (>) are not the public ones (<)"
if [ $variant = shared ]; then
  foreign=$(nm -D --defined-only "$libraries/$library" | grep -v ' _[A-Za-z0-9_]*8tapestry' | grep -v ' A ' || true)
  [ -z "$foreign" ] || fail "exported, and not of namespace tapestry: $foreign"
fi
script=$prefix/share/tapestry/get_cifar.cmake
if "$cmake" -P "$script" >"$work/log" 2>&1; then fail "get_cifar.cmake must ask for OUT"; fi
tr -s ' \n' ' ' <"$work/log" | grep -qF "cmake -DOUT=data -P $script" || fail "get_cifar.cmake must say how it is called"
step "the prefix holds what it should"

# --- find_package

quietly "$cmake" -S "$consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_BUILD_TYPE=Release
quietly "$cmake" --build "$work/consumer"
check "$work/consumer/consumer"
step "find_package"

# --- two files with all headers, in opposite order and in different modes; their dependencies are in the prefix

includes() { sed 's|.*|#include <tapestry/&>|' "$work/headers"; }
cp "$work/installed" "$work/headers"
{ includes; echo 'int sum_of_four();'; echo 'int main() { return sum_of_four() == 4 ? 0 : 1; }'; } >"$work/forward.cpp"
sort -r "$work/installed" >"$work/headers"
{ includes; echo 'int sum_of_four();'
  echo 'int sum_of_four() { return static_cast<int>(sum(tapestry::ones({2, 2})).item()); }'; } >"$work/backward.cpp"
compile() { # compile FILE FLAG...
  file=$1
  shift
  # shellcheck disable=SC2086  # a list of words
  quietly "$compiler" -std=c++20 $flags -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" "$@" -MD -MF "$work/$file.d" \
    -c "$work/$file.cpp" -o "$work/$file.o"
  if grep -F -e "$source/" -e "$build/" "$work/$file.d" >"$work/log"; then fail "a header from outside the prefix"; fi
}
compile forward -O0 -g -D_GLIBCXX_ASSERTIONS
compile backward -O2 -DNDEBUG
step "two files with all headers"

# --- the compiler alone, and pkg-config with and without --static

private=
if [ $variant = static ]; then
  private="-lfmt -lhwy"
  [ "$(cached TAPESTRY_PARALLEL)" != tbb ] || private="$private -ltbb"
fi
LD_LIBRARY_PATH=$libraries
export LD_LIBRARY_PATH
# shellcheck disable=SC2086  # lists of words
quietly "$compiler" $flags "$work/forward.o" "$work/backward.o" -L"$libraries" -ltapestry $private -o "$work/both"
"$work/both" || fail "two files with all headers: a sum of four ones is not 4"
if command -v pkg-config >/dev/null 2>&1; then
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name tapestry.pc)")
  export PKG_CONFIG_PATH
  # shellcheck disable=SC2046,SC2086  # lists of words
  quietly "$compiler" -std=c++20 $flags -c "$consumer/main.cpp" -o "$work/main.o" $(pkg-config --cflags tapestry)
  for static in "" --static; do
    # shellcheck disable=SC2046,SC2086  # lists of words
    quietly "$compiler" $flags "$work/main.o" $(pkg-config $static --libs tapestry) -o "$work/program"
    check "$work/program"
  done
  step "pkg-config"
fi
