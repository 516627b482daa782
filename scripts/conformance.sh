#!/usr/bin/env bash
# Runs ONNX's node tests on the converter: `scripts/conformance.sh [OPERATOR..]`. The tests are those of PyPI's onnx, which
# is only unpacked. Ends with the line `onnx node tests: N of 1288`, and fails where tests fell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=1.17.0
target=${CARGO_TARGET_DIR:-target}
folder=$target/onnx-$version
if [ ! -d "$folder/onnx/backend/test/data/node" ]; then
  echo "bringing the tests of onnx $version"
  wheel=$(mktemp -d)
  trap 'rm -rf "$wheel"' EXIT
  python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$wheel" "onnx==$version"
  mkdir -p "$folder"
  python3 -m zipfile -e "$wheel"/onnx-*.whl "$folder"
fi
cargo build --workspace --release --example conformance
"$target/release/examples/conformance" "$folder/onnx/backend/test/data/node" "$@"
