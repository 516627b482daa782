#!/usr/bin/env bash
# Our relayer and Hermes on the same two channels of one localnet, taking turns; figures to target/compare-relayers-*.json.
# Nothing else should run on the machine meanwhile.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

home=$(cd "$root" && realpath -m "${LOCALNET_HOME:-target/localnet-compare}")
cd "$root"
target=${CARGO_TARGET_DIR:-target}
localnet=$target/release/aiinference-localnet

scripts/hermes.sh
cargo build --workspace --release --example compare_relayers
"$localnet" reset --home "$home"
trap '"$localnet" reset --home "$home"' EXIT
"$localnet" up --home "$home" --library "${LOCALNET_LIBRARY:-target/libwasmvm}" --base-port "${LOCALNET_PORT:-30650}"
# compare VERSION MODE ARGUMENTS...: on the channels of that version, Hermes in that mode.
compare() {
  local version=$1 mode=$2
  shift 2
  scripts/hermes.sh config "$home" "$home/hermes.toml" "$mode"
  "$target/release/examples/compare_relayers" --home "$home" --only "$version" --json "$target/compare-relayers-$version.json" \
    --beside "hermes=$root/target/hermes/bin/hermes --config $home/hermes.toml start" "$@"
}
compare ics20-1 push "$@"
compare aiinference-1 pull "$@"
say "the figures are in $target/compare-relayers-*.json"
