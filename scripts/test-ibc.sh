#!/usr/bin/env bash
# The tests of packets between real chains, on one localnet, which LOCALNET_HOME and LOCALNET_PORT place; on_localnet in
# lib.sh says what becomes of it.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

localnet_for ibc target/localnet-ibc 28650
# The relayer alone, with transfers; then our contracts.
on_localnet relay ibc
