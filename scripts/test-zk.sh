#!/usr/bin/env bash
# Tests of the prover with ezkl itself. ZK_WITNESSES runs are compared for each model (40), ZK_PROOFS proofs made (1). Then those
# of the prover daemon on a localnet, which LOCALNET_HOME and LOCALNET_PORT place; on_localnet in lib.sh says what becomes of it.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

have python3 || fail "python3 is not installed" "install Python 3 with its venv module (Debian: apt-get install python3-venv)"
cd "$root"
# One at a time: they prove on all cores.
cargo test --workspace --release --test ezkl --test rebuild --test prove --test verify_circuit -- --ignored --test-threads 1
localnet_for zk target/localnet-zk 28850
on_localnet zk
