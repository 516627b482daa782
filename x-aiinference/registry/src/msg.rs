//! Messages. What is sent here is refused where it has fields that are not known: one that is misspelt would be left out unseen.

use std::fmt;

pub use aiinference_std::Checksum;
use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Binary, Coin, HexBinary, Timestamp, Uint256};

pub use crate::version::Version;

/// What the contract is given at first.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct InstantiateMsg {
    /// Who may approve circuits and change the configuration, a governance account say; the sender where none is given.
    pub admin: Option<String>,
    /// In which coins fees are taken, at least one.
    pub terms: Vec<Terms>,
    /// The most requests of one account at once that have not ended; 1,000 where none is given.
    pub max_requests: Option<u32>,
    /// The most gas of a callback, in the chain's own gas; 2,000,000 where none is given. Keep it well below what a block holds: who
    /// ends a request must send that much.
    pub max_callback_gas: Option<u64>,
    /// The longest life of a request, in seconds; 7 days where none is given.
    pub max_lifetime: Option<u64>,
}

/// What a request costs at least, in one kind of coins.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct Terms {
    /// Which coins.
    pub denom: String,
    /// The least fee, at least 1.
    pub min_fee: Uint256,
    /// The least bond of who takes a request, at least 1.
    pub min_bond: Uint256,
}

/// What accounts and contracts send.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub enum ExecuteMsg {
    /// Registers a version of a model. Who registers the first version of a name owns it; later ones are the owner's.
    RegisterModel(RegisterModel),
    /// The owner of the name: registers a circuit, by which runs of a model are proven. It starts unapproved.
    RegisterCircuit(RegisterCircuit),
    /// Admin: says whether a circuit is one to trust, its key rebuilt from its model, say. Where approval is withdrawn,
    /// requests that insist on it are given back.
    ApproveCircuit {
        /// Of which model.
        model: ModelName,
        /// The circuit's code id.
        circuit: u64,
        /// SHA-256 of the circuit's code, compared where it is given: a proposal may be older than the code.
        checksum: Option<Checksum>,
        /// Whether it is.
        approved: bool,
    },
    /// The owner of the name: takes no new requests with a circuit, or does again. Those that are here stay.
    RetireCircuit {
        /// Of which model.
        model: ModelName,
        /// The circuit's code id.
        circuit: u64,
        /// Whether it is retired.
        retired: bool,
    },
    /// The owner of the name: says what has become of a version. Only active ones are found by name alone.
    SetStatus {
        /// Which; its version must be given.
        model: ModelName,
        /// What has become of it.
        status: ModelStatus,
    },
    /// The owner of the name: offers it to somebody, who becomes the owner by `accept_name`; to nobody withdraws the offer.
    TransferName {
        /// Which.
        name: String,
        /// To whom.
        to: Option<String>,
    },
    /// To whom a name was offered: becomes its owner.
    AcceptName {
        /// Which.
        name: String,
    },

    /// Has a model run by a prover. The coins sent along are the fee. The response's data is [`Requested`] as JSON.
    Request(HeavyRequest),
    /// A prover: takes a request, with exactly its bond in coins. Where its last taker's time is up, that bond goes to the requester.
    Take {
        /// Which.
        id: u64,
        /// The least whole seconds that must be left for it: a transaction may come into a block late, and the time that is left
        /// ends with the deadline. Refused where there are fewer.
        min_seconds: Option<u64>,
    },
    /// The taker alone, in its time: gives the result with its proof, for the fee and its bond back. A proof that does
    /// not show the result fails the message.
    Fulfil {
        /// Which.
        id: u64,
        /// The model's outputs, each an encoded `aiinference.v1.Tensor`.
        outputs: Vec<Binary>,
        /// The proof.
        proof: Binary,
        /// Ends it without the callback, which stays to be delivered by anybody: for callbacks that fail the whole transaction.
        #[serde(default)]
        defer: bool,
    },
    /// Anybody: frees a request whose taker's time is up, for others to take; ends one whose deadline has passed, or whose
    /// circuit is not approved any more where that was asked for.
    Expire {
        /// Which.
        id: u64,
        /// If it ends, then without the callback, which stays to be delivered by anybody.
        #[serde(default)]
        defer: bool,
    },
    /// The requester: takes a request back that nobody has taken, or whose taker's time is up. There is no callback.
    Cancel {
        /// Which.
        id: u64,
    },
    /// Anybody: tries a callback that failed or was deferred. Where it fails, so does this.
    Deliver {
        /// Which.
        id: u64,
        /// The callback's gas limit this time, in the chain's own gas; less than the request's own only by the requester.
        gas_limit: u64,
    },
    /// The requester: forgets a result that was kept or not delivered.
    Discard {
        /// Which.
        id: u64,
    },
    /// Pays out what could not be paid when it was due.
    Claim {
        /// In which coins.
        denom: String,
        /// To whom; the sender where none is given.
        receiver: Option<String>,
    },

    /// Admin: changes what is given. Requests that are here keep their terms.
    UpdateConfig {
        /// A new admin.
        admin: Option<String>,
        /// New terms, all of them.
        terms: Option<Vec<Terms>>,
        /// The most requests of one account at once.
        max_requests: Option<u32>,
        /// The most gas of a callback.
        max_callback_gas: Option<u64>,
        /// The longest life of a request.
        max_lifetime: Option<u64>,
    },
}

/// A version of a model.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct RegisterModel {
    /// 3 to 64 of `a-z`, `0-9`, `-`, `_`, `.` and `/`, a letter or digit first and last.
    pub name: String,
    /// `major.minor.patch`.
    pub version: Version,
    /// Where it is stored; none for a model whose weights are not published.
    pub code: Option<Code>,
    /// In a few words, at most 256 bytes.
    #[serde(default)]
    pub description: String,
}

/// Code on the chain.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct Code {
    /// Where it is.
    pub code_id: u64,
    /// SHA-256 of it.
    pub checksum: Checksum,
}

/// A circuit, with a proof by which it tells what it is: its models, its structured reference string, whether it says that it
/// can be rebuilt.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct RegisterCircuit {
    /// Of which model; its version must be given. The circuit must say that it stands for the model's code.
    pub model: ModelName,
    /// Where it is stored.
    pub code: Code,
    /// Any true claim with its proof.
    pub sample: Sample,
    /// Id of its structured reference string; the perpetual powers of tau where none is given.
    pub srs: Option<Checksum>,
}

/// A claim with its proof.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct Sample {
    /// What the model was given.
    pub input: Input,
    /// What it gave, each an encoded `aiinference.v1.Tensor`.
    pub outputs: Vec<Binary>,
    /// The proof of it.
    pub proof: Binary,
}

/// A model by its name.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct ModelName {
    /// The name.
    pub name: String,
    /// The version; the highest active one where none is given.
    pub version: Option<Version>,
}

/// What has become of a version of a model.
#[cw_serde]
#[derive(Eq)]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub enum ModelStatus {
    /// It is in use.
    Active {},
    /// It is not to be used any more.
    Deprecated {
        /// Why, at most 128 bytes.
        reason: String,
    },
    /// Another version of the same name is to be used instead.
    Superseded {
        /// By which.
        by: Version,
    },
}

impl fmt::Display for ModelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ModelStatus::Active {} => "active",
            ModelStatus::Deprecated { .. } => "deprecated",
            ModelStatus::Superseded { .. } => "superseded",
        })
    }
}

/// A run to be made.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct HeavyRequest {
    /// Of which model.
    pub model: ModelName,
    /// SHA-256 of the model's code, compared where it is given.
    pub checksum: Option<Checksum>,
    /// On what.
    pub input: Input,
    /// How its result is to be believed.
    pub mode: Mode,
    /// Who alone may take it: who holds an input that is given by its hash. Anybody where none is given.
    pub prover: Option<String>,
    /// Seconds that a taker has.
    pub take_window: u64,
    /// Seconds from now after which no result is wanted any more.
    pub lifetime: u64,
    /// How much a taker must deposit, in the coins of the fee; the least that the terms allow where none is given. It is the
    /// requester's where the taker does not keep its time.
    pub bond: Option<Uint256>,
    /// How to tell the requester, a contract, the result. Without, it is kept to be fetched by the query `request`.
    pub callback: Option<Callback>,
}

/// How a result is to be believed.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub enum Mode {
    /// By a proof, which the chain checks.
    Proven(Proven),
}

/// By which circuit, and what of it is accepted.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct Proven {
    /// The circuit's code id; one that is registered for the model.
    pub circuit: u64,
    /// SHA-256 of the circuit's code, compared where it is given.
    pub checksum: Option<Checksum>,
    /// Takes a circuit that the registry's admin has not approved.
    #[serde(default)]
    pub accept_unapproved: bool,
    /// Takes a circuit that nobody but its owner can rebuild. The owner is trusted then.
    #[serde(default)]
    pub accept_unreproducible: bool,
    /// The structured reference strings that are trusted, by id; the perpetual powers of tau alone where none are given.
    #[serde(default)]
    pub accept_srs: Vec<Checksum>,
}

/// What a model is given.
#[cw_serde]
#[derive(Default)]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct Input {
    /// What everybody may see, each an encoded `aiinference.v1.Tensor`.
    #[serde(default)]
    pub tensors: Vec<Binary>,
    /// Hashes of inputs or weights that the prover alone sees. Without salt, what has little entropy is found by trial.
    #[serde(default)]
    pub hashes: Vec<NamedHash>,
}

/// The hash of what the prover alone sees.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct NamedHash {
    /// The circuit's name for it.
    pub name: String,
    /// 32 bytes, big endian.
    pub value: HexBinary,
}

/// How to tell a contract the result.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct Callback {
    /// What the contract wants to be told along with it, at most 8 KiB.
    pub msg: Binary,
    /// Gas limit of the callback, in the chain's own gas. Whoever ends the request must send that much, or defers the callback.
    pub gas_limit: u64,
}

/// What requesting gives.
#[cw_serde]
pub struct Requested {
    /// The request's number.
    pub id: u64,
}

/// What this contract executes on the requester.
#[cw_serde]
pub enum CallbackMsg {
    /// Told once, when the request ends or later. Take it from the registry's address alone.
    ModelResult(ModelResult),
}

/// How a request has ended.
#[cw_serde]
pub struct ModelResult {
    /// The request's number.
    pub id: u64,
    /// Who requested.
    pub initiator: String,
    /// What they gave along to be told now.
    pub initiator_msg: Binary,
    /// How it ended.
    pub result: Outcome,
}

/// How a request ended.
#[cw_serde]
pub enum Outcome {
    /// It was run, and that is proven.
    Proven(Proof),
    /// It came to nothing. The fee was paid back.
    Failed(Reason),
}

/// What was proven, by what.
#[cw_serde]
pub struct Proof {
    /// The model's outputs in the circuit's own format, each an encoded `aiinference.v1.Tensor`.
    pub outputs: Vec<Binary>,
    /// Who proved it.
    pub prover: Addr,
    /// Whether the circuit was approved when it was.
    pub approved: bool,
}

/// Why a request came to nothing.
#[cw_serde]
#[derive(Copy, Eq)]
pub enum Reason {
    /// Nobody gave a result in time.
    DeadlinePassed {},
    /// The circuit is not approved any more.
    CircuitDisapproved {},
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::DeadlinePassed {} => "deadline_passed",
            Reason::CircuitDisapproved {} => "circuit_disapproved",
        })
    }
}

/// What may be asked. Lists have at most `limit` entries, 30 where none is given and at most 100.
#[cw_serde]
#[derive(QueryResponses)]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub enum QueryMsg {
    /// Admin, terms, limits.
    #[returns(Config)]
    Config {},
    /// A version of a model, null if there is none. By its name alone, the highest active one: where its code is.
    #[returns(Option<Model>)]
    Model {
        /// Which.
        model: ModelName,
    },
    /// Names, ascending.
    #[returns(Vec<Name>)]
    Names {
        /// Those after this one.
        start_after: Option<String>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// All versions of a name, ascending.
    #[returns(Vec<Model>)]
    Versions {
        /// Of this name.
        name: String,
        /// Those after this one.
        start_after: Option<Version>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// A circuit of a model, null if there is none.
    #[returns(Option<Circuit>)]
    Circuit {
        /// Of which model; its version must be given.
        model: ModelName,
        /// The circuit's code id.
        circuit: u64,
    },
    /// All circuits of a version of a model, by code id; 8 at most.
    #[returns(Vec<Circuit>)]
    Circuits {
        /// Of which model; its version must be given.
        model: ModelName,
        /// Those after this code id.
        start_after: Option<u64>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// A request with all that belongs to it, null if it is not here: never made, told, cancelled or discarded.
    #[returns(Option<RequestResponse>)]
    Request {
        /// Its number.
        id: u64,
    },
    /// The requests that have not ended, taken or not, ascending: all those with one circuit.
    #[returns(Vec<Request>)]
    Pending {
        /// The circuit's code id.
        circuit: u64,
        /// Those after this number.
        start_after: Option<u64>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// The requests that a prover has taken, ascending; those whose time is up are among them until somebody sees to it.
    #[returns(Vec<Request>)]
    TakenBy {
        /// The prover.
        prover: String,
        /// Those after this number.
        start_after: Option<u64>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// The requests of an account, ended ones whose result is here among them, ascending.
    #[returns(Vec<Request>)]
    RequestsOf {
        /// The requester.
        requester: String,
        /// Those after this number.
        start_after: Option<u64>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// All requests that are here, ascending.
    #[returns(Vec<Request>)]
    Requests {
        /// Those after this number.
        start_after: Option<u64>,
        /// At most so many.
        limit: Option<u32>,
    },
    /// What an account may claim, by denom.
    #[returns(Vec<Coin>)]
    Claimable {
        /// Whose.
        account: String,
        /// Those in the denoms after this one.
        start_after: Option<String>,
        /// At most so many.
        limit: Option<u32>,
    },
}

/// What a migration is given.
#[cw_serde]
#[serde(deny_unknown_fields)]
#[schemaifier(mute_warnings)]
pub struct MigrateMsg {}

/// What is configured.
#[cw_serde]
pub struct Config {
    /// Who may approve circuits and change the configuration.
    pub admin: Addr,
    /// In which coins fees are taken.
    pub terms: Vec<Terms>,
    /// The most requests of one account at once.
    pub max_requests: u32,
    /// The most gas of a callback.
    pub max_callback_gas: u64,
    /// The longest life of a request, in seconds.
    pub max_lifetime: u64,
}

/// A name.
#[cw_serde]
pub struct Name {
    /// The name.
    pub name: String,
    /// Who registers its versions and circuits.
    pub owner: Addr,
    /// To whom it is offered.
    pub offered: Option<Addr>,
    /// Its highest active version.
    pub latest: Option<Version>,
}

/// A version of a model.
#[cw_serde]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Who owns the name.
    pub owner: Addr,
    /// Where it is stored; none for a model whose weights are not published.
    pub code: Option<Code>,
    /// The version of the set of operations that it is written in; none without code.
    pub op_set: Option<u32>,
    /// In a few words.
    pub description: String,
    /// What has become of it.
    pub status: ModelStatus,
}

/// A circuit of a model.
#[cw_serde]
pub struct Circuit {
    /// Where it is stored.
    pub code: Code,
    /// Whether it says that anyone can rebuild it.
    pub reproducible: bool,
    /// Id of its structured reference string.
    pub srs: Checksum,
    /// Whether the admin has approved it.
    pub approved: bool,
    /// Whether it takes no new requests.
    pub retired: bool,
}

/// A request, but for what is large.
#[cw_serde]
pub struct Request {
    /// Its number. They ascend.
    pub id: u64,
    /// Who requested.
    pub requester: Addr,
    /// The model's name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The model's code; none where its weights are not published.
    pub model: Option<Code>,
    /// The circuit.
    pub circuit: Code,
    /// Id of the circuit's structured reference string.
    pub srs: Checksum,
    /// Whether the circuit may be unapproved.
    pub accept_unapproved: bool,
    /// Whether the circuit may be one that nobody but its owner can rebuild.
    pub accept_unreproducible: bool,
    /// Who alone may take it.
    pub prover: Option<Addr>,
    /// What who proves it is paid.
    pub fee: Coin,
    /// What who takes it deposits.
    pub bond: Coin,
    /// Seconds that a taker has.
    pub take_window: u64,
    /// From this time on it ends without a result.
    pub deadline: Timestamp,
    /// The gas limit of the callback, which whoever ends the request must send or defer the callback; none where there is no callback.
    pub callback_gas: Option<u64>,
    /// What has become of it.
    pub status: Status,
}

/// What has become of a request.
#[cw_serde]
pub enum Status {
    /// It waits for a taker.
    Open {},
    /// Somebody has taken it.
    Taken {
        /// Who.
        by: Addr,
        /// From this time on others may take it.
        until: Timestamp,
    },
    /// It has ended; no callback was asked for.
    Kept {},
    /// It has ended; the callback failed, or waits to be delivered.
    Undelivered {
        /// What the chain tells of the failure, of which chains hide most; `deferred by who ended it` where the callback was not tried.
        reason: String,
    },
}

impl Status {
    /// Whether the request has ended, so that only its result is here.
    pub fn has_ended(&self) -> bool {
        matches!(self, Status::Kept {} | Status::Undelivered { .. })
    }
}

/// A request with all that belongs to it.
#[cw_serde]
pub struct RequestResponse {
    /// The request.
    pub request: Request,
    /// What the model is given; empty once the request has ended.
    pub input: Input,
    /// What the requester wants to be told along with the result.
    pub callback_msg: Option<Binary>,
    /// How it ended; null while it has not.
    pub result: Option<Outcome>,
}
