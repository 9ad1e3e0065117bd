#!/usr/bin/env bash
# All that a GPU is needed for, in one command of at most a quarter of an hour. What it finds are files of one folder, to be read elsewhere.
#
#     benchmarks/gpu_day.sh [--dry] [FOLDER]      FOLDER is gpu-day unless given; PYTHON chooses the interpreter, TORCH_PYTHON PyTorch's
#
# A step that fails is reported, and the next one is taken; but without a GPU that computes right there is nothing more to find. --dry takes
# Numba's simulator for the GPU, and as little of each step as shows that it can be taken: its figures mean nothing.
set -uo pipefail

dry=
if [ "${1:-}" = --dry ]; then
    dry=yes
    shift
fi
case ${1:-} in -*) sed -n '4p' "$0" | cut -c7- >&2; exit 2 ;; esac
folder=${1:-gpu-day}
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd)
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python}
torch_python=${TORCH_PYTHON:-$python}
failed=0
: >"$folder/summary.txt"

step() {  # NAME SECONDS COMMAND...: what it prints is in NAME.txt, how it ended in a line of summary.txt
    local name=$1 limit=$2 began=$SECONDS code=0 outcome
    shift 2
    timeout --kill-after=10 "$limit" "$@" >"$folder/$name.txt" 2>&1 || code=$?
    case $code in
        0) outcome=passed ;;
        124 | 137) outcome="stopped after $limit s" ;;
        *) outcome="failed with $code, see $name.txt" ;;
    esac
    printf '%-10s %4d s  %s\n' "$name" $((SECONDS - began)) "$outcome" | tee -a "$folder/summary.txt"
    [ "$code" -eq 0 ] || failed=1
    return "$code"
}

leave_out() {  # NAME REASON
    printf '%-10s %6s  left out: %s\n' "$1" "" "$2" | tee -a "$folder/summary.txt"
}

check='from numbacnn.backends import get_ops
from numbacnn.backends.cuda import self_check
self_check.check(get_ops("cuda"))
print("every kind of op computes what NumPy does")'

tests=(-m gpu)
training=(--model cnn --dataset digits --epochs 2)
figures=(--rounds 3 --batch-sizes 100)
if [ -n "$dry" ]; then
    export NUMBA_ENABLE_CUDASIM=1
    tests=(tests/backends/cuda/test_self_check.py)
    training=(--model softmax --dataset digits --train-limit 4 --test-limit 2 --epochs 1)
    figures=(--dry)
fi

if command -v nvidia-smi >/dev/null; then
    step device 30 nvidia-smi -q
else
    leave_out device "nvidia-smi is not installed"
fi
step doctor 60 "$python" -m numbacnn doctor --format json
if ! step preflight 180 "$python" -c "$check"; then
    leave_out tests "of preflight"
    exit 1
fi
step tests 400 "$python" -m pytest -p no:cacheprovider -W default -rs "${tests[@]}"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        step "$tool" 120 compute-sanitizer --tool "$tool" --error-exitcode 1 "$python" -c "$check"
    done
else
    leave_out memcheck "compute-sanitizer, of the CUDA toolkit, is not installed"
    leave_out racecheck "as memcheck"
fi
step training 120 "$python" -m numbacnn train "${training[@]}" --device cuda --seed 0 --output "$folder/run" --format json
step figures 300 "$python" benchmarks/gpu.py "${figures[@]}" --torch-python "$torch_python" --json "$folder/figures.json"
exit "$failed"
