//! Entry points.

use aiinference_engine::{Kernels, Limits, LoadError, Program, RunError};
#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{to_json_binary, Addr, Binary, Deps, DepsMut, Env, MessageInfo, Response, StdError, Storage};
use cw_storage_plus::Item;

use crate::msg::{ExecuteMsg, InstantiateMsg, Part, QueryMsg, RunResponse, StateResponse};
use crate::product::Product;

const NAME: &str = "aiinference:in-guest";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Bytes added in one call, and kept under one key.
const MAX_PIECE: usize = 100_000;
/// Pieces of one part.
const MAX_PIECES: u32 = 80;

/// Rows and columns of a product; and products of a sum, which fits 32 bits: 2^11 * 2^11 * 2^7.
const MAX_SIDE: u32 = 1_024;
const MAX_SUM: u32 = 2_048;

/// What a model may ask for in here. A guest has far less room than a host.
const LIMITS: Limits = Limits {
    max_nodes: 1 << 12,
    max_rank: 6,
    max_elements: 1 << 22,
    max_peak_bytes: 16 << 20,
    max_ports: 64,
    max_name_bytes: 128,
    max_labels: 1 << 12,
    max_header_entries: 64,
    max_header_bytes: 64 << 10,
};

const OWNER: Item<Addr> = Item::new("owner");
const GRAPH: Item<Pieces> = Item::new("graph");
const WEIGHTS: Item<Pieces> = Item::new("weights");

/// How much of a part is stored.
#[cosmwasm_schema::cw_serde]
#[derive(Default)]
struct Pieces {
    count: u32,
    bytes: u32,
}

/// What the contract refuses, and why.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Storage, addresses.
    #[error(transparent)]
    Std(#[from] StdError),
    /// The sender may not do this.
    #[error("adding to the model: only the owner may, who instantiated the contract")]
    Unauthorized,
    /// Too much.
    #[error("adding to the model: at most {MAX_PIECE} bytes a call and {MAX_PIECES} calls a part")]
    TooLarge,
    /// The bytes are no model.
    #[error("loading the model: {0}")]
    Load(#[from] LoadError),
    /// The inputs are not the model's.
    #[error("running the model: {0}")]
    Run(#[from] RunError),
    /// More than it has room for.
    #[error("multiplying: at most {MAX_SIDE} rows and columns, and 1 to {MAX_SUM} products in a sum")]
    ProductSize,
    /// Integers have four bytes.
    #[error("reading input {0}: its length is no multiple of 4 bytes")]
    InputLength(usize),
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(
    deps: DepsMut,
    _env: Env,
    info: MessageInfo,
    _msg: InstantiateMsg,
) -> Result<Response, ContractError> {
    cw2::set_contract_version(deps.storage, NAME, VERSION)?;
    OWNER.save(deps.storage, &info.sender)?;
    GRAPH.save(deps.storage, &Pieces::default())?;
    WEIGHTS.save(deps.storage, &Pieces::default())?;
    Ok(Response::new().add_attribute("action", "instantiate"))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, _env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    let ExecuteMsg::Append { part, data } = msg;
    if OWNER.load(deps.storage)? != info.sender {
        return Err(ContractError::Unauthorized);
    }
    let item = part.item();
    let mut pieces = item.load(deps.storage)?;
    if data.len() > MAX_PIECE || pieces.count >= MAX_PIECES {
        return Err(ContractError::TooLarge);
    }
    // The storage takes no empty value.
    if !data.is_empty() {
        deps.storage.set(&part.key(pieces.count), &data);
        pieces.count += 1;
        // At most MAX_PIECES * MAX_PIECE.
        pieces.bytes += data.len() as u32;
        item.save(deps.storage, &pieces)?;
    }
    Ok(Response::new()
        .add_attribute("action", "append")
        .add_attribute("part", part.name())
        .add_attribute("bytes", pieces.bytes.to_string()))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> Result<Binary, ContractError> {
    Ok(match msg {
        QueryMsg::Run { inputs } => to_json_binary(&run(deps.storage, &inputs)?)?,
        QueryMsg::Multiply {
            rows,
            k,
            columns,
            times,
        } => to_json_binary(&multiply(rows, k, columns, times)?)?,
        QueryMsg::State {} => to_json_binary(&StateResponse {
            owner: OWNER.load(deps.storage)?,
            graph: GRAPH.load(deps.storage)?.bytes,
            weights: WEIGHTS.load(deps.storage)?.bytes,
        })?,
    })
}

fn run(storage: &dyn Storage, inputs: &[Binary]) -> Result<RunResponse, ContractError> {
    let program = Program::load(&Part::Graph.read(storage)?, &Part::Weights.read(storage)?, &LIMITS)?;
    let inputs = inputs.iter().enumerate().map(|(index, bytes)| integers(index, bytes));
    let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    let outputs = program.run(&inputs, &Kernels::auto())?;
    let bytes =
        |values: &Vec<i32>| -> Binary { values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>().into() };
    Ok(RunResponse {
        outputs: outputs.iter().map(bytes).collect(),
    })
}

/// The checksum of the last product.
fn multiply(rows: u32, k: u32, columns: u32, times: u32) -> Result<u32, ContractError> {
    if rows > MAX_SIDE || columns > MAX_SIDE || k == 0 || k > MAX_SUM {
        return Err(ContractError::ProductSize);
    }
    let (rows, columns) = (rows.next_multiple_of(4), columns.next_multiple_of(4));
    let product = Product::new(rows as usize, k as usize, columns as usize);
    Ok((0..times).fold(0, |_, _| product.checksum()))
}

fn integers(index: usize, bytes: &[u8]) -> Result<Vec<i32>, ContractError> {
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(ContractError::InputLength(index));
    }
    Ok(values.iter().map(|&bytes| i32::from_le_bytes(bytes)).collect())
}

impl Part {
    fn item(self) -> Item<Pieces> {
        match self {
            Part::Graph => GRAPH,
            Part::Weights => WEIGHTS,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Part::Graph => "graph",
            Part::Weights => "weights",
        }
    }

    /// Where a piece is kept, raw: as JSON it would be several times as long.
    fn key(self, piece: u32) -> Vec<u8> {
        format!("{}/{piece}", self.name()).into_bytes()
    }

    fn read(self, storage: &dyn Storage) -> Result<Vec<u8>, ContractError> {
        let pieces = self.item().load(storage)?;
        let mut bytes = Vec::with_capacity(pieces.bytes as usize);
        for piece in 0..pieces.count {
            bytes.extend(storage.get(&self.key(piece)).unwrap_or_default());
        }
        Ok(bytes)
    }
}
