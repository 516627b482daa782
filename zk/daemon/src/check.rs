//! `aiinference prover check`: whether a prover could run, and with what.

use std::sync::Arc;

use aiinference_client::Node;
use aiinference_zk::CircuitFolder;

use crate::{
    circuit::Provable,
    config::Config,
    error::{ProverError, Result},
    registry::Registry,
    rules::Rules,
    wallet::Wallet,
};

/// Reads the key and the circuits, and asks the chain for the same; lines that tell what is there.
pub async fn check(config: &Config) -> Result<Vec<String>> {
    let wrong = |reason: String| ProverError::Config {
        path: config.folder.clone(),
        reason,
    };
    let mut lines = Vec::new();
    let price = config.chain.price().map_err(wrong)?;
    let key = config.key()?;
    let mut folders = Vec::new();
    for circuit in &config.circuits {
        let path = config.path(&circuit.folder);
        let folder = CircuitFolder::open(&path).map_err(|source| ProverError::Circuit { path, source })?;
        let rules = Rules::new(&config.rules, circuit.minimum_fee.as_deref()).map_err(wrong)?;
        folders.push((circuit, Arc::new(folder), rules));
    }
    let mut last = None;
    let mut node = None;
    for url in &config.chain.rpc {
        match Node::connect(url, Some(&config.chain.id)).await {
            Ok(found) => {
                let height = found.status().await?.height;
                lines.push(format!("{url}: {} at block {height}", found.chain_id()));
                node.get_or_insert(found);
            }
            Err(error) => {
                lines.push(format!("{url}: {error}"));
                last = Some(error);
            }
        }
    }
    let node = match (node, last) {
        (Some(node), _) => node,
        (None, Some(error)) => return Err(error.into()),
        (None, None) => return Err(wrong("chain.rpc names no node".into())),
    };
    let wallet = Wallet::new(key, &node.prefix().await?, price, config.chain.gas_margin)?;
    let balance = wallet.balance(&node).await?;
    let shown: Vec<String> = balance.iter().map(ToString::to_string).collect();
    let has = if shown.is_empty() {
        "nothing".into()
    } else {
        shown.join(", ")
    };
    lines.push(format!("account {} has {has}", wallet.address()));
    let registry = Registry::at(&config.chain.registry).config(&node).await?;
    for terms in &registry.terms {
        lines.push(format!(
            "the registry takes fees from {}{denom}, bonds from {}{denom}",
            terms.min_fee,
            terms.min_bond,
            denom = terms.denom
        ));
    }
    for (circuit, folder, rules) in folders {
        let found = Provable::find(&node, circuit.code_id, folder, rules).await?;
        lines.push(format!("circuit {}: {}", circuit.code_id, found.name()));
        if found.offer.development_srs && !found.rules.development_srs {
            lines.push("  it has a development SRS: nothing is taken for it; set rules.development_srs".into());
        }
        if found.rules.maximum_bond.is_empty() {
            lines.push("  nothing is taken for it: set rules.maximum_bond".into());
        }
    }
    if config.circuits.is_empty() {
        lines.push("no circuit is configured: nothing is taken".into());
    }
    Ok(lines)
}
