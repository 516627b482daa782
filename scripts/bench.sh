#!/usr/bin/env bash
# Measures engine, import and guest, and the engine beside onnxruntime on real models; writes docs/benchmarks.md and
# benchmarks.json. Takes ten minutes beside compiling, and wants a machine that does nothing else.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

target=${CARGO_TARGET_DIR:-$root/target}
work=$target/bench
real=$target/real-models
mkdir -p "$work/models"
cd "$root"

scripts/real-models.sh
cargo build --workspace --release --bins --examples
export BENCH_FIGURES=$work/figures.jsonl BENCH_MODELS=$work/models
: >"$BENCH_FIGURES"
cargo bench --workspace --bench kernels --bench models
"$real/python/bin/python" scripts/bench.py "$real/packages" "$target/release" "$BENCH_MODELS" "$BENCH_FIGURES" docs
say "wrote docs/benchmarks.md and docs/benchmarks.json"
