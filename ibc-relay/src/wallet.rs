//! The account that pays on a chain: it signs, counts sequence numbers, and sends without waiting for blocks.

use std::time::Duration;

use aiinference_client::{
    tx::{self, Fee, Signer},
    ClientError, Coin, GasPrice, Included, Key, Msg,
};
use tokio::sync::Mutex;

use crate::{
    chain::Chain,
    error::{RelayError, Result},
    proto::Any,
    refusal::Refusal,
};

/// How often a transaction is signed again with the sequence number that the chain asks for.
const MAX_ATTEMPTS: u32 = 5;

/// The pause before that, times the number of the attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// The gas limit that a transaction states while it is tried.
const TRIED_GAS: u64 = 1_000_000;

/// Bytes of a transaction that a node tries: it goes there in hexadecimal, in a body of 1,000,000 bytes.
const MAX_TRIED: usize = 490_000;

/// Says which relayer it was, in each transaction.
const MEMO: &str = concat!("aiinference-relay ", env!("CARGO_PKG_VERSION"));

/// An account on one chain.
pub struct Wallet {
    address: String,
    key: Key,
    price: GasPrice,
    number: u64,
    /// The next sequence number; None: as the chain says.
    sequence: Mutex<Option<u64>>,
}

/// A transaction that a node has taken.
#[derive(Clone, Debug)]
pub struct Sent {
    pub hash: String,
    pub gas: u64,
    pub fee: Vec<Coin>,
}

impl Wallet {
    /// The account of a key on a chain.
    pub async fn open(chain: &Chain, key: Key) -> Result<Self> {
        let prefix = chain.on_node(|node| async move { node.prefix().await }).await?;
        let address = key.address(&prefix)?.to_string();
        let facts = chain
            .on_node(|node| {
                let address = address.clone();
                async move { node.account(&address).await }
            })
            .await?;
        let price = chain.config().price().map_err(|reason| RelayError::Local {
            doing: "reading the gas price",
            reason,
        })?;
        Ok(Wallet {
            address,
            key,
            price,
            number: facts.number,
            sequence: Mutex::new(None),
        })
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the account has.
    pub async fn balance(&self, chain: &Chain) -> Result<Vec<Coin>> {
        chain
            .on_node(|node| async move { node.balances(&self.address, None).await })
            .await
    }

    fn fee(&self, chain: &Chain, gas: u64) -> Result<Fee> {
        let amount = self.price.fee(gas).map_err(RelayError::at(chain.id()))?;
        Ok(Fee {
            gas,
            amount: amount.into_iter().collect(),
        })
    }

    /// The gas that messages use now; None if they are too many bytes to be tried.
    pub async fn tried(&self, chain: &Chain, messages: &[Any]) -> Result<Option<u64>> {
        let messages: Vec<Msg> = messages.iter().cloned().map(Msg::Any).collect();
        let fee = self.fee(chain, TRIED_GAS)?;
        let mut next = self.sequence.lock().await;
        let public = self.key.public_key().to_bytes();
        for attempt in 0..MAX_ATTEMPTS {
            let sequence = self.next(chain, &mut next).await?;
            let bytes = tx::to_simulate(&messages, MEMO, &fee, Some(public.clone()), sequence);
            if bytes.len() > MAX_TRIED {
                return Ok(None);
            }
            let tried = chain
                .on_node(|node| {
                    let bytes = bytes.clone();
                    async move { node.simulate(bytes).await }
                })
                .await;
            match tried {
                Ok(gas) => return Ok(Some(gas)),
                Err(error) => match Refusal::of(&error).and_then(|refusal| refusal.wanted_sequence()) {
                    Some(wanted) => *next = Some(wanted),
                    None => {
                        *next = None;
                        return Err(self.explained(chain, error));
                    }
                },
            }
            tokio::time::sleep(PAUSE * attempt).await;
        }
        Err(self.sequence_error(chain))
    }

    /// Signs messages and gives them to a node.
    pub async fn send(&self, chain: &Chain, messages: &[Any], gas: u64) -> Result<Sent> {
        let messages: Vec<Msg> = messages.iter().cloned().map(Msg::Any).collect();
        let fee = self.fee(chain, gas)?;
        // Held while sending: a later number must not reach the node before an earlier one.
        let mut next = self.sequence.lock().await;
        for attempt in 0..MAX_ATTEMPTS {
            let sequence = self.next(chain, &mut next).await?;
            let signer = Signer {
                chain_id: chain.id(),
                account_number: self.number,
                sequence,
            };
            let bytes = tx::signed(&messages, MEMO, &fee, signer, &self.key)?;
            let sent = chain
                .on_node(|node| {
                    let bytes = bytes.clone();
                    async move { node.broadcast(bytes).await }
                })
                .await;
            match sent {
                Ok(hash) => {
                    *next = sequence.checked_add(1);
                    return Ok(Sent {
                        hash,
                        gas,
                        fee: fee.amount,
                    });
                }
                Err(error) => match Refusal::of(&error).and_then(|refusal| refusal.wanted_sequence()) {
                    Some(wanted) => {
                        tracing::debug!(
                            chain = chain.id(),
                            sequence,
                            wanted,
                            "the sequence number is another one"
                        );
                        *next = Some(wanted);
                    }
                    None => {
                        *next = None;
                        return Err(self.explained(chain, error));
                    }
                },
            }
            tokio::time::sleep(PAUSE * attempt).await;
        }
        *next = None;
        Err(self.sequence_error(chain))
    }

    /// What became of a transaction; None while it is in no block.
    pub async fn found(&self, chain: &Chain, hash: &str) -> Result<Option<Included>> {
        chain.on_node(|node| async move { node.transaction(hash).await }).await
    }

    /// Counts from what the chain says again.
    pub async fn recount(&self) {
        *self.sequence.lock().await = None;
    }

    async fn next(&self, chain: &Chain, next: &mut Option<u64>) -> Result<u64> {
        if let Some(sequence) = *next {
            return Ok(sequence);
        }
        let facts = chain
            .on_node(|node| async move { node.account(&self.address).await })
            .await?;
        *next = Some(facts.sequence);
        Ok(facts.sequence)
    }

    fn sequence_error(&self, chain: &Chain) -> RelayError {
        RelayError::at(chain.id())(ClientError::Sequence {
            address: self.address.clone(),
            attempts: MAX_ATTEMPTS,
        })
    }

    /// An account without money is nothing that a chain's words make clear.
    fn explained(&self, chain: &Chain, error: RelayError) -> RelayError {
        match Refusal::of(&error) {
            Some(refusal) if refusal.is_poor() => RelayError::Poor {
                chain: chain.id().into(),
                address: self.address.clone(),
                log: refusal.reason().into(),
            },
            _ => error,
        }
    }
}
