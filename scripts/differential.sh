#!/usr/bin/env bash
# Compares every backend of the engine, bit by bit: this machine's kernels, guest Wasm, and 64-bit ARM under qemu-user. Arguments
# go to the harness (`scripts/differential.sh --help`); the shipped models are always among what is run. Needs what scripts/test-aarch64.sh
# does, but for DIFFERENTIAL_WITHOUT_AARCH64=1, which leaves that backend out.
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
exec "${CARGO_TARGET_DIR:-target}/release/aiinference-differential" "${arguments[@]}" "$@" demo/models/tests/golden vm-ext/engine/tests/golden
