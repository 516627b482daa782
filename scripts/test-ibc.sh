#!/usr/bin/env bash
# The tests of packets between real chains, on one localnet, which LOCALNET_HOME and LOCALNET_PORT place. One that is there
# already is used and stays; one that was made for the tests is removed when all have passed (LOCALNET_KEEP=1: stays up),
# and stopped when one failed, so that its logs can be read.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

LOCALNET_HOME=$(cd "$root" && realpath -m "${LOCALNET_HOME:-target/localnet-ibc}")
export LOCALNET_HOME
export LOCALNET_LIBRARY=${LOCALNET_LIBRARY:-$root/target/libwasmvm}
cd "$root"
localnet=${CARGO_TARGET_DIR:-target}/release/aiinference-localnet
[ -x "$localnet" ] || fail "there is no $localnet" "run 'make build'"

# suite NAME: the tests of that name, one after the other: they share the chains, and the machine has few cores.
suite() {
  say "ibc: $1"
  cargo test --workspace --release --test "$1" -- --ignored --nocapture --test-threads=1
}

kept=${LOCALNET_KEEP:-}
[ ! -f "$LOCALNET_HOME/localnet.json" ] || kept=1
passed=
finish() {
  if [ -z "$passed" ]; then
    [ -n "$kept" ] || "$localnet" down --home "$LOCALNET_HOME"
    say "ibc: a test failed; the nodes' logs are in $LOCALNET_HOME/nodes"
  elif [ -z "$kept" ]; then
    "$localnet" reset --home "$LOCALNET_HOME"
  fi
}

trap finish EXIT
"$localnet" up --home "$LOCALNET_HOME" --library "$LOCALNET_LIBRARY" --base-port "${LOCALNET_PORT:-28650}"
# The relayer alone, with transfers; then our contracts.
suite relay
suite ibc
"$localnet" status --home "$LOCALNET_HOME"
passed=1
