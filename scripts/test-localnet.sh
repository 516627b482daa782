#!/usr/bin/env bash
# The tests that need real chains: those of the orchestrator on chains of their own, then all others on one localnet, which
# LOCALNET_HOME and LOCALNET_PORT place and LOCALNET_KEEP=1 leaves running.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

LOCALNET_HOME=$(cd "$root" && realpath -m "${LOCALNET_HOME:-target/localnet}")
export LOCALNET_HOME
export LOCALNET_LIBRARY=${LOCALNET_LIBRARY:-$root/target/libwasmvm}
cd "$root"
localnet=${CARGO_TARGET_DIR:-target}/release/aiinference-localnet
[ -x "$localnet" ] || fail "there is no $localnet" "run 'make build'"

# suite NAME: the tests of that name, one after the other: they share the chains, and the machine has few cores.
suite() {
  say "localnet: $1"
  cargo test --workspace --release --test "$1" -- --ignored --nocapture --test-threads=1
}

finish() { [ -n "${LOCALNET_KEEP:-}" ] || "$localnet" reset --home "$LOCALNET_HOME"; }

suite chains
trap finish EXIT
"$localnet" up --home "$LOCALNET_HOME" --library "$LOCALNET_LIBRARY" --base-port "${LOCALNET_PORT:-26650}"
suite inference
suite on_a_chain
"$localnet" status --home "$LOCALNET_HOME"
