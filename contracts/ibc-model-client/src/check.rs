//! What makes a query one that no answering chain can answer: refused here, it costs no packet.

use aiinference_types::{
    ibc,
    limits::{MAX_ADDRESS_BYTES, MAX_MEMO_BYTES, MAX_NAME_BYTES},
    v1::{model_ref::Reference, query::Operation, read, run_input::Source, ModelRef, Query, Run},
};

/// Reads a query and checks all that can be told without the models.
pub fn query(bytes: &[u8]) -> Result<Query, String> {
    let query = ibc::decode_query(bytes)?;
    if query.memo.len() > MAX_MEMO_BYTES {
        return Err(format!("its memo is longer than {MAX_MEMO_BYTES} bytes"));
    }
    if ibc::amount(&query.max_price).is_none() {
        return Err("its max_price is no number below 2^128 in decimal digits".to_owned());
    }
    match &query.operation {
        Some(Operation::Run(run)) => self::run(run)?,
        Some(Operation::Describe(describe)) => model(describe.model.as_ref())?,
        None => return Err("it asks for nothing; give it a run or a description".to_owned()),
    }
    Ok(query)
}

fn run(run: &Run) -> Result<(), String> {
    if run.reads.is_empty() && run.steps.is_empty() {
        return Err("it neither reads nor runs anything".to_owned());
    }
    for (number, read) in run.reads.iter().enumerate() {
        if !(1..=MAX_ADDRESS_BYTES).contains(&read.contract.len()) {
            return Err(format!(
                "read {number}: its contract is no address of 1 to {MAX_ADDRESS_BYTES} bytes"
            ));
        }
        if !matches!(read.query, Some(read::Query::Smart(_) | read::Query::Raw(_))) {
            return Err(format!("read {number} is neither smart nor raw"));
        }
    }
    for (number, step) in run.steps.iter().enumerate() {
        let at = |problem: String| format!("step {number}: {problem}");
        model(step.model.as_ref()).map_err(at)?;
        for input in &step.inputs {
            name(&input.name).map_err(at)?;
            match &input.source {
                Some(Source::Tensor(tensor)) => {
                    tensor.validate().map_err(|error| at(error.to_string()))?;
                }
                Some(Source::StepOutput(output)) if output.step as usize >= number => {
                    return Err(at(format!(
                        "it takes an output of step {}, which is not before it",
                        output.step
                    )));
                }
                Some(Source::StepOutput(output)) => name(&output.output).map_err(at)?,
                Some(Source::ReadValue(value)) if value.read as usize >= run.reads.len() => {
                    return Err(at(format!(
                        "it takes a value of read {}, which is not there",
                        value.read
                    )));
                }
                Some(Source::ReadValue(value)) if value.format.is_none() => {
                    return Err(at("what it takes of a read has no format".to_owned()));
                }
                Some(Source::ReadValue(_)) => {}
                None => return Err(at(format!("its input '{}' has no value", input.name))),
            }
        }
    }
    for output in &run.outputs {
        if output.step as usize >= run.steps.len() {
            return Err(format!(
                "it returns an output of step {}, which is not there",
                output.step
            ));
        }
        name(&output.output)?;
    }
    Ok(())
}

fn model(model: Option<&ModelRef>) -> Result<(), String> {
    let Some(ModelRef {
        reference: Some(Reference::CodeId(_)),
        checksum,
    }) = model
    else {
        return Err("a model on another chain is named by its code id".to_owned());
    };
    match checksum.len() {
        0 | 32 => Ok(()),
        length => Err(format!(
            "the model's checksum is {length} bytes long; it is 32, or none"
        )),
    }
}

fn name(name: &str) -> Result<(), String> {
    match name.len() {
        0..=MAX_NAME_BYTES => Ok(()),
        _ => Err(format!("a name is longer than {MAX_NAME_BYTES} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiinference_std::{remote, Model, Tensor};
    use aiinference_types::v1;
    use prost::Message;

    fn problem(change: impl FnOnce(&mut Run)) -> String {
        let inputs = [
            remote::Input::read(0).json("").named("a"),
            Tensor::from_i64s(&[1]).named("b").into(),
        ];
        let whole = remote::Query::new()
            .read_smart("oracle", *b"{}")
            .step(&Model::new(7), inputs)
            .step(&Model::new(8), [remote::Input::from_step(0, "y")])
            .returning(1, "z");
        assert!(query(&whole.encode()).is_ok());
        let mut message = Query::decode(&whole.encode()[..]).unwrap();
        let Some(Operation::Run(run)) = &mut message.operation else {
            panic!()
        };
        change(run);
        query(&message.encode_to_vec()).unwrap_err()
    }

    #[test]
    fn a_query_that_nobody_can_answer_is_told_why() {
        assert!(problem(|run| run.reads.clear()).contains("read 0, which is not there"));
        assert!(problem(|run| run.reads = vec![run.reads[0].clone(); 17]).contains("more than 16 of the field reads"));
        assert!(problem(|run| run.reads[0].query = None).contains("neither smart nor raw"));
        assert!(problem(|run| run.reads[0].contract = "x".repeat(129)).contains("no address"));
        assert!(problem(|run| run.steps = vec![run.steps[0].clone(); 17]).contains("more than 16 of the field steps"));
        assert!(problem(|run| run.steps[0].model = None).contains("step 0: a model on another chain"));
        assert!(problem(|run| run.steps[0].model.as_mut().unwrap().checksum = vec![1]).contains("32"));
        assert!(problem(|run| run.steps[0].inputs[1].source = None).contains("'b' has no value"));
        assert!(problem(|run| run.steps.swap(0, 1)).contains("not before it"));
        assert!(problem(|run| run.outputs[0].step = 2).contains("step 2, which is not there"));
        assert!(problem(|run| run.outputs[0].output = "n".repeat(129)).contains("name"));
        assert!(problem(|run| *run = Run::default()).contains("neither reads nor runs"));
        let own = v1::model_ref::Reference::OwnCode(v1::OwnCode {});
        assert!(problem(|run| run.steps[0].model.as_mut().unwrap().reference = Some(own)).contains("code id"));
        let short = |run: &mut Run| {
            let Some(Source::Tensor(tensor)) = &mut run.steps[0].inputs[1].source else {
                panic!()
            };
            tensor.data.clear();
        };
        assert!(problem(short).contains("reading a tensor"));
    }

    #[test]
    fn what_is_no_query_at_all_is_refused() {
        let describe = remote::Query::describe(&Model::new(1));
        assert!(query(&describe.encode()).is_ok());
        assert!(query(b"\xff").unwrap_err().contains("no protobuf message"));
        // Two models, which a decoder would join to one.
        let twice = b"\x0a\x0a\x12\x08\x0a\x02\x08\x07\x0a\x02\x08\x07";
        assert!(query(twice).unwrap_err().contains("more than 1 of the field model"));
        assert!(query(b"").unwrap_err().contains("asks for nothing"));
        assert!(query(&describe.clone().memo([0; 257]).encode())
            .unwrap_err()
            .contains("memo"));
        let mut message = Query::decode(&describe.encode()[..]).unwrap();
        for (price, taken) in [
            ("1", true),
            ("-1", false),
            ("+1", false),
            ("1e3", false),
            (&"9".repeat(40)[..], false),
        ] {
            message.max_price = price.to_owned();
            assert_eq!(query(&message.encode_to_vec()).is_ok(), taken, "{price}");
        }
    }
}
