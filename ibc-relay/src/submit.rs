//! From steps to transactions: proofs, the light client's update, batches, gas.

use std::{collections::BTreeMap, sync::Arc};

use aiinference_client::{ClientError, Json};
use base64::prelude::{Engine as _, BASE64_STANDARD};
use futures::{stream, StreamExt};
use serde::Deserialize;

use crate::{
    chain::{Chain, Proven},
    error::{RelayError, Result},
    ledger::{Action, Key, Kind},
    light::{Anchor, Trusted},
    metrics,
    packet::{acknowledgement_commitment, path},
    path::{Lane, Path, Side},
    proto::{any, channel, Any, Height, Message},
    refusal::Refusal,
    wallet::Sent,
};

/// Proofs asked for at the same time.
const PARALLEL: usize = 16;

/// Gas that a limit has beyond what a trial used, since blocks differ a little.
const EXTRA_GAS: u64 = 20_000;

/// Gas limits of what is too large to be tried: for a message, for each of its bytes (the SDK's price of a byte, and what
/// a contract does with it), and for the rest.
const UNTRIED_MESSAGE: u64 = 1_500_000;
const UNTRIED_BYTE: u64 = 20;
const UNTRIED_REST: u64 = 500_000;

/// What became of a step.
#[derive(Debug)]
pub enum Outcome {
    /// It is in a transaction that a node has.
    Sent { hash: String, batch: usize },
    /// Somebody else did it.
    Redundant,
    /// Its reward is too small.
    Left,
    /// Not now.
    Failed(Arc<RelayError>),
}

/// A transaction that a node has.
#[derive(Debug)]
pub struct Posted {
    pub sent: Sent,
    /// The packets in it.
    pub packets: Vec<(Key, Kind)>,
    /// What the client trusts once it is done.
    pub trusted: Option<Trusted>,
}

/// What came of one round for a side.
#[derive(Debug, Default)]
pub struct Flushed {
    pub outcomes: Vec<(Key, Kind, Outcome)>,
    pub sent: Vec<Posted>,
    /// Why nothing at all could be done.
    pub stopped: Option<Arc<RelayError>>,
    /// Packets whose reward was found to be enough.
    pub worth: Vec<Key>,
    /// What went wrong with no packet.
    pub errors: Vec<RelayError>,
}

/// What is to be done on a side beside packets.
#[derive(Clone, Debug, Default)]
pub struct Chores {
    /// Update the light client, even if there is nothing else.
    pub refresh: bool,
    /// Lanes whose end there is to be closed, as the other one is.
    pub close: Vec<usize>,
}

impl Chores {
    pub fn is_empty(&self) -> bool {
        !self.refresh && self.close.is_empty()
    }
}

/// A step as a message.
struct Prepared {
    key: Key,
    kind: Kind,
    message: Any,
    size: usize,
    limit: usize,
    boost: u64,
    max_gas: Option<u64>,
}

/// Does what is to be done on a side with the header of the other chain at a height.
pub async fn flush(paths: &Path, target: usize, header: u64, actions: Vec<Action>, chores: Chores) -> Flushed {
    let side = &paths.sides[target];
    let mut flushed = Flushed::default();
    let signer = side.handle.wallet.address();
    let anchor = match side.client.anchor(header, signer).await {
        Ok(anchor) => anchor,
        Err(error) => {
            let error = Arc::new(error);
            let failed = actions
                .iter()
                .map(|action| (action.key, action.kind, Outcome::Failed(error.clone())));
            flushed.outcomes = failed.collect();
            flushed.stopped = Some(error);
            return flushed;
        }
    };
    let preparing = actions.into_iter().map(|action| {
        let anchor = &anchor;
        async move {
            let prepared = prepare(paths, target, anchor, &action).await;
            (action, prepared)
        }
    });
    let prepared: Vec<_> = stream::iter(preparing).buffered(PARALLEL).collect().await;
    let mut ready = Vec::new();
    let mut broken: Vec<(usize, usize)> = Vec::new();
    for (action, result) in prepared {
        let lane = (action.key.lane, action.key.from);
        // On an ordered channel, what comes after a failure would fail too.
        let ordered = paths.lanes.get(action.key.lane).is_some_and(|lane| lane.ordered);
        let result = match broken.contains(&lane) {
            true => Ok(Err(Outcome::Redundant)),
            false => result,
        };
        match result {
            Ok(Ok(one)) => {
                if action.kind == Kind::Receive && !action.worth {
                    flushed.worth.push(action.key);
                }
                ready.push(one);
            }
            Ok(Err(outcome)) => {
                if ordered {
                    broken.push(lane);
                }
                flushed.outcomes.push((action.key, action.kind, outcome));
            }
            Err(error) => {
                if ordered {
                    broken.push(lane);
                }
                flushed
                    .outcomes
                    .push((action.key, action.kind, Outcome::Failed(Arc::new(error))));
            }
        }
    }
    let mut update = anchor.update.clone();
    let config = side.handle.chain.config();
    let mut batches = batches(ready, config.max_messages, config.max_bytes);
    batches.reverse();
    let mut asked = false;
    while let Some(mut batch) = batches.pop() {
        match send(side, update.as_ref(), &[], &batch).await {
            Ok(sent) => {
                let trusted = update.take().map(|_| anchor.trusted.clone());
                let size = batch.len();
                for one in &batch {
                    let hash = sent.hash.clone();
                    flushed
                        .outcomes
                        .push((one.key, one.kind, Outcome::Sent { hash, batch: size }));
                }
                flushed.sent.push(Posted {
                    sent,
                    packets: batch.iter().map(|one| (one.key, one.kind)).collect(),
                    trusted,
                });
            }
            Err(error) if is_redundant(&error) => {
                for one in batch {
                    flushed.outcomes.push((one.key, one.kind, Outcome::Redundant));
                }
            }
            Err(error) => {
                // A client that takes nothing any more fails everything alike: the chain says so if it is asked.
                let error = match error.refusal().is_some() && !asked {
                    true => side
                        .client
                        .active()
                        .await
                        .err()
                        .filter(|other| other.needs_somebody())
                        .unwrap_or(error),
                    false => error,
                };
                asked = true;
                let some = concerns_messages(&error, update.is_some());
                if some && batch.len() > 1 {
                    // One message spoils its whole transaction: find it.
                    tracing::debug!(chain = side.handle.chain.id(), messages = batch.len(), %error, "splitting a batch");
                    let half = batch.split_off(batch.len() / 2);
                    batches.push(half);
                    batches.push(batch);
                    continue;
                }
                let error = Arc::new(error);
                let mut failed = batch;
                if !some {
                    failed.extend(batches.drain(..).flatten());
                    flushed.stopped = Some(error.clone());
                }
                for one in failed {
                    flushed
                        .outcomes
                        .push((one.key, one.kind, Outcome::Failed(error.clone())));
                }
            }
        }
    }
    if flushed.stopped.is_none() {
        do_chores(paths, target, &anchor, update, chores, &mut flushed).await;
    }
    flushed
}

/// Closes ends whose other ones are closed, and refreshes the client, if `update` was in no transaction so far.
async fn do_chores(
    paths: &Path,
    target: usize,
    anchor: &Anchor,
    mut update: Option<Any>,
    chores: Chores,
    flushed: &mut Flushed,
) {
    let side = &paths.sides[target];
    let mut todo: Vec<Vec<Any>> = Vec::new();
    for lane in chores.close {
        let Some(lane) = paths.lanes.get(lane) else { continue };
        match close(paths, target, anchor, lane).await {
            Ok(Some(message)) => {
                tracing::info!(
                    channel = lane.name,
                    "the end on {} is closed: telling the one on {}",
                    paths.sides[1 - target].handle.chain.id(),
                    side.handle.chain.id()
                );
                todo.push(vec![message]);
            }
            Ok(None) => {}
            Err(error) => flushed.errors.push(error),
        }
    }
    if chores.refresh && todo.is_empty() && update.is_some() {
        todo.push(Vec::new());
    }
    for messages in todo {
        match send(side, update.as_ref(), &messages, &[]).await {
            Ok(sent) => flushed.sent.push(Posted {
                sent,
                packets: Vec::new(),
                trusted: update.take().map(|_| anchor.trusted.clone()),
            }),
            // Somebody else has done it.
            Err(error) if is_redundant(&error) => {}
            // A contract may refuse to be closed; what is wrong with the client or the account concerns everything.
            Err(error) if !messages.is_empty() && concerns_messages(&error, update.is_some()) => {
                flushed.errors.push(error)
            }
            Err(error) => {
                flushed.stopped = Some(Arc::new(error));
                return;
            }
        }
    }
}

/// Shows a client the header that freezes it.
pub async fn report(side: &Side, evidence: Any) -> Result<Sent> {
    send(side, Some(&evidence), &[], &[]).await
}

/// The message that closes an end because the other one is closed; None while that is not proven.
async fn close(paths: &Path, target: usize, anchor: &Anchor, lane: &Lane) -> Result<Option<Any>> {
    let source = &paths.sides[1 - target].handle.chain;
    let key = path::channel(&lane.ends[1 - target]);
    let proven = source.proven(&key, anchor.trusted.height.saturating_sub(1)).await?;
    source.check(&proven, &anchor.trusted.root, &key, Some(&proven.value))?;
    let end = channel::Channel::decode(proven.value.as_slice()).map_err(|_| source.answer(&key, "it is no channel"))?;
    if end.state != channel::State::Closed as i32 {
        return Ok(None);
    }
    Ok(Some(any(&channel::MsgChannelCloseConfirm {
        port_id: lane.ends[target].port.clone(),
        channel_id: lane.ends[target].channel.clone(),
        proof_init: proven.proof.encode_to_vec(),
        proof_height: Some(source.height(anchor.trusted.height)),
        signer: paths.sides[target].handle.wallet.address().into(),
        ..Default::default()
    })))
}

/// Signs and sends a batch, with gas as a trial tells.
async fn send(side: &Side, update: Option<&Any>, alone: &[Any], batch: &[Prepared]) -> Result<Sent> {
    let chain = &side.handle.chain;
    let config = chain.config();
    let messages: Vec<Any> = update
        .into_iter()
        .chain(alone)
        .chain(batch.iter().map(|one| &one.message))
        .cloned()
        .collect();
    let tried = side.handle.wallet.tried(chain, &messages).await?;
    let boost = batch.iter().map(|one| one.boost).max().unwrap_or(100);
    let gas = match tried {
        Some(gas) => with_margin(gas, config.gas_margin).saturating_add(EXTRA_GAS),
        None => batch.iter().fold(UNTRIED_REST, |sum, one| {
            let bytes = UNTRIED_BYTE.saturating_mul(one.size as u64);
            sum.saturating_add(UNTRIED_MESSAGE).saturating_add(bytes)
        }),
    };
    let gas = u64::try_from(u128::from(gas) * u128::from(boost) / 100).unwrap_or(u64::MAX);
    let what = match batch {
        [] => "what goes without packets".to_string(),
        [one] => format!("packet {}", one.key.sequence),
        _ => format!("a batch of {}", batch.len()),
    };
    let too_dear = |limit| RelayError::Gas {
        chain: chain.id().into(),
        what: what.clone(),
        gas,
        limit,
    };
    // A batch above the least cap in it is split, until what is too dear is alone.
    let cap = batch.iter().filter_map(|one| one.max_gas).min();
    if let Some(limit) = cap.filter(|limit| gas > *limit) {
        return Err(too_dear(limit));
    }
    if gas > config.max_gas {
        // What a trial used may fit where the margin does not.
        match tried {
            Some(used) if used < config.max_gas && batch.len() <= 1 => {}
            _ => return Err(too_dear(config.max_gas)),
        }
    }
    side.handle.wallet.send(chain, &messages, gas.min(config.max_gas)).await
}

fn with_margin(gas: u64, margin: f64) -> u64 {
    let percent = (margin * 100.0).clamp(100.0, 1000.0) as u128;
    u64::try_from(u128::from(gas) * percent / 100).unwrap_or(u64::MAX)
}

/// Whether a chain says that all of it is done already.
fn is_redundant(error: &RelayError) -> bool {
    Refusal::of(error).is_some_and(|refusal| refusal.is_redundant())
}

/// Whether an error may be due to a part of a batch's messages. With `updates`, the light client's update comes before them.
fn concerns_messages(error: &RelayError, updates: bool) -> bool {
    match error {
        RelayError::Gas { .. } => true,
        RelayError::Client { source, .. } if matches!(**source, ClientError::TooLargeTx { .. }) => true,
        _ => Refusal::of(error).is_some_and(|refusal| {
            let update = updates && refusal.message() == Some(0);
            !update && !refusal.concerns_all()
        }),
    }
}

/// Cuts steps into batches, in order.
fn batches(steps: Vec<Prepared>, max_messages: usize, max_bytes: usize) -> Vec<Vec<Prepared>> {
    let mut batches: Vec<Vec<Prepared>> = Vec::new();
    let mut bytes = 0usize;
    let mut limit = 0usize;
    for step in steps {
        let size = step.size;
        match batches.last_mut() {
            Some(batch)
                if batch.len() < limit.min(step.limit).min(max_messages) && bytes.saturating_add(size) <= max_bytes =>
            {
                bytes = bytes.saturating_add(size);
                limit = limit.min(step.limit);
                batch.push(step);
            }
            _ => {
                bytes = size;
                limit = step.limit;
                batches.push(vec![step]);
            }
        }
    }
    batches
}

/// Proves a step and makes its message; or says what else became of it.
async fn prepare(paths: &Path, target: usize, anchor: &Anchor, action: &Action) -> Result<Result<Prepared, Outcome>> {
    let lane = &paths.lanes[action.key.lane];
    let source = &paths.sides[1 - target].handle.chain;
    let side = &paths.sides[target];
    if action.kind == Kind::Receive && lane.rewarding && lane.reward.is_some() && !action.worth {
        if let Some(offered) = below_reward(side, lane, action).await? {
            tracing::info!(
                channel = lane.name,
                sequence = action.key.sequence,
                offered,
                "left: this packet pays less than the minimum reward"
            );
            metrics::packets(&lane.name, action.kind.name(), "left", 1);
            return Ok(Err(Outcome::Left));
        }
    }
    let height = anchor.trusted.height;
    let root = &anchor.trusted.root;
    let proven = Prover {
        source,
        height: height.saturating_sub(1),
        root,
        ahead: action.proof.as_ref(),
    };
    let message = message(
        proven,
        source.height(height),
        side.handle.wallet.address(),
        lane,
        action,
    )
    .await?;
    let Some(message) = message else {
        return Ok(Err(Outcome::Redundant));
    };
    Ok(Ok(Prepared {
        key: action.key,
        kind: action.kind,
        size: message.value.len() + message.type_url.len() + 16,
        message,
        limit: action.limit,
        boost: action.boost,
        max_gas: lane.max_gas,
    }))
}

/// Proofs of one chain's state at one height.
struct Prover<'a> {
    source: &'a Arc<Chain>,
    height: u64,
    root: &'a [u8],
    ahead: Option<&'a Proven>,
}

impl Prover<'_> {
    /// The checked proof that a key has a value, or (None) that it has none. None: the chain's state says otherwise.
    async fn prove(&self, key: &str, value: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
        let proven = match self.ahead.filter(|ahead| ahead.height == self.height) {
            Some(ahead) => ahead.clone(),
            None => self.source.proven(key, self.height).await?,
        };
        if proven.value.is_empty() != value.is_none() {
            return Ok(None);
        }
        self.source.check(&proven, self.root, key, value)?;
        Ok(Some(proven.proof.encode_to_vec()))
    }
}

async fn message(
    prover: Prover<'_>,
    proof_height: Height,
    signer: &str,
    lane: &Lane,
    action: &Action,
) -> Result<Option<Any>> {
    let packet = &action.packet;
    let sequence = packet.sequence;
    let (signer, proof_height) = (signer.to_string(), Some(proof_height));
    Ok(match action.kind {
        Kind::Receive => {
            let key = path::commitment(&packet.source, sequence);
            let proof = prover.prove(&key, Some(&packet.commitment())).await?;
            proof.map(|proof_commitment| {
                any(&channel::MsgRecvPacket {
                    packet: Some(packet.to_proto()),
                    proof_commitment,
                    proof_height,
                    signer,
                })
            })
        }
        Kind::Acknowledge => {
            let acknowledgement = action.answer.as_deref().cloned().unwrap_or_default();
            let key = path::acknowledgement(&packet.destination, sequence);
            let value = acknowledgement_commitment(&acknowledgement);
            let proof = prover.prove(&key, Some(&value)).await?;
            proof.map(|proof_acked| {
                any(&channel::MsgAcknowledgement {
                    packet: Some(packet.to_proto()),
                    acknowledgement,
                    proof_acked,
                    proof_height,
                    signer,
                })
            })
        }
        Kind::Timeout => {
            let proof = unreceived(&prover, lane, action).await?;
            proof.map(|(proof_unreceived, next_sequence_recv)| {
                any(&channel::MsgTimeout {
                    packet: Some(packet.to_proto()),
                    proof_unreceived,
                    proof_height,
                    next_sequence_recv,
                    signer,
                })
            })
        }
        Kind::TimeoutOnClose => {
            let key = path::channel(&packet.destination);
            let end = prover.source.proven(&key, prover.height).await?;
            prover.source.check(&end, prover.root, &key, Some(&end.value))?;
            let proof = unreceived(&prover, lane, action).await?;
            proof.map(|(proof_unreceived, next_sequence_recv)| {
                any(&channel::MsgTimeoutOnClose {
                    packet: Some(packet.to_proto()),
                    proof_unreceived,
                    proof_close: end.proof.encode_to_vec(),
                    proof_height,
                    next_sequence_recv,
                    signer,
                    ..Default::default()
                })
            })
        }
    })
}

/// The proof that a packet was not received, and the sequence that the message states.
async fn unreceived(prover: &Prover<'_>, lane: &Lane, action: &Action) -> Result<Option<(Vec<u8>, u64)>> {
    let packet = &action.packet;
    if !lane.ordered {
        let key = path::receipt(&packet.destination, packet.sequence);
        let proof = prover.prove(&key, None).await?;
        return Ok(proof.map(|proof| (proof, packet.sequence)));
    }
    let next = prover.source.next_receive(&packet.destination, prover.height).await?;
    if next > packet.sequence {
        return Ok(None);
    }
    let key = path::next_receive(&packet.destination);
    let proof = prover.prove(&key, Some(&next.to_be_bytes())).await?;
    Ok(proof.map(|proof| (proof, next)))
}

/// Asks for the proofs of packets, so that they are there when the header is.
pub async fn prove_ahead(source: Arc<Chain>, wanted: Vec<(Key, String)>, height: u64) -> Vec<(Key, Proven)> {
    let asking = wanted.into_iter().map(|(key, path)| {
        let source = source.clone();
        async move { source.proven(&path, height).await.ok().map(|proven| (key, proven)) }
    });
    let found: Vec<_> = stream::iter(asking).buffer_unordered(PARALLEL).collect().await;
    found.into_iter().flatten().collect()
}

#[derive(Deserialize)]
struct RewardAnswer {
    reward: Vec<RewardCoin>,
}

#[derive(Deserialize)]
struct RewardCoin {
    denom: String,
    amount: String,
}

/// What a packet pays, if that is too little.
async fn below_reward(side: &Side, lane: &Lane, action: &Action) -> Result<Option<String>> {
    let (Some(least), chain) = (&lane.reward, &side.handle.chain) else {
        return Ok(None);
    };
    let end = &action.packet.destination;
    let Some(contract) = end.port.strip_prefix("wasm.") else {
        return Ok(None);
    };
    let question = serde_json::json!({
        "reward": {"channel": end.channel, "data": BASE64_STANDARD.encode(&action.packet.data)}
    });
    let question = Json::new(question.to_string()).map_err(RelayError::at(chain.id()))?;
    let answer = chain
        .on_node(|node| {
            let question = question.clone();
            async move { node.smart(contract, &question, None).await }
        })
        .await?;
    let wrong = || chain.answer("reward", "it is no list of coins");
    let answer: RewardAnswer = serde_json::from_slice(&answer).map_err(|_| wrong())?;
    let mut offered = BTreeMap::new();
    for coin in answer.reward {
        offered.insert(coin.denom, coin.amount.parse::<u128>().map_err(|_| wrong())?);
    }
    let amount = offered.get(&least.denom).copied().unwrap_or(0);
    Ok((amount < least.amount).then(|| format!("{amount}{}", least.denom)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(sequence: u64, size: usize, limit: usize) -> Prepared {
        Prepared {
            key: Key {
                lane: 0,
                from: 0,
                sequence,
            },
            kind: Kind::Receive,
            message: Any::default(),
            size,
            limit,
            boost: 100,
            max_gas: None,
        }
    }

    #[test]
    fn batches_keep_order_and_every_limit() {
        let sizes = |steps: Vec<Prepared>, messages, bytes| -> Vec<usize> {
            let cut = batches(steps, messages, bytes);
            let order: Vec<u64> = cut.iter().flatten().map(|step| step.key.sequence).collect();
            assert!(order.is_sorted());
            cut.iter().map(Vec::len).collect()
        };
        let any = usize::MAX;
        assert_eq!(sizes((0..7).map(|i| step(i, 1, any)).collect(), 3, 100), [3, 3, 1]);
        assert_eq!(sizes((0..4).map(|i| step(i, 40, any)).collect(), 9, 100), [2, 2]);
        assert_eq!(
            sizes((0..2).map(|i| step(i, 400, any)).collect(), 9, 100),
            [1, 1],
            "one too large goes alone"
        );
        assert_eq!(
            sizes(
                vec![step(0, 1, any), step(1, 1, 2), step(2, 1, any), step(3, 1, 1)],
                9,
                100
            ),
            [2, 1, 1],
            "what ran out of gas goes in smaller company"
        );
    }

    #[test]
    fn margins_are_exact_for_any_gas() {
        assert_eq!(with_margin(1_000_000, 1.2), 1_200_000);
        assert_eq!(with_margin(u64::MAX, 2.0), u64::MAX);
    }
}
