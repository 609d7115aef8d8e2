#!/usr/bin/env bash
# The way of a user's own model and data: train, stop, go on, eval, predict, summary, export.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "check_train: $1" >&2; exit 1; }
runs() { # runs CODE ARGUMENT...: leaves standard output and error in $scratch/out and $scratch/err
    local code=0
    "$THALWEG" "${@:2}" >"$scratch/out" 2>"$scratch/err" || code=$?
    [[ $code == "$1" ]] || fail "'thalweg ${*:2}' ended with $code, not $1: $(cat "$scratch/err")"
}
says() { grep -qF -- "$1" "$scratch/out" || fail "output lacks '$1': $(head -40 "$scratch/out")"; }
refuses() { # refuses CODE WORDS ARGUMENT...: one line on standard error that holds the words
    runs "$1" "${@:3}"
    [[ $(wc -l <"$scratch/err") == 1 ]] || fail "'${*:3}': not one line of error: $(cat "$scratch/err")"
    grep -qF -- "$2" "$scratch/err" || fail "'${*:3}' says: $(cat "$scratch/err")"
}
model=tests/cli/iris.c
one=(--threads 1)

# Help: each command's, no line wider than a terminal.
for command in train eval predict summary export; do
    runs 0 "$command" --help
    says "thalweg $command MODEL"
    says "FILE.so"
    awk 'length > 80 { exit 1 }' "$scratch/out" || fail "'$command --help' has a long line"
done
runs 0 train --help
says "ended by SIGTERM"

# Three classes of points in four dimensions, with names; two files whose rows begin otherwise.
points() { # points ROWS SHIFT
    echo "a,b,c,d,kind"
    awk -v n="$1" -v shift="$2" 'BEGIN {
        split("setosa versicolor virginica", name, " ")
        for (i = shift; i < n + shift; i++) {
            k = i % 3
            for (j = 0; j < 4; j++)
                printf "%.4f,", (j % 3 == k) * 2 + 0.5 * sin(i * 12.9898 + j * 78.233)
            print name[k + 1]
        }
    }'
}
points 150 0 >"$scratch/train.csv"
points 45 1 >"$scratch/test.csv"

# A C file, named classes, a fraction held out, everything that is written.
data=(--data "$scratch/train.csv" --val 0.2 --batch 16 "${one[@]}")
whole=$scratch/whole
runs 0 train "$model" "${data[@]}" --epochs 12 --out "$whole" --set hidden=12 --log-json "$scratch/lines"
says "iris (small), 99 parameters; 120 examples, 30 held out; adam, batch 16"
says "epoch 12/12  loss "
[[ $(grep -c '^epoch' "$scratch/out") == 12 ]] || fail "not one line an epoch"
for name in best.safetensors step-000096.safetensors weights.safetensors loss.svg; do
    [[ -s $whole/$name ]] || fail "no $name"
done
[[ $(wc -l <"$scratch/lines") == 108 ]] || fail "96 steps and 12 epochs are $(wc -l <"$scratch/lines") lines"
! grep -qvE '^\{"kind":"(step|epoch)","step":[0-9]+,"epoch":[0-9.e-]+,"loss":[0-9.e-]+.*\}$' "$scratch/lines" ||
    fail "a line of JSON is malformed"
grep -q '"val_accuracy":' "$scratch/lines" || fail "no validation in the lines"

# eval and predict follow the training: preset, fields, classes by name, though the file begins
# with another class.
runs 0 eval "$model" --data "$scratch/test.csv" --weights "$whole" "${one[@]}"
says "45 examples"
accuracy=$(awk '{ print $NF }' "$scratch/out")
awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.9) }' || fail "accuracy $accuracy on other rows"
runs 0 predict "$model" --data "$scratch/test.csv" --weights "$whole" --out "$scratch/p.csv" --batch 32 "${one[@]}"
[[ $(head -1 "$scratch/p.csv") == class,setosa,versicolor,virginica ]] || fail "CSV's head: $(head -1 "$scratch/p.csv")"
right=$(paste -d, "$scratch/p.csv" "$scratch/test.csv" | awk -F, 'NR > 1 && $1 == $NF { n++ } END { print n / 45 }')
awk -v a="$accuracy" -v r="$right" 'BEGIN { exit !(a - r < 1e-3 && r - a < 1e-3) }' ||
    fail "predictions are right for $right, eval says $accuracy"
awk -F, 'NR > 1 { s = $2 + $3 + $4; if (s < 0.999 || s > 1.001) exit 1 }' "$scratch/p.csv" || fail "rows are no probabilities"
cut -d, -f1-4 "$scratch/test.csv" >"$scratch/bare.csv" # no labels to predict from
runs 0 predict "$model" --data "$scratch/bare.csv" --weights "$whole" "${one[@]}"
cmp -s "$scratch/out" "$scratch/p.csv" || fail "predictions without labels differ"
runs 0 predict "$model" --data "$scratch/test.csv" --weights "$whole" --out "$scratch/p.npy" --batch 32 "${one[@]}"
[[ $(head -c 6 "$scratch/p.npy" | tail -c 5) == NUMPY ]] || fail "no NPY file"
[[ $(wc -c <"$scratch/p.npy") == $((128 + 45 * 3 * 4)) ]] || fail "NPY of $(wc -c <"$scratch/p.npy") bytes"

refuses 2 "FILE.csv or FILE.npy" predict "$model" --data "$scratch/test.csv" --weights "$whole" --out "$scratch/p.npz"
refuses 1 "has 1 column where model" train "$model" --data "$scratch/p.npy" --out "$scratch/alone"

# export: the same predictions from weights alone; the graph.
runs 0 export "$model" --weights "$whole" --out "$scratch/w.safetensors" --graph "$scratch/g.txt"
runs 0 predict "$model" --data "$scratch/test.csv" --weights "$scratch/w.safetensors" "${one[@]}"
cmp -s "$scratch/out" "$scratch/p.csv" || fail "exported weights predict otherwise"
grep -q 'graph @main' "$scratch/g.txt" || fail "no graph"
! grep -q 'optimizer/' "$scratch/w.safetensors" || fail "exported weights hold the optimiser's state"
runs 0 summary "$model" --set hidden=12
says "fc1"

# Stopped by signals in the middle, saved, gone on: bitwise the weights of the run above.
part=$scratch/part
again=(train "$model" "${data[@]}" --epochs 12 --out "$part" --set hidden=12)
runs 0 "${again[@]}" --resume --epochs 3
says "no checkpoint in"
cp -r "$part" "$scratch/three"
runs 0 "${again[@]}" --resume
says "going on from step 24"
cmp "$part/weights.safetensors" "$whole/weights.safetensors" || fail "resumed weights differ"
[[ $(wc -l <"$part/log.jsonl") == 108 ]] || fail "the resumed log has $(wc -l <"$part/log.jsonl") lines"
stops() { # stops SIGNAL CODE: sends it once the training is under way
    local code=0 child
    rm -rf "$part" "$scratch/out"
    : >"$scratch/out"
    # A shell's background jobs ignore SIGINT; set -m gives this one its own group and handlers.
    set -m
    "$THALWEG" train "$model" "${data[@]}" --epochs 100000 --out "$part" --set hidden=12 >"$scratch/out" 2>"$scratch/err" &
    child=$!
    set +m
    for ((i = 0; i < 1000; i++)); do
        ! grep -q '^epoch 2/' "$scratch/out" || break
        sleep 0.01
    done
    kill -"$1" "$child"
    wait "$child" || code=$?
    [[ $code == "$2" ]] || fail "SIG$1 ended it with $code: $(cat "$scratch/err")"
    says "stopped by SIG$1 at step"
}
stops INT 130
stops TERM 75
step=$(sed -n 's/^stopped by SIGTERM at step \([0-9]*\).*/\1/p' "$scratch/out")
epochs=$((step / 8 + 2))
runs 0 train "$model" "${data[@]}" --epochs $epochs --out "$part" --set hidden=12 --resume
says "going on from step $step"
runs 0 train "$model" "${data[@]}" --epochs $epochs --out "$whole" --set hidden=12 --overwrite
cmp "$part/weights.safetensors" "$whole/weights.safetensors" || fail "weights after SIGTERM differ"
[[ $(ls "$whole"/events.out.tfevents.* | wc -l) == 1 ]] || fail "--overwrite keeps the events of the run before"
runs 0 train "$model" "${data[@]}" --epochs 1 --out "$whole" --set hidden=12 --resume
says "epochs are done"
cmp <(sed 's/"seconds.*//' "$part/log.jsonl") <(sed 's/"seconds.*//' "$whole/log.jsonl") || fail "logs after SIGTERM differ"
refuses 1 "--resume goes on" train "$model" "${data[@]}" --out "$part"
refuses 1 "batch" train "$model" "${data[@]}" --out "$part" --resume --set hidden=12 --batch 8
refuses 1 "is of preset 'small' and --set hidden=12" train "$model" "${data[@]}" --out "$part" --resume

# Killed without a warning between two checkpoints.
often=(train "$model" "${data[@]}" --save-every 3 --set hidden=12)
rm -rf "$part"
"$THALWEG" "${often[@]}" --epochs 100000 --out "$part" >"$scratch/out" 2>"$scratch/err" &
for ((i = 0; i < 1000; i++)); do
    ! ls "$part"/step-00002?.safetensors >/dev/null 2>&1 || break
    sleep 0.01
done
kill -KILL $!
wait $! 2>/dev/null || true
step=$(ls "$part" | sed -n 's/^step-0*\([0-9]*\)\.safetensors$/\1/p' | sort -n | tail -1)
epochs=$((step / 8 + 2))
runs 0 "${often[@]}" --epochs $epochs --out "$part" --resume
says "going on from step"
runs 0 "${often[@]}" --epochs $epochs --out "$whole" --overwrite
cmp "$part/weights.safetensors" "$whole/weights.safetensors" || fail "weights after SIGKILL differ"
cmp <(sed 's/"seconds.*//' "$part/log.jsonl") <(sed 's/"seconds.*//' "$whole/log.jsonl") || fail "logs after SIGKILL differ"

# A number to predict: a label that is no class, a column of missing numbers.
sed -e 's/"label", TW_I32/"label", TW_F32/' -e 's/ 4, 8, 3/ 3, 8, 1/' -e 's/{4, 8, 3/{3, 8, 1/' \
    -e 's/tw_cross_entropy(\(.*\), in\[1\], NULL)/tw_mse(tw_reshape(\1, tw_shape_of(in[1])), in[1])/' \
    -e '/tw_correct/d' -e 's/tw_softmax(\(.*\));/\1;/' -e 's/\.predict = predict,/.predict = predict, .no_correct = true,/' \
    "$model" >"$scratch/line.c"
awk -v OFS=, 'BEGIN { print "x", "y", "z", "sum"; for (i = 0; i < 80; i++) print i % 5, i % 7 ? i % 3 : "NA", i % 2, i % 5 + i % 3 }' >"$scratch/line.csv"
refuses 1 "; here: --missing" train "$scratch/line.c" --data "$scratch/line.csv" --out "$scratch/line"
runs 0 train "$scratch/line.c" --data "$scratch/line.csv" --val 0.25 --missing mean --epochs 20 --batch 8 --out "$scratch/line" "${one[@]}"
! grep -q accuracy "$scratch/out" || fail "a number has an accuracy"
runs 0 predict "$scratch/line.c" --data "$scratch/line.csv" --missing mean --weights "$scratch/line" "${one[@]}"
[[ $(head -1 "$scratch/out") == prediction && $(wc -l <"$scratch/out") == 81 ]] || fail "regression predicts: $(head -2 "$scratch/out")"

# Checkpoints while an epoch is under way, early stop, schedules, check mode.
runs 0 train "$model" "${data[@]}" --epochs 2 --out "$scratch/often" --save-every 3 --keep 4 --eval-every 2 \
    --optimizer adamw --lr 0.01 --schedule cosine --warmup 4 --clip 1 --weight-decay 0.01 --check
[[ $(ls "$scratch/often" | grep -c step-) == 4 ]] || fail "--keep 4 keeps $(ls "$scratch/often")"
[[ $(grep -c 'val loss' "$scratch/out") == 1 ]] || fail "--eval-every 2 evaluates otherwise"
runs 0 train "$model" "${data[@]}" --epochs 50 --out "$scratch/early" --lr 1e-9 --optimizer sgd --patience 2
! grep -q 'epoch 50/' "$scratch/out" || fail "--patience does not stop"
says "stopped early"

# A shared object, without a compiler; a model of another version; one that does not compile.
"${CC:-cc}" -std=gnu11 -shared -fPIC -Iinclude -o "$scratch/iris.so" "$model"
CC=no-such-compiler runs 0 eval "$scratch/iris.so" --data "$scratch/test.csv" --weights "$whole" "${one[@]}"
CC=no-such-compiler refuses 1 "no-such-compiler" summary "$model"
THALWEG_INCLUDE=/nowhere refuses 1 "THALWEG_INCLUDE" summary "$model"
sed 's/TW_MODEL_VERSION/99/' "$model" >"$scratch/new.c"
refuses 1 "version 99" summary "$scratch/new.c"
echo 'int x = ;' >"$scratch/bad.c"
runs 1 summary "$scratch/bad.c"
grep -q 'bad.c:1' "$scratch/err" || fail "the compiler's message is missing"
echo 'int x;' >"$scratch/empty.c"
refuses 1 "thalweg_model" summary "$scratch/empty.c"

# Images in idx files: train and t10k, one of them gzipped; a built-in model.
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
runs 0 train mlp --preset tiny --data "$scratch/data" --epochs 5 --batch 8 --out "$scratch/mlp" "${one[@]}"
says "20 examples, 10 held out"
runs 0 eval mlp --data "$scratch/data" --weights "$scratch/mlp" "${one[@]}"
says "10 examples"
says "accuracy 1.0000"
runs 0 eval mlp --train --data "$scratch/data" --weights "$scratch/mlp" "${one[@]}"
says "20 examples"
runs 0 predict mlp --data "$scratch/data/t10k-images-idx3-ubyte" --weights "$scratch/mlp" --out "$scratch/p.npy" "${one[@]}"
# Vectors for labels, where a model takes them; a NumPy array as data.
runs 0 train practice --data "$scratch/data" --epochs 1 --batch 8 --out "$scratch/practice" "${one[@]}"
runs 0 predict practice --data "$scratch/data" --weights "$scratch/practice" "${one[@]}"
[[ $(wc -l <"$scratch/out") == 11 ]] || fail "not a head and ten rows"
runs 0 train practice --preset tiny --set in=10 --set out=10 --data "$scratch/p.npy" --label "$scratch/p.npy" \
    --epochs 1 --out "$scratch/self" "${one[@]}"
says "10 examples"
runs 0 predict practice --data "$scratch/p.npy" --weights "$scratch/self" "${one[@]}"

# Refusals: misuse is 2, failure 1, each one line with the way out.
refuses 2 "which model?" train
refuses 2 "--data needs a word" train mlp --data=
refuses 2 "--data PATH" train mlp
refuses 2 "did you mean 'convnet'?" train convent --data "$scratch/data"
refuses 2 "did you mean 'adam'?" train mlp --data "$scratch/data" --optimizer adan --out "$scratch/x"
refuses 2 "no schedule 'xyzzy'" train mlp --data "$scratch/data" --schedule xyzzy --out "$scratch/x"
refuses 2 "did you mean 'hidden'?" train mlp --data "$scratch/data" --set hiden=3
refuses 2 "KEY=VALUE" train mlp --data "$scratch/data" --set hidden
refuses 2 "whole number, not 'x'" train mlp --data "$scratch/data" --set hidden=x
refuses 2 "number above 0" train mlp --data "$scratch/data" --lr -1
refuses 2 "exclude each other" train mlp --data "$scratch/data" --resume --overwrite
refuses 2 "fraction between 0 and 1" train mlp --data "$scratch/data" --val 1.5
refuses 2 "less than the training" train mlp --data "$scratch/data" --warmup 1000 --out "$scratch/x"
refuses 2 "which weights?" eval mlp --data "$scratch/data"
refuses 2 "export what?" export mlp --weights "$scratch/mlp"
refuses 1 "cannot read" train mlp --data "$scratch/none"
refuses 1 "holds no train-images" train mlp --data "$scratch/three"
refuses 1 "f32[4] where model 'mlp' takes 'images' as f32[784]" train mlp --data "$scratch/train.csv"
refuses 1 "has no 'conv1/weight'" eval convnet --data "$scratch/data" --weights "$scratch/mlp"
refuses 1 "holds no weights" eval mlp --data "$scratch/data" --weights "$scratch/data"
sed -i '3s/^[^,]*/abc,/' "$scratch/train.csv"
refuses 1 "train.csv" train "$model" "${data[@]}" --out "$scratch/x"
echo "training, stopping, going on, predicting: fine"
