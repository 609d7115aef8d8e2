#!/usr/bin/env bash
# Applies the worked examples of CONTRIBUTING.md to a clean copy of the tree, counts the places that each
# touches (the hunks of its patch), and runs the sample tests of the operators that they add.
set -euo pipefail
cd "$(dirname "$0")/../.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
{
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard
    else
        find . \( -path ./build -o -path ./out \) -prune -o -type f -print0
    fi
} | while IFS= read -r -d '' file; do [[ ! -f $file ]] || printf '%s\0' "$file"; done |
    tar --null --files-from=- --create | tar --extract --directory "$copy"
cd "$copy"
git init -q . # a repository of its own, so that git apply takes paths from here

# The n-th ```diff block of the page.
block() {
    awk -v wanted="$1" '/^```diff$/ { n++; inside = n == wanted; next }
        /^```$/ { inside = 0 } inside' CONTRIBUTING.md
}

operators=()
apply() { # number of the block, what it is, most places
    block "$1" >patch
    local places name
    places=$(grep -c '^@@' patch) || { echo "CONTRIBUTING.md has no patch $1"; exit 1; }
    name=$(sed -n 's/^+ *\.name = "\([a-z0-9_]*\)",$/\1/p' patch)
    echo "$2: $name in $places places, at most $3 allowed"
    ((places <= $3)) && [[ $name =~ ^[a-z0-9_]+$ ]]
    git apply -C1 patch
    operators+=("$name")
}
apply 1 'the composite' 2
apply 2 'the primitive' 4

cmake -S . -B build -DCMAKE_BUILD_TYPE=Debug >/dev/null
cmake --build build --target ops_samples --parallel "$(nproc)" >log 2>&1 || { tail -n 30 log; exit 1; }
for name in "${operators[@]}"; do
    build/tests/ops_samples "$name"
done
