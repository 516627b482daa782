//! The account that pays. A transaction is signed, remembered by the caller, and only then given to a node; what became of
//! it is read from the chain.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aiinference_client::{
    tx::{self, Signer},
    ClientError, Coin, Gas, GasPrice, Included, Key, Msg, Node, Options, Payer,
};

use crate::{error::Result, job::Sent};

/// Says which program it was, in each transaction.
const MEMO: &str = concat!("aiinference-prover ", env!("CARGO_PKG_VERSION"));

/// An account on a chain.
#[derive(Debug)]
pub struct Wallet {
    key: Key,
    address: String,
    price: GasPrice,
    margin: f64,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It may still come.
    Waiting,
    /// It is in a block, done or failed.
    Included(Box<Included>),
    /// Its sequence number is used, and the node knows no such transaction: another one used it, or the node keeps no index.
    Used,
}

/// Seconds since 1970, by this machine's clock.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or(Duration::ZERO).as_secs()
}

impl Wallet {
    /// The account of a key, on a chain whose addresses begin so.
    pub fn new(key: Key, prefix: &str, price: GasPrice, margin: f64) -> Result<Self> {
        let address = key.address(prefix).map_err(ClientError::from)?.to_string();
        Ok(Wallet {
            key,
            address,
            price,
            margin,
        })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has.
    pub async fn balance(&self, node: &Node) -> Result<Vec<Coin>> {
        Ok(node.balances(&self.address, None).await?)
    }

    /// Tries messages, and signs them with the gas that this used and some more. No node has the result yet.
    pub async fn sign(&self, node: &Node, messages: &[Msg], more_gas: u64) -> Result<Sent> {
        let options = Options {
            gas: Gas::Estimate(self.margin),
            gas_price: Some(self.price.clone()),
            memo: MEMO.into(),
            ..Options::default()
        };
        let payer = Payer::new(node.clone(), options).await?;
        let mut fee = payer.fee_for(&self.address, messages).await?;
        if more_gas > 0 {
            fee = payer.fee(fee.gas.saturating_add(more_gas))?;
        }
        let facts = node.account(&self.address).await?;
        let signer = Signer {
            chain_id: node.chain_id(),
            account_number: facts.number,
            sequence: facts.sequence,
        };
        let bytes = tx::signed(messages, MEMO, &fee, signer, &self.key).map_err(ClientError::from)?;
        Ok(Sent {
            hash: tx::hash(&bytes),
            sequence: facts.sequence,
            bytes: bytes.into(),
            at: now(),
        })
    }

    /// The next sequence number.
    pub async fn sequence(&self, node: &Node) -> Result<u64> {
        Ok(node.account(&self.address).await?.sequence)
    }

    /// Gives a transaction to a node; a second time is as good as once.
    pub async fn broadcast(&self, node: &Node, sent: &Sent) -> Result<()> {
        node.broadcast(sent.bytes.to_vec()).await?;
        Ok(())
    }

    /// What became of a transaction.
    pub async fn fate(&self, node: &Node, sent: &Sent) -> Result<Fate> {
        // The account first: what used its number before this is found afterwards.
        let sequence = node.account(&self.address).await?.sequence;
        let found = match node.transaction(&sent.hash).await {
            // Some nodes keep no index of transactions.
            Err(ClientError::Node { reason, .. }) if reason.contains("indexing is disabled") => None,
            found => found?,
        };
        Ok(fate(found, sequence, sent.sequence))
    }
}

fn fate(found: Option<Included>, sequence: u64, of_it: u64) -> Fate {
    match found {
        Some(included) => Fate::Included(Box::new(included)),
        None if sequence > of_it => Fate::Used,
        None => Fate::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_may_come_as_long_as_its_number_is_free() {
        assert_eq!(fate(None, 4, 5), Fate::Waiting);
        assert_eq!(fate(None, 5, 5), Fate::Waiting);
        assert_eq!(fate(None, 6, 5), Fate::Used);
        let included = Included {
            hash: "AB".into(),
            height: 1,
            index: 0,
            code: 0,
            codespace: String::new(),
            log: String::new(),
            gas_wanted: 1,
            gas_used: 1,
            events: vec![],
            data: vec![],
        };
        // Whatever the account's number says, which another node may know better.
        for sequence in [5, 6] {
            let found = fate(Some(included.clone()), sequence, 5);
            assert_eq!(found, Fate::Included(Box::new(included.clone())));
        }
    }
}
