#!/usr/bin/env bash
# The tests that need real chains: those of the orchestrator on chains of their own, then all others on one localnet, which
# LOCALNET_HOME and LOCALNET_PORT place; on_localnet in lib.sh says what becomes of it.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

localnet_for localnet target/localnet 26650
suite chains
on_localnet inference on_a_chain
