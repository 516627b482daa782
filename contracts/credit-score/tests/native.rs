//! The contract run natively against the real engine and the models that it ships with.

use aiinference_demo_models as models;
use aiinference_std::{testing::std3::mock_dependencies, testing::AiQuerier, Checksum};
use cosmwasm_std::{
    from_json,
    testing::{message_info, mock_env, MockApi, MockQuerier, MockStorage},
    Addr, Decimal, DepsMut, OwnedDeps, Response,
};
use credit_score::{
    contract::{execute, instantiate, migrate, query},
    msg::{Config, Decision, ExecuteMsg, InstantiateMsg, MigrateMsg, ModelKind, ModelSource, QueryMsg, ScoreResponse},
    Applicant, ContractError, FEATURES,
};

type Deps = OwnedDeps<MockStorage, MockApi, AiQuerier<MockQuerier>>;

const TREES: u64 = 3;
const MLP: u64 = 4;
const MOOD: u64 = 5;
const NO_MODEL: u64 = 6;

fn dependencies() -> Deps {
    mock_dependencies(&[
        (TREES, &models::gbdt().unwrap()),
        (MLP, &models::mlp().unwrap()),
        (MOOD, &models::mood().unwrap()),
        (NO_MODEL, b"\0asm\x01\0\0\0"),
    ])
}

fn source(code_id: u64) -> Option<ModelSource> {
    Some(ModelSource {
        code_id,
        checksum: None,
    })
}

fn message() -> InstantiateMsg {
    InstantiateMsg {
        trees: source(TREES),
        mlp: source(MLP),
        decides: ModelKind::Trees,
        threshold: Decimal::percent(60),
        admin: None,
    }
}

fn start(deps: DepsMut, msg: InstantiateMsg) -> Result<Response, ContractError> {
    instantiate(deps, mock_env(), message_info(&bank(), &[]), msg)
}

fn bank() -> Addr {
    MockApi::default().addr_make("bank")
}

/// A good risk: a small, short credit, savings, an owned house.
fn good() -> Applicant {
    Applicant {
        amount: 1_200,
        duration: 10,
        age: 45,
        installment_rate: 2,
        residence_since: 4,
        existing_credits: 1,
        dependants: 1,
        checking: 3,
        history: 4,
        purpose: 8,
        savings: 4,
        employment: 4,
        guarantors: 1,
        property: 3,
        other_plans: 2,
        housing: 2,
        job: 2,
        telephone: 1,
    }
}

/// A bad one: a large, long credit, an overdrawn account.
fn bad() -> Applicant {
    Applicant {
        amount: 14_000,
        duration: 60,
        age: 22,
        installment_rate: 4,
        residence_since: 1,
        checking: 0,
        history: 0,
        purpose: 1,
        savings: 0,
        employment: 0,
        property: 0,
        other_plans: 0,
        housing: 1,
        ..good()
    }
}

fn score(deps: &Deps, applicant: Applicant, model: Option<ModelKind>) -> Result<ScoreResponse, ContractError> {
    query(deps.as_ref(), mock_env(), QueryMsg::Score { applicant, model }).map(|answer| from_json(answer).unwrap())
}

#[test]
fn good_and_bad_risks_are_told_apart_by_both_models() {
    let mut deps = dependencies();
    start(deps.as_mut(), message()).unwrap();
    for kind in [ModelKind::Trees, ModelKind::Mlp] {
        let (good, bad) = (
            score(&deps, good(), Some(kind)).unwrap(),
            score(&deps, bad(), Some(kind)).unwrap(),
        );
        assert!(good.score > Decimal::percent(80), "{kind}: {}", good.score);
        assert!(bad.score < Decimal::percent(40), "{kind}: {}", bad.score);
        assert!(good.approved && !bad.approved);
        assert_eq!(good.model, kind);
        assert!(!good.receipt.saturated);
    }
}

#[test]
fn a_decision_is_kept_with_its_reasons() {
    let mut deps = dependencies();
    start(deps.as_mut(), message()).unwrap();
    let checksum = deps.querier.checksum(TREES).unwrap();
    let applicant = deps.api.addr_make("applicant");
    for (number, features, approved) in [(1, bad(), false), (2, good(), true)] {
        let msg = ExecuteMsg::Apply {
            applicant: features.clone(),
        };
        let response = execute(deps.as_mut(), mock_env(), message_info(&applicant, &[]), msg).unwrap();
        let msg = QueryMsg::Decision {
            applicant: applicant.to_string(),
        };
        let decision: Decision = from_json(query(deps.as_ref(), mock_env(), msg).unwrap()).unwrap();
        assert_eq!((decision.number, decision.height), (number, mock_env().block.height));
        let reasons = decision.reasons;
        assert_eq!(reasons, score(&deps, features, None).unwrap());
        assert_eq!((reasons.approved, reasons.threshold), (approved, Decimal::percent(60)));
        assert_eq!(reasons.receipt.models[0].code_id, TREES);
        assert_eq!(reasons.receipt.models[0].checksum, checksum);

        let attribute = |key: &str| &response.attributes.iter().find(|a| a.key == key).unwrap().value;
        assert_eq!(attribute("action"), "apply");
        assert_eq!(attribute("applicant"), applicant.as_str());
        assert_eq!(attribute("number"), &number.to_string());
        assert_eq!(attribute("approved"), &approved.to_string());
        assert_eq!(attribute("score"), &reasons.score.to_string());
        assert_eq!(attribute("model"), "trees");
        assert_eq!(attribute("checksum"), &checksum.to_string());
    }
    let stranger = deps.api.addr_make("stranger").to_string();
    let unknown = query(deps.as_ref(), mock_env(), QueryMsg::Decision { applicant: stranger }).unwrap_err();
    assert!(matches!(unknown, ContractError::NoDecision(_)));
}

#[test]
fn models_are_pinned_as_the_chain_knows_them() {
    let mut deps = dependencies();
    start(deps.as_mut(), message()).unwrap();
    let config: Config = from_json(query(deps.as_ref(), mock_env(), QueryMsg::Config {}).unwrap()).unwrap();
    assert_eq!(
        config.trees.map(|m| (m.code_id, m.checksum)),
        Some((TREES, deps.querier.checksum(TREES).unwrap()))
    );
    assert_eq!(config.mlp.map(|m| m.checksum), deps.querier.checksum(MLP));
    assert_eq!(config.admin, bank());

    // Other code behind the id, as after a fork of the chain's state, is refused rather than used.
    let other = models::mlp().unwrap();
    deps.querier = AiQuerier::new(MockQuerier::new(&[])).with_model(TREES, &other);
    let refused = score(&deps, good(), None).unwrap_err();
    let ContractError::Inference(error) = refused else {
        panic!("{refused}")
    };
    assert_eq!(error.code(), Some(aiinference_std::ErrorCode::ChecksumMismatch));
}

#[test]
fn what_does_not_fit_is_refused_at_instantiation() {
    type Check = fn(&ContractError) -> bool;
    let wrong = Some(ModelSource {
        code_id: TREES,
        checksum: Some(Checksum::from([7; 32])),
    });
    let cases: [(InstantiateMsg, Check); 8] = [
        (
            InstantiateMsg {
                trees: None,
                ..message()
            },
            |e| matches!(e, ContractError::NoSuchModel(ModelKind::Trees)),
        ),
        (
            InstantiateMsg {
                trees: wrong,
                ..message()
            },
            |e| matches!(e, ContractError::ChecksumMismatch { .. }),
        ),
        (
            InstantiateMsg {
                trees: source(MOOD),
                ..message()
            },
            |e| matches!(e, ContractError::WrongSignature { .. }),
        ),
        (
            InstantiateMsg {
                trees: source(MLP),
                ..message()
            },
            |e| matches!(e, ContractError::WrongSignature { .. }),
        ),
        (
            InstantiateMsg {
                mlp: source(TREES),
                ..message()
            },
            |e| matches!(e, ContractError::WrongSignature { .. }),
        ),
        (
            InstantiateMsg {
                trees: source(99),
                ..message()
            },
            |e| matches!(e, ContractError::Std(_)),
        ),
        (
            InstantiateMsg {
                threshold: Decimal::percent(101),
                ..message()
            },
            |e| matches!(e, ContractError::ThresholdOutOfRange(_)),
        ),
        (
            InstantiateMsg {
                trees: source(NO_MODEL),
                ..message()
            },
            |e| matches!(e, ContractError::Inference(e) if e.code() == Some(aiinference_std::ErrorCode::NotAModel)),
        ),
    ];
    for (msg, check) in cases {
        let error = start(dependencies().as_mut(), msg.clone()).unwrap_err();
        assert!(check(&error), "{msg:?}: {error}");
    }
}

#[test]
fn meaningless_features_are_refused() {
    let mut deps = dependencies();
    start(deps.as_mut(), message()).unwrap();
    let applicant = Applicant { age: 17, ..good() };
    let refused = score(&deps, applicant.clone(), None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "reading the application: age is 17, it must lie between 18 and 80"
    );
    let info = message_info(&bank(), &[]);
    execute(deps.as_mut(), mock_env(), info, ExecuteMsg::Apply { applicant }).unwrap_err();
    let msg = QueryMsg::Decision {
        applicant: bank().to_string(),
    };
    assert!(matches!(
        query(deps.as_ref(), mock_env(), msg),
        Err(ContractError::NoDecision(_))
    ));
}

#[test]
fn the_models_take_every_feature_at_its_ends() {
    let mut deps = dependencies();
    start(deps.as_mut(), message()).unwrap();
    for end in [|f: &credit_score::Feature| f.min, |f: &credit_score::Feature| f.max] {
        let values: Vec<u32> = FEATURES.iter().map(end).collect();
        let values = values.try_into().unwrap();
        for kind in [ModelKind::Trees, ModelKind::Mlp] {
            let answer = score(&deps, Applicant::from_values(values), Some(kind)).unwrap();
            assert!(answer.score <= Decimal::one());
        }
    }
}

#[test]
fn only_the_admin_changes_the_threshold() {
    let mut deps = dependencies();
    start(deps.as_mut(), message()).unwrap();
    let stranger = deps.api.addr_make("stranger");
    let raise = ExecuteMsg::UpdateConfig {
        threshold: Some(Decimal::percent(99)),
        admin: Some(stranger.to_string()),
    };
    let refused = execute(deps.as_mut(), mock_env(), message_info(&stranger, &[]), raise.clone()).unwrap_err();
    assert!(matches!(refused, ContractError::Unauthorized));
    execute(deps.as_mut(), mock_env(), message_info(&bank(), &[]), raise.clone()).unwrap();
    execute(deps.as_mut(), mock_env(), message_info(&bank(), &[]), raise).unwrap_err();
    assert_eq!(score(&deps, good(), None).unwrap().threshold, Decimal::percent(99));
    let too_high = ExecuteMsg::UpdateConfig {
        threshold: Some(Decimal::percent(200)),
        admin: None,
    };
    let refused = execute(deps.as_mut(), mock_env(), message_info(&stranger, &[]), too_high).unwrap_err();
    assert!(matches!(refused, ContractError::ThresholdOutOfRange(_)));
}

#[test]
fn another_contracts_state_is_not_migrated() {
    let mut deps = dependencies();
    cw2::set_contract_version(deps.as_mut().storage, "someone:else", "0.0.1").unwrap();
    let refused = migrate(deps.as_mut(), mock_env(), MigrateMsg {}).unwrap_err();
    assert!(refused.to_string().contains("someone:else"), "{refused}");
    start(deps.as_mut(), message()).unwrap();
    let response = migrate(deps.as_mut(), mock_env(), MigrateMsg {}).unwrap();
    assert_eq!(response.attributes[0].value, "migrate");
}
