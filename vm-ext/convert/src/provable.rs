//! What a zero-knowledge circuit proves to the last bit: the limits of `Options::provable`.

use crate::error::{ConvertError, Result};
use crate::net::{Id, Kind, Net};

/// Provers read inputs as 32-bit floats, which hold whole numbers to here.
pub const INPUT_MAX: i32 = 1 << 24;
/// Largest magnitude of a weight by default: as fine as leaves a layer's shift within one digit of a circuit, mostly.
pub const WEIGHT_MAX: i32 = (1 << (WEIGHT_BITS - 1)) - 1;
/// The same in bits, the sign among them.
pub const WEIGHT_BITS: u32 = 11;
/// Significant bits of a stored number, for the same reason.
const BITS: u32 = 24;

/// Refuses the first node that cannot be proven, and says what to do.
pub fn check(net: &Net) -> Result<()> {
    for (id, node) in net.nodes.iter().enumerate() {
        if let Some((reason, advice)) = obstacle(net, id) {
            return Err(ConvertError::NotProvable {
                node: node.name.clone(),
                op: node.kind.name().into(),
                reason,
                advice: advice.into(),
            });
        }
    }
    Ok(())
}

/// Why a node cannot be proven, and what to do about it.
fn obstacle(net: &Net, id: Id) -> Option<(String, &'static str)> {
    const END: &str = "end the model before it (end_at, on the command line --end-at) and compute it from the proven output, or leave it out";
    const FOLD: &str = "choose a power of two, and fold the rest into the weights of the layer that reads it";
    let power = |a: &f64| *a == 0.0 || libm::frexp(a.abs()).0 == 0.5;
    let no_power = |scale: &[f64]| {
        scale
            .iter()
            .find(|a| !power(a))
            .map(|a| format!("its factor {a} is no power of two"))
    };
    match &net.nodes[id].kind {
        Kind::Input(_) | Kind::Linear { .. } | Kind::Reshape { .. } => None,
        // Provers take the shift of a single channel for a factor, and round it away.
        Kind::Conv { .. } if net.shape(id).get(1) == Some(&1) => {
            Some(("it has one output channel".into(), "give it two or more"))
        }
        Kind::Conv { window, .. } if window.dilations != [1, 1] => Some((
            "its taps lie apart".into(),
            "take a larger kernel, or several layers, instead of a dilated one",
        )),
        Kind::Conv { .. } => None,
        // Read by a layer that takes weights, which holds them; other readers are refused themselves.
        Kind::Const(_) => None,
        Kind::Affine { scale, .. } => no_power(scale).map(|reason| (reason, FOLD)),
        Kind::Map { f, .. } => match f.clamped() {
            Some(line) => no_power(&[line.scale]).map(|reason| (reason, FOLD)),
            None => Some(("it is a function that only a table gives".into(), END)),
        },
        Kind::Add { a, b, .. } => {
            let stored = [a, b].into_iter().any(|x| net.constant(*x).is_some());
            let reason = if stored {
                "one of its terms is stored and has no layer to go into"
            } else if net.shape(*a) != net.shape(*b) {
                "its terms have different shapes"
            } else {
                return None;
            };
            Some((
                reason.into(),
                "add tensors of one shape, and biases right after a MatMul or Conv",
            ))
        }
        Kind::Mul { .. } => Some(("it multiplies two values".into(), END)),
        Kind::Softmax { .. } => Some(("it divides by a sum of exponentials".into(), END)),
        Kind::ArgMax { .. } => Some(("comparing values is not exact in the circuit".into(), END)),
        Kind::MaxPool { .. } | Kind::AvgPool { .. } => Some((
            "pooling is not exact in the circuit".into(),
            "take a Conv with stride 2 instead",
        )),
        Kind::Upsample { .. } | Kind::Transpose { .. } | Kind::Concat { .. } | Kind::Slice { .. } => Some((
            "moving elements is not covered".into(),
            "keep to MatMul or Gemm, Conv, Add, Relu, Clip, Reshape and Flatten",
        )),
        Kind::BatchMatMul { .. }
        | Kind::Div { .. }
        | Kind::Min { .. }
        | Kind::Max { .. }
        | Kind::Compare { .. }
        | Kind::Select { .. }
        | Kind::LayerNorm { .. }
        | Kind::ReduceSum { .. }
        | Kind::ReduceMax { .. }
        | Kind::Gather { .. }
        | Kind::GatherElements { .. }
        | Kind::TopK { .. }
        | Kind::Pad { .. }
        | Kind::Broadcast { .. }
        | Kind::Scan(_) => Some((
            "the circuit has no such operation".into(),
            "keep to MatMul or Gemm, Conv, Add, Relu, Clip, Reshape and Flatten",
        )),
        Kind::Trees { .. } => Some((
            "decision trees are not covered".into(),
            "train a small perceptron on the same data",
        )),
    }
}

/// The bias nearest to `bias` that, with the half that rounds a shift by s, takes 24 significant bits.
pub fn bias(bias: i64, s: u8) -> i64 {
    let half = if s == 0 { 0 } else { 1i64 << (s - 1).min(61) };
    let term = bias.saturating_add(half);
    let bits = u64::BITS - term.unsigned_abs().leading_zeros();
    let cut = bits.saturating_sub(BITS);
    if cut == 0 {
        return bias;
    }
    // Below 2^63: biases stay below 2^46, halves below 2^62.
    let rounded = ((term >> (cut - 1)) + 1) >> 1 << cut;
    rounded - half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_with_its_half_takes_24_bits_and_moves_little() {
        for (b, s) in [
            (0, 0),
            (5, 3),
            (123_456_789_012, 17),
            (-123_456_789_013, 20),
            ((1 << 45) - 1, 0),
        ] {
            let rounded = bias(b, s);
            let half = if s == 0 { 0 } else { 1i64 << (s - 1) };
            let term = rounded + half;
            assert!(
                term == 0 || term.unsigned_abs() >> term.trailing_zeros() <= 1 << 24,
                "{b} {s}"
            );
            assert!(
                (rounded - b).unsigned_abs() <= ((b + half).unsigned_abs() >> 23) + 1,
                "{b} {s}"
            );
        }
    }
}
