#!/usr/bin/env bash
# The README's program compiles as it stands, without a warning.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md)
[[ $program == *'int main(void)'* ]]
"${CC:-cc}" -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only -x c - <<<"$program"
