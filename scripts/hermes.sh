#!/usr/bin/env bash
# Brings Hermes, the usual relayer, to compare with: `scripts/hermes.sh` installs it from the registry to target/hermes/bin/hermes;
# `scripts/hermes.sh config HOME FILE push|pull` writes its configuration for a localnet, and gives it the key of the account
# `load7`. Told of events by nodes (push) it does not see what contracts send (its issue 2809): with those it has to ask (pull).
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

version=1.10.5
folder=$root/target/hermes
hermes=$folder/bin/hermes

install_hermes() {
  [ ! -x "$hermes" ] || return 0
  # One of its dependencies makes bindings with libclang.
  if ! ldconfig -p 2>/dev/null | grep -q libclang && ! ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1; then
    have apt-get || fail "building Hermes needs libclang" "install it, then run this again"
    say "installing libclang"
    logged "$folder/log/apt" apt-get install -y libclang-dev || fail "libclang cannot be installed (see $folder/log/apt)"
  fi
  say "building Hermes $version (about 10 minutes, once)"
  logged "$folder/log/build" cargo install ibc-relayer-cli --version "$version" --locked --bin hermes --root "$folder" --target-dir "$folder/build" ||
    fail "Hermes $version does not build (see $folder/log/build)"
  rm -rf "$folder/build"
}

# chain ID RPC_PORT GRPC_PORT MODE: one chain of the configuration. The waits are short, to its advantage.
chain() {
  local source="mode = 'push', url = 'ws://127.0.0.1:$2/websocket', batch_delay = '50ms'"
  [ "$4" = push ] || source="mode = 'pull', interval = '50ms'"
  cat <<CHAIN

[[chains]]
id = '$1'
type = 'CosmosSdk'
rpc_addr = 'http://127.0.0.1:$2'
grpc_addr = 'http://127.0.0.1:$3'
event_source = { $source }
rpc_timeout = '10s'
account_prefix = 'wasm'
key_name = 'relayer'
key_store_folder = '$folder/keys'
store_prefix = 'ibc'
default_gas = 400000
max_gas = 90000000
gas_price = { price = 0.0, denom = 'stake' }
gas_multiplier = 1.3
max_msg_num = 50
max_tx_size = 900000
clock_drift = '10s'
max_block_time = '30s'
trusting_period = '8h'
trust_threshold = '2/3'
compat_mode = '0.38'
address_type = { derivation = 'cosmos' }
CHAIN
}

write_config() {
  local home=$1 file=$2 mode=$3 name
  local plan=$home/localnet.json
  [ -f "$plan" ] || fail "there is no localnet in $home" "run 'make localnet-up'"
  {
    cat <<GLOBAL
[global]
log_level = 'error'

[mode.clients]
enabled = true
refresh = true
misbehaviour = false

[mode.connections]
enabled = false

[mode.channels]
enabled = false

[mode.packets]
enabled = true
clear_interval = 0
clear_on_start = true
tx_confirmation = false

[telemetry]
enabled = false
host = '127.0.0.1'
port = 3001
GLOBAL
    python3 - "$plan" <<'PLAN' | while read -r id rpc grpc; do chain "$id" "$rpc" "$grpc" "$mode"; done
import json, sys
plan = json.load(open(sys.argv[1]))
for chain in plan["chains"]:
    ports = chain["nodes"][0]["ports"]
    print(chain["id"], ports["rpc"], ports["grpc"])
PLAN
  } >"$file"
  for name in provider-1 consumer-1; do
    logged "$folder/log/keys" "$hermes" --config "$file" keys add --chain "$name" --key-name relayer --overwrite \
      --mnemonic-file "$home/keys/load7.mnemonic" || fail "Hermes does not take the key for $name (see $folder/log/keys)"
  done
}

install_hermes
[ "${1:-}" != config ] || write_config "$2" "$3" "$4"
