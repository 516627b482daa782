#!/usr/bin/env bash
# What aiinference-std adds to a contract in bytes: builds a minimal contract without and with one call of a model, by
# scripts/build-contracts.sh, for both versions of cosmwasm-std, and prints the sizes and the difference.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
work=$root/target/sdk-size
rm -rf "$work"

# contract NAME STD_DEPENDENCY SDK_FEATURES BODY: a folder with a contract whose query does BODY.
contract() {
  local folder=$work/$1
  mkdir -p "$folder/src"
  cp "$root/Cargo.lock" "$folder/"
  {
    printf '[package]\nname = "%s"\nversion = "0.0.0"\nedition = "2021"\n\n' "$1"
    printf '[lib]\ncrate-type = ["cdylib"]\n\n[dependencies]\nserde = { version = "1", features = ["derive"] }\n%s\n' "$2"
    [ -z "$3" ] || printf 'aiinference-std = { path = "%s/x-aiinference/std", features = ["%s"] }\n' "$root" "$3"
    printf '\n[workspace]\n\n'
    # The profile of the real contracts, with all it says about packages.
    sed -n '/^\[profile\./,$p' "$root/Cargo.toml"
  } >"$folder/Cargo.toml"
  cat >"$folder/src/lib.rs" <<RUST
use cosmwasm_std::*;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct QueryMsg {
    code_id: u64,
    income: Decimal,
    age: u8,
}

#[entry_point]
pub fn instantiate(_deps: DepsMut, _env: Env, _info: MessageInfo, _msg: Empty) -> StdResult<Response> {
    Ok(Response::new())
}

#[entry_point]
#[allow(unused_variables)]
pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> StdResult<Binary> {
    $4
    to_json_binary(&score)
}
RUST
}

# shellcheck disable=SC2016  # Rust, not shell
without='let score = if msg.age > 18 { msg.income } else { Decimal::percent(msg.code_id) };'
with='
    use aiinference_std::{Model, Tensor};
    let inputs = [
        Tensor::from_decimals(&[msg.income])?.named("income"),
        Tensor::from_i64s(&[msg.age.into()]).named("age"),
    ];
    let out = Model::new(msg.code_id).infer(deps.querier, inputs)?;
    let score: Decimal = out.get("score")?.to_decimal()?;'
std2='cosmwasm-std = { version = "2.3", default-features = false, features = ["std"] }'
std3='cosmwasm-std = { version = "3.0.11", default-features = false, features = ["std", "exports"] }'
contract sdk-size-2-without "$std2" "" "$without"
contract sdk-size-2-with "$std2" std2 "$with"
contract sdk-size-3-without "$std3" "" "$without"
contract sdk-size-3-with "$std3" std3 "$with"

"$root/scripts/build-contracts.sh" "$work"/*
for version in 2 3; do
  sizes=()
  for kind in without with; do
    module=$root/target/contracts/sdk-size-$version-$kind
    sizes+=("$(wc -c <"$module.wasm")")
    rm "$module.wasm" "$module.stamp"
  done
  echo "cosmwasm-std $version: ${sizes[0]} bytes without, ${sizes[1]} with one call: $((sizes[1] - sizes[0])) more"
done
