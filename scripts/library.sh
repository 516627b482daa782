#!/usr/bin/env bash
# Puts the library that `make build` made where nodes find it, under the one name by which wasmd loads it.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

built=${CARGO_TARGET_DIR:-$root/target}/release/libwasmvm.so
out=$root/target/libwasmvm
[ -f "$built" ] || fail "there is no $built" "run 'make build'"
mkdir -p "$out"
# Moved into place whole: a running node keeps the file that it has mapped.
if ! cmp -s "$built" "$out/libwasmvm.x86_64.so"; then
  cp "$built" "$out/libwasmvm.part"
  mv "$out/libwasmvm.part" "$out/libwasmvm.x86_64.so"
fi
say "library: target/libwasmvm/libwasmvm.x86_64.so ($(wc -c <"$out/libwasmvm.x86_64.so") bytes)"
