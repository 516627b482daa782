//! Messages.

use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Binary, Coin, Decimal, Timestamp, Uint128, Uint64};

/// What answers cost in one kind of coins.
#[cw_serde]
pub struct Price {
    /// Which coins.
    pub denom: String,
    /// For a query, whatever it does; below 2^100.
    pub per_query: Uint128,
    /// For 10^9 CosmWasm gas, rounded up; below 2^64.
    pub per_gigagas: Uint128,
    /// The share of everything paid that goes to the relayer of the packet, at most 1.
    pub reward: Decimal,
    /// The least that may be deposited at once; 1 where none is given.
    pub min_deposit: Option<Uint128>,
}

/// The other end of channels: a port of the chain behind a connection.
#[cw_serde]
pub struct Peer {
    /// This chain's name of the connection.
    pub connection: String,
    /// The other chain's port.
    pub port: String,
}

/// All, or a few.
#[cw_serde]
pub enum Only<T> {
    /// Any at all.
    Any {},
    /// These.
    These(Vec<T>),
}

#[cw_serde]
pub struct InstantiateMsg {
    /// Who may change the configuration and take what was earned, a governance account say; the sender where none is
    /// given.
    pub owner: Option<String>,
    /// What answers cost, per denom; free where none are given.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// Whose channels are served; everyone's where none are given.
    pub allowed: Option<Vec<Peer>>,
    /// The most CosmWasm gas that the queries of one packet may declare together; 7 * 10^12 where none is given.
    pub max_packet_gas: Option<Uint64>,
    /// CosmWasm gas of one unit of the chain's own gas; 140,000 where none is given.
    pub gas_multiplier: Option<Uint64>,
    /// Seconds for which an account must be idle before its recovery address may take the credit out; 7 days where none
    /// are given.
    pub recovery_delay: Option<u64>,
    /// The transfer channels over which deposits are taken; any where none are given.
    pub transfers: Option<Vec<String>>,
}

#[cw_serde]
pub enum ExecuteMsg {
    /// Owner: changes what is given.
    UpdateConfig {
        /// A new owner.
        owner: Option<String>,
        /// New prices, all of them; an empty list makes answers free.
        prices: Option<Vec<Price>>,
        /// Whose channels are served.
        allowed: Option<Only<Peer>>,
        /// The most CosmWasm gas of one packet.
        max_packet_gas: Option<Uint64>,
        /// CosmWasm gas of one unit of the chain's own gas.
        gas_multiplier: Option<Uint64>,
        /// Seconds before which a recovery address takes nothing out.
        recovery_delay: Option<u64>,
        /// The transfer channels over which deposits are taken.
        transfers: Option<Only<String>>,
    },
    /// Adds the coins sent along to an asker's credit.
    Deposit {
        /// Whose.
        account: AccountKey,
        /// Who may take the credit out once the channel is dead. The first deposit names it, and later ones the same.
        recovery: String,
    },
    /// Recovery address: takes all credit in one denom out, where the account was idle for long or no channel of its is
    /// open.
    Recover {
        /// Whose.
        account: AccountKey,
        /// In which coins.
        denom: String,
    },
    /// A relayer: pays out its rewards. Where coins of one denom cannot be paid, nothing is: then name the others.
    ClaimRewards {
        /// In which coins, at most 32; the first 32 of all where none are given.
        denoms: Option<Vec<String>>,
    },
    /// Owner: pays out what was earned in one denom.
    WithdrawTakings {
        /// In which coins.
        denom: String,
        /// To whom.
        receiver: String,
    },
    /// The contract itself: reads state and runs models for one query, within the gas limit of the call.
    Work {
        /// An encoded `aiinference.v1.Query`.
        query: Binary,
        /// The most CosmWasm gas for its models.
        gas_limit: Uint64,
    },
}

/// Whose credit.
#[cw_serde]
pub struct AccountKey {
    /// This chain's name of the connection.
    pub connection: String,
    /// The other chain's port, of the contract through which is asked.
    pub port: String,
    /// Who asks, an address of the other chain.
    pub asker: String,
}

/// What the memo of an ICS-20 transfer holds that deposits; beside it the key `dest_callback` names this contract.
#[cw_serde]
pub struct DepositMemo {
    /// The deposit.
    pub aiinference_deposit: MemoDeposit,
}

/// A deposit by transfer.
#[cw_serde]
pub struct MemoDeposit {
    /// This chain's name of the connection.
    pub connection: String,
    /// The other chain's port.
    pub port: String,
    /// Who asks.
    pub asker: String,
    /// Who may take the credit out once the channel is dead.
    pub recovery: String,
}

#[cw_serde]
#[derive(QueryResponses)]
pub enum QueryMsg {
    /// Owner, prices, limits.
    #[returns(Config)]
    Config {},
    /// The open channels, by their id.
    #[returns(Vec<Channel>)]
    Channels {
        /// Those after this one.
        start_after: Option<String>,
        /// How many, 30 where not given and at most 100.
        limit: Option<u32>,
    },
    /// An asker's account, null if there is none.
    #[returns(Option<Account>)]
    Account {
        /// Whose.
        account: AccountKey,
    },
    /// All accounts, by connection, port and asker.
    #[returns(Vec<AccountEntry>)]
    Accounts {
        /// Those after this one.
        start_after: Option<AccountKey>,
        /// How many, 30 where not given and at most 100.
        limit: Option<u32>,
    },
    /// What a query costs that uses this gas; null if the denom is not taken.
    #[returns(Option<Uint128>)]
    Price {
        /// In which coins.
        denom: String,
        /// CosmWasm gas.
        gas: Uint64,
    },
    /// The least that a relayer is paid for a packet, were it received now.
    #[returns(RewardResponse)]
    Reward {
        /// This chain's end of the channel.
        channel: String,
        /// The packet's data.
        data: Binary,
    },
    /// A relayer's rewards, not yet claimed, in at most 32 denoms.
    #[returns(RewardResponse)]
    Rewards {
        /// The relayer.
        relayer: String,
        /// Those in the denoms after this one.
        start_after: Option<String>,
    },
    /// What the contract owes in one denom. It holds at least the sum.
    #[returns(Totals)]
    Totals {
        /// In which coins.
        denom: String,
    },
}

#[cw_serde]
pub struct MigrateMsg {}

#[cw_serde]
pub struct Config {
    /// Who may change the configuration and take what was earned.
    pub owner: Addr,
    /// What answers cost, per denom; free where there are none.
    pub prices: Vec<Price>,
    /// Whose channels are served; everyone's where none are given.
    pub allowed: Option<Vec<Peer>>,
    /// The most CosmWasm gas that the queries of one packet may declare together.
    pub max_packet_gas: Uint64,
    /// CosmWasm gas of one unit of the chain's own gas.
    pub gas_multiplier: Uint64,
    /// Seconds for which an account must be idle before its recovery address may take the credit out.
    pub recovery_delay: u64,
    /// The transfer channels over which deposits are taken; any where none are given.
    pub transfers: Option<Vec<String>>,
}

#[cw_serde]
pub struct Channel {
    /// This chain's end.
    pub channel: String,
    /// The other end.
    pub peer: Peer,
}

#[cw_serde]
pub struct Account {
    /// Who may take the credit out once the channel is dead.
    pub recovery: Addr,
    /// The last packet, or deposit that the asker itself sent.
    pub last_active: Timestamp,
    /// The credit.
    pub credit: Vec<Coin>,
}

#[cw_serde]
pub struct AccountEntry {
    /// Whose.
    pub key: AccountKey,
    /// The account.
    pub account: Account,
}

#[cw_serde]
pub struct RewardResponse {
    /// Coins by denom; none where nothing is paid.
    pub reward: Vec<Coin>,
}

/// What the contract owes in one denom.
#[cw_serde]
#[derive(Default)]
pub struct Totals {
    /// Credit of all accounts.
    pub credits: Uint128,
    /// Rewards not yet claimed.
    pub rewards: Uint128,
    /// The owner's takings not yet withdrawn.
    pub takings: Uint128,
}
