#!/usr/bin/env bash
# Sets everything up on a Debian machine, builds, and runs all tests.
#
#   ./test.sh                the release build, every public header alone, and all tests
#   ./test.sh --sanitizers   the same, then the tests under the address, undefined-behaviour and thread sanitizers
#
# Tests that need the real CIFAR-100 look for it in the folder that TAPESTRY_CIFAR100 names, and skip when it is unset.
set -euo pipefail
cd "$(dirname "$0")"
. cmake/setup.sh

sanitizers=
case ${1:-} in
  "") ;;
  --sanitizers) sanitizers=yes ;;
  *) echo "test.sh: the only flag is --sanitizers; got $1" >&2; exit 2 ;;
esac

started=$SECONDS
step_started=$SECONDS
minutes=()
done_with() { # done_with NAME: notes the time of a step
  minutes+=("$(printf '%-28s %5.1f min' "$1" "$(awk "BEGIN {print ($SECONDS - $step_started) / 60}")")")
  step_started=$SECONDS
}

# shellcheck disable=SC2086  # lists of words
install_packages $required_packages $test_packages
done_with packages

build release all all_verify_interface_header_sets
done_with "release build"
say "Tests (release)"
ctest --preset release -j "$(nproc)"
done_with "release tests"

if [ -n "$sanitizers" ]; then
  build asan tapestry_test_autograd tapestry_test_ops tapestry_test_ops_kernels tapestry_test_nn tapestry_test_datasets
  done_with "asan build"
  say "Tests (address and undefined-behaviour sanitizers)"
  ctest --preset asan -j "$(nproc)" -R '^(autograd|ops|ops_kernels|nn|datasets)/'
  done_with "asan tests"
  build tsan tapestry_test_autograd tapestry_test_ops tapestry_test_datasets
  done_with "tsan build"
  say "Tests (thread sanitizer)"
  # Where the kernel randomises addresses with 32 bits, the sanitizer cannot lay out its shadow memory.
  setarch -R ctest --preset tsan -j 1 -R '^autograd/|^ops/fusion|^datasets/loader'
  done_with "tsan tests"
fi

say "All passed, in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
printf '  %s\n' "${minutes[@]}"
