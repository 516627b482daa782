//! What all commands share that change a chain: who signs, what it may cost, and whether it is sent at all.

use std::{path::PathBuf, time::Duration};

use aiinference_client::{
    address, coins, governance, tx, Account, Gas, GasPrice, Included, Key, Msg, Node, Options, Payer, Proposal,
    DEFAULT_PATH,
};
use anyhow::{bail, Context, Result};
use cosmrs::proto::cosmos::gov::v1::MsgSubmitProposalResponse;
use serde_json::{json, Value};

use super::{keys, KeysFolder};

/// Who signs, what it may cost, and what becomes of it.
#[derive(clap::Args)]
pub struct TxArgs {
    /// Sign with this key of the keys folder
    #[arg(long, value_name = "NAME", help_heading = "Signing")]
    from: Option<String>,
    /// Sign with the mnemonic in this file [default: the one in AIINFERENCE_MNEMONIC]
    #[arg(long, value_name = "FILE", conflicts_with = "from", help_heading = "Signing")]
    mnemonic_file: Option<PathBuf>,
    /// Which key of the mnemonic
    #[arg(long, default_value = DEFAULT_PATH, value_name = "PATH", help_heading = "Signing")]
    hd_path: String,
    #[command(flatten)]
    keys: KeysFolder,

    /// Gas limit [default: what trying the transaction uses, times --gas-adjustment]
    #[arg(long, value_name = "GAS", help_heading = "Fees")]
    gas: Option<u64>,
    /// Margin over the gas that trying the transaction uses
    #[arg(long, default_value_t = 1.3, value_parser = adjustment, value_name = "FACTOR", help_heading = "Fees")]
    gas_adjustment: f64,
    /// Price of a unit of gas, like 0.025stake [default: the least that a node on this machine takes]
    #[arg(long, env = "AIINFERENCE_GAS_PRICE", value_name = "PRICE", help_heading = "Fees")]
    gas_price: Option<GasPrice>,
    /// A public note
    #[arg(long, default_value = "", help_heading = "Fees")]
    memo: String,
    /// Seconds to wait until the transaction is in a block
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400), value_name = "SECONDS", help_heading = "Fees")]
    timeout: u64,

    /// Send nothing: print the unsigned transaction, as `wasmd tx sign` takes it
    #[arg(long, requires = "from_address", help_heading = "Instead of sending")]
    pub generate_only: bool,
    /// The account that will sign it
    #[arg(long, value_name = "ADDRESS", requires = "generate_only", conflicts_with_all = ["from", "mnemonic_file"], help_heading = "Instead of sending")]
    from_address: Option<String>,

    /// Propose it to the chain's governance, which does it if the proposal passes
    #[arg(long, requires_all = ["title", "summary", "deposit"], help_heading = "Governance")]
    pub as_proposal: bool,
    /// The proposal in one line
    #[arg(long, requires = "as_proposal", help_heading = "Governance")]
    title: Option<String>,
    /// What it is about
    #[arg(long, requires = "as_proposal", help_heading = "Governance")]
    summary: Option<String>,
    /// First deposit, like 10000000stake
    #[arg(long, requires = "as_proposal", value_name = "COINS", help_heading = "Governance")]
    deposit: Option<String>,
    /// In whose name it is done [default: the account of the governance module]
    #[arg(long, requires = "as_proposal", value_name = "ADDRESS", help_heading = "Governance")]
    authority: Option<String>,
    /// Ask for the shorter vote with the higher threshold
    #[arg(long, requires = "as_proposal", help_heading = "Governance")]
    expedited: bool,
}

fn adjustment(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (1.0..=10.0).contains(&factor) => Ok(factor),
        _ => Err("it is a number from 1 to 10".into()),
    }
}

/// Who acts, with or without a key.
pub struct Actor {
    node: Node,
    /// The account that signs and pays.
    payer: String,
    /// In whose name the messages are: the payer's, or that of governance.
    pub sender: String,
    how: How,
    memo: String,
    proposal: Option<Proposal>,
}

enum How {
    Send(Box<Account>),
    Write(Box<Payer>),
}

/// What became of messages.
pub enum Outcome {
    /// They are done.
    Done(Included),
    /// They are proposed, under this number.
    Proposed(u64, Included),
    /// They are printed.
    Written(Value),
}

impl TxArgs {
    /// Finds out who acts.
    pub async fn actor(&self, node: &Node) -> Result<Actor> {
        let options = Options {
            gas: self.gas.map_or(Gas::Estimate(self.gas_adjustment), Gas::Limit),
            gas_price: self.gas_price.clone(),
            memo: self.memo.clone(),
            timeout: Duration::from_secs(self.timeout),
        };
        let memo = options.memo.clone();
        let (payer, how) = match &self.from_address {
            Some(from) => {
                let from = address(from)?.to_string();
                let fees = Box::new(Payer::new(node.clone(), options).await?);
                (from, How::Write(fees))
            }
            None => {
                let account = Account::open(node, self.key()?, options).await?;
                (account.address().to_string(), How::Send(Box::new(account)))
            }
        };
        let (sender, proposal) = match self.as_proposal {
            false => (payer.clone(), None),
            true => {
                let authority = match &self.authority {
                    Some(authority) => address(authority)?.to_string(),
                    None => governance(&node.prefix().await?)?,
                };
                let proposal = Proposal {
                    proposer: payer.clone(),
                    messages: Vec::new(),
                    deposit: coins(self.deposit.as_deref().unwrap_or_default())?,
                    title: self.title.clone().unwrap_or_default(),
                    summary: self.summary.clone().unwrap_or_default(),
                    expedited: self.expedited,
                };
                (authority, Some(proposal))
            }
        };
        Ok(Actor {
            node: node.clone(),
            payer,
            sender,
            how,
            memo,
            proposal,
        })
    }

    fn key(&self) -> Result<Key> {
        if let Some(name) = &self.from {
            return Ok(self.keys.open()?.get(name)?);
        }
        keys::mnemonic_key(self.mnemonic_file.as_deref(), &self.hd_path)?.with_context(|| {
            format!(
                "signing: no key is named; use --from NAME, --mnemonic-file FILE or {}, or --generate-only to sign \
                 elsewhere",
                keys::MNEMONIC
            )
        })
    }
}

impl Actor {
    /// The account that can send by itself, if nothing is proposed or only written.
    pub fn account(&self) -> Option<&Account> {
        match (&self.how, &self.proposal) {
            (How::Send(account), None) => Some(account),
            _ => None,
        }
    }

    /// Does, proposes or writes some messages. `part` is added to a proposal's title.
    pub async fn act(&self, messages: Vec<Msg>, part: Option<&str>) -> Result<Outcome> {
        let messages = match &self.proposal {
            None => messages,
            Some(proposal) => {
                let mut proposal = proposal.clone();
                if let Some(part) = part {
                    proposal.title = format!("{} ({part})", proposal.title);
                }
                proposal.messages = messages;
                vec![Msg::Propose(proposal)]
            }
        };
        match &self.how {
            How::Write(fees) => {
                let fee = fees.fee_for(&self.payer, &messages).await?;
                Ok(Outcome::Written(tx::unsigned(&messages, &self.memo, &fee)?))
            }
            How::Send(account) => {
                let hash = account.submit(&messages).await?;
                eprintln!("sent transaction {hash}, waiting for a block");
                let included = account.confirm(&hash).await?;
                if self.proposal.is_none() {
                    return Ok(Outcome::Done(included));
                }
                let answer: Option<MsgSubmitProposalResponse> = included.response(0);
                let Some(answer) = answer else {
                    bail!("reading the answer of transaction {hash}: it names no proposal");
                };
                Ok(Outcome::Proposed(answer.proposal_id, included))
            }
        }
    }

    /// Says on stderr how an unsigned transaction goes on.
    pub fn how_to_sign(&self, file: &str) {
        eprintln!("unsigned; for example:");
        eprintln!(
            "  wasmd tx sign {file} --from {} --chain-id {} --node {} --output-document signed.json",
            self.payer,
            self.node.chain_id(),
            self.node.url()
        );
        eprintln!("  wasmd tx broadcast signed.json --node {}", self.node.url());
    }
}

/// The facts of a transaction as JSON.
pub fn facts(included: &Included) -> Value {
    json!({
        "transaction": included.hash,
        "height": included.height,
        "gas_used": included.gas_used,
        "gas_wanted": included.gas_wanted,
    })
}

/// The same as lines.
pub fn lines(included: &Included) -> Vec<(&'static str, String)> {
    vec![
        ("transaction", included.hash.clone()),
        ("height", included.height.to_string()),
        ("gas", format!("{} used of {}", included.gas_used, included.gas_wanted)),
    ]
}
