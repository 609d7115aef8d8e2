#!/usr/bin/env bash
# The programs that bench/compare runs, without peers: they speak the protocol of bench/harness.h, our
# products are oneDNN's, and a side whose numbers differ stops the comparison.
set -euo pipefail
build=${BUILD:-$PWD/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "$*" >&2
    exit 1
}

# --- One product by both; a vector times a matrix, and a batch.
cases='dot:1x8x16x4 dot:1x1x32x8 dot:3x4x5x6'
ask() { printf 'time dot:3x4x5x6 0.001\nmemory\n' | "$@" $cases; }
ask "$build/bench/bench_operators" 2 > "$work/ours"
OMP_NUM_THREADS=2 ask "$build/bench/bench_onednn" > "$work/onednn"
for side in ours onednn; do
    awk '$1 == "case" { cases++ } $1 == "check" { checks++ } $1 == "ready" { ready = 1 }
         ready && $1 == "seconds" && $2 > 0 { timed = 1 } ready && $1 == "peak_bytes" && $2 > 1e6 { peak = 1 }
         END { exit !(cases == 3 && checks == 15 && timed && peak) }' "$work/$side" ||
        fail "$side: $(cat "$work/$side")"
done
paste <(grep ^check "$work/ours") <(grep ^check "$work/onednn") |
    awk '{ d = $2 - $4; if (!(d * d < 1e-10)) exit 1 }' || fail "products differ"

# --- Expressions: every number is finite, and gelu of the least input, -4, is what it is known to be.
"$build/bench/bench_operators" 1 silu:64 gelu:64 tanh:64 softmax:4x8 < /dev/null > "$work/expressions"
awk '$1 == "case" { name = $2; n = 0 } $1 == "check" { n++
         if (!($2 >= -64 && $2 <= 64)) bad = 1
         if (name ~ /^gelu/ && n == 1 && !($2 < 0 && $2 > -2e-4)) bad = 1 }
     END { exit bad }' "$work/expressions" || fail "$(cat "$work/expressions")"

# --- The floor: a rate of multiply-adds, and of copies from 64 KiB to 256 MiB.
printf 'best flops 0.001\nbest copy:65536 0.001\nbest copy:268435456 0.001\n' | "$build/bench/bench_floor" 2 > "$work/floor"
awk '$1 == "case" { cases++ } $1 == "operator" { work += $3 + $4 > 1e6 } $1 == "seconds" { timed += $2 > 0 }
     END { exit !(cases == 14 && work == 14 && timed == 3) }' "$work/floor" || fail "floor: $(cat "$work/floor")"

# --- What is not known is refused.
! "$build/bench/bench_operators" 1 s:8 < /dev/null > /dev/null 2>&1 || fail "case s:8 was taken"
! echo nonsense | "$build/bench/bench_operators" 1 silu:8 > /dev/null 2>&1 || fail "nonsense was taken"

# --- A model trains: five losses, the last below the first.
training=$build/bench/bench_training
"$training" practice prepare "$work/file"
echo 'time practice 0.001' | "$training" practice run "$work/file" 2 > "$work/losses"
awk '$1 == "check" { n++; if (n == 1) first = $2; last = $2 } $1 == "seconds" { timed = 1 }
     END { exit !(n == 5 && last < first && timed) }' "$work/losses" || fail "$(cat "$work/losses")"

# --- The comparison: close numbers pass; far ones and NaN do not.
command -v python3 > /dev/null || exit 0
compare() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=bench python3 -c '
import sys, types, measure
sides = [types.SimpleNamespace(name=n, checks={"case": [float(v)]}) for n, v in zip("ab", sys.argv[1:])]
measure.compare_checks(sides, 1e-3)' "$@" 2> /dev/null
}
compare 1.0001 1 || fail "close numbers were refused"
! compare 1.01 1 || fail "far numbers were taken"
! compare nan 1 || fail "NaN was taken"
