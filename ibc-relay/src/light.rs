//! Light clients: what one chain trusts of another, and the headers that move that trust on.
//!
//! A header is verified here just as the light client on chain will: a node that lies is found out before a fee is paid.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tendermint::{
    block::{signed_header::SignedHeader, Header, Height as BlockHeight},
    hash::Algorithm,
    trust_threshold::TrustThresholdFraction,
    validator::Set,
    Hash, Time,
};
use tendermint_light_client_verifier::{
    options::Options,
    types::{TrustedBlockState, UntrustedBlockState},
    ProdVerifier, Verdict, Verifier,
};

use crate::{
    chain::Chain,
    error::{RelayError, Result},
    metrics, proof,
    proto::{any, client, light, nested, unpack, Any, Height, MerkleRoot, Name, ProtoDuration},
    text::printable,
};

/// Validator sets and headers that are kept.
const KEPT: usize = 16;

/// Headers and validator sets of a chain.
pub struct Headers {
    chain: Arc<Chain>,
    sets: Mutex<VecDeque<Arc<Set>>>,
    headers: Mutex<BTreeMap<u64, Arc<SignedHeader>>>,
}

impl Headers {
    pub fn new(chain: Arc<Chain>) -> Self {
        Headers {
            chain,
            sets: Mutex::default(),
            headers: Mutex::default(),
        }
    }

    pub fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// A header with its signatures; not verified.
    pub async fn header(&self, height: u64) -> Result<Arc<SignedHeader>> {
        if let Some(found) = lock(&self.headers).get(&height) {
            return Ok(found.clone());
        }
        let header = Arc::new(self.chain.signed_header(height).await?);
        let mut known = lock(&self.headers);
        known.insert(height, header.clone());
        while known.len() > KEPT {
            known.pop_first();
        }
        Ok(header)
    }

    /// Forgets all headers: one of them did not verify.
    pub fn forget(&self) {
        lock(&self.headers).clear();
    }

    /// The validators of a height, whose hash is known.
    pub async fn validators(&self, height: u64, hash: Hash) -> Result<Arc<Set>> {
        if let Some(found) = lock(&self.sets).iter().find(|set| set.hash() == hash) {
            return Ok(found.clone());
        }
        let infos = self.chain.validators(height).await?;
        let proposer = infos.first().cloned();
        let power: u64 = infos.iter().fold(0, |sum: u64, info| sum.saturating_add(info.power()));
        if power > i64::MAX as u64 {
            return Err(self.chain.header_error(height, "the validators' power overflows"));
        }
        let set = Arc::new(Set::new(infos, proposer));
        if set.hash() != hash {
            return Err(self
                .chain
                .header_error(height, "the validators are not those that it names"));
        }
        let mut sets = lock(&self.sets);
        sets.push_front(set.clone());
        sets.truncate(KEPT);
        Ok(set)
    }
}

/// What is behind a lock; nobody panics while holding one here, and if somebody did, the value would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a light client trusts at one height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    pub height: u64,
    pub time: Time,
    pub next_validators_hash: Hash,
    pub root: Vec<u8>,
}

impl Trusted {
    /// Whether it is of this header.
    pub fn is_of(&self, header: &Header) -> bool {
        header.height.value() == self.height
            && header.time == self.time
            && header.app_hash.as_bytes() == self.root
            && header.next_validators_hash == self.next_validators_hash
    }
}

/// A light client on one chain that follows another.
pub struct LightClient {
    /// Its name.
    pub id: String,
    /// Where it lives.
    pub host: Arc<Chain>,
    headers: Arc<Headers>,
    state: Mutex<State>,
}

/// What is known of a light client; its chain may change all of it.
#[derive(Clone, Debug)]
struct State {
    rules: Rules,
    latest: Trusted,
    frozen: bool,
}

/// A root that proofs can be held against, and the message that makes the client know it, if it does not yet.
#[derive(Clone, Debug)]
pub struct Anchor {
    pub trusted: Trusted,
    pub update: Option<Any>,
}

impl LightClient {
    /// Reads a client from its chain, and checks that it follows the chain of these headers.
    pub async fn load(host: Arc<Chain>, headers: Arc<Headers>, id: &str) -> Result<Self> {
        let state = State::read(&host, headers.chain(), id).await?;
        let loaded = LightClient {
            id: id.into(),
            headers,
            state: Mutex::new(state),
            host,
        };
        loaded.active().await?;
        Ok(loaded)
    }

    /// Whether the chain still lets it work.
    pub async fn active(&self) -> Result<()> {
        let status = self.host.client_status(&self.id).await?;
        match status.as_str() {
            "Active" => {
                metrics::client_stopped(self.host.id(), &self.id, false);
                Ok(())
            }
            _ => Err(self.stopped(status)),
        }
    }

    fn stopped(&self, status: String) -> RelayError {
        metrics::client_stopped(self.host.id(), &self.id, true);
        RelayError::ClientStopped {
            chain: self.host.id().into(),
            client: self.id.clone(),
            tracks: self.headers.chain().id().into(),
            status: status.to_lowercase(),
            next: "only the chain's governance can recover it; a new channel needs `link --new-connection`",
        }
    }

    /// The chain that it follows.
    pub fn tracks(&self) -> &Arc<Chain> {
        self.headers.chain()
    }

    /// Headers of the chain that it follows.
    pub fn headers(&self) -> &Arc<Headers> {
        &self.headers
    }

    /// The highest state that it is known to trust.
    pub fn latest(&self) -> Trusted {
        lock(&self.state).latest.clone()
    }

    /// The rules by which it takes headers.
    pub fn rules(&self) -> Rules {
        lock(&self.state).rules
    }

    /// It was updated.
    pub fn updated(&self, to: &Trusted) {
        let mut state = lock(&self.state);
        if to.height > state.latest.height {
            state.latest = to.clone();
        }
    }

    /// Asks its chain for what it trusts now, and by which rules: others update it too, and governance may recover or
    /// upgrade it.
    pub async fn refresh(&self) -> Result<()> {
        let state = State::read(&self.host, self.tracks(), &self.id).await?;
        let frozen = state.frozen;
        *lock(&self.state) = state;
        match self.left() {
            _ if frozen => Err(self.stopped("Frozen".into())),
            None => Err(self.stopped("Expired".into())),
            Some(_) => {
                metrics::client_stopped(self.host.id(), &self.id, false);
                Ok(())
            }
        }
    }

    /// How much of the trusting period is left; None if it is over.
    pub fn left(&self) -> Option<Duration> {
        let state = lock(&self.state);
        let age = Time::now().duration_since(state.latest.time).unwrap_or_default();
        state.rules.trusting_period.checked_sub(age)
    }

    /// Makes the client know the root of a height: proofs of the block before it can be held against that.
    pub async fn anchor(&self, height: u64, signer: &str) -> Result<Anchor> {
        let trusted = self.latest();
        if trusted.height == height {
            return Ok(Anchor { trusted, update: None });
        }
        if trusted.height > height {
            let height = self.tracks().height(height);
            let trusted = consensus(&self.host, &self.id, height).await?;
            return Ok(Anchor { trusted, update: None });
        }
        let header = self.headers.header(height).await?;
        let update = self.update(&header, &trusted, signer).await?;
        let from = &header.header;
        Ok(Anchor {
            trusted: Trusted {
                height,
                time: from.time,
                next_validators_hash: from.next_validators_hash,
                root: from.app_hash.as_bytes().to_vec(),
            },
            update: Some(update),
        })
    }

    /// The message that shows the client a header, which must follow from what it trusts.
    async fn update(&self, header: &SignedHeader, trusted: &Trusted, signer: &str) -> Result<Any> {
        let (height, from) = (header.header.height.value(), &header.header);
        let set = self.headers.validators(height, from.validators_hash).await?;
        let next = trusted.height.saturating_add(1);
        let trusted_set = self.headers.validators(next, trusted.next_validators_hash).await?;
        if let Err(reason) = verify(header, &set, trusted, &trusted_set, &self.rules(), Time::now()) {
            self.headers.forget();
            if self.left().is_none() {
                return Err(self.stopped("Expired".into()));
            }
            return Err(self.tracks().header_error(height, reason));
        }
        let message = light::Header {
            signed_header: Some(header.clone().into()),
            validator_set: Some(set.as_ref().clone().into()),
            trusted_height: Some(self.tracks().height(trusted.height)),
            trusted_validators: Some(trusted_set.as_ref().clone().into()),
        };
        Ok(any(&client::MsgUpdateClient {
            client_id: self.id.clone(),
            client_message: Some(nested(&message)),
            signer: signer.into(),
        }))
    }

    /// Compares what the client trusts at a height with the block that its chain has there. If they differ, and the
    /// chain's validators signed that block too, its header is the evidence: the message that shows it freezes the client.
    pub async fn evidence(&self, height: u64, signer: &str) -> Result<Option<Any>> {
        let trusted = consensus(&self.host, &self.id, self.tracks().height(height)).await?;
        let header = self.headers.header(height).await?;
        if trusted.is_of(&header.header) {
            return Ok(None);
        }
        let before = self.trusted_before(height).await?;
        self.update(&header, &before, signer).await.map(Some)
    }

    /// What it trusts at the last height before one.
    async fn trusted_before(&self, height: u64) -> Result<Trusted> {
        let known = self
            .host
            .pages(
                "/ibc.core.client.v1.Query/ConsensusStateHeights",
                None,
                |page| client::QueryConsensusStateHeightsRequest {
                    client_id: self.id.clone(),
                    pagination: Some(page),
                },
                |answer: client::QueryConsensusStateHeightsResponse| {
                    (answer.consensus_state_heights, answer.pagination)
                },
            )
            .await?;
        let revision = self.tracks().revision();
        let before = known
            .iter()
            .filter(|known| known.revision_number == revision && known.revision_height < height)
            .max_by_key(|known| known.revision_height);
        match before {
            Some(before) => consensus(&self.host, &self.id, *before).await,
            None => Err(self
                .host
                .answer("ConsensusStateHeights", format!("none is below {height}"))),
        }
    }
}

impl State {
    /// Reads the state of a client on a chain, which must follow the other one.
    async fn read(host: &Chain, tracked: &Chain, id: &str) -> Result<Self> {
        let request = client::QueryClientStateRequest { client_id: id.into() };
        let method = "/ibc.core.client.v1.Query/ClientState";
        let answer: client::QueryClientStateResponse = host.query(method, &request, None).await?;
        let mismatch = |reason: String| RelayError::Mismatch {
            what: format!("light client {id} on {}", host.id()),
            reason,
        };
        let state: light::ClientState = unpack(answer.client_state.as_ref())
            .ok_or_else(|| mismatch("it is no Tendermint client; this relayer knows no other kind".into()))?;
        if state.chain_id != tracked.id() {
            let found: String = printable(&state.chain_id).chars().take(60).collect();
            return Err(mismatch(format!("it follows {found:?}, not {}", tracked.id())));
        }
        if state.proof_specs != proof::specs() {
            return Err(mismatch("it checks proofs of another kind of store".into()));
        }
        let level = state.trust_level.unwrap_or_default();
        let trust_level = TrustThresholdFraction::new(level.numerator, level.denominator)
            .map_err(|_| mismatch("its trust level is no fraction from 1/3 to 1".into()))?;
        let latest = state.latest_height.unwrap_or_default();
        if latest.revision_number != tracked.revision() {
            return Err(mismatch(format!("it is of revision {}", latest.revision_number)));
        }
        let (trusting, drift) = (period(state.trusting_period), period(state.max_clock_drift));
        Ok(State {
            rules: Rules {
                trust_level,
                trusting_period: trusting.ok_or_else(|| mismatch("it has no trusting period".into()))?,
                clock_drift: drift.ok_or_else(|| mismatch("it has no clock drift".into()))?,
            },
            latest: consensus(host, id, latest).await?,
            frozen: state.frozen_height.is_some_and(|height| height.revision_height != 0),
        })
    }
}

/// By which rules a client takes headers.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub trust_level: TrustThresholdFraction,
    pub trusting_period: Duration,
    pub clock_drift: Duration,
}

/// Checks that a header follows from what is trusted; why not.
pub fn verify(
    header: &SignedHeader,
    validators: &Set,
    trusted: &Trusted,
    trusted_validators: &Set,
    rules: &Rules,
    now: Time,
) -> std::result::Result<(), String> {
    if trusted_validators.hash() != trusted.next_validators_hash {
        return Err("the trusted validators are not those that the client trusts".into());
    }
    let height = BlockHeight::try_from(trusted.height).map_err(|error| error.to_string())?;
    let verdict = ProdVerifier::default().verify_update_header(
        UntrustedBlockState {
            signed_header: header,
            validators,
            next_validators: None,
        },
        TrustedBlockState {
            chain_id: &header.header.chain_id,
            header_time: trusted.time,
            height,
            next_validators: trusted_validators,
            next_validators_hash: trusted.next_validators_hash,
        },
        &Options {
            trust_threshold: rules.trust_level,
            trusting_period: rules.trusting_period,
            clock_drift: rules.clock_drift,
        },
        now,
    );
    match verdict {
        Verdict::Success => Ok(()),
        Verdict::NotEnoughTrust(tally) => Err(format!("too few of the trusted validators signed it: {tally}")),
        Verdict::Invalid(detail) => Err(detail.to_string()),
    }
}

/// What a client trusts at a height.
pub async fn consensus(host: &Chain, client: &str, height: Height) -> Result<Trusted> {
    let request = client::QueryConsensusStateRequest {
        client_id: client.into(),
        revision_number: height.revision_number,
        revision_height: height.revision_height,
        latest_height: false,
    };
    let method = "/ibc.core.client.v1.Query/ConsensusState";
    let answer: client::QueryConsensusStateResponse = host.query(method, &request, None).await?;
    let wrong = |reason: &str| host.answer("ConsensusState", reason);
    let state: light::ConsensusState =
        unpack(answer.consensus_state.as_ref()).ok_or_else(|| wrong("it is no Tendermint state"))?;
    let time = state.timestamp.ok_or_else(|| wrong("it has no time"))?;
    let nanos = u32::try_from(time.nanos).map_err(|_| wrong("its time is none"))?;
    Ok(Trusted {
        height: height.revision_height,
        time: Time::from_unix_timestamp(time.seconds, nanos).map_err(|_| wrong("its time is none"))?,
        next_validators_hash: Hash::from_bytes(Algorithm::Sha256, &state.next_validators_hash)
            .map_err(|_| wrong("its hash of validators is none"))?,
        root: state.root.map(|root| root.hash).unwrap_or_default(),
    })
}

/// The first state of a new client, from a header of the chain that it will follow.
pub fn first_states(
    chain: &Chain,
    header: &SignedHeader,
    trusting: Duration,
    unbonding: Duration,
    drift: Duration,
) -> (light::ClientState, light::ConsensusState) {
    let state = light::ClientState {
        chain_id: chain.id().into(),
        trust_level: Some(light::Fraction {
            numerator: 1,
            denominator: 3,
        }),
        trusting_period: Some(duration(trusting)),
        unbonding_period: Some(duration(unbonding)),
        max_clock_drift: Some(duration(drift)),
        frozen_height: Some(Height::default()),
        latest_height: Some(chain.height(header.header.height.value())),
        proof_specs: proof::specs().into(),
        upgrade_path: vec!["upgrade".into(), "upgradedIBCState".into()],
        ..Default::default()
    };
    let consensus = light::ConsensusState {
        timestamp: Some(header.header.time.into()),
        root: Some(MerkleRoot {
            hash: header.header.app_hash.as_bytes().to_vec(),
        }),
        next_validators_hash: header.header.next_validators_hash.as_bytes().to_vec(),
    };
    (state, consensus)
}

/// The message that makes it.
pub fn create_message(state: &light::ClientState, consensus: &light::ConsensusState, signer: &str) -> Any {
    any(&client::MsgCreateClient {
        client_state: Some(nested(state)),
        consensus_state: Some(nested(consensus)),
        signer: signer.into(),
    })
}

/// Whether an `Any` names a Tendermint client.
pub fn is_tendermint(type_url: &str) -> bool {
    type_url == light::ClientState::type_url()
}

fn duration(from: Duration) -> ProtoDuration {
    ProtoDuration {
        seconds: i64::try_from(from.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

/// A period of a client; None if it is not positive.
pub fn period(from: Option<ProtoDuration>) -> Option<Duration> {
    let from = from?;
    let seconds = u64::try_from(from.seconds).ok()?;
    let nanos = u32::try_from(from.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let period = Duration::new(seconds, nanos);
    (!period.is_zero()).then_some(period)
}
