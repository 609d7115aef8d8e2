#!/usr/bin/env bash
# The command line: help, messages, exit codes, and what `graph` and `demo` print and write.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "check_cli: $1" >&2; exit 1; }

# runs CODE ARGUMENT...: leaves standard output and error in $scratch/out and $scratch/err
runs() {
    local code=0
    "$THALWEG" "${@:2}" >"$scratch/out" 2>"$scratch/err" || code=$?
    [[ $code == "$1" ]] || fail "'thalweg ${*:2}' ended with $code, not $1: $(cat "$scratch/err")"
}
says() { grep -qF -- "$1" "$scratch/out" || fail "output lacks '$1': $(head -40 "$scratch/out")"; }
# refuses CODE WORDS ARGUMENT...: one line on standard error that holds the words, nothing else
refuses() {
    runs "$1" "${@:3}"
    [[ ! -s $scratch/out && $(wc -l <"$scratch/err") == 1 ]] || fail "'${*:3}': not one line of error"
    grep -qF -- "$2" "$scratch/err" || fail "'${*:3}' says: $(cat "$scratch/err")"
}

runs 0 --help
for word in train eval predict export profile summary demo graph operators --version; do says "$word"; done
version=$(sed -n 's/^project(thalweg VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
runs 0 --version
says "thalweg $version"
runs 2
for command in train eval predict export profile summary demo graph operators; do
    runs 0 "$command" --help
    says "thalweg $command"
    cp "$scratch/out" "$scratch/help"
    runs 0 help "$command"
    cmp -s "$scratch/out" "$scratch/help" || fail "'help $command' differs from '$command --help'"
    awk 'length > 80 { exit 1 }' "$scratch/out" || fail "'$command --help' has a long line"
done

refuses 2 "did you mean 'demo'?" dmeo
refuses 2 "no command 'xyzzy'" xyzzy
refuses 2 "no option '--xyzzy'" --xyzzy
refuses 2 "did you mean '--epochs'?" demo --epoch 3
refuses 2 "--epochs needs a value" demo --epochs
refuses 2 "whole number from 1" demo --epochs 0
refuses 2 "whole number from 1" demo --epochs 3x
refuses 2 "one word too many" demo now
refuses 2 "which model?" graph
refuses 2 "did you mean 'convnet'?" graph convent
refuses 2 "did you mean 'softmax'?" operators sofmax
refuses 2 "no operator 'xyzzy'" operators xyzzy
refuses 2 "has no preset 'huge'" graph mlp --preset huge
refuses 2 "exclude each other" graph mlp --text --dot
refuses 2 'there is no pass "fald"' graph mlp --passes fald
refuses 2 "no pass \"fald\"" graph mlp --passes fald --dot
refuses 2 "--passes goes with" graph mlp --passes all --program
refuses 2 "exclude each other" graph mlp --train --forward
refuses 2 "takes no value" graph mlp --dot=3
refuses 1 "dataset-fashion-mnist" demo --data "$scratch/none" --out "$scratch/demo"

runs 0 graph practice --text
says 'graph @main {'
says '!backward'
says '!update'
says 'assign "w1" ='
runs 0 graph practice --forward --batch=8
says 'f32[8,784]'
! grep -q 'assign' "$scratch/out" || fail "--forward has an update"
runs 0 graph practice --batch 0
says 'batch'
runs 0 graph convnet --preset tiny --dot
says 'digraph'
runs 0 graph practice --passes all --dot
says '5 fused groups'
runs 0 graph practice --passes 'expand fuse' --text
says '= fused('
runs 0 graph practice --passes all --summary
says '(as built)'
says '-1 relu'
awk 'length > 80 { exit 1 }' "$scratch/out" || fail "--passes --summary has a long line"
runs 0 graph practice --program
[[ -s $scratch/out ]] || fail "--program prints nothing"
for model in convnet mlp; do runs 0 graph "$model" --preset tiny --batch 2; done
if command -v dot >/dev/null; then
    runs 0 graph practice --preset tiny --svg "$scratch/practice.svg"
    grep -q '</svg>' "$scratch/practice.svg" || fail "--svg wrote no picture"
fi

# A data set of 20 images, whose grey tells their class; the last batch is partial.
put() { # put KIND COUNT
    local count images="$scratch/data/$1-images-idx3-ubyte" labels="$scratch/data/$1-labels-idx1-ubyte"
    count=$(printf '\\x%02x' "$2")
    printf '\x00\x00\x08\x03\x00\x00\x00'"$count"'\x00\x00\x00\x1c\x00\x00\x00\x1c' >"$images"
    printf '\x00\x00\x08\x01\x00\x00\x00'"$count" >"$labels"
    for ((i = 0; i < $2; i++)); do
        head -c 784 /dev/zero | tr '\0' "\\$(printf '%03o' $((i % 2 * 200)))" >>"$images"
        printf "\\x0$((i % 2))" >>"$labels"
    done
}
mkdir "$scratch/data"
put train 20
put t10k 10
gzip "$scratch/data/train-images-idx3-ubyte"
runs 0 demo --data "$scratch/data" --out "$scratch/deep/er/demo" --epochs 3 --batch 8 --threads 1
says 'epoch 3/3  loss '
[[ $(tail -1 "$scratch/out") =~ ^test\ accuracy\ [01]\.[0-9]{3}$ ]] || fail "no last line"
for name in weights.safetensors graph.dot loss.svg; do
    [[ -s $scratch/deep/er/demo/$name ]] || fail "the demo wrote no $name"
done
refuses 1 "cannot make the folder" demo --data "$scratch/data" --out "$scratch/data/train-labels-idx1-ubyte"
truncate -s 100 "$scratch/data/t10k-images-idx3-ubyte"
refuses 1 "t10k-images-idx3-ubyte" demo --data "$scratch/data" --out "$scratch/demo"

# A profile: rows, what they leave over, and a trace that has an event for each instruction.
runs 0 profile mlp --preset tiny --batch 4 --runs 3 --rows 2 --trace "$scratch/trace.json"
says 'a training step of 4 examples, the median of 3'
says 'outside of instructions'
more=$(sed -n 's/.* \([0-9]*\) more$/\1/p' "$scratch/out")
[[ $(grep -o '"ph":"X"' "$scratch/trace.json" | wc -l) == $((more + 2)) ]] || fail "the trace has other events"
refuses 2 "whole number from 1" profile mlp --runs 0
