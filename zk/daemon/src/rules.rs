//! Which requests are taken.

use aiinference_client::Coin;
use aiinference_registry::msg::{Request, Status};

use crate::{config, config::RulesConfig};

/// What is asked of a request.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The least fee; none: any is taken.
    pub minimum_fee: Vec<Coin>,
    /// The largest bond; none: none is given.
    pub maximum_bond: Vec<Coin>,
    /// What the account keeps.
    pub reserve: Vec<Coin>,
    /// The window over the expected time.
    pub patience: f64,
    /// Seconds of the window for blocks to come.
    pub margin_seconds: u64,
    /// Whether circuits of a development SRS are proven.
    pub development_srs: bool,
}

impl Rules {
    /// The rules of a configuration, for a circuit that may have a least fee of its own.
    pub fn new(config: &RulesConfig, minimum_fee: Option<&str>) -> Result<Self, String> {
        Ok(Rules {
            minimum_fee: config::amounts(minimum_fee.unwrap_or(&config.minimum_fee))?,
            maximum_bond: config::amounts(&config.maximum_bond)?,
            reserve: config::amounts(&config.reserve)?,
            patience: config.patience,
            margin_seconds: config.margin_seconds,
            development_srs: config.development_srs,
        })
    }
}

/// What this prover knows of a request's circuit.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Where the circuit is stored.
    pub code_id: u64,
    /// SHA-256 of its module, as the folder makes it.
    pub checksum: [u8; 32],
    /// Whether its SRS is one that anybody could have made.
    pub development_srs: bool,
}

/// How things stand.
#[derive(Clone, Debug)]
pub struct Standing<'a> {
    /// The time of the last block: seconds since 1970.
    pub now: u64,
    /// This prover's address.
    pub me: &'a str,
    /// What it has.
    pub balance: &'a [Coin],
    /// Seconds until the proof will be there.
    pub expected: f64,
}

/// Why a request is left to others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Leave {
    /// The circuit's bytes are others than the folder's.
    #[error("its circuit is another one than this prover's")]
    OtherCircuit,
    /// The SRS is a development one.
    #[error("its circuit has a development SRS; set rules.development_srs to prove it")]
    DevelopmentSrs,
    /// Somebody else is to prove it.
    #[error("only {0} may take it")]
    Reserved(String),
    /// Somebody else has it.
    #[error("{0} has taken it")]
    Taken(String),
    /// It has ended.
    #[error("it has ended")]
    Ended,
    /// There is too little time.
    #[error("it gives {given} s, and {needed} s are needed")]
    Time {
        /// Seconds left.
        given: u64,
        /// Seconds that it takes.
        needed: u64,
    },
    /// It pays too little.
    #[error("it pays {0} only")]
    Fee(String),
    /// It asks for too large a bond.
    #[error("it asks for a bond of {0}; rules.maximum_bond allows less")]
    Bond(String),
    /// The account has too little.
    #[error("the account has too little for its bond of {0}")]
    Balance(String),
    /// The input is none of this circuit.
    #[error("its input cannot be proven: {0}")]
    Input(String),
    /// Only its hash is known.
    #[error("its input is known by its hash only")]
    Hidden,
}

impl Leave {
    /// Its kind, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Leave::OtherCircuit => "other_circuit",
            Leave::DevelopmentSrs => "development_srs",
            Leave::Reserved(_) => "reserved",
            Leave::Taken(_) => "taken",
            Leave::Ended => "ended",
            Leave::Time { .. } => "time",
            Leave::Fee(_) => "fee",
            Leave::Bond(_) => "bond",
            Leave::Balance(_) => "balance",
            Leave::Input(_) => "input",
            Leave::Hidden => "hidden",
        }
    }

    /// Whether it stays so whatever comes: such a request needs no second look.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Leave::OtherCircuit
                | Leave::DevelopmentSrs
                | Leave::Reserved(_)
                | Leave::Ended
                | Leave::Fee(_)
                | Leave::Bond(_)
                | Leave::Input(_)
        )
    }
}

/// A contract's coin; None if it is larger than any coin here.
pub fn coin(coin: &cosmwasm_std::Coin) -> Option<Coin> {
    Some(Coin {
        denom: coin.denom.clone(),
        amount: coin.amount.to_string().parse().ok()?,
    })
}

/// Whether some coin of a list is of the denomination and at least the amount.
fn covers(list: &[Coin], want: &Coin) -> bool {
    list.iter()
        .any(|coin| coin.denom == want.denom && coin.amount >= want.amount)
}

fn amount(list: &[Coin], denom: &str) -> u128 {
    list.iter()
        .find(|coin| coin.denom == denom)
        .map_or(0, |coin| coin.amount)
}

/// How a request is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The coins that are deposited.
    pub bond: Coin,
    /// Seconds that must be left once the transaction is in a block: it may be late, and the window ends with the deadline.
    pub min_seconds: u64,
}

/// Whether a request may be taken, by all but its input.
pub fn judge(request: &Request, offer: &Offer, rules: &Rules, standing: &Standing) -> Result<Terms, Leave> {
    let same = (request.circuit.code_id, request.circuit.checksum.as_bytes()) == (offer.code_id, &offer.checksum);
    if !same {
        return Err(Leave::OtherCircuit);
    }
    if offer.development_srs && !rules.development_srs {
        return Err(Leave::DevelopmentSrs);
    }
    if let Some(prover) = request.prover.as_ref().filter(|prover| prover.as_str() != standing.me) {
        return Err(Leave::Reserved(prover.to_string()));
    }
    let fee = coin(&request.fee).ok_or_else(|| Leave::Fee(request.fee.to_string()))?;
    let pays = |least: &Coin| least.denom == fee.denom && least.amount <= fee.amount;
    if !rules.minimum_fee.is_empty() && !rules.minimum_fee.iter().any(pays) {
        return Err(Leave::Fee(fee.to_string()));
    }
    let bond = coin(&request.bond).ok_or_else(|| Leave::Bond(request.bond.to_string()))?;
    if bond.amount > 0 && !covers(&rules.maximum_bond, &bond) {
        return Err(Leave::Bond(bond.to_string()));
    }
    match &request.status {
        Status::Open {} => {}
        // Its time is up, to the fraction of a second: whoever takes the request now sends the bond to the requester.
        Status::Taken { until, .. } if until.seconds() < standing.now => {}
        Status::Taken { by, .. } => return Err(Leave::Taken(by.to_string())),
        Status::Kept {} | Status::Undelivered { .. } => return Err(Leave::Ended),
    }
    let left = request.deadline.seconds().saturating_sub(standing.now);
    let given = left.min(request.take_window);
    let min_seconds = proof_seconds(rules, standing.expected);
    let needed = min_seconds.saturating_add(rules.margin_seconds);
    if given < needed {
        return Err(Leave::Time { given, needed });
    }
    let kept = amount(&rules.reserve, &bond.denom);
    let needed = bond.amount.checked_add(kept);
    if needed.is_none_or(|needed| amount(standing.balance, &bond.denom) < needed) {
        return Err(Leave::Balance(bond.to_string()));
    }
    Ok(Terms { bond, min_seconds })
}

/// Seconds that are enough for a proof.
fn proof_seconds(rules: &Rules, expected: f64) -> u64 {
    let proof = (expected * rules.patience).ceil();
    // A cast of floats saturates; what is no number becomes 0, so that it must not come here.
    if proof.is_finite() && proof >= 0.0 {
        proof as u64
    } else {
        u64::MAX
    }
}

#[cfg(test)]
mod tests {
    use aiinference_registry::msg::{Code, Version};
    use cosmwasm_std::{Addr, Timestamp};

    use super::*;

    const CHECKSUM: [u8; 32] = [7; 32];

    fn request() -> Request {
        Request {
            id: 5,
            requester: Addr::unchecked("asker"),
            name: "credit".into(),
            version: serde_json::from_str::<Version>("\"1.0.0\"").unwrap(),
            model: None,
            circuit: Code {
                code_id: 3,
                checksum: CHECKSUM.into(),
            },
            srs: CHECKSUM.into(),
            accept_unapproved: false,
            accept_unreproducible: false,
            prover: None,
            fee: cosmwasm_std::coin(100, "stake"),
            bond: cosmwasm_std::coin(50, "stake"),
            take_window: 60,
            deadline: Timestamp::from_seconds(2000),
            callback_gas: None,
            status: Status::Open {},
        }
    }

    fn rules() -> Rules {
        let config = RulesConfig {
            minimum_fee: "100stake,3gold".into(),
            maximum_bond: "50stake".into(),
            reserve: "10stake".into(),
            ..RulesConfig::default()
        };
        Rules::new(&config, None).unwrap()
    }

    fn judged(change: impl FnOnce(&mut Request, &mut Offer, &mut Rules, &mut Standing)) -> Result<Terms, Leave> {
        let balance = config::amounts("60stake").unwrap();
        let offer = Offer {
            code_id: 3,
            checksum: CHECKSUM,
            development_srs: false,
        };
        let standing = Standing {
            now: 1000,
            me: "me",
            balance: &balance,
            expected: 20.0,
        };
        let (mut request, mut offer, mut rules, mut standing) = (request(), offer, rules(), standing);
        change(&mut request, &mut offer, &mut rules, &mut standing);
        judge(&request, &offer, &rules, &standing)
    }

    fn left(change: impl FnOnce(&mut Request, &mut Offer, &mut Rules, &mut Standing)) -> &'static str {
        judged(change).map_or_else(|leave| leave.name(), |_| "not left")
    }

    #[test]
    fn a_good_request_is_taken_for_its_bond() {
        let terms = judged(|_, _, _, _| {}).unwrap();
        // The margin is for the blocks before and after the proof: it need not be left once the request is taken.
        assert_eq!((terms.bond.to_string().as_str(), terms.min_seconds), ("50stake", 40));
        assert_eq!(left(|r, _, _, _| r.prover = Some(Addr::unchecked("me"))), "not left");
    }

    #[test]
    fn only_the_very_circuit_is_proven() {
        assert_eq!(left(|r, _, _, _| r.circuit.code_id = 4), "other_circuit");
        assert_eq!(left(|r, _, _, _| r.circuit.checksum = [8; 32].into()), "other_circuit");
        assert_eq!(left(|_, o, _, _| o.development_srs = true), "development_srs");
        let allowed = left(|_, o, r, _| (o.development_srs, r.development_srs) = (true, true));
        assert_eq!(allowed, "not left");
    }

    #[test]
    fn what_others_have_or_alone_may_have_is_left_until_their_time_is_up() {
        let other = || Addr::unchecked("other");
        assert_eq!(left(|r, _, _, _| r.prover = Some(other())), "reserved");
        let taken = |until| {
            left(|r, _, _, _| {
                r.status = Status::Taken {
                    by: other(),
                    until: Timestamp::from_seconds(until),
                }
            })
        };
        assert_eq!(taken(1000), "taken");
        assert_eq!(taken(999), "not left");
        assert_eq!(left(|r, _, _, _| r.status = Status::Kept {}), "ended");
    }

    #[test]
    fn fees_bonds_and_balances_have_their_bounds() {
        assert_eq!(left(|r, _, _, _| r.fee = cosmwasm_std::coin(99, "stake")), "fee");
        assert_eq!(left(|r, _, _, _| r.fee = cosmwasm_std::coin(1000, "lead")), "fee");
        assert_eq!(left(|r, _, _, _| r.fee = cosmwasm_std::coin(3, "gold")), "not left");
        let any = left(|r, _, rules, _| {
            rules.minimum_fee.clear();
            r.fee = cosmwasm_std::coin(1, "lead");
        });
        assert_eq!(any, "not left");
        assert_eq!(left(|r, _, _, _| r.bond = cosmwasm_std::coin(51, "stake")), "bond");
        assert_eq!(left(|r, _, _, _| r.bond = cosmwasm_std::coin(1, "gold")), "bond");
        assert_eq!(left(|_, _, rules, _| rules.maximum_bond.clear()), "bond");
        let huge = cosmwasm_std::Coin::new(cosmwasm_std::Uint256::MAX, "stake");
        assert_eq!(left(|r, _, _, _| r.bond = huge), "bond");
        // 50 and 10 to keep are 60: one less is too little.
        let poor: &'static [Coin] = config::amounts("59stake").unwrap().leak();
        assert_eq!(left(|_, _, _, s| s.balance = poor), "balance");
        assert_eq!(left(|_, _, _, s| s.balance = &[]), "balance");
    }

    #[test]
    fn a_window_must_hold_the_proof_and_the_blocks_around_it() {
        // Twice 20 s and 10 s more.
        assert_eq!(left(|r, _, _, _| r.take_window = 50), "not left");
        assert_eq!(left(|r, _, _, _| r.take_window = 49), "time");
        assert_eq!(left(|r, _, _, _| r.deadline = Timestamp::from_seconds(1049)), "time");
        assert_eq!(left(|r, _, _, _| r.deadline = Timestamp::from_seconds(999)), "time");
        for never in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(left(|_, _, _, s| s.expected = never), "time");
        }
    }

    #[test]
    fn a_circuits_own_least_fee_is_the_one_that_counts() {
        let config = RulesConfig {
            minimum_fee: "100stake".into(),
            ..RulesConfig::default()
        };
        let own = Rules::new(&config, Some("7gold")).unwrap();
        assert_eq!(own.minimum_fee, config::amounts("7gold").unwrap());
        assert!(Rules::new(&config, Some("much")).is_err());
    }
}
