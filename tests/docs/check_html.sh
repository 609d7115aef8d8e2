#!/usr/bin/env bash
# `make docs` makes a page of each text, and each link between pages leads to a page and a heading.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v cmark-gfm >/dev/null; then
    echo "skipped: cmark-gfm is missing"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/docs "$work" >/dev/null
failed=0 links=0
for page in docs/*.md; do [[ -s $work/$(basename "$page" .md).html ]]; done
# FILE <tab> LINK, once each
grep -roE '(href|src)="[^"]+"' "$work" --include='*.html' |
    sed -E 's/:(href|src)="/\t/; s/"$//' | sort -u >"$work/links"
while IFS=$'\t' read -r page link; do
    case $link in *://* | mailto:*) continue ;; esac
    links=$((links + 1))
    target=${link%%#*} anchor=
    [[ $link == *'#'* ]] && anchor=${link#*#}
    file=$(dirname "$page")/$target
    [[ $target ]] || file=$page
    if [[ ! -e $file ]]; then
        echo "${page#"$work"/}: '$link' leads nowhere" >&2
        failed=1
    elif [[ $anchor ]] && ! grep -qF "id=\"$anchor\"" "$file"; then
        echo "${page#"$work"/}: no heading '#$anchor' in ${file#"$work"/}" >&2
        failed=1
    fi
done <"$work/links"
((links > 100)) || { echo "only $links links found" >&2; failed=1; }
exit $failed
