#!/usr/bin/env bash
# Runs our benchmarks and LibTorch's twins in turns, each alone in its process, and prints medians and their ratio.
# "Better layout" is whichever of NCHW and channels-last is faster for LibTorch.
#
#   tests/bench/compare.sh [--threads N] [--rounds N] [--budget SECONDS] [MODEL...]
set -euo pipefail
cd "$(dirname "$0")/../.."
. cmake/setup.sh

threads=$(nproc)
rounds=3
budget=2
models=()
while [ $# -gt 0 ]; do
  case $1 in
    --threads) threads=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --budget) budget=$2; shift 2 ;;
    -*) echo "compare.sh: flags are --threads, --rounds and --budget; got $1" >&2; exit 2 ;;
    *) models+=("$1"); shift ;;
  esac
done
[ ${#models[@]} -gt 0 ] || models=(lecture_cnn lecture_cnn_bn resnet20 resnet18)

build release bench_overhead bench_train_step torch_twins >/dev/null
bin=build/release/bin
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
export OMP_NUM_THREADS=$threads

for ((round = 0; round < rounds; ++round)); do
  echo "round $((round + 1)) of $rounds" >&2
  "$bin/bench_overhead" --threads 1 --json | sed 's/^/ours /' >>"$lines"
  "$bin/torch_overhead" --threads 1 --json | sed 's/^/torch /' >>"$lines"
  for model in "${models[@]}"; do
    "$bin/bench_train_step" --threads "$threads" --budget "$budget" --json "$model" | sed 's/^/ours /' >>"$lines"
    "$bin/torch_train_step" --threads "$threads" --budget "$budget" --json "$model" | sed 's/^/torch /' >>"$lines"
  done
done

awk -v threads="$threads" -v rounds="$rounds" '
  function field(key,   from) {  # the text or number behind "key":
    if (!match($0, "\"" key "\": *(\"[^\"]*\"|[-+.0-9e]+)")) return ""
    from = substr($0, RSTART, RLENGTH)
    sub(/^"[^"]*": */, "", from)
    gsub(/"/, "", from)
    return from
  }
  function median(list,   n, a, i, j, t) {
    n = split(list, a, " ")
    for (i = 2; i <= n; ++i) for (j = i; j > 1 && a[j] + 0 < a[j - 1] + 0; --j) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
  }
  $1 == "ours" && field("model") != "" && (field("name") == "step" || field("name") == "inference") {
    key = field("model") " " field("name"); ours[key] = ours[key] " " field("value"); unit[key] = "ms" }
  $1 == "ours" && field("tiny op") != "" {
    key = "tiny op " field("tiny op"); ours[key] = ours[key] " " field("value"); unit[key] = "ns" }
  $1 == "torch" && field("name") == "tiny op" {
    key = "tiny op " field("layout"); theirs[key, "NCHW"] = theirs[key, "NCHW"] " " field("value") }
  $1 == "torch" && field("name") != "tiny op" {
    key = field("name"); theirs[key, field("layout")] = theirs[key, field("layout")] " " field("value") }
  END {
    printf "%d threads, median of %d rounds\n", threads, rounds
    printf "%-28s %14s %14s %14s %16s\n", "", "tapestry", "LibTorch NCHW", "channels last", "LibTorch / ours"
    for (key in ours) {
      a = median(ours[key]); n = median(theirs[key, "NCHW"]); c = median(theirs[key, "channels last"])
      best = (c != "" && c > 0 && c < n) ? c : n
      printf "%-28s %11.4g %s %11.4g %s %11.4g %s %16.2f\n", key, a, unit[key], n, unit[key], c, unit[key], best / a | "sort"
    }
  }' "$lines"
