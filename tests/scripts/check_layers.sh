#!/usr/bin/env bash
# scripts/check-layers must find each kind of breach, name its line, and pass a clean tree.
set -euo pipefail

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
fail() { echo "check_layers: $1" >&2; exit 1; }

put() { # put FILE LINE...
    mkdir -p "$tree/$(dirname "$1")"
    printf '%s\n' "${@:2}" >"$tree/$1"
}
clean() {
    rm -rf "${tree:?}"/*
    put include/thalweg/thalweg.h '#include <stdint.h>' '#include <initializer_list>'
    put src/base/arena.h '#include <thalweg/thalweg.h>'
    put src/ir/graph.c '#include "base/arena.h"' '#include "ir/graph.h"' '#include <unistd.h>'
    put src/ir/graph.h '#include "base/arena.h"'
    put src/cli/main.c '#include "models/mlp.h"' '#include "ir/graph.h"'
    put models/mlp.c '#include "mlp.h"' '#include <thalweg/thalweg.h>' '#include <math.h>'
    put models/mlp.h '#include <thalweg/thalweg.h>'
    put examples/tiny.c '#include <thalweg/thalweg.h>' '#include <stdio.h>'
}
finds() { # finds WHERE WHAT: the one breach just put in
    local said
    if said=$(scripts/check-layers "$tree"); then fail "passed a tree where $2"; fi
    [[ $(wc -l <<<"$said") == 1 && $said == "$1: "* ]] || fail "$2: expected one line at $1, got: $said"
    clean
}

clean
scripts/check-layers "$tree" || fail 'failed a clean tree'

put src/base/log.c '' '#include "ir/graph.h"'
finds src/base/log.c:2 'a layer includes a later one'
put src/io/read.c '#  include "models/mlp.h"'
finds src/io/read.c:1 'the library includes a model'
put src/ir/type.c '#include "graph.h"'
finds src/ir/type.c:1 'an include names no layer'
put src/misc/x.c 'int x;'
finds src/misc/x.c:1 'a folder is no layer'
put models/gpt.c '#include "base/arena.h"'
finds models/gpt.c:1 'a model looks inside'
put examples/big.c '#include <stdio.h>' '#include <unistd.h>'
finds examples/big.c:2 'an example leaves C11'
put include/thalweg/store.h '#include "store_private.h"'
finds include/thalweg/store.h:1 'a public header looks inside'
put src/ir/graph.h '#include "ir/type.h"'
put src/ir/type.h 'typedef int t;' '#include "ir/graph.h"'
finds src/ir/type.h:2 'two headers include each other'
put src/ir/graph.h '#include "ir/graph.h"'
finds src/ir/graph.h:1 'a header includes itself'
seq -f "/* %g */" 801 >"$tree/src/ir/long.c"
finds src/ir/long.c:801 'a file is too long'
