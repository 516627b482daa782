//! The memo of an ICS-20 transfer that becomes credit on the answering chain.

use serde::{Deserialize, Serialize};

/// What the answering contract reads in a transfer's memo. Write it as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DepositMemo {
    /// Has the answering chain call the contract when the transfer arrives.
    pub dest_callback: DestinationCallback,
    /// Whose credit it becomes.
    pub aiinference_deposit: Deposit,
}

/// Which contract the answering chain calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationCallback {
    /// The answering contract.
    pub address: String,
}

/// Whose credit a transfer becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// The answering chain's name of the connection.
    pub connection: String,
    /// The port of the asking contract, `wasm.<address>`.
    pub port: String,
    /// Who asks: the asking chain's address of the contract or account that sends `ask`.
    pub asker: String,
    /// An address of the answering chain that may take the credit out once the channel is dead.
    pub recovery: String,
}

/// The memo by which a transfer to the answering contract `host` becomes credit of `asker`, who asks through the contract
/// with the port `port` over the answering chain's `connection`.
///
/// ```
/// # use aiinference_std::remote::deposit_memo;
/// let memo = deposit_memo("wasm1host", "connection-0", "wasm.wasm1client", "wasm1asker", "wasm1recovery");
/// let memo = serde_json::to_string(&memo)?; // in a contract: cosmwasm_std::to_json_string
/// assert!(memo.starts_with(r#"{"dest_callback":{"address":"wasm1host"},"aiinference_deposit":{"connection":"#));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn deposit_memo(
    host: impl Into<String>,
    connection: impl Into<String>,
    port: impl Into<String>,
    asker: impl Into<String>,
    recovery: impl Into<String>,
) -> DepositMemo {
    DepositMemo {
        dest_callback: DestinationCallback { address: host.into() },
        aiinference_deposit: Deposit {
            connection: connection.into(),
            port: port.into(),
            asker: asker.into(),
            recovery: recovery.into(),
        },
    }
}
