# shellcheck shell=bash
# What the scripts share. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/aiinference

# say WHAT: one line of progress. On stderr, so that stdout stays free for results.
say() { printf '==> %s\n' "$*" >&2; }

# fail CAUSE NEXT_STEP: ends the script.
fail() {
  printf 'error: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  next: %s\n' "$2" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# sha256 of standard input, as hex. macOS has no sha256sum.
sha256() {
  if have sha256sum; then sha256sum; else shasum -a 256; fi | cut -c1-64
}

# limited SECONDS COMMAND...: the command, ended after that time where `timeout` exists.
limited() {
  local seconds=$1
  shift
  if have timeout; then timeout "$seconds" "$@"; else "$@"; fi
}

# logged LOG COMMAND...: runs quietly; when it fails, shows the end of what it said.
logged() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null && return 0
  local status=$?
  tail -n 25 "$log" | sed 's/^/  | /' >&2
  return "$status"
}

# locked NAME: only one script at a time makes this part of the cache; released when the script ends.
locked() {
  mkdir -p "$cache"
  have flock || return 0
  exec 9>"$cache/$1.lock"
  flock -n 9 && return 0
  say "waiting for another script that is preparing $1"
  flock 9
}

# localnet_for LABEL HOME PORT: for tests on a localnet. LOCALNET_HOME and LOCALNET_PORT place it, else these do.
localnet_for() {
  localnet_label=$1
  LOCALNET_HOME=$(cd "$root" && realpath -m "${LOCALNET_HOME:-$2}")
  export LOCALNET_HOME
  export LOCALNET_LIBRARY=${LOCALNET_LIBRARY:-$root/target/libwasmvm}
  localnet_port=${LOCALNET_PORT:-$3}
  cd "$root"
  localnet=${CARGO_TARGET_DIR:-target}/release/aiinference-localnet
  [ -x "$localnet" ] || fail "there is no $localnet" "run 'make build'"
}

# suite NAME: the tests of that name, one after the other: they share the chains, and the machine has few cores.
suite() {
  say "$localnet_label: $1"
  cargo test --workspace --release --test "$1" -- --ignored --nocapture --test-threads=1
}

# on_localnet SUITE...: these tests on one localnet. One that is there already is used and stays; one that was made for the
# tests is removed when all have passed (LOCALNET_KEEP=1: stays up), and stopped when one failed, so that its logs can be read.
on_localnet() {
  localnet_kept=${LOCALNET_KEEP:-} localnet_passed=''
  [ ! -f "$LOCALNET_HOME/localnet.json" ] || localnet_kept=1
  trap leave_localnet EXIT
  "$localnet" up --home "$LOCALNET_HOME" --library "$LOCALNET_LIBRARY" --base-port "$localnet_port"
  local name
  for name in "$@"; do suite "$name"; done
  "$localnet" status --home "$LOCALNET_HOME"
  localnet_passed=1
}

leave_localnet() {
  if [ -z "$localnet_passed" ]; then
    [ -n "$localnet_kept" ] || "$localnet" down --home "$LOCALNET_HOME"
    say "$localnet_label: a test failed; the nodes' logs are in $LOCALNET_HOME/nodes"
  elif [ -z "$localnet_kept" ]; then
    "$localnet" reset --home "$LOCALNET_HOME"
  fi
}

# The folder of the guest toolchain. Its name tells what it was made for, so a change of any of these makes a new one.
guest_toolchain() {
  local key
  key=$({
    uname -sm
    cat "$root/rust-toolchain.toml" "$root/scripts/toolchain.sh"
    have rustc && (cd "$root" && rustc --print sysroot) 2>/dev/null
  } | sha256)
  printf '%s/guest-toolchain-%s\n' "$cache" "${key:0:16}"
}

# use_guest_toolchain FILE: sets what scripts/toolchain.sh wrote there. The rustc and the linker are empty where those that
# cargo finds by itself will do.
use_guest_toolchain() {
  # shellcheck disable=SC2034  # read by the scripts that source this
  guest_cargo='' guest_rustc='' guest_linker='' guest_sysroot='' guest_wasm_opt=''
  # shellcheck source=/dev/null
  . "$1"
}

# Is the source of std in this compiler's folder?
has_std_source() { [ -f "$1/lib/rustlib/src/rust/library/std/Cargo.toml" ]; }

# use_aarch64: sets what cargo needs to compile for 64-bit ARM and to run that here, under qemu-user with NEON and its dot
# products; and `aarch64`, the arguments to add to cargo's command. A standard library of the compiler's own version is built
# first: none has to be downloaded for this target.
use_aarch64() {
  local tool
  for tool in qemu-aarch64 aarch64-linux-gnu-gcc; do
    have "$tool" || fail "there is no $tool" "install qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"
  done
  has_std_source "$(rustc --print sysroot)" || fail "the sources of Rust's standard library are not there" "run: rustup component add rust-src"
  export RUSTC_BOOTSTRAP=1
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER='qemu-aarch64 -L /usr/aarch64-linux-gnu'
  # shellcheck disable=SC2034  # read by the scripts that call this
  aarch64=(-Zbuild-std=std,panic_abort --target aarch64-unknown-linux-gnu --target-dir target/aarch64 --release)
}
