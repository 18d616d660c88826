#!/usr/bin/env bash
# Runs our benchmarks and LibTorch's twins in turns, each alone in its process, and prints medians and the median of the
# ratios of neighbouring runs. The order of the two changes every round (A B, B A, A B, ...), so that a machine that
# becomes slower or faster favours nobody. Ratios are LibTorch / ours, with whichever of LibTorch's image layouts has
# the smaller median; in brackets the smallest and the largest.
#
# LibTorch gets its best: OpenBLAS, a heap that keeps its memory in huge pages (glibc gives large tensors back to the
# system at once, and faults on fresh pages then take longer than most ops), and its own choice of threads' waiting.
#
#   tests/bench/compare.sh [FLAGS] [MODEL...]
#     --threads N       of both sides (default: all CPUs; tiny ops always use one)
#     --rounds N        runs of each side (default 3)
#     --budget SECONDS  of repetitions per measured time of a model; a tenth of it per op (default 2)
#     --all             also memory_bound, gemm, conv and derivatives
#     --bf16            models also under autocast to bf16 on both sides, and with our f32 at high and medium precision,
#                       whose ratio is to LibTorch's f32
#     --default-heap    LibTorch on the heap that its users get
#     --busy            run although other processes use the CPUs
set -euo pipefail
cd "$(dirname "$0")/../.."
. cmake/setup.sh

fail() { echo "compare.sh: $1" >&2; exit "${2:-2}"; }

threads=$(nproc)
rounds=3
budget=2
all=false
heap=steady
busy=false
precisions=()
models=()
while [ $# -gt 0 ]; do
  case $1 in
    --threads | --rounds | --budget)
      [ $# -gt 1 ] || fail "$1 needs a value"
      case $1 in --budget) digits=0-9. ;; *) digits=0-9 ;; esac
      case $2 in '' | 0 | *[!$digits]* | *.*.*) fail "$1 must be a number above 0; got $2" ;; esac
      printf -v "${1#--}" %s "$2"
      shift 2 ;;
    --all) all=true; shift ;;
    --bf16) precisions+=(--bf16); shift ;;
    --default-heap) heap=default; shift ;;
    --busy) busy=true; shift ;;
    -*) fail "flags are --threads, --rounds, --budget, --all, --bf16, --default-heap and --busy; got $1" ;;
    *) models+=("$1"); shift ;;
  esac
done
[ ${#models[@]} -gt 0 ] || models=(lecture_cnn lecture_cnn_bn mlp vgg16_bn resnet20 resnet18)

# busy_cpus: how many CPUs were busy on average during two seconds in which we do nothing.
busy_cpus() {
  { head -1 /proc/stat; sleep 2; head -1 /proc/stat; } | awk -v cpus="$(nproc)" '
    { idle = $5 + $6; total = 0; for (i = 2; i <= 9; ++i) total += $i }
    NR == 1 { idle0 = idle; total0 = total }
    NR == 2 && total != total0 { printf "%.2f", cpus * (1 - (idle - idle0) / (total - total0)) }'
}

build release bench_overhead bench_train_step bench_memory_bound bench_gemm bench_conv bench_derivatives torch_twins >/dev/null
bin=build/release/bin
[ -x "$bin/torch_train_step" ] || fail "there is no LibTorch to compare with; Debian has it as libtorch-dev" 1

# Debian's LibTorch takes whatever BLAS is installed. The reference implementation is a teaching text, 30 times slower
# than any that people compute with.
blas=$(ldd "$bin/torch_gemm" | awk '$1 ~ /^libblas\.so/ { print $3 }')
blas=$(readlink -f "${blas:-/}")
case $blas in
  */blas/* | */libblas/*)
    fail "LibTorch would multiply with the reference BLAS, $blas; please: apt-get install libopenblas0-openmp" 1 ;;
esac
# OpenBLAS 0.3.21 does not know AMD's processors with AVX-512 and takes kernels for AVX2.
if grep -q AuthenticAMD /proc/cpuinfo && grep -qw avx512f /proc/cpuinfo; then
  export OPENBLAS_CORETYPE=${OPENBLAS_CORETYPE:-SkylakeX}
fi
steady_heap=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184
steady_heap+=:glibc.malloc.top_pad=268435456:glibc.malloc.hugetlb=1

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

# pair ROUND BENCHMARK ARGUMENTS: one run of each side.
pair() {
  local round=$1 name=$2 side
  shift 2
  local order=(ours theirs)
  [ $((round % 2)) -eq 1 ] || order=(theirs ours)
  for side in "${order[@]}"; do
    if [ "$side" = ours ]; then "$bin/bench_$name" --json "$@"
    elif [ $heap = steady ]; then GLIBC_TUNABLES=$steady_heap "$bin/torch_$name" --json "$@"
    else "$bin/torch_$name" --json "$@"
    fi | sed "s/^/$side $name $round /" >>"$lines"
  done
}

others=$(busy_cpus)
if ! $busy && awk -v busy="$others" 'BEGIN { exit !(busy > 0.05) }'; then
  fail "other processes keep $others CPUs busy, and times would be theirs too; --busy runs all the same" 1
fi
small=$(awk -v budget="$budget" 'BEGIN { print budget / 10 }')
for ((round = 1; round <= rounds; ++round)); do
  echo "round $round of $rounds" >&2
  pair "$round" overhead --threads 1 --budget "$small"
  for model in "${models[@]}"; do
    pair "$round" train_step --threads "$threads" --budget "$budget" "${precisions[@]}" "$model"
  done
  if $all; then
    for name in memory_bound gemm conv; do pair "$round" "$name" --threads "$threads" --budget "$small"; done
    pair "$round" derivatives --threads "$threads" --budget "$budget"
  fi
done

echo "$(grep -m1 -o 'LibTorch [0-9.]*' "$lines") with $blas, $heap heap; $(grep -m1 'model name' /proc/cpuinfo |
  sed 's/.*: //'), $threads threads; $others other CPUs busy at first; $rounds rounds"
awk '
  # The text or number behind "key", taken off the line.
  function take(key,   value) {
    if (!match($0, "\"" key "\": *(\"[^\"]*\"|[-+.0-9e]+)(, )?")) return ""
    value = substr($0, RSTART, RLENGTH)
    $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
    sub(/^"[^"]*": */, "", value)
    sub(/, $/, "", value)
    gsub(/"/, "", value)
    return value
  }
  # Sorts the words of a list into the array a; returns how many there are.
  function sorted(list, a,   n, i, j, t) {
    n = split(list, a, " ")
    for (i = 2; i <= n; ++i) {
      for (j = i; j > 1 && a[j] + 0 < a[j - 1] + 0; --j) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    }
    return n
  }
  function median(list,   n, a) {
    n = sorted(list, a)
    if (n == 0) return ""
    return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
  }
  function number(value) { return value == "" ? "" : sprintf("%.4g", value) }

  {
    side = $1; benchmark = $2; round = $3
    value = take("value"); unit = take("unit"); layout = take("layout"); precision = take("precision")
    what = take("name"); take("threads"); take("library")
    if (unit != "ms" && unit != "ns" && unit != "MiB") next  # rates say the same again

    # What is left are the fields of the case.
    label = ""
    while (match($0, /"[^"]*": *"[^"]*"/)) {
      field = substr($0, RSTART, RLENGTH)
      $0 = substr($0, RSTART + RLENGTH)
      key = field; sub(/^"/, "", key); sub(/".*/, "", key)
      sub(/^"[^"]*": *"/, "", field); sub(/"$/, "", field)
      label = label (label == "" ? "" : ", ") (key == "batch" ? "batch " : "") field
    }
    if (precision != "" && precision != "f32") label = label ", " precision
    if (what != "time") label = label ", " what
    label = benchmark "\t" label "\t" unit
    if (side == "ours") {
      if (!(label in ours)) order[++count] = label
      ours[label] = ours[label] " " value
      our[label, round] = value
    } else {
      if (layout == "any") layout = "NCHW"  # no image is involved: one column is enough
      theirs[label, layout] = theirs[label, layout] " " value
      its[label, layout, round] = value
      rounds = round > rounds + 0 ? round : rounds
    }
  }
  END {
    for (i = 1; i <= count; ++i) {
      label = order[i]
      split(label, part, "\t")
      peer = label
      sub(/, f32 (high|medium)/, "", peer)  # LibTorch has nothing of the kind
      nchw = median(theirs[peer, "NCHW"])
      last = median(theirs[peer, "channels last"])
      if (nchw == "" && last == "") continue  # what only we measure
      best = nchw == "" || (last != "" && last + 0 < nchw + 0) ? "channels last" : "NCHW"
      ratios = ""
      for (round = 1; round <= rounds; ++round) {
        if (our[label, round] > 0) ratios = ratios " " its[peer, best, round] / our[label, round]
      }
      n = sorted(ratios, a)
      if (part[1] != section) {
        section = part[1]
        printf "\n%-60s %4s %10s %10s %14s %8s\n", section, "", "tapestry", "NCHW", "channels last", "ratio"
      }
      printf "%-60s %4s %10s %10s %14s %8.2f  (%.2f ... %.2f)\n", part[2], part[3], number(median(ours[label])),
        number(nchw), number(last), median(ratios), a[1], a[n]
    }
  }' "$lines"
