//! The contract run natively: the same integers as the engine gives outside.

use aiinference_demo_models as models;
use aiinference_engine::{Kernels, Program};
use aiinference_runtime::{engine_limits, module};
use cosmwasm_std::{
    from_json,
    testing::{message_info, mock_dependencies, mock_env, MockApi, MockQuerier, MockStorage},
    Binary, OwnedDeps,
};
use in_guest::{
    execute, instantiate,
    msg::{ExecuteMsg, InstantiateMsg, Part, QueryMsg, RunResponse, StateResponse},
    product::Product,
    query, ContractError,
};

type Deps = OwnedDeps<MockStorage, MockApi, MockQuerier>;

fn start() -> Deps {
    let mut deps = mock_dependencies();
    let info = message_info(&deps.api.addr_make("owner"), &[]);
    instantiate(deps.as_mut(), mock_env(), info, InstantiateMsg {}).unwrap();
    deps
}

fn append(deps: &mut Deps, sender: &str, part: Part, data: &[u8]) -> Result<(), ContractError> {
    let info = message_info(&deps.api.addr_make(sender), &[]);
    let data = data.into();
    execute(deps.as_mut(), mock_env(), info, ExecuteMsg::Append { part, data }).map(|_| ())
}

fn run(deps: &Deps, inputs: &[&[i32]]) -> Result<Vec<Binary>, ContractError> {
    let inputs = inputs.iter().map(|values| bytes(values)).collect();
    let answer = query(deps.as_ref(), mock_env(), QueryMsg::Run { inputs })?;
    Ok(from_json::<RunResponse>(answer).unwrap().outputs)
}

fn bytes(values: &[i32]) -> Binary {
    values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>().into()
}

#[test]
fn a_model_in_pieces_gives_the_engines_integers() {
    for source in [models::GBDT, models::MLP] {
        let wasm = source.module().unwrap();
        let sections = module::sections(&wasm).unwrap().unwrap();
        let program = Program::load(sections.graph, sections.weights, &engine_limits()).unwrap();
        let mut deps = start();
        for (part, data) in [(Part::Graph, sections.graph), (Part::Weights, sections.weights)] {
            for piece in data.chunks(1_000) {
                append(&mut deps, "owner", part, piece).unwrap();
            }
        }
        let state: StateResponse = from_json(query(deps.as_ref(), mock_env(), QueryMsg::State {}).unwrap()).unwrap();
        assert_eq!(state.graph as usize, sections.graph.len());
        assert_eq!(state.weights as usize, sections.weights.len());

        let input = &program.inputs()[0];
        for step in 0..5 {
            let values: Vec<i32> = (0..18).map(|i| (i * 7 + step).clamp(input.low, input.high)).collect();
            let want: Vec<Binary> = program
                .run(&[&values], &Kernels::auto())
                .unwrap()
                .iter()
                .map(|values| bytes(values))
                .collect();
            assert_eq!(run(&deps, &[&values]).unwrap(), want);
        }
        assert!(matches!(run(&deps, &[]), Err(ContractError::Run(_))));
        assert!(matches!(run(&deps, &[&[1]]), Err(ContractError::Run(_))));
        let odd = QueryMsg::Run {
            inputs: vec![vec![1, 2, 3].into()],
        };
        assert!(matches!(
            query(deps.as_ref(), mock_env(), odd),
            Err(ContractError::InputLength(0))
        ));
    }
}

#[test]
fn only_the_owner_adds_and_only_so_much() {
    let mut deps = start();
    assert!(matches!(
        append(&mut deps, "stranger", Part::Graph, &[1]),
        Err(ContractError::Unauthorized)
    ));
    assert!(matches!(
        append(&mut deps, "owner", Part::Graph, &[1; 100_001]),
        Err(ContractError::TooLarge)
    ));
    append(&mut deps, "owner", Part::Graph, &[]).unwrap();
    for _ in 0..80 {
        append(&mut deps, "owner", Part::Weights, &[1]).unwrap();
    }
    assert!(matches!(
        append(&mut deps, "owner", Part::Weights, &[1]),
        Err(ContractError::TooLarge)
    ));
}

#[test]
fn bytes_that_are_no_model_are_an_error() {
    let mut deps = start();
    assert!(matches!(run(&deps, &[]), Err(ContractError::Load(_))));
    append(&mut deps, "owner", Part::Graph, b"no model").unwrap();
    assert!(matches!(run(&deps, &[]), Err(ContractError::Load(_))));
}

#[test]
fn products_are_multiplied_up_to_the_size_that_fits() {
    let deps = start();
    let ask = |rows, k, columns| {
        let times = 2;
        query(
            deps.as_ref(),
            mock_env(),
            QueryMsg::Multiply {
                rows,
                k,
                columns,
                times,
            },
        )
    };
    // Rows and columns are rounded up.
    let checksum: u32 = from_json(ask(5, 9, 6).unwrap()).unwrap();
    assert_eq!(checksum, Product::new(8, 9, 8).checksum());
    for (rows, k, columns) in [(1025, 1, 1), (1, 2049, 1), (1, 1, 1025), (1, 0, 1)] {
        assert!(
            matches!(ask(rows, k, columns), Err(ContractError::ProductSize)),
            "{rows} {k} {columns}"
        );
    }
}
