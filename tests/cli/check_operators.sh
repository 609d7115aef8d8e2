#!/usr/bin/env bash
# docs/operators.md is what `thalweg operators` prints.
set -euo pipefail

page=$(mktemp)
trap 'rm -f "$page"' EXIT
"$THALWEG" operators >"$page"
if ! diff -u docs/operators.md "$page" | head -40; then
    echo "docs/operators.md is not up to date: build/thalweg operators > docs/operators.md" >&2
    exit 1
fi
# Each name of the index has its section, which the command prints alone too.
while read -r name; do
    [[ $(grep -cx "### \`$name\`" "$page") == 1 ]] || { echo "no section $name" >&2; exit 1; }
done < <(grep -o '\](#[a-z0-9_]*)' "$page" | tr -d '](#)')
"$THALWEG" operators softmax | head -1 | grep -qx '### `softmax`'
