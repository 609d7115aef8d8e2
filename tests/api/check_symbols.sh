#!/usr/bin/env bash
# What the shared library exports: exactly the names of symbols.txt, and every function that a public header
# declares. unwritten.txt holds functions that are declared ahead of their code; it is gone when there are none.
# After an intended change: make symbols.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C
include=../../include
library=$BUILD/libthalweg.so

exported=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sort -u)
# The preprocessor drops comments and spells TW_API out; a declaration ends at its ';'.
declared=$(for header in "$include"/thalweg/*.h; do echo "#include <thalweg/${header##*/}>"; done |
  "${CC:-cc}" -std=c11 -E -P -I"$include" - | tr '\n' ' ' | tr ';' '\n' |
  sed -n 's/.*visibility("default"))*//p' | grep -o '\btw_[a-z0-9_]* *(' | tr -d ' (' | sort -u)
unwritten=$(comm -23 <(echo "$declared") <(echo "$exported"))

if [ "${1:-}" = --update ]; then
  echo "$exported" >symbols.txt
  if [ -n "$unwritten" ]; then echo "$unwritten" >unwritten.txt; else rm -f unwritten.txt; fi
  echo "tests/api: $(wc -l <symbols.txt) symbols, $(grep -c . <<<"$unwritten" || true) declared without code"
  exit 0
fi

bad=0
# same WHAT EXPECTED FOUND
same() {
  diff --label expected --label found -U0 <(echo "$2") <(echo "$3") && return
  echo "$1; if this is meant, 'make symbols' writes the list anew"
  bad=1
}
if other=$(grep -v '^tw_' <<<"$exported"); then
  echo "exported without the prefix tw_: $other"
  bad=1
fi
undeclared=$(comm -13 <(echo "$declared") <(echo "$exported"))
[ -z "$undeclared" ] || { echo "exported, but in no public header: $undeclared"; bad=1; }
same "libthalweg.so exports other names than tests/api/symbols.txt" "$(cat symbols.txt)" "$exported"
same "other functions are declared without code than tests/api/unwritten.txt says" \
  "$(cat unwritten.txt 2>/dev/null || true)" "$unwritten"
exit $bad
