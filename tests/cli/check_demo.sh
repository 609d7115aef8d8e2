#!/usr/bin/env bash
# LABELS: deep
# What the README promises of `make demo`: at most 5 epochs to a test accuracy of at least 0.91, and
# the files it leaves.
set -euo pipefail
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
log=$("$THALWEG" demo --out "$out")
last=$(tail -n 1 <<<"$log")
epochs=$(grep -c '^epoch [0-9]*/[0-9]*  loss' <<<"$log")
[[ $last =~ ^test\ accuracy\ ([01]\.[0-9]+)$ ]] || { echo "last line is '$last'"; exit 1; }
awk -v a="${BASH_REMATCH[1]}" 'BEGIN { exit !(a >= 0.91 && a <= 1) }' || { echo "$last: too low"; exit 1; }
[ "$epochs" -ge 1 ] && [ "$epochs" -le 5 ] || { echo "$epochs epochs"; exit 1; }
for file in weights.safetensors graph.dot graph.svg loss.svg; do
  [ -s "$out/$file" ] || { echo "$file is missing"; exit 1; }
done
echo "$last after $epochs epochs"
