//! An account that sends transactions, many at a time.

use std::time::Duration;

use aiinference_runtime::module;
use tokio::{sync::Mutex, time::sleep};

use crate::{
    coin::GasPrice,
    error::ClientError,
    key::Key,
    msg::Msg,
    node::{Node, MAX_SIMULATED},
    tx::{self, Fee, Included, Signer},
};

/// How often a transaction is signed again because another one took its sequence number, and how often it is offered
/// to a node whose mempool is full.
const MAX_ATTEMPTS: u32 = 8;

/// The pause before such an attempt, times its number.
const PAUSE: Duration = Duration::from_millis(250);

/// Sizes of the code with which the gas of a transaction is found that is too large to be simulated.
const PROBES: [usize; 2] = [10_000, 110_000];

/// The largest gas limit that a node's word is taken for, several times what any block holds: all of the limit is paid.
const MAX_ESTIMATE: u64 = 1_000_000_000;

/// The gas limit that a transaction states while it is tried; nothing is refused for it.
const TRIED_LIMIT: u64 = 1_000_000;

/// Where a transaction's gas limit comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gas {
    /// Said by the user.
    Limit(u64),
    /// What trying the transaction uses, times this.
    Estimate(f64),
}

impl Default for Gas {
    fn default() -> Self {
        Gas::Estimate(1.3)
    }
}

/// How an account pays and waits.
#[derive(Clone, Debug)]
pub struct Options {
    /// Gas limit.
    pub gas: Gas,
    /// Price of gas. None: the least that a node on this machine takes; a node elsewhere is not trusted with that.
    pub gas_price: Option<GasPrice>,
    /// A public note in each transaction.
    pub memo: String,
    /// How long to wait until a transaction is in a block.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            gas: Gas::default(),
            gas_price: None,
            memo: String::new(),
            timeout: Duration::from_secs(60),
        }
    }
}

/// Gas and fee of transactions that somebody else may sign.
#[derive(Clone, Debug)]
pub struct Payer {
    node: Node,
    options: Options,
    price: Option<GasPrice>,
}

impl Payer {
    /// Settles the price of gas.
    pub async fn new(node: Node, options: Options) -> Result<Self, ClientError> {
        let price = match &options.gas_price {
            Some(price) => Some(price.clone()),
            None => match node.least_gas_price().await? {
                Some(price) if !price.is_zero() && !node.rpc().is_local() => {
                    return Err(ClientError::GasPrice {
                        url: node.url().into(),
                        price: price.to_string(),
                    })
                }
                price => price,
            },
        };
        Ok(Payer { node, options, price })
    }

    /// The fee of a gas limit.
    pub fn fee(&self, gas: u64) -> Result<Fee, ClientError> {
        let amount = match &self.price {
            Some(price) => price.fee(gas)?.into_iter().collect(),
            None => Vec::new(),
        };
        Ok(Fee { gas, amount })
    }

    /// The fee of some messages that an account will sign elsewhere.
    pub async fn fee_for(&self, address: &str, msgs: &[Msg]) -> Result<Fee, ClientError> {
        let mut sequence = self.node.account(address).await?.sequence;
        for _ in 0..MAX_ATTEMPTS {
            match self.fee_of(msgs, self.options.gas, None, sequence).await {
                // Transactions of this account are on their way to a block.
                Err(error) if error.expected_sequence().is_some_and(|expected| expected != sequence) => {
                    sequence = error.expected_sequence().unwrap_or(sequence);
                }
                done => return done,
            }
        }
        Err(ClientError::Sequence {
            address: address.into(),
            attempts: MAX_ATTEMPTS,
        })
    }

    /// The fee of some messages at a gas limit, or else at what trying them uses, with the margin.
    async fn fee_of(
        &self,
        msgs: &[Msg],
        gas: Gas,
        public_key: Option<Vec<u8>>,
        sequence: u64,
    ) -> Result<Fee, ClientError> {
        match gas {
            Gas::Limit(gas) => self.fee(gas),
            Gas::Estimate(margin) => {
                let used = self.gas_used(msgs, public_key, sequence).await?;
                let limit = (used as f64 * margin).ceil() as u64;
                if limit > MAX_ESTIMATE {
                    return Err(ClientError::Estimate {
                        url: self.node.url().into(),
                        gas: limit,
                    });
                }
                self.fee(limit)
            }
        }
    }

    /// The gas that some messages would use now.
    ///
    /// A node tries transactions of up to 490 kB. Above that, the same transaction is tried with two small modules in
    /// the place of its code, and the line through the two results is extended: all gas of storing code, and of proposing
    /// to store it, is a constant and so much a byte. For gzipped code, the unpacked size is the one that is taken,
    /// which is a little more than is used.
    async fn gas_used(&self, msgs: &[Msg], public_key: Option<Vec<u8>>, sequence: u64) -> Result<u64, ClientError> {
        let memo = &self.options.memo;
        // Taking a fee uses gas too.
        let fee = self.fee(TRIED_LIMIT)?;
        let to_simulate = |msgs: &[Msg]| tx::to_simulate(msgs, memo, &fee, public_key.clone(), sequence);
        let whole = to_simulate(msgs);
        let bytes: u64 = msgs.iter().map(Msg::priced_bytes).sum();
        if whole.len() <= MAX_SIMULATED {
            return self.node.simulate(whole).await;
        }
        if bytes == 0 {
            return Err(ClientError::TooLargeTx {
                size: whole.len(),
                limit: MAX_SIMULATED,
            });
        }
        let mut points = [(0, 0); PROBES.len()];
        for (point, size) in points.iter_mut().zip(PROBES) {
            let probe: Vec<Msg> = msgs.iter().map(|msg| msg.with_code(&probe_module(size))).collect();
            let bytes: u64 = probe.iter().map(Msg::priced_bytes).sum();
            let gas = self.node.simulate(to_simulate(&probe)).await?;
            *point = (bytes, gas);
        }
        let [low, high] = points;
        Ok(extend(low, high, bytes))
    }
}

/// The line through two points, at a third place behind them, rounded up.
fn extend(low: (u64, u64), high: (u64, u64), at: u64) -> u64 {
    let rise = u128::from(high.1.saturating_sub(low.1));
    let run = u128::from(high.0.saturating_sub(low.0)).max(1);
    let further = (rise * u128::from(at.saturating_sub(low.0))).div_ceil(run);
    u64::try_from(further).unwrap_or(u64::MAX).saturating_add(low.1)
}

/// A module that every chain stores, with so many bytes in it.
fn probe_module(bytes: usize) -> Vec<u8> {
    module::split(&vec![0; bytes], bytes).swap_remove(0)
}

/// An account on one chain, with its key.
///
/// It counts its own sequence numbers, so that any number of its transactions may be under way. Calls may run at the
/// same time; they are signed one after another.
#[derive(Debug)]
pub struct Account {
    node: Node,
    key: Key,
    address: String,
    number: u64,
    payer: Payer,
    /// The next sequence number; None: as the chain says.
    sequence: Mutex<Option<u64>>,
}

impl Account {
    /// The account of a key on a node's chain.
    pub async fn open(node: &Node, key: Key, options: Options) -> Result<Self, ClientError> {
        if !node.chain_is_agreed() {
            return Err(ClientError::ChainId {
                url: node.url().into(),
                chain: node.chain_id().into(),
            });
        }
        let prefix = node.prefix().await?;
        let address = key.address(&prefix)?.to_string();
        let facts = node.account(&address).await?;
        Ok(Account {
            payer: Payer::new(node.clone(), options).await?,
            node: node.clone(),
            key,
            address,
            number: facts.number,
            sequence: Mutex::new(None),
        })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Signs and sends; the transaction's hash. The node has checked fee, signature and sequence, no block has it yet.
    pub async fn submit(&self, msgs: &[Msg]) -> Result<String, ClientError> {
        self.submit_with(msgs, self.payer.options.gas).await
    }

    /// The same with a gas limit of its own.
    pub async fn submit_with(&self, msgs: &[Msg], gas: Gas) -> Result<String, ClientError> {
        // Held while sending: a later number must not reach the node before an earlier one.
        let mut next = self.sequence.lock().await;
        let mut last = None;
        for attempt in 1..=MAX_ATTEMPTS {
            let sequence = match *next {
                Some(sequence) => sequence,
                None => self.node.account(&self.address).await?.sequence,
            };
            match self.attempt(msgs, gas, sequence).await {
                Ok(hash) => {
                    *next = sequence.checked_add(1);
                    return Ok(hash);
                }
                Err(error) => match error.expected_sequence() {
                    // A node elsewhere could keep what was signed, ask for it under further numbers, and send all.
                    Some(_) if error.was_signed() && !self.node.rpc().is_local() => return Err(error),
                    Some(expected) => *next = Some(expected),
                    None if error.is_busy() => last = Some(error),
                    None => return Err(error),
                },
            }
            sleep(PAUSE * attempt).await;
        }
        Err(last.unwrap_or(ClientError::Sequence {
            address: self.address.clone(),
            attempts: MAX_ATTEMPTS,
        }))
    }

    async fn attempt(&self, msgs: &[Msg], gas: Gas, sequence: u64) -> Result<String, ClientError> {
        let public_key = Some(self.key.public_key().to_bytes());
        let fee = self.payer.fee_of(msgs, gas, public_key, sequence).await?;
        let signer = Signer {
            chain_id: self.node.chain_id(),
            account_number: self.number,
            sequence,
        };
        let memo = &self.payer.options.memo;
        let bytes = tx::signed(msgs, memo, &fee, signer, &self.key)?;
        self.node.broadcast(bytes).await
    }

    /// Waits until a transaction is in a block; an error if it failed there.
    pub async fn confirm(&self, hash: &str) -> Result<Included, ClientError> {
        let included = self.node.wait(hash, self.payer.options.timeout).await;
        if matches!(included, Err(ClientError::NotIncluded { .. })) {
            // Its number may be free again: let the chain say.
            *self.sequence.lock().await = None;
        }
        included?.done("running the transaction")
    }

    /// Signs, sends and waits.
    pub async fn send(&self, msgs: &[Msg]) -> Result<Included, ClientError> {
        let hash = self.submit(msgs).await?;
        self.confirm(&hash).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gas_is_extended_along_the_line() {
        assert_eq!(extend((10, 100), (20, 230), 30), 360);
        assert_eq!(extend((10, 100), (20, 230), 21), 243);
        assert_eq!(extend((0, 0), (3, 1), 4), 2, "rounded up");
        // A node that answers nonsense gets nonsense, but no panic.
        assert_eq!(extend((20, 100), (10, 50), 30), 100);
        assert_eq!(extend((0, 0), (1, u64::MAX), u64::MAX), u64::MAX);
    }

    #[test]
    fn probes_are_valid_modules_of_about_the_wanted_size() {
        for size in PROBES {
            let module = probe_module(size);
            assert!((size..size + 200).contains(&module.len()), "{}", module.len());
            assert!(matches!(module::carried(&module), Ok(module::Carried::Shard(_))));
        }
    }
}
