#!/usr/bin/env bash
# Measures engine, import and guest, and the engine beside onnxruntime on real models; writes docs/benchmarks.md and
# benchmarks.json. Takes the better part of an hour, and wants a machine that does nothing else.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

have python3 || fail "there is no python3" "install Python 3 with its venv module"
target=${CARGO_TARGET_DIR:-$root/target}
work=$target/bench
python=$work/python/bin/python
packages=$target/model-table/packages
mkdir -p "$work/models"
cd "$root"

libraries=(onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 ml_dtypes==0.6.0 pillow==13.0.0)
if [ "$(cat "$work/libraries" 2>/dev/null)" != "${libraries[*]}" ]; then
  say "bringing ${libraries[*]}"
  rm -rf "$work/python"
  python3 -m venv "$work/python"
  "$python" -m pip install --quiet --disable-pip-version-check "${libraries[@]}"
  printf '%s' "${libraries[*]}" >"$work/libraries"
fi
# Real models come with the table of their accuracy.
[ -d "$packages/pocketsphinx" ] || scripts/model-table.sh

cargo build --workspace --release --bins --examples
export BENCH_FIGURES=$work/figures.jsonl BENCH_MODELS=$work/models
: >"$BENCH_FIGURES"
cargo bench --workspace
"$python" scripts/bench.py "$packages" "$target/release" "$BENCH_MODELS" "$BENCH_FIGURES" docs
say "wrote docs/benchmarks.md and docs/benchmarks.json"
