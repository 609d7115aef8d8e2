#!/usr/bin/env bash
# What README.md and docs/*.md show is true. The word after a block's language says how it is checked:
#
#   c            a whole file: compiles as C11 without a warning
#   c fragment   statements: compile in a function that has the names of prelude() below
#   c run        a whole program: runs; an `output` block after it is what it prints
#   cpp          statements that use `context`: compile as C++17
#   sh           `thalweg` commands: the command and its options are in --help
#   sh quick     the same, and they run
#   python       compiles
#   c peers, python peers   run where Python has PyTorch, one after the other in one folder; else
#                           they compile
#
# Relative links lead somewhere, and the man page names exactly what --help does.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD build=${BUILD:-$PWD/build}
thalweg=${THALWEG:-$build/thalweg}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
    echo "$*" >&2
    failed=1
}

# --- Blocks: FILE:LINE.KIND in $work/blocks, an output block beside its program.
mkdir "$work/blocks"
for page in README.md CONTRIBUTING.md docs/*.md; do
    awk -v stem="$work/blocks/$(basename "$page" .md)" '
        !inside && /^```[a-z]/ {
            kind = substr($0, 4); gsub(" ", "-", kind)
            inside = 1
            if (kind == "output") file = last ".output"
            else file = last = sprintf("%s:%05d.%s", stem, NR, kind)
            printf "" > file
            next
        }
        /^```/ { if (inside) close(file); else plain = !plain; inside = 0; next }
        inside { print > file }' "$page"
done

prelude() {
    printf '#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n'
    printf '#include <thalweg/thalweg.h>\n'
}
fragment() { # the names that a fragment may use
    prelude
    printf 'void fragment(tw_context *c, tw_store *vars, tw_graph *g, tw_program *step, tw_jit *jit,\n'
    printf '              tw_value x, tw_value y, tw_value loss, tw_value labels, tw_tensor **in,\n'
    printf '              tw_tensor **out, tw_function model, tw_loader *loader);\n'
    printf 'void fragment(tw_context *c, tw_store *vars, tw_graph *g, tw_program *step, tw_jit *jit,\n'
    printf '              tw_value x, tw_value y, tw_value loss, tw_value labels, tw_tensor **in,\n'
    printf '              tw_tensor **out, tw_function model, tw_loader *loader) {\n'
    printf '(void)c; (void)vars; (void)g; (void)step; (void)jit; (void)x; (void)y; (void)loss;\n'
    printf '(void)labels; (void)in; (void)out; (void)model; (void)loader;\n{\n#line 1\n'
    cat "$1"
    printf '\n}}\n'
}

flags=(-std=c11 -Wall -Wextra -Werror -Wno-unused-variable -Wno-unused-but-set-variable -Iinclude -x c)
sanitize=$(sed -n 's/^THALWEG_SANITIZE:.*=\(..*\)/-fsanitize=\1/p' "$build/CMakeCache.txt" 2>/dev/null || true)
compiler=${CC:-cc}

# Words are equal, or numbers that agree to 1 in 500.
same() {
    paste -d $'\001' "$1" "$2" | awk -F $'\001' '
        { n = split($1, a, /[ \t]+/); m = split($2, b, /[ \t]+/); if (n != m) exit 1
          for (i = 1; i <= n; i++) {
              if (a[i] == b[i]) continue
              if (a[i] !~ /^[-+.0-9e]+$/ || b[i] !~ /^[-+.0-9e]+$/) exit 1
              d = a[i] - b[i]; if (d < 0) d = -d; s = b[i] < 0 ? -b[i] : b[i]
              if (d > 0.002 * (s > 1 ? s : 1)) exit 1
          } }'
}

run_program() { # block, where
    "$compiler" "${flags[@]}" $sanitize "$1" -x none -o "$work/program" "-L$build" -lthalweg \
        "-Wl,-rpath,$build" -lm || { fail "$2: does not compile"; return; }
    (cd "$work" && timeout 120 ./program) >"$work/printed" || { fail "$2: the program failed"; return; }
    [[ -f $1.output ]] || return 0
    same "$1.output" "$work/printed" && return 0
    fail "$2: the program prints something else:"
    diff "$1.output" "$work/printed" >&2 || true
}

# --- Commands: each word of --help is an option of its command.
"$thalweg" --help >"$work/help"
check_command() { # where, command, words...
    local where=$1 command=$2 word
    shift 2
    [[ $command == -* || $command == help ]] && return 0
    grep -Eq "^  $command( |$)" "$work/help" || { fail "$where: no command '$command'"; return; }
    [[ -f $work/help.$command ]] || "$thalweg" "$command" --help >"$work/help.$command"
    for word; do
        [[ $word == --* ]] || continue
        grep -q -- "${word%%=*}\b" "$work/help.$command" || fail "$where: '$command' has no option '$word'"
    done
}

check_commands() { # block, where, quick
    local line words
    while IFS= read -r line; do
        line=${line%%#*}
        [[ $line =~ ^(build/)?thalweg\ (.*) ]] || continue
        read -ra words <<<"${BASH_REMATCH[2]%%[|>]*}"
        check_command "$2" "${words[@]}"
    done <"$1"
    [[ $3 ]] || return 0
    (cd "$work" && PATH=$(dirname "$thalweg"):$PATH bash -euo pipefail "$1" >/dev/null) ||
        fail "$2: a command failed"
}

python=${THALWEG_PEERS:-$HOME/.cache/thalweg/peers}/bin/python
"$python" -c 'import torch, safetensors' 2>/dev/null || python=
[[ $python ]] || echo "skipped: the blocks for PyTorch, which $HOME/.cache/thalweg/peers lacks"

count=0
for block in "$work"/blocks/*; do
    where=$(basename "$block")
    case $block in
    *.c-run) run_program "$block" "${where%.*}" ;;
    *.c-peers)
        if [[ $python ]]; then
            run_program "$block" "${where%.*}"
        else
            "$compiler" "${flags[@]}" -fsyntax-only "$block" || fail "${where%.*}: does not compile"
        fi ;;
    *.c-fragment)
        fragment "$block" | "$compiler" "${flags[@]}" -fsyntax-only - || fail "${where%.*}: does not compile" ;;
    *.c)
        { grep -q thalweg.h "$block" || prelude; printf '#line 1\n'; cat "$block"; } |
            "$compiler" "${flags[@]}" -fsyntax-only - || fail "${where%.*}: does not compile" ;;
    *.sh) check_commands "$block" "${where%.*}" "" ;;
    *.sh-quick) check_commands "$block" "${where%.*}" quick ;;
    *.python-peers)
        [[ ! $python ]] || (cd "$work" && "$python" "$block") || fail "${where%.*}: the program failed" ;;
    *.python)
        if command -v python3 >/dev/null; then
            python3 -c 'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")' "$block" ||
                fail "${where%.*}: does not compile"
        fi ;;
    *.cpp)
        if command -v c++ >/dev/null; then
            { prelude; printf 'void fragment(tw_context *context);\nvoid fragment(tw_context *context) {\n'
              printf '(void)context;\n#line 1\n'; cat "$block"; printf '\n}\n'; } |
                c++ -std=c++17 -Wall -Wextra -Werror -Wno-unused-variable -Iinclude -fsyntax-only -x c++ - ||
                fail "${where%.*}: does not compile"
        fi ;;
    *.output | *.text | *.diff | *.cmake) continue ;;
    *) fail "$where: a block of an unknown kind"; continue ;;
    esac
    count=$((count + 1))
done
(( count >= 10 )) || fail "only $count blocks found"

# --- Links.
anchors() { # headings as GitHub names them
    grep -E '^#+ ' "$1" | sed -E 's/^#+ //; s/[`*]//g' | tr '[:upper:]' '[:lower:]' |
        sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}
for page in *.md docs/*.md; do
    while IFS= read -r link; do
        target=${link%%#*} anchor=
        [[ $link == *'#'* ]] && anchor=${link#*#}
        case $link in http*://* | mailto:*) continue ;; esac
        path=$(dirname "$page")/$target
        [[ $target ]] || path=$page
        [[ -e $path ]] || { fail "$page: the link '$link' leads nowhere"; continue; }
        [[ ! $anchor || $path != *.md ]] || anchors "$path" | grep -qx -- "$anchor" ||
            fail "$page: no heading '#$anchor' in $path"
    done < <(awk '/^```/ { inside = !inside } !inside' "$page" | sed 's/`[^`]*`//g' | grep -oE '\]\([^) ]+\)' |
        sed -E 's/^\]\(//; s/\)$//' | sort -u)
done

# --- The man page: each command and option of --help, and none besides.
page=docs/thalweg.1
section() { # of a command, as plain text
    awk -v name="$1" '/^\.S[sS] / { inside = $2 == name } inside' $page
}
for command in $(awk '/^Commands/ { inside = 1; next } /^[A-Z]/ { inside = 0 } inside && $1 != "help" { print $1 }' "$work/help"); do
    [[ $(section "$command") ]] || { fail "$page: no command '$command'"; continue; }
    "$thalweg" "$command" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | sort -u >"$work/theirs"
    section "$command" | sed -n 's/^\.It Fl Fl \([a-z-]*\).*/\1/p' | sort -u >"$work/ours"
    echo help >>"$work/ours"
    sort -u -o "$work/ours" "$work/ours"
    diff "$work/theirs" "$work/ours" >"$work/diff" ||
        fail "$page: options of '$command', < in --help, > in the page:"$'\n'"$(cat "$work/diff")"
done
if command -v mandoc >/dev/null; then
    mandoc -Tlint -Wwarning $page >"$work/lint" || fail "$page: $(cat "$work/lint")"
elif command -v man >/dev/null; then
    [[ ! $(man --warnings=all -l $page 2>&1 >/dev/null) ]] || fail "$page: man has warnings"
fi
exit $failed
