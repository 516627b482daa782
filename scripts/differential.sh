#!/usr/bin/env bash
# Compares every backend of the engine, bit by bit: this machine's kernels, guest Wasm, and 64-bit ARM under qemu-user. Arguments
# go to the harness (`scripts/differential.sh --help`); the shipped models and those of scripts/real-models.sh are always among what is run. Needs
# what scripts/test-aarch64.sh does, but for DIFFERENTIAL_WITHOUT_AARCH64=1, which leaves that backend out;
# DIFFERENTIAL_WITHOUT_REAL_MODELS=1 leaves out the models that must be brought first.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

"$root/scripts/build-contracts.sh" vm-ext/differential
arguments=(--guest target/contracts/differential.wasm)
if [ -z "${DIFFERENTIAL_WITHOUT_AARCH64:-}" ]; then
  say "building the worker for aarch64"
  (
    use_aarch64
    cargo build "${aarch64[@]}" -p aiinference-differential --bin differential-worker
  )
  arguments+=(--worker "aarch64=qemu-aarch64 -L /usr/aarch64-linux-gnu target/aarch64/aarch64-unknown-linux-gnu/release/differential-worker")
fi
target=${CARGO_TARGET_DIR:-target}
models=(demo/models/tests/golden vm-ext/engine/tests/golden)
if [ -z "${DIFFERENTIAL_WITHOUT_REAL_MODELS:-}" ]; then
  scripts/real-models.sh
  real=$target/real-models
  "$real/python/bin/python" scripts/real_models.py "$real/packages" "$target/release/aiinference" "$real/models"
  models+=("$real"/models/*/model.wasm)
fi
exec "$target/release/aiinference-differential" "${arguments[@]}" "$@" "${models[@]}"
