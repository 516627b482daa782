//! Why a request gets no further.

use aiinference_types::ErrorCode;

use crate::{
    chain::NodeFault,
    meter::{Meter, TooExpensive},
    plan::Refusal,
};

/// The three ways in which a request ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is answered with an error.
    Refused(Refusal),
    /// The price is above the gas left.
    OutOfGas,
    /// The call ends without an answer; with the fault, where this node is at fault.
    Abort(Option<NodeFault>),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refused(refusal)
    }
}

impl From<NodeFault> for Stop {
    fn from(fault: NodeFault) -> Self {
        Stop::Abort(Some(fault))
    }
}

/// Charges a price before its work is done.
pub(crate) fn charge(meter: &mut Meter, step: usize, amount: u64) -> Result<(), Stop> {
    meter.charge(amount).map_err(|e| match e {
        TooExpensive::AboveGasLeft => Stop::OutOfGas,
        TooExpensive::AboveLimit { price, limit } => {
            let message = format!("pricing a request: it costs at least {price} gas, its gas limit is {limit}");
            Refusal::new(ErrorCode::GasLimitExceeded, step, message).into()
        }
    })
}
