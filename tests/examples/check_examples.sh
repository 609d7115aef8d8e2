#!/usr/bin/env bash
# Each example runs in an empty folder, and says by its exit code whether its result is right.
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0
for file in "$source"/examples/*.c; do
  name=$(basename "$file" .c)
  lines=$(wc -l <"$file")
  ((lines < 100)) || { echo "examples/$name.c has $lines lines; an example has fewer than 100"; bad=1; }
  grep -q "^- \[$name.c\]($name.c)" "$source/examples/README.md" || { echo "$name: no line in the README"; bad=1; }
  mkdir "$work/$name"
  cd "$work/$name"
  "$BUILD/examples/$name" >printed 2>&1 || { echo "examples/$name gives $?:"; tail -n 5 printed; bad=1; }
  tail -n 1 printed
done
exit $bad
