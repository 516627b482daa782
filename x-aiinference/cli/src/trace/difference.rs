//! In what two outcomes of one request differ.

use aiinference_trace::Outcome;
use aiinference_types::v1::{response, InferResponse, Receipt, Tensor};

use super::describe::{self, clean};

/// Each thing in which they differ, in words.
pub fn between(left: &Outcome, right: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    let (kinds, gases) = ((kind(left), kind(right)), (gas(left), gas(right)));
    if kinds.0 != kinds.1 {
        found.push(format!("kind: {} and {}", kinds.0, kinds.1));
    }
    if gases.0 .0 != gases.1 .0 {
        found.push(format!("gas: {} and {}", gases.0 .0, gases.1 .0));
    }
    if gases.0 .1 != gases.1 .1 {
        found.push(format!("gas of inner queries: {} and {}", gases.0 .1, gases.1 .1));
    }
    if let (Outcome::Done { response: left, .. }, Outcome::Done { response: right, .. }) = (left, right) {
        if left != right {
            found.push(responses(left, right));
        }
    }
    found
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } => "answered",
        Outcome::OutOfGas { .. } => "out of gas",
        Outcome::Abort { .. } => "aborted",
    }
}

fn gas(outcome: &Outcome) -> (u64, u64) {
    match outcome {
        Outcome::Done { gas, external, .. }
        | Outcome::OutOfGas { gas, external }
        | Outcome::Abort { gas, external, .. } => (*gas, *external),
    }
}

fn responses(left: &[u8], right: &[u8]) -> String {
    use response::Result::{Error, Infer};
    match (describe::result(left), describe::result(right)) {
        (Some(Infer(left)), Some(Infer(right))) => {
            results(&left, &right).unwrap_or_else(|| "the encoding of the same result".to_string())
        }
        (Some(Error(left)), Some(Error(right))) => {
            format!("{} and {}", describe::refusal(&left), describe::refusal(&right))
        }
        (Some(Error(error)), _) => format!("{}, and an answer", describe::refusal(&error)),
        (_, Some(Error(error))) => format!("an answer, and {}", describe::refusal(&error)),
        _ => "the answer's bytes".to_string(),
    }
}

/// The first thing in which two results differ.
fn results(left: &InferResponse, right: &InferResponse) -> Option<String> {
    let (ours, theirs) = (left.outputs.len(), right.outputs.len());
    if ours != theirs {
        return Some(format!("number of outputs: {ours} and {theirs}"));
    }
    let mut outputs = left.outputs.iter().zip(&right.outputs);
    outputs
        .find_map(|(left, right)| tensors(left, right))
        .or_else(|| receipts(left.receipt.as_ref(), right.receipt.as_ref()))
}

fn tensors(left: &Tensor, right: &Tensor) -> Option<String> {
    if left == right {
        return None;
    }
    let form = |tensor: &Tensor| {
        (
            tensor.name.clone(),
            tensor.data_type,
            tensor.shape.clone(),
            tensor.fraction_bits,
        )
    };
    if form(left) != form(right) {
        return Some(format!("form of outputs: {:?} and {:?}", form(left), form(right)));
    }
    let name = clean(&left.name);
    let (Ok(ours), Ok(theirs)) = (left.integers(), right.integers()) else {
        return Some(format!("data of output {name}, malformed"));
    };
    let differ = || ours.iter().zip(&theirs).enumerate().filter(|(_, (a, b))| a != b);
    let (index, _) = differ().next()?;
    Some(format!(
        "output {name}, element {index}: {} and {}; {} of {} elements differ",
        describe::element(left, index)?,
        describe::element(right, index)?,
        differ().count(),
        ours.len()
    ))
}

fn receipts(left: Option<&Receipt>, right: Option<&Receipt>) -> Option<String> {
    let (left, right) = match (left, right) {
        (None, None) => return None,
        (Some(left), Some(right)) if left == right => return None,
        (Some(left), Some(right)) => (left, right),
        _ => return Some("receipt: only one has it".to_string()),
    };
    let parts = [
        ("models used", left.models != right.models),
        ("hash of inputs", left.inputs_hash != right.inputs_hash),
        ("hash of outputs", left.outputs_hash != right.outputs_hash),
        ("gas", left.gas != right.gas),
        ("gas schedule", left.gas_schedule != right.gas_schedule),
        ("saturated", left.saturated != right.saturated),
    ];
    let names: Vec<&str> = parts
        .iter()
        .filter(|(_, differs)| *differs)
        .map(|(name, _)| *name)
        .collect();
    Some(format!("receipt: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiinference_types::v1::Response;
    use prost::Message;

    fn done(values: &[i32], gas: u64) -> Outcome {
        let output = Tensor::from_integers("y".into(), vec![values.len() as u32], 1, -100, 100, values);
        let receipt = Receipt {
            gas,
            ..Receipt::default()
        };
        let infer = InferResponse {
            outputs: vec![output],
            receipt: Some(receipt),
        };
        let response = Response {
            result: Some(response::Result::Infer(infer)),
        };
        Outcome::Done {
            response: response.encode_to_vec(),
            gas,
            external: 1,
        }
    }

    #[test]
    fn the_first_element_that_differs_is_named() {
        assert_eq!(
            between(&done(&[1, 2, 3], 9), &done(&[1, 4, 5], 9)),
            ["output y, element 1: 2 (= 1) and 4 (= 2); 2 of 3 elements differ"]
        );
    }

    #[test]
    fn gas_and_what_the_receipt_says_of_it_are_named() {
        assert_eq!(
            between(&done(&[1], 9), &done(&[1], 8)),
            ["gas: 9 and 8", "receipt: gas"]
        );
    }

    #[test]
    fn another_kind_or_form_is_named() {
        let spent = Outcome::OutOfGas { gas: 9, external: 1 };
        assert_eq!(between(&done(&[1], 9), &spent), ["kind: answered and out of gas"]);
        let form = between(&done(&[1], 9), &done(&[1, 2], 9));
        assert!(form.len() == 1 && form[0].starts_with("form of outputs"), "{form:?}");
        assert!(between(&spent, &spent).is_empty());
    }
}
