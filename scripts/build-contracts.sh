#!/usr/bin/env bash
# Builds contracts to target/contracts/<folder>.wasm: `scripts/build-contracts.sh [FOLDER...]`, by default the
# registry, the guest of the differential harness, and every folder under contracts/ that has a Cargo.toml. The same sources and compiler give the same bytes wherever the tree lies.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

target=wasm32-unknown-unknown
out=$root/target/contracts
# What wasm-opt may use: the first version of Wasm only, which every CosmWasm chain takes. -O3 because a contract pays
# gas by executed operators; but no inlining of large functions that have one caller: cosmwasm-vm refuses a function with
# more than 100 locals, and the engine compiled into a guest came to 125 that way.
opt_flags=(-O3 --one-caller-inline-max-function-size=0 --mvp-features --strip-debug --strip-producers --strip-target-features)

folders=("$@")
if [ ${#folders[@]} -eq 0 ]; then
  for manifest in "$root"/x-aiinference/registry/Cargo.toml "$root"/vm-ext/differential/Cargo.toml "$root"/contracts/*/Cargo.toml; do
    [ -f "$manifest" ] && folders+=("$(dirname "$manifest")")
  done
fi
[ ${#folders[@]} -gt 0 ] || fail "no folder under contracts/ has a Cargo.toml"

"$root/scripts/toolchain.sh"
use_guest_toolchain "$(guest_toolchain)/env"

# No path of this machine may reach the bytes: source locations of panics would carry them.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
std_source=$(cd "$guest_sysroot/lib/rustlib/src/rust" && pwd -P)
flags=(
  -C target-cpu=mvp
  # cosmwasm-std declares its imports without a module name.
  -C link-arg=--import-undefined
  --remap-path-prefix "$guest_sysroot/lib/rustlib/src/rust=/rust"
  --remap-path-prefix "$std_source=/rust"
  --remap-path-prefix "$cargo_home/registry/src=/registry"
  --remap-path-prefix "$root=/aiinference"
)
[ -z "$guest_linker" ] || flags+=(-C "linker=$guest_linker")
[ -z "$guest_rustc" ] || export RUSTC=$guest_rustc
unset RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET
CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "${flags[@]}")
export CARGO_ENCODED_RUSTFLAGS=${CARGO_ENCODED_RUSTFLAGS%$'\x1f'}
# -Z build-std on a stable compiler.
export RUSTC_BOOTSTRAP=1

# compile FOLDER: prints the path of the module that cargo made. One contract at a time: built together, cargo would
# give all of them the union of the features they ask of a shared dependency.
compile() {
  local place=$root/target
  # A contract's crate has one place in a target folder, whatever its features. One that uses another's messages is built
  # apart, or the two would push each other out, and be compiled again, at every call.
  grep -q 'features = \["library"\]' "$1/Cargo.toml" && place=$root/target/with-library
  (cd "$1" && "$guest_cargo" build --lib --profile contract --target "$target" --target-dir "$place" \
    -Z build-std=std,panic_abort --message-format json-render-diagnostics) |
    grep -o '"[^"]*\.wasm"' | tail -n 1 | tr -d '"'
}

mkdir -p "$out"
for folder in "${folders[@]}"; do
  name=$(basename "$folder")
  [ -f "$folder/Cargo.toml" ] || fail "$folder has no Cargo.toml"
  say "contract $name"
  raw=$(compile "$folder") || fail "contract $name does not compile for $target" "see the compiler's message above"
  stamp=$({
    cat "$raw"
    "$guest_wasm_opt" --version
    printf '%s\n' "${opt_flags[@]}"
  } | sha256)
  [ -f "$out/$name.wasm" ] && [ "$(cat "$out/$name.stamp" 2>/dev/null)" = "$stamp" ] && continue
  "$guest_wasm_opt" "${opt_flags[@]}" "$raw" -o "$out/$name.part" || fail "wasm-opt refused contract $name ($raw)"
  mv "$out/$name.part" "$out/$name.wasm"
  printf '%s\n' "$stamp" >"$out/$name.stamp"
  say "contract $name: $(wc -c <"$raw") bytes, $(wc -c <"$out/$name.wasm") after wasm-opt"
done
