//! The registry contract, as a node tells of it.
//!
//! A node may lie and a registry may be none: pages are bounded, must rise and must be about what was asked.

use aiinference_client::{Coin, Json, Msg, Node};
use aiinference_registry::msg::{Config, ExecuteMsg, QueryMsg, Request, RequestResponse};
use serde::de::DeserializeOwned;

use crate::error::{ProverError, Result};

/// Entries of a page, the most that the registry gives.
const PAGE: u32 = 100;

/// Pages of a list that are read at a time.
const MAX_PAGES: usize = 10;

/// A registry.
#[derive(Clone, Debug)]
pub struct Registry {
    address: String,
}

impl Registry {
    /// The one at an address.
    pub fn at(address: &str) -> Self {
        Registry {
            address: address.into(),
        }
    }

    async fn ask<T: DeserializeOwned>(&self, node: &Node, what: &'static str, msg: &QueryMsg) -> Result<T> {
        let msg = serde_json::to_vec(msg).map_err(|error| self.wrong(what, error.to_string()))?;
        let answer = node.smart(&self.address, &Json::new(msg)?, None).await?;
        serde_json::from_slice(&answer).map_err(|error| self.wrong(what, error.to_string()))
    }

    fn wrong(&self, what: &'static str, reason: impl Into<String>) -> ProverError {
        ProverError::Registry {
            registry: self.address.clone(),
            what,
            reason: reason.into(),
        }
    }

    /// What is configured: whether it is a registry at all.
    pub async fn config(&self, node: &Node) -> Result<Config> {
        self.ask(node, "config", &QueryMsg::Config {}).await
    }

    /// A request with its input; None if it is over.
    pub async fn request(&self, node: &Node, id: u64) -> Result<Option<RequestResponse>> {
        let found: Option<RequestResponse> = self.ask(node, "request", &QueryMsg::Request { id }).await?;
        match found {
            Some(found) if found.request.id != id => Err(self.wrong("request", "it is another one")),
            found => Ok(found),
        }
    }

    /// All requests that a prover has taken, up to a thousand.
    pub async fn taken_by(&self, node: &Node, prover: &str) -> Result<Vec<Request>> {
        let page = |start_after| QueryMsg::TakenBy {
            prover: prover.into(),
            start_after,
            limit: Some(PAGE),
        };
        let (requests, _) = self.list(node, "taken_by", None, page).await?;
        Ok(requests)
    }

    /// Requests with a circuit that have not ended, after a number, up to a thousand; and where to go on, if there are more.
    pub async fn pending(&self, node: &Node, circuit: u64, after: Option<u64>) -> Result<(Vec<Request>, Option<u64>)> {
        let page = |start_after| QueryMsg::Pending {
            circuit,
            start_after,
            limit: Some(PAGE),
        };
        let (requests, more) = self.list(node, "pending", after, page).await?;
        if requests.iter().any(|request| request.circuit.code_id != circuit) {
            return Err(self.wrong("pending", "requests of another circuit are among them"));
        }
        Ok((requests, more))
    }

    async fn list(
        &self,
        node: &Node,
        what: &'static str,
        mut after: Option<u64>,
        page: impl Fn(Option<u64>) -> QueryMsg,
    ) -> Result<(Vec<Request>, Option<u64>)> {
        let mut all: Vec<Request> = Vec::new();
        for _ in 0..MAX_PAGES {
            let found: Vec<Request> = self.ask(node, what, &page(after)).await?;
            if found.len() > PAGE as usize {
                return Err(self.wrong(what, "a page holds more than was asked for"));
            }
            for request in &found {
                if after.is_some_and(|after| request.id <= after) {
                    return Err(self.wrong(what, "the requests are out of order"));
                }
                after = Some(request.id);
            }
            let last = found.len() < PAGE as usize;
            all.extend(found);
            if last {
                return Ok((all, None));
            }
        }
        Ok((all, after))
    }

    /// A message to it.
    pub fn message(&self, sender: &str, msg: &ExecuteMsg, funds: Vec<Coin>) -> Result<Msg> {
        let text = serde_json::to_vec(msg).map_err(|error| self.wrong("execute", error.to_string()))?;
        Ok(Msg::Execute {
            sender: sender.into(),
            contract: self.address.clone(),
            msg: Json::new(text)?,
            funds,
        })
    }
}
