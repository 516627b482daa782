//! Messages.

use cosmwasm_schema::{cw_serde, QueryResponses};
use cosmwasm_std::{Addr, Binary};

#[cw_serde]
pub struct InstantiateMsg {}

/// A model consists of two byte strings: the custom sections of its module.
#[cw_serde]
#[derive(Copy, Eq)]
pub enum Part {
    /// The section `aiinference.graph`.
    Graph,
    /// The section `aiinference.weights`.
    Weights,
}

#[cw_serde]
pub enum ExecuteMsg {
    /// Owner: adds bytes at the end of a part. A value in a contract's storage has at most 128 KiB, hence in pieces.
    Append {
        /// To which part.
        part: Part,
        /// At most 100,000 bytes.
        data: Binary,
    },
}

#[cw_serde]
#[derive(QueryResponses)]
pub enum QueryMsg {
    /// Loads the model and runs it.
    #[returns(RunResponse)]
    Run {
        /// The integers of each input, in the model's order: 4 bytes each, little endian.
        inputs: Vec<Binary>,
    },
    /// Multiplies matrices of made-up numbers, 16-bit activations by 8-bit weights, as fast as a guest can: what the time of a host's
    /// products is to be held against.
    #[returns(u32)]
    Multiply {
        /// Rows of activations, rounded up to a multiple of 4; up to 1,024.
        rows: u32,
        /// Products in a sum; up to 2,048.
        k: u32,
        /// Columns of weights, rounded up to a multiple of 4; up to 1,024.
        columns: u32,
        /// How often.
        times: u32,
    },
    /// Who may add to the model, and how much of it there is.
    #[returns(StateResponse)]
    State {},
}

#[cw_serde]
pub struct RunResponse {
    /// The integers of each output, in the model's order: 4 bytes each, little endian.
    pub outputs: Vec<Binary>,
}

#[cw_serde]
pub struct StateResponse {
    /// Who instantiated the contract.
    pub owner: Addr,
    /// Bytes of the graph.
    pub graph: u32,
    /// Bytes of the weights.
    pub weights: u32,
}
