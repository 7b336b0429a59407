#!/usr/bin/env bash
# From nothing to model.onnx: training/run.sh training/configs/base.toml
# Every step keeps what is already there, so run it again after a stop. Needs espeak-ng, flite and festival for base.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
config=${1:-training/configs/base.toml}
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=src:.
# Without these two glibc hands large buffers back after each training step and asks for them again: ten times slower.
export MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=4000000000
# Waiting threads sleep instead of spinning, so that the machine stays usable beside the training.
export OMP_WAIT_POLICY=PASSIVE

step() { echo "== $*"; "$python" -m "$@"; }
step training.corpus "$config"
if [ -n "${FACEWAVE_SPEECH:-}" ] && [ "$(basename "$config")" = base.toml ]; then
  step training.human --speech "$FACEWAVE_SPEECH" --out training/data/human
fi
step training.prepare "$config"
step training.timing "$config"
step training.train "$config"
step training.calibrate "$config"
step training.export "$config"
step training.evaluate "$config"
