//! Requests and their answers, on a chain that is a table of modules.

mod common;

use aiinference_runtime::{module, price, Answer, Chain, NodeFault, Runtime};
use aiinference_types::{abi::MAGIC, limits, v1, ErrorCode};
use common::*;

#[test]
fn a_model_answers_with_its_outputs_and_a_receipt() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let answer = infer(&runtime, &mut chain, one_step(id, integers("x", &[1, 2], &[3, -4])));
    let tensor = &answer.outputs[0];
    assert_eq!((tensor.name.as_str(), tensor.integers().unwrap()), ("y", vec![6, -8]));
    let receipt = answer.receipt.unwrap();
    assert_eq!(receipt.models[0].code_id, id);
    assert_eq!(receipt.models[0].checksum, chain.checksum(id));
    assert!(!receipt.saturated);
}

#[test]
fn the_charge_is_the_static_estimate_whether_cached_or_not() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let info = model_info(&runtime, &mut chain, id);
    let graph = module::sections(chain.module(id)).unwrap().unwrap().graph.len() as u64;
    assert_eq!(
        info.load_gas,
        price::load(chain.module(id).len() as u64) + price::graph(graph)
    );
    let request = encode(v1::request::Operation::Infer(one_step(
        id,
        integers("x", &[1, 2], &[3, -4]),
    )));
    let estimate = price::call(request.len() as u64) + info.load_gas + info.run_gas + price::output(4);
    for fresh in [false, true, false] {
        let runtime = if fresh { &Runtime::new(settings()) } else { &runtime };
        let Answer::Done { gas, external, .. } = runtime.answer(&request, u64::MAX, &mut chain) else {
            panic!("not answered")
        };
        assert_eq!((gas, external), (estimate, Table::QUERY_GAS));
    }
    // One gas short of all that is needed ends in OutOfGas; exactly enough does not.
    let needed = estimate + Table::QUERY_GAS;
    assert!(matches!(
        runtime.answer(&request, needed, &mut chain),
        Answer::Done { .. }
    ));
    let short = runtime.answer(&request, needed - 1, &mut chain);
    assert_eq!(
        short,
        Answer::OutOfGas {
            gas: estimate,
            external: Table::QUERY_GAS
        }
    );
}

#[test]
fn the_requests_own_gas_limit_is_answered_and_the_load_is_paid_all_the_same() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let info = model_info(&runtime, &mut chain, id);
    let mut request = one_step(id, integers("x", &[1, 2], &[3, -4]));
    request.gas_limit = Some(u64::MAX);
    let bytes = encode(v1::request::Operation::Infer(request.clone()));
    let Answer::Done { gas: full, .. } = runtime.answer(&bytes, u64::MAX, &mut chain) else {
        panic!("not answered")
    };

    // A varint of another length would change the price of the request's bytes: keep its length.
    request.gas_limit = Some(u64::MAX - 1);
    let mut exact = request.clone();
    exact.gas_limit = Some(full);
    let exact_bytes = encode(v1::request::Operation::Infer(exact.clone()));
    let price = full - price::call(bytes.len() as u64) + price::call(exact_bytes.len() as u64);
    exact.gas_limit = Some(price);
    assert!(try_infer(&runtime, &mut chain, exact.clone()).is_ok());
    exact.gas_limit = Some(price - 1);
    let (error, gas) = try_infer_with_gas(&runtime, &mut chain, exact.clone());
    assert_eq!(error.unwrap_err().code, ErrorCode::GasLimitExceeded as u32);
    assert_eq!(gas, price::call(exact_bytes.len() as u64) + info.load_gas);

    // However little gas was sent along, the answer is the same error as long as it pays for what was done.
    let Answer::Done { response, .. } = runtime.answer(
        &encode(v1::request::Operation::Infer(exact)),
        gas + Table::QUERY_GAS,
        &mut chain,
    ) else {
        panic!("not answered")
    };
    assert!(error_of(&response).message.contains("gas limit"));
}

#[test]
fn a_plan_hands_tensors_on_and_returns_what_is_asked() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let a = chain.store(&doubler(-100, 100, false));
    let b = chain.store(&doubler(-200, 200, false));
    let mut plan = one_step(a, integers("x", &[2], &[3, -4]));
    plan.steps.push(step(b, vec![from_step("x", 0, "y")]));
    let answer = infer(&runtime, &mut chain, plan.clone());
    assert_eq!(answer.outputs.len(), 1);
    assert_eq!(answer.outputs[0].integers().unwrap(), [12, -16]);
    plan.outputs = vec![
        v1::StepOutput {
            step: 1,
            output: "y".into(),
        },
        v1::StepOutput {
            step: 0,
            output: String::new(),
        },
    ];
    let answer = infer(&runtime, &mut chain, plan.clone());
    assert_eq!(answer.outputs[0].integers().unwrap(), [12, -16]);
    assert_eq!(answer.outputs[1].integers().unwrap(), [6, -8]);

    plan.steps[1].inputs = vec![from_step("x", 1, "y")];
    let message = refused(&runtime, &mut chain, plan.clone(), ErrorCode::InvalidPlan);
    assert!(message.contains("step 1 has not run yet"), "{message}");
    plan.steps[1].inputs = vec![from_step("x", 0, "z")];
    refused(&runtime, &mut chain, plan.clone(), ErrorCode::InvalidPlan);
    plan.steps[1].inputs = vec![from_step("x", 0, "y")];
    plan.outputs[0].step = 2;
    refused(&runtime, &mut chain, plan.clone(), ErrorCode::InvalidPlan);
    plan.outputs.clear();
    plan.steps = vec![plan.steps[0].clone(); limits::MAX_STEPS + 1];
    refused(&runtime, &mut chain, plan.clone(), ErrorCode::InvalidPlan);
    plan.steps.clear();
    refused(&runtime, &mut chain, plan, ErrorCode::InvalidPlan);
}

#[test]
fn a_plan_runs_as_its_models_would_one_by_one() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    // The second model refuses what the first one can give.
    let a = chain.store(&doubler(-100, 100, false));
    let strict = chain.store(&doubler(-100, 100, false));
    let lenient = chain.store(&doubler(-100, 100, true));
    let mut plan = one_step(a, integers("x", &[2], &[3, 90]));
    plan.steps.push(step(strict, vec![from_step("x", 0, "y")]));
    let message = refused(&runtime, &mut chain, plan.clone(), ErrorCode::OutOfRange);
    assert!(message.contains("element 1 becomes 180"), "{message}");
    plan.steps[1].model = model_ref(lenient);
    let answer = infer(&runtime, &mut chain, plan);
    assert_eq!(answer.outputs[0].integers().unwrap(), [12, 200]);
    assert!(answer.receipt.unwrap().saturated);
}

#[test]
fn wrong_inputs_are_refused_by_kind() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let good = integers("x", &[1, 2], &[3, -4]);
    let cases = [
        (vec![integers("nope", &[1, 2], &[3, -4])], ErrorCode::UnknownInput),
        (vec![], ErrorCode::MissingInput),
        (
            vec![v1::Input {
                name: "x".into(),
                source: None,
            }],
            ErrorCode::MissingInput,
        ),
        (vec![good.clone(), good.clone()], ErrorCode::DuplicateInput),
        (vec![integers("x", &[2, 1], &[3, -4])], ErrorCode::ShapeMismatch),
        (vec![integers("x", &[3], &[3, -4, 0])], ErrorCode::ShapeMismatch),
        (vec![integers("x", &[0], &[])], ErrorCode::ShapeMismatch),
        (vec![integers("x", &[2], &[3])], ErrorCode::MalformedTensor),
        (
            vec![integers("x", &[u32::MAX, u32::MAX], &[3])],
            ErrorCode::MalformedTensor,
        ),
        (vec![integers("x", &[2], &[3, 101])], ErrorCode::OutOfRange),
        (vec![integers("x", &[2], &[i64::MIN, 0])], ErrorCode::OutOfRange),
    ];
    for (inputs, code) in cases {
        let mut request = one_step(id, good.clone());
        request.steps[0].inputs = inputs;
        refused(&runtime, &mut chain, request, code);
    }
    // With one input the name may be left out, and so may leading axes of extent 1.
    let mut unnamed = integers("", &[2], &[3, -4]);
    unnamed.name.clear();
    assert_eq!(
        infer(&runtime, &mut chain, one_step(id, unnamed)).outputs[0]
            .integers()
            .unwrap(),
        [6, -8]
    );
}

#[test]
fn wrong_references_are_refused_by_kind() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let contract = chain.store_module(common::plain_module());
    let broken = chain.store_module(module::wrap(b"no graph", b""));
    let input = integers("x", &[1, 2], &[3, -4]);
    refused(
        &runtime,
        &mut chain,
        one_step(99, input.clone()),
        ErrorCode::UnknownCodeId,
    );
    refused(
        &runtime,
        &mut chain,
        one_step(contract, input.clone()),
        ErrorCode::NotAModel,
    );
    refused(
        &runtime,
        &mut chain,
        one_step(broken, input.clone()),
        ErrorCode::InvalidModel,
    );
    let mut wrong = one_step(id, input.clone());
    if let Some(model) = &mut wrong.steps[0].model {
        model.checksum = vec![7; 32];
    }
    refused(&runtime, &mut chain, wrong.clone(), ErrorCode::ChecksumMismatch);
    if let Some(model) = &mut wrong.steps[0].model {
        model.checksum = chain.checksum(id).to_vec();
    }
    infer(&runtime, &mut chain, wrong);
    let mut none = one_step(id, input.clone());
    none.steps[0].model = None;
    refused(&runtime, &mut chain, none, ErrorCode::MalformedRequest);
    // The caller's own code is a model here.
    chain.own = chain.checksum(id);
    let mut own = one_step(id, input);
    own.steps[0].model = Some(v1::ModelRef {
        reference: Some(v1::model_ref::Reference::OwnCode(v1::OwnCode {})),
        checksum: vec![],
    });
    assert_eq!(infer(&runtime, &mut chain, own).receipt.unwrap().models[0].code_id, 0);
}

#[test]
fn a_model_above_the_size_limit_is_refused_unread() {
    struct Huge;
    impl Chain for Huge {
        fn code_checksum(&mut self, _: u64, _: u64) -> (Result<[u8; 32], aiinference_runtime::ChainError>, u64) {
            (Ok([1; 32]), 0)
        }
        fn own_checksum(&self) -> [u8; 32] {
            [0; 32]
        }
        fn module_size(&self, _: &[u8; 32]) -> Result<u64, NodeFault> {
            Ok(limits::MAX_MODEL_BYTES + 1)
        }
        fn module_bytes(&self, _: &[u8; 32]) -> Result<Vec<u8>, NodeFault> {
            panic!("read a module that is too large")
        }
    }
    let request = encode(v1::request::Operation::Infer(one_step(1, integers("x", &[2], &[1, 2]))));
    let Answer::Done { response, .. } = Runtime::new(settings()).answer(&request, u64::MAX, &mut Huge) else {
        panic!("not answered")
    };
    assert_eq!(error_of(&response).code, ErrorCode::ModelTooLarge as u32);
}

#[test]
fn requests_that_are_none_are_refused_by_kind() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let mut other_version = MAGIC.to_vec();
    other_version[7] = 9;
    let too_large = [MAGIC.to_vec(), vec![0; limits::MAX_REQUEST_BYTES + 1 - MAGIC.len()]].concat();
    let cases = [
        (MAGIC.to_vec(), ErrorCode::UnsupportedOperation),
        (other_version, ErrorCode::UnsupportedOperation),
        ([MAGIC.as_slice(), &[0xff; 9]].concat(), ErrorCode::MalformedRequest),
        (too_large, ErrorCode::RequestTooLarge),
    ];
    for (request, code) in cases {
        let Answer::Done { response, gas, .. } = runtime.answer(&request, u64::MAX, &mut chain) else {
            panic!("not answered")
        };
        assert_eq!(error_of(&response).code, code as u32);
        assert_eq!(gas, price::call(request.len() as u64));
    }
}

#[test]
fn a_chain_that_fails_and_a_node_that_lost_a_file_are_kept_apart() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let request = one_step(id, integers("x", &[1, 2], &[3, -4]));
    chain.lose_file(id);
    let bytes = encode(v1::request::Operation::Infer(request.clone()));
    let answer = runtime.answer(&bytes, u64::MAX, &mut chain);
    assert!(matches!(answer, Answer::Abort { fault: Some(_), .. }), "{answer:?}");
    chain.fail = Some(aiinference_runtime::ChainError::Failed("no".into()));
    refused(&runtime, &mut chain, request, ErrorCode::ChainQueryFailed);
    chain.fail = Some(aiinference_runtime::ChainError::Abort);
    let answer = runtime.answer(&bytes, u64::MAX, &mut chain);
    assert!(matches!(answer, Answer::Abort { fault: None, .. }), "{answer:?}");
}

#[test]
fn the_cache_keeps_to_its_limit_and_changes_no_answer() {
    let mut chain = Table::new();
    let ids: Vec<u64> = (1..20).map(|n| chain.store(&doubler(-n, n, true))).collect();
    let tight = Runtime::new(aiinference_runtime::Settings {
        cache_bytes: 3_000,
        ..settings()
    });
    let none = Runtime::new(aiinference_runtime::Settings {
        cache_bytes: 0,
        ..settings()
    });
    let roomy = Runtime::new(settings());
    for _ in 0..2 {
        for id in &ids {
            let request = encode(v1::request::Operation::Infer(one_step(
                *id,
                integers("x", &[2], &[3, -4]),
            )));
            let want = roomy.answer(&request, u64::MAX, &mut chain);
            assert_eq!(tight.answer(&request, u64::MAX, &mut chain), want);
            assert_eq!(none.answer(&request, u64::MAX, &mut chain), want);
            assert!(tight.cached_bytes() <= 3_000);
        }
    }
    assert_eq!(none.cached_bytes(), 0);
    assert!(tight.cached_bytes() > 0);
    assert!(roomy.cached_bytes() > 3_000);
}

#[test]
fn an_answer_above_the_limit_is_refused_before_it_is_made() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&common::inflater(1024, 2048));
    let message = refused(
        &runtime,
        &mut chain,
        one_step(id, integers("x", &[1], &[1])),
        ErrorCode::ResponseTooLarge,
    );
    assert!(message.contains("limit"), "{message}");
}

#[test]
fn a_plan_above_the_memory_limit_is_refused_before_it_runs() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    // Each step keeps 64 MiB for those that follow.
    let id = chain.store(&common::inflater(4096, 4096));
    let mut plan = one_step(id, integers("x", &[1], &[1]));
    plan.steps = vec![plan.steps[0].clone(); limits::MAX_STEPS];
    let message = refused(&runtime, &mut chain, plan, ErrorCode::ResponseTooLarge);
    assert!(message.contains("limit"), "{message}");

    let small = chain.store(&doubler(-100, 100, false));
    let mut plan = one_step(id, integers("x", &[1], &[1]));
    plan.steps = vec![plan.steps[0].clone(); limits::MAX_STEPS - 1];
    plan.steps.push(step(small, vec![integers("x", &[2], &[3, -4])]));
    let message = refused(&runtime, &mut chain, plan, ErrorCode::InvalidPlan);
    assert!(message.contains("bytes of memory"), "{message}");
}

#[test]
fn arbitrary_bytes_never_panic() {
    let (mut chain, runtime) = (Table::new(), Runtime::new(settings()));
    let id = chain.store(&doubler(-100, 100, false));
    let mut plan = one_step(id, integers("x", &[2], &[3, -4]));
    plan.steps.push(step(id, vec![from_step("x", 0, "y")]));
    let good = encode(v1::request::Operation::Infer(plan));
    for at in 0..good.len() {
        runtime.answer(&good[..at], u64::MAX, &mut chain);
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            runtime.answer(&flipped, u64::MAX, &mut chain);
        }
    }
}
