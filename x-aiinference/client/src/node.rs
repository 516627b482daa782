//! One node of a chain, and what it can be asked.

use std::{collections::BTreeSet, time::Duration};

use base64::prelude::{Engine as _, BASE64_STANDARD};
use cosmrs::proto::{
    cosmos::{
        auth::v1beta1::{Bech32PrefixRequest, Bech32PrefixResponse, QueryAccountInfoRequest, QueryAccountInfoResponse},
        bank::v1beta1::{QueryAllBalancesRequest, QueryAllBalancesResponse},
        base::{
            node::v1beta1::{ConfigRequest, ConfigResponse},
            query::v1beta1::{PageRequest, PageResponse},
        },
        gov::v1::{Proposal as GovProposal, ProposalStatus, QueryProposalsRequest, QueryProposalsResponse},
        tx::v1beta1::{SimulateRequest, SimulateResponse},
    },
    cosmwasm::wasm::v1::{
        AccessType, CodeInfoResponse, QueryCodeRequest, QueryCodeResponse, QueryCodesRequest, QueryCodesResponse,
        QueryContractInfoRequest, QueryContractInfoResponse, QueryRawContractStateRequest,
        QueryRawContractStateResponse, QuerySmartContractStateRequest, QuerySmartContractStateResponse,
    },
    traits::Message,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tendermint_rpc::endpoint::{abci_query, broadcast::tx_sync, status, tx};
use tokio::time::{sleep, Instant};

use crate::{
    coin::{Coin, GasPrice},
    error::{printable, ClientError},
    key::is_prefix,
    msg::{self, Json},
    rpc::Rpc,
    tx::{Event, Included},
};

/// Entries asked for in one page, and the pages that are followed.
const PAGE: u64 = 100;
/// The same for proposals, each of which may hold as much code as a transaction.
const PROPOSALS_PAGE: u64 = 5;
const MAX_PAGES: usize = 10_000;

/// How often a node is asked whether a transaction is in a block.
const POLL: Duration = Duration::from_millis(250);

/// Bytes of a transaction that a query can carry to be simulated: hexadecimal in a body of 1,000,000 bytes.
pub(crate) const MAX_SIMULATED: usize = 490_000;

/// Bytes of a transaction that a broadcast can carry: base64 in a body of 1,000,000 bytes.
pub const MAX_TX: usize = 745_000;

/// One node of a chain.
#[derive(Clone, Debug)]
pub struct Node {
    rpc: Rpc,
    chain_id: String,
    agreed: bool,
}

/// Where a node stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The last block.
    pub height: u64,
    /// Whether it is still fetching blocks.
    pub catching_up: bool,
    /// The state after the block before the last one, in hexadecimal.
    pub app_hash: String,
}

/// An account's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountFacts {
    /// Its number, given once.
    pub number: u64,
    /// How many transactions it has signed.
    pub sequence: u64,
}

/// What the chain knows of a code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CodeInfo {
    /// Its name on the chain.
    pub code_id: u64,
    /// Who stored it.
    pub creator: String,
    /// SHA-256 of the module.
    #[serde(serialize_with = "as_hex")]
    pub checksum: [u8; 32],
    /// Who may instantiate it: nobody, everybody, or addresses.
    pub instantiate: String,
}

fn as_hex<S: serde::Serializer>(bytes: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(bytes))
}

/// What the chain knows of a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContractInfo {
    pub address: String,
    pub code_id: u64,
    pub creator: String,
    /// Empty if nobody may migrate it.
    pub admin: String,
    pub label: String,
    /// Empty if it has no port.
    pub ibc_port: String,
}

impl Node {
    /// Connects, and asks which chain it is. With an id given, any other chain is refused: a signature for one chain
    /// must not be lent to a node that claims to be of another.
    pub async fn connect(url: &str, chain_id: Option<&str>) -> Result<Self, ClientError> {
        let rpc = Rpc::new(url)?;
        let found = rpc.call(status::Request).await?.node_info.network.to_string();
        match chain_id {
            Some(expected) if expected != found => Err(ClientError::OtherChain {
                url: rpc.url().into(),
                found: printable(&found),
                expected: expected.into(),
            }),
            expected => Ok(Node {
                agreed: expected.is_some() || rpc.is_local(),
                rpc,
                chain_id: found,
            }),
        }
    }

    /// Whether the user has named the chain, or the node is on this machine: signing for a chain takes one of both.
    pub(crate) fn chain_is_agreed(&self) -> bool {
        self.agreed
    }

    /// The chain's id.
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    /// The node's address.
    pub fn url(&self) -> &str {
        self.rpc.url()
    }

    /// The RPC, for what has no method here.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Where the node stands.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let info = self.rpc.call(status::Request).await?.sync_info;
        Ok(Status {
            height: info.latest_block_height.value(),
            catching_up: info.catching_up,
            app_hash: info.latest_app_hash.to_string(),
        })
    }

    /// Asks the application: a gRPC method by its path, with protobuf in and out, at a height or now.
    pub async fn query<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        request: &Q,
        height: Option<u64>,
    ) -> Result<A, ClientError> {
        let what = path.rsplit('/').next().unwrap_or(path);
        let height = height.map(|height| self.height(height)).transpose()?;
        let request = abci_query::Request::new(Some(path.into()), request.encode_to_vec(), height, false);
        let answer = self.rpc.call(request).await?.response;
        if answer.code.is_err() {
            return Err(ClientError::Query {
                what: what.into(),
                codespace: printable(&answer.codespace),
                code: answer.code.value(),
                log: printable(&answer.log),
            });
        }
        A::decode(answer.value.as_slice()).map_err(|error| self.rpc.answer_error(what, error.to_string()))
    }

    fn height(&self, height: u64) -> Result<cosmrs::tendermint::block::Height, ClientError> {
        height
            .try_into()
            .map_err(|_| crate::coin::input("the height", &height.to_string(), "it is above 2^63"))
    }

    /// What addresses of this chain begin with.
    pub async fn prefix(&self) -> Result<String, ClientError> {
        let path = "/cosmos.auth.v1beta1.Query/Bech32Prefix";
        let answer: Bech32PrefixResponse = self.query(path, &Bech32PrefixRequest {}, None).await?;
        match is_prefix(&answer.bech32_prefix) {
            true => Ok(answer.bech32_prefix),
            false => Err(self
                .rpc
                .answer_error("Bech32Prefix", format!("{:?} is none", answer.bech32_prefix))),
        }
    }

    /// An account's number and sequence.
    pub async fn account(&self, address: &str) -> Result<AccountFacts, ClientError> {
        let request = QueryAccountInfoRequest {
            address: address.into(),
        };
        let path = "/cosmos.auth.v1beta1.Query/AccountInfo";
        match self.query::<_, QueryAccountInfoResponse>(path, &request, None).await {
            Ok(QueryAccountInfoResponse { info: Some(info) }) if info.address == address => Ok(AccountFacts {
                number: info.account_number,
                sequence: info.sequence,
            }),
            Ok(_) => Err(self.rpc.answer_error("AccountInfo", "it is about another account")),
            Err(ClientError::Query { log, .. }) if log.contains("not found") => Err(ClientError::NoAccount {
                address: address.into(),
                chain: self.chain_id.clone(),
            }),
            Err(error) => Err(error),
        }
    }

    /// What an account holds.
    pub async fn balances(&self, address: &str, height: Option<u64>) -> Result<Vec<Coin>, ClientError> {
        let mut coins = Vec::new();
        let mut pages = Pages::new("AllBalances", PAGE);
        while let Some(page) = pages.next(self)? {
            let request = QueryAllBalancesRequest {
                address: address.into(),
                pagination: Some(page),
                ..Default::default()
            };
            let path = "/cosmos.bank.v1beta1.Query/AllBalances";
            let answer: QueryAllBalancesResponse = self.query(path, &request, height).await?;
            for coin in answer.balances {
                let coin = coin.try_into();
                coins.push(coin.map_err(|e: ClientError| self.rpc.answer_error("AllBalances", e.to_string()))?);
            }
            pages.answered(answer.pagination);
        }
        Ok(coins)
    }

    /// The least price of gas at which this node takes transactions; None if it says nothing.
    pub async fn least_gas_price(&self) -> Result<Option<GasPrice>, ClientError> {
        let path = "/cosmos.base.node.v1beta1.Service/Config";
        let answer: ConfigResponse = self.query(path, &ConfigRequest {}, None).await?;
        // More than one denomination may be listed; each of them will do.
        let first = answer.minimum_gas_price.split(',').next().unwrap_or_default();
        if first.is_empty() {
            return Ok(None);
        }
        let price = first
            .parse()
            .map_err(|e: ClientError| self.rpc.answer_error("Config", e.to_string()))?;
        Ok(Some(price))
    }

    /// What a contract answers to a query, as JSON bytes.
    pub async fn smart(&self, contract: &str, msg: &Json, height: Option<u64>) -> Result<Vec<u8>, ClientError> {
        let request = QuerySmartContractStateRequest {
            address: msg::address(contract)?.into(),
            query_data: msg.as_bytes().to_vec(),
        };
        let path = "/cosmwasm.wasm.v1.Query/SmartContractState";
        let answer: QuerySmartContractStateResponse = self.query(path, &request, height).await?;
        Ok(answer.data)
    }

    /// What a contract has stored under a key; empty if nothing.
    pub async fn raw(&self, contract: &str, key: &[u8], height: Option<u64>) -> Result<Vec<u8>, ClientError> {
        let request = QueryRawContractStateRequest {
            address: msg::address(contract)?.into(),
            query_data: key.to_vec(),
        };
        let path = "/cosmwasm.wasm.v1.Query/RawContractState";
        let answer: QueryRawContractStateResponse = self.query(path, &request, height).await?;
        Ok(answer.data)
    }

    /// A contract's facts.
    pub async fn contract(&self, address: &str, height: Option<u64>) -> Result<ContractInfo, ClientError> {
        let request = QueryContractInfoRequest {
            address: msg::address(address)?.into(),
        };
        let path = "/cosmwasm.wasm.v1.Query/ContractInfo";
        let answer: QueryContractInfoResponse = self.query(path, &request, height).await?;
        let missing = || self.rpc.answer_error("ContractInfo", "it is empty");
        let info = answer.contract_info.ok_or_else(missing)?;
        Ok(ContractInfo {
            address: address.into(),
            code_id: info.code_id,
            creator: info.creator,
            admin: info.admin,
            label: info.label,
            ibc_port: info.ibc_port_id,
        })
    }

    /// A stored module, with the bytes checked against their checksum.
    pub async fn code(&self, code_id: u64) -> Result<(CodeInfo, Vec<u8>), ClientError> {
        let path = "/cosmwasm.wasm.v1.Query/Code";
        let answer: QueryCodeResponse = self.query(path, &QueryCodeRequest { code_id }, None).await?;
        let wrong = |reason: &str| self.rpc.answer_error("Code", reason);
        let info = self.code_info("Code", answer.code_info.ok_or_else(|| wrong("it is empty"))?)?;
        if info.code_id != code_id {
            return Err(wrong("it is another code"));
        }
        if Sha256::digest(&answer.data).as_slice() != info.checksum {
            return Err(wrong("the bytes do not have the checksum that it names"));
        }
        Ok((info, answer.data))
    }

    /// All codes of the chain, by rising id. `page` hears how many are there after each page.
    pub async fn codes(&self, mut page_done: impl FnMut(usize)) -> Result<Vec<CodeInfo>, ClientError> {
        let mut codes: Vec<CodeInfo> = Vec::new();
        let mut pages = Pages::new("Codes", PAGE);
        while let Some(page) = pages.next(self)? {
            let path = "/cosmwasm.wasm.v1.Query/Codes";
            let request = QueryCodesRequest { pagination: Some(page) };
            let answer: QueryCodesResponse = self.query(path, &request, None).await?;
            for info in answer.code_infos {
                let info = self.code_info("Codes", info)?;
                if codes.last().is_some_and(|last| last.code_id >= info.code_id) {
                    return Err(self.rpc.answer_error("Codes", "the codes are out of order"));
                }
                codes.push(info);
            }
            pages.answered(answer.pagination);
            page_done(codes.len());
        }
        Ok(codes)
    }

    /// The proposals that wait for deposits or votes.
    pub(crate) async fn open_proposals(&self) -> Result<Vec<GovProposal>, ClientError> {
        let mut proposals = Vec::new();
        for status in [ProposalStatus::DepositPeriod, ProposalStatus::VotingPeriod] {
            let mut pages = Pages::new("Proposals", PROPOSALS_PAGE);
            while let Some(page) = pages.next(self)? {
                let request = QueryProposalsRequest {
                    proposal_status: status.into(),
                    pagination: Some(page),
                    ..Default::default()
                };
                let path = "/cosmos.gov.v1.Query/Proposals";
                let answer: QueryProposalsResponse = self.query(path, &request, None).await?;
                proposals.extend(answer.proposals);
                pages.answered(answer.pagination);
            }
        }
        Ok(proposals)
    }

    fn code_info(&self, what: &str, info: CodeInfoResponse) -> Result<CodeInfo, ClientError> {
        let wrong = |reason: &str| self.rpc.answer_error(what, reason);
        let checksum = info.data_hash.as_slice().try_into();
        Ok(CodeInfo {
            code_id: info.code_id,
            creator: info.creator,
            checksum: checksum.map_err(|_| wrong("a checksum has not 32 bytes"))?,
            instantiate: match info.instantiate_permission {
                Some(access) => match access.permission() {
                    AccessType::Nobody => "nobody".into(),
                    AccessType::Everybody => "everybody".into(),
                    AccessType::AnyOfAddresses => access.addresses.join(","),
                    AccessType::Unspecified => "unspecified".into(),
                },
                None => "unspecified".into(),
            },
        })
    }

    /// The gas that a transaction would use now. Its signature is not checked, and nothing changes.
    pub async fn simulate(&self, transaction: Vec<u8>) -> Result<u64, ClientError> {
        let path = "/cosmos.tx.v1beta1.Service/Simulate";
        let request = SimulateRequest {
            tx_bytes: transaction,
            ..Default::default()
        };
        match self.query::<_, SimulateResponse>(path, &request, None).await {
            Ok(answer) => {
                let missing = || self.rpc.answer_error("Simulate", "it names no gas");
                Ok(answer.gas_info.ok_or_else(missing)?.gas_used)
            }
            Err(ClientError::Query {
                codespace, code, log, ..
            }) => Err(ClientError::Refused {
                doing: "trying the transaction without sending it",
                codespace,
                code,
                log,
                hash: None,
            }),
            Err(error) => Err(error),
        }
    }

    /// Gives a transaction to the node, which checks fee and signature; its hash.
    ///
    /// No answer does not mean that it was not taken: then the hash comes back too, and [`Node::wait`] finds out.
    pub async fn broadcast(&self, transaction: Vec<u8>) -> Result<String, ClientError> {
        if transaction.len() > MAX_TX {
            return Err(ClientError::TooLargeTx {
                size: transaction.len(),
                limit: MAX_TX,
            });
        }
        let hash = crate::tx::hash(&transaction);
        match self.rpc.call(tx_sync::Request::new(transaction)).await {
            Ok(answer) if answer.code.is_err() => Err(ClientError::Refused {
                doing: "sending the transaction",
                codespace: printable(&answer.codespace),
                code: answer.code.value(),
                log: printable(&answer.log),
                hash: None,
            }),
            Ok(_) => Ok(hash),
            Err(ClientError::Node { reason, .. }) if reason.contains("tx already exists in cache") => Ok(hash),
            Err(ClientError::Unreachable { sent: true, .. }) => Ok(hash),
            Err(error) => Err(error),
        }
    }

    /// What became of a transaction; None while it is in no block.
    pub async fn transaction(&self, hash: &str) -> Result<Option<Included>, ClientError> {
        let wrong = || crate::coin::input("the transaction's hash", hash, "it is not 64 hexadecimal digits");
        let bytes = hex::decode(hash).map_err(|_| wrong())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| wrong())?;
        let request = tx::Request::new(cosmrs::tendermint::Hash::Sha256(bytes), false);
        let answer = match self.rpc.call(request).await {
            Ok(answer) => answer,
            Err(ClientError::Node { reason, .. }) if reason.contains("not found") => return Ok(None),
            Err(error) => return Err(error),
        };
        if Sha256::digest(&answer.tx).as_slice() != bytes {
            return Err(self.rpc.answer_error("tx", "it is another transaction"));
        }
        let result = answer.tx_result;
        // This version of the types leaves the base64 of the data as it came.
        let data = BASE64_STANDARD.decode(&result.data);
        let data = data.map_err(|_| self.rpc.answer_error("tx", "its data is no base64"))?;
        let events = result.events.iter().map(|event| Event {
            kind: event.kind.clone(),
            attributes: event
                .attributes
                .iter()
                .filter_map(|a| Some((a.key_str().ok()?.into(), a.value_str().ok()?.into())))
                .collect(),
        });
        Ok(Some(Included {
            hash: hex::encode_upper(bytes),
            height: answer.height.value(),
            index: answer.index,
            code: result.code.value(),
            codespace: printable(&result.codespace),
            log: printable(&result.log),
            gas_wanted: result.gas_wanted.try_into().unwrap_or(0),
            gas_used: result.gas_used.try_into().unwrap_or(0),
            events: events.collect(),
            data,
        }))
    }

    /// Waits until a transaction is in a block, done or failed.
    pub async fn wait(&self, hash: &str, timeout: Duration) -> Result<Included, ClientError> {
        // A timeout beyond the clock is none.
        let end = Instant::now().checked_add(timeout);
        let mut last;
        loop {
            last = match self.transaction(hash).await {
                Ok(Some(included)) => return Ok(included),
                Ok(None) => None,
                // A node that is away for a moment does not mean that the transaction is lost.
                Err(error @ ClientError::Unreachable { .. }) => Some(error),
                Err(error) => return Err(error),
            };
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
            sleep(POLL).await;
        }
        if let Some(error) = last {
            tracing::warn!(%error, "the node did not answer when last asked");
        }
        Err(ClientError::NotIncluded {
            hash: hash.into(),
            seconds: timeout.as_secs(),
        })
    }
}

/// Following the pages of a list, within bounds, and never in a circle.
struct Pages {
    what: &'static str,
    size: u64,
    next: Option<Vec<u8>>,
    seen: BTreeSet<Vec<u8>>,
}

impl Pages {
    fn new(what: &'static str, size: u64) -> Self {
        Pages {
            what,
            size,
            next: Some(Vec::new()),
            seen: BTreeSet::new(),
        }
    }

    /// The next page to ask for; None after the last.
    fn next(&mut self, node: &Node) -> Result<Option<PageRequest>, ClientError> {
        let Some(key) = self.next.take() else {
            return Ok(None);
        };
        if self.seen.len() >= MAX_PAGES || !self.seen.insert(key.clone()) {
            return Err(node.rpc.answer_error(self.what, "its pages do not end"));
        }
        Ok(Some(PageRequest {
            key,
            limit: self.size,
            ..Default::default()
        }))
    }

    fn answered(&mut self, page: Option<PageResponse>) {
        self.next = page.map(|page| page.next_key).filter(|key| !key.is_empty());
    }
}
