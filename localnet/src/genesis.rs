//! Making a chain: the homes of its validators and the genesis they share.

use std::fs;
use std::path::Path;

use serde_json::{json, Value};

use crate::accounts::{self, DENOM, FUNDS, PREFIX};
use crate::config;
use crate::error::{Error, IoContext, Result};
use crate::plan::{write_json, Account, Chain, NodePlan};
use crate::wasmd::Wasmd;

/// What each validator delegates to itself: all weigh the same.
const SELF_DELEGATION: u64 = 100_000_000;
/// A block's gas, as chains have it: about 14 s of contract work in the worst case.
const BLOCK_GAS: u64 = 100_000_000;
/// A proposal is voted on for this long: short, since tests wait for it.
const VOTING: &str = "10s";
const EXPEDITED_VOTING: &str = "5s";
/// Light clients trust a chain for a part of this time: it is so short that tests can wait until one has expired.
const UNBONDING: &str = "54000s";

/// Makes the homes of a chain's validators, with keys, configuration and one genesis. `accounts` are funded; the
/// validators' operators are among them, under the validators' names.
pub fn make_chain(wasmd: &Wasmd, id: &str, mut nodes: Vec<NodePlan>, accounts: &[Account]) -> Result<Chain> {
    for node in &mut nodes {
        init(wasmd, node)?;
    }
    let first = nodes.first().ok_or_else(|| Error::Unknown {
        wanted: format!("a validator of {id}"),
        known: "none".into(),
    })?;
    let path = first.home.join("config/genesis.json");
    let funded: Vec<Value> = accounts
        .iter()
        .map(|account| json!({"address": account.address, "coins": [{"denom": DENOM, "amount": FUNDS.to_string()}]}))
        .collect();
    let list = first.home.join("accounts.json");
    write_json(&list, &funded)?;
    wasmd.run(
        &first.home,
        &["genesis", "bulk-add-genesis-account", &list.to_string_lossy()],
    )?;
    fs::remove_file(&list).context("removing", &list)?;
    let mut genesis = read(&path)?;
    set_params(&mut genesis, &path)?;
    let mut entries = Vec::new();
    for node in &nodes {
        write_json(&node.home.join("config/genesis.json"), &genesis)?;
        entries.push(genesis_tx(wasmd, node, accounts)?);
    }
    *at(&mut genesis, "/app_state/genutil/gen_txs", &path)? = Value::Array(entries);
    for node in &nodes {
        write_json(&node.home.join("config/genesis.json"), &genesis)?;
    }
    wasmd.run(&first.home, &["genesis", "validate"])?;
    for node in &nodes {
        let peers = nodes
            .iter()
            .filter(|peer| peer.name != node.name)
            .map(NodePlan::peer)
            .collect::<Vec<_>>();
        configure(node, &peers, None)?;
    }
    Ok(Chain {
        id: id.into(),
        denom: DENOM.into(),
        prefix: PREFIX.into(),
        nodes,
    })
}

/// Makes the home of a node, and learns its identity.
pub fn init(wasmd: &Wasmd, node: &mut NodePlan) -> Result<()> {
    fs::create_dir_all(&node.home).context("making", &node.home)?;
    let args = ["init", &node.name, "--chain-id", &node.chain, "--default-denom", DENOM];
    wasmd.run(&node.home, &args)?;
    node.node_id = wasmd.run(&node.home, &["comet", "show-node-id"])?.trim().into();
    Ok(())
}

/// Writes a node's ports, peers and manners into its configuration.
pub fn configure(node: &NodePlan, peers: &[config::Peer], sync: Option<&config::StateSync>) -> Result<()> {
    edit(&node.home.join("config/config.toml"), |text| {
        config::comet(text, &node.ports, peers, sync)
    })?;
    edit(&node.home.join("config/app.toml"), |text| {
        config::app(text, &node.ports)
    })?;
    edit(&node.home.join("config/client.toml"), |text| {
        config::client(text, &node.chain, &node.ports)
    })
}

fn edit(path: &Path, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
    let text = fs::read_to_string(path).context("reading", path)?;
    fs::write(path, change(&text)?).context("writing", path)
}

/// A validator's self-delegation, signed by its operator.
fn genesis_tx(wasmd: &Wasmd, node: &NodePlan, accounts: &[Account]) -> Result<Value> {
    let account = accounts
        .iter()
        .find(|account| account.name == node.name)
        .ok_or_else(|| Error::Unknown {
            wanted: format!("the account {}", node.name),
            known: accounts
                .iter()
                .map(|account| account.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let source = account.mnemonic_file.to_string_lossy();
    let keyring = ["--keyring-backend", "test"];
    wasmd.run(
        &node.home,
        &[
            &["keys", "add", &node.name, "--recover", "--source", &source][..],
            &keyring,
        ]
        .concat(),
    )?;
    let path = node.home.join("gentx.json");
    let amount = format!("{SELF_DELEGATION}{DENOM}");
    let to = path.to_string_lossy();
    let args = [
        "genesis",
        "gentx",
        &node.name,
        &amount,
        "--chain-id",
        &node.chain,
        "--moniker",
        &node.name,
    ];
    let place = ["--ip", "127.0.0.1", "--output-document", &to];
    wasmd.run(&node.home, &[&args[..], &place, &keyring].concat())?;
    let tx = read(&path)?;
    fs::remove_file(&path).context("removing", &path)?;
    Ok(tx)
}

/// Settings of a chain on which everybody may upload, proposals pass quickly, and a validator that a test kills is not jailed.
fn set_params(genesis: &mut Value, path: &Path) -> Result<()> {
    let params = [
        ("/consensus/params/block/max_gas", json!(BLOCK_GAS.to_string())),
        ("/app_state/gov/params/voting_period", json!(VOTING)),
        ("/app_state/gov/params/expedited_voting_period", json!(EXPEDITED_VOTING)),
        ("/app_state/staking/params/unbonding_time", json!(UNBONDING)),
        ("/app_state/slashing/params/signed_blocks_window", json!("1000000")),
        (
            "/app_state/slashing/params/min_signed_per_window",
            json!("0.010000000000000000"),
        ),
        (
            "/app_state/wasm/params/code_upload_access/permission",
            json!("Everybody"),
        ),
        (
            "/app_state/wasm/params/instantiate_default_permission",
            json!("Everybody"),
        ),
    ];
    for (pointer, value) in params {
        *at(genesis, pointer, path)? = value;
    }
    Ok(())
}

fn at<'a>(genesis: &'a mut Value, pointer: &str, path: &Path) -> Result<&'a mut Value> {
    let missing = || Error::Damaged {
        path: path.into(),
        reason: format!("it has no {pointer}"),
    };
    genesis.pointer_mut(pointer).ok_or_else(missing)
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).context("reading", path)?;
    serde_json::from_slice(&text).map_err(|error| Error::Damaged {
        path: path.into(),
        reason: error.to_string(),
    })
}

/// Writes the mnemonics of the accounts, readable by their owner alone, and lists them.
pub fn write_accounts(folder: &Path, names: impl Iterator<Item = String>) -> Result<Vec<Account>> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    fs::create_dir_all(folder).context("making", folder)?;
    let mut accounts = Vec::new();
    for name in names {
        let mnemonic = accounts::mnemonic(&name);
        let mnemonic_file = folder.join(format!("{name}.mnemonic"));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&mnemonic_file)
            .context("writing", &mnemonic_file)?;
        // Without a line's end: wasmd would take it for a part of the last word.
        file.write_all(mnemonic.as_bytes()).context("writing", &mnemonic_file)?;
        let address = accounts::key(&name).and_then(|key| key.address(PREFIX));
        let address = address
            .map_err(|cause| Error::Key {
                name: name.clone(),
                cause,
            })?
            .to_string();
        accounts.push(Account {
            name,
            address,
            mnemonic_file,
        });
    }
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn mnemonics_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let accounts = write_accounts(folder.path(), ["alice".into(), "bob".into()].into_iter()).unwrap();
        assert_eq!(accounts.len(), 2);
        assert_ne!(accounts[0].address, accounts[1].address);
        for account in accounts {
            assert_eq!(
                fs::metadata(&account.mnemonic_file).unwrap().permissions().mode() & 0o777,
                0o600
            );
            let words = fs::read_to_string(&account.mnemonic_file).unwrap();
            assert_eq!(words, accounts::mnemonic(&account.name));
            assert_eq!(
                accounts::key(&account.name)
                    .unwrap()
                    .address(PREFIX)
                    .unwrap()
                    .to_string(),
                account.address
            );
        }
    }

    #[test]
    fn a_genesis_without_a_parameter_that_is_to_be_set_is_refused() {
        let error = set_params(&mut json!({"consensus": {}}), Path::new("genesis.json")).unwrap_err();
        assert!(error.to_string().contains("/consensus/params/block/max_gas"), "{error}");
    }
}
