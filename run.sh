#!/usr/bin/env bash
# Sets everything up on a Debian machine, builds, and trains a convolutional network.
#
#   ./run.sh                      two epochs of lecture_cnn_bn on the embedded data set, about two minutes on two cores
#   ./run.sh --data DIR           on CIFAR-100 (the folder that holds cifar-100-binary/, or that folder itself)
#   ./run.sh --download           fetches CIFAR-100 into data/ first, then trains on it
#   ./run.sh --model resnet20 ... any flag of train_cifar100; ./run.sh --help lists them
set -euo pipefail
cd "$(dirname "$0")"
. cmake/setup.sh

args=()
download=
for arg in "$@"; do
  case $arg in
    --download) download=yes ;;
    --data | --data=*)
      args+=("$arg")
      data=given ;;
    *) args+=("$arg") ;;
  esac
done
if [ -n "$download" ] && [ -n "${data:-}" ]; then
  echo "run.sh: --download and --data exclude each other: --download fetches into data/" >&2
  exit 2
fi

# shellcheck disable=SC2086  # a list of words
install_packages $required_packages
build release train_cifar100
if [ -n "$download" ]; then
  say "Fetching CIFAR-100"
  cmake -DOUT="$PWD/data" -P cmake/get_cifar.cmake
  args+=(--data "$PWD/data")
fi
say "Training"
exec build/release/bin/train_cifar100 "${args[@]}"
