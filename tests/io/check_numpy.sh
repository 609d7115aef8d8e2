#!/usr/bin/env bash
# NumPy itself reads what we write, and we read what the NumPy that is installed writes.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${THALWEG_PEERS:-$HOME/.cache/thalweg/peers}/bin/python
[[ -x $python ]] || python=python3
if ! "$python" -c 'import numpy' 2>/dev/null; then
    echo 'skipped: no Python with NumPy (THALWEG_PEERS names one)'
    exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/theirs" "$folder/ours"
"$python" scripts/golden_npy.py "$folder/theirs"
GOLDEN=$folder/theirs WRITTEN=$folder/ours "${BUILD:-build}/tests/io_npy"
"$python" scripts/golden_npy.py --check "$folder/ours"
