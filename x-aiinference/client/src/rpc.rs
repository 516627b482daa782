//! CometBFT's JSON-RPC over HTTP, with a limit on what an answer may hold.
//!
//! The types of requests and answers are tendermint-rpc's. Its own HTTP client takes answers of any length, so the few
//! lines that move bytes are here.

use std::time::Duration;

use reqwest::{header, redirect::Policy, Url};
use tendermint_rpc::{error::ErrorDetail, Response, SimpleRequest};

use crate::error::{printable, ClientError};

/// Bytes of an answer that are taken: a page of codes, a stored module in base64 or a large query are far below.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How long connecting, and one request, may take.
const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(30);

/// How long a connection is kept for the next request. CometBFT closes idle ones after ten seconds.
const IDLE: Duration = Duration::from_secs(5);

/// One node's RPC.
#[derive(Clone, Debug)]
pub struct Rpc {
    http: reqwest::Client,
    url: Url,
    /// The URL without user and password, for messages.
    shown: String,
}

impl Rpc {
    /// The RPC at a URL; `tcp://` is taken for `http://`, as wasmd's own tools do. Connects with the first request.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let failed = |reason: String| ClientError::Url {
            url: printable(&without_user(url)),
            reason,
        };
        let address = match url.strip_prefix("tcp://") {
            Some(rest) => format!("http://{rest}"),
            None => url.to_string(),
        };
        let url = Url::parse(&address).map_err(|e| failed(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(failed(format!("the scheme is {:?}", url.scheme())));
        }
        let mut shown = url.clone();
        // Both fail only for URLs that cannot have them, and then have none.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        let mut http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            .pool_idle_timeout(IDLE)
            .redirect(Policy::none());
        if is_local(&url) {
            // A proxy of this machine's environment leads away from it.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| failed(e.to_string()))?;
        Ok(Rpc {
            http,
            url,
            shown: shown.to_string().trim_end_matches('/').to_string(),
        })
    }

    /// The node's address, without any password.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// Whether the node is on this machine.
    pub fn is_local(&self) -> bool {
        is_local(&self.url)
    }

    /// Asks the node.
    pub async fn call<R: SimpleRequest>(&self, request: R) -> Result<R::Output, ClientError> {
        let what = request.method().to_string();
        let body = self.exchange(&what, request.into_json()).await?;
        R::Response::from_string(&body)
            .map(Into::into)
            .map_err(|error| match error.detail() {
                ErrorDetail::Response(answer) => self.node_error(&what, &answer.source.to_string()),
                _ => self.answer_error(&what, error.to_string()),
            })
    }

    /// Sends a request's body; the body of the answer.
    async fn exchange(&self, what: &str, request: String) -> Result<Vec<u8>, ClientError> {
        let failed = |error: reqwest::Error| ClientError::Unreachable {
            url: self.shown.clone(),
            what: what.to_string(),
            reason: reason(&error),
            sent: !error.is_connect() && !error.is_builder(),
        };
        let mut response = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(request)
            .send()
            .await
            .map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ClientError::TooLarge {
                    url: self.shown.clone(),
                    what: what.to_string(),
                    limit: MAX_ANSWER,
                });
            }
            body.extend_from_slice(&chunk);
        }
        // Errors of the RPC itself are JSON, whatever the status; other text comes from what stands before the node.
        if !response.status().is_success() && !body.trim_ascii_start().starts_with(b"{") {
            let text = String::from_utf8_lossy(&body);
            return Err(self.node_error(what, &format!("{}: {}", response.status(), text.trim())));
        }
        Ok(body)
    }

    fn node_error(&self, what: &str, reason: &str) -> ClientError {
        ClientError::Node {
            url: self.shown.clone(),
            what: what.to_string(),
            reason: printable(reason),
        }
    }

    /// The answer to `what` is not what it should be.
    pub(crate) fn answer_error(&self, what: &str, reason: impl AsRef<str>) -> ClientError {
        ClientError::Answer {
            url: self.shown.clone(),
            what: what.to_string(),
            reason: printable(reason.as_ref()),
        }
    }
}

/// What was given for a URL, without what may be a user and a password.
fn without_user(text: &str) -> String {
    let (scheme, rest) = text.split_once("//").unwrap_or(("", text));
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}//{host}"),
        None => text.into(),
    }
}

/// Whether a URL leads to this machine.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The innermost cause, which says what the outer ones only name; never the URL, which may hold a password.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    if error.is_timeout() {
        return "no answer in time".into();
    }
    while let Some(next) = cause.source() {
        cause = next;
    }
    match std::ptr::eq(cause as *const _ as *const (), error as *const _ as *const ()) {
        true => "the request failed".into(),
        false => printable(&cause.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_before_anything_is_sent() {
        for wrong in ["", "localhost:26657", "ftp://127.0.0.1", "http://"] {
            assert!(matches!(Rpc::new(wrong), Err(ClientError::Url { .. })), "{wrong}");
        }
        assert_eq!(
            Rpc::new("tcp://localhost:26657").unwrap().url(),
            "http://localhost:26657"
        );
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        let rpc = Rpc::new("https://user:secret@node.example/rpc").unwrap();
        assert_eq!(rpc.url(), "https://node.example/rpc");
        assert!(!rpc.is_local());
        for wrong in [
            "ftp://user:secret@node.example",
            "user:secret@node.example",
            "http://user:secret@:x",
        ] {
            let error = Rpc::new(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn loopback_is_local() {
        for local in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
            assert!(Rpc::new(local).unwrap().is_local(), "{local}");
        }
    }
}
