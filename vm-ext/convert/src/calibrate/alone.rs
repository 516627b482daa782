//! What every layer is off by itself: its float operation on the very integers that it was given, against the integers
//! that it made of them.

use crate::eval;
use crate::net::{Id, Kind, Net};

/// Values as every node's float operation gives them, operands being `known` where the integer model has them (as
/// reals), else computed the same way. Empty for inputs and constants.
pub fn operations(net: &Net, known: &[Option<Vec<f64>>]) -> Vec<Vec<f64>> {
    let mut made: Vec<Vec<f64>> = Vec::with_capacity(net.nodes.len());
    for node in &net.nodes {
        let value = match &node.kind {
            Kind::Input(_) | Kind::Const(_) => vec![],
            kind => {
                let operand = |x: Id| {
                    let values = match (net.constant(x), &known[x]) {
                        (Some(stored), _) => stored,
                        (None, Some(known)) => known,
                        (None, None) => &made[x],
                    };
                    (values, net.shape(x))
                };
                eval::compute(kind, &node.shape, &operand)
            }
        };
        made.push(value);
    }
    made
}
