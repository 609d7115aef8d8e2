#!/usr/bin/env bash
# A build without LLVM: it says so, has no module, and its tests pass on the plain kernels.
# LABELS: deep
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$*"; exit 1; }
run() { "$@" >"$work/log" 2>&1 || { tail -n 40 "$work/log"; fail "$* failed"; }; }

run cmake -S "$source" -B "$work/build" -DTHALWEG_LLVM=OFF
grep -q 'Without LLVM' "$work/log" || fail "the configuration does not say that LLVM is missing"
tests=(codegen_machine_code codegen_generated runtime_program)
run cmake --build "$work/build" --parallel "$(nproc)" --target thalweg "${tests[@]}"
[ ! -e "$work/build/libthalweg-llvm.so" ] || fail "there is a module of LLVM"
for test in "${tests[@]}"; do
  (cd "$source" && THALWEG_CACHE=$work/cache run "$work/build/tests/$test")
done
THALWEG_CACHE=$work/cache run "$work/build/thalweg" graph mlp --program
[ ! -e "$work/cache" ] || fail "there is a cache of code"
