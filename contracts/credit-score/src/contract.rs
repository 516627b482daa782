//! Entry points.

use aiinference_std::{Checksum, Model, Tensor};
#[cfg(not(feature = "library"))]
use cosmwasm_std::entry_point;
use cosmwasm_std::{to_json_binary, Binary, Decimal, Deps, DepsMut, Env, MessageInfo, Response};

use crate::{
    msg::{
        Config, Decision, ExecuteMsg, InstantiateMsg, MigrateMsg, ModelKind, ModelSource, PinnedModel, QueryMsg,
        ScoreResponse,
    },
    state::{CONFIG, DECISIONS, LAST_NUMBER},
    Applicant, ContractError, FEATURES,
};

const NAME: &str = "aiinference:credit-score";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The models' only input: one row of features.
const INPUT: &str = "applicant";

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn instantiate(
    deps: DepsMut,
    _env: Env,
    info: MessageInfo,
    msg: InstantiateMsg,
) -> Result<Response, ContractError> {
    cw2::set_contract_version(deps.storage, NAME, VERSION)?;
    check_threshold(msg.threshold)?;
    let config = Config {
        trees: pin(deps.as_ref(), ModelKind::Trees, msg.trees)?,
        mlp: pin(deps.as_ref(), ModelKind::Mlp, msg.mlp)?,
        decides: msg.decides,
        threshold: msg.threshold,
        admin: match msg.admin {
            Some(admin) => deps.api.addr_validate(&admin)?,
            None => info.sender,
        },
    };
    config.model(config.decides)?;
    CONFIG.save(deps.storage, &config)?;
    LAST_NUMBER.save(deps.storage, &0)?;

    let mut response = Response::new()
        .add_attribute("action", "instantiate")
        .add_attribute("admin", &config.admin)
        .add_attribute("threshold", config.threshold.to_string())
        .add_attribute("decides", config.decides.to_string());
    for (kind, model) in [(ModelKind::Trees, &config.trees), (ModelKind::Mlp, &config.mlp)] {
        if let Some(model) = model {
            response = response.add_attribute(kind.to_string(), model.checksum.to_string());
        }
    }
    Ok(response)
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn execute(deps: DepsMut, env: Env, info: MessageInfo, msg: ExecuteMsg) -> Result<Response, ContractError> {
    match msg {
        ExecuteMsg::Apply { applicant } => apply(deps, env, info, applicant),
        ExecuteMsg::UpdateConfig { threshold, admin } => update_config(deps, info, threshold, admin),
    }
}

fn apply(deps: DepsMut, env: Env, info: MessageInfo, applicant: Applicant) -> Result<Response, ContractError> {
    let reasons = score(deps.as_ref(), &applicant, None)?;
    // One more a call: 2^64 calls do not happen.
    let number = LAST_NUMBER.load(deps.storage)? + 1;
    LAST_NUMBER.save(deps.storage, &number)?;
    let decision = Decision {
        number,
        reasons,
        height: env.block.height,
        time: env.block.time,
    };
    DECISIONS.save(deps.storage, &info.sender, &decision)?;

    let reasons = decision.reasons;
    let mut response = Response::new()
        .add_attribute("action", "apply")
        .add_attribute("applicant", info.sender)
        .add_attribute("number", number.to_string())
        .add_attribute("approved", reasons.approved.to_string())
        .add_attribute("score", reasons.score.to_string())
        .add_attribute("threshold", reasons.threshold.to_string())
        .add_attribute("model", reasons.model.to_string());
    for used in reasons.receipt.models {
        response = response
            .add_attribute("code_id", used.code_id.to_string())
            .add_attribute("checksum", used.checksum.to_string());
    }
    Ok(response)
}

fn update_config(
    deps: DepsMut,
    info: MessageInfo,
    threshold: Option<Decimal>,
    admin: Option<String>,
) -> Result<Response, ContractError> {
    let mut config = CONFIG.load(deps.storage)?;
    if info.sender != config.admin {
        return Err(ContractError::Unauthorized);
    }
    if let Some(threshold) = threshold {
        check_threshold(threshold)?;
        config.threshold = threshold;
    }
    if let Some(admin) = admin {
        config.admin = deps.api.addr_validate(&admin)?;
    }
    CONFIG.save(deps.storage, &config)?;
    Ok(Response::new()
        .add_attribute("action", "update_config")
        .add_attribute("admin", config.admin)
        .add_attribute("threshold", config.threshold.to_string()))
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn query(deps: Deps, _env: Env, msg: QueryMsg) -> Result<Binary, ContractError> {
    Ok(match msg {
        QueryMsg::Config {} => to_json_binary(&CONFIG.load(deps.storage)?)?,
        QueryMsg::Score { applicant, model } => to_json_binary(&score(deps, &applicant, model)?)?,
        QueryMsg::Decision { applicant } => {
            let address = deps.api.addr_validate(&applicant)?;
            let decision = DECISIONS.may_load(deps.storage, &address)?;
            to_json_binary(&decision.ok_or(ContractError::NoDecision(applicant))?)?
        }
    })
}

#[cfg_attr(not(feature = "library"), entry_point)]
pub fn migrate(deps: DepsMut, _env: Env, _msg: MigrateMsg) -> Result<Response, ContractError> {
    let from = cw2::ensure_from_older_version(deps.storage, NAME, VERSION)?;
    Ok(Response::new()
        .add_attribute("action", "migrate")
        .add_attribute("from", from.to_string())
        .add_attribute("to", VERSION))
}

/// Runs the model on one applicant.
fn score(deps: Deps, applicant: &Applicant, kind: Option<ModelKind>) -> Result<ScoreResponse, ContractError> {
    applicant.validate()?;
    let config = CONFIG.load(deps.storage)?;
    let kind = kind.unwrap_or(config.decides);
    let outputs = config
        .model(kind)?
        .infer(deps.querier, [Tensor::from_i64s(&applicant.values()).named(INPUT)])?;
    let probabilities: Vec<Decimal> = outputs.get(kind.output())?.to_decimals()?;
    // The last is the one of "repaid"; pin() has checked that there is one.
    let score = probabilities.last().copied().unwrap_or_default();
    Ok(ScoreResponse {
        score,
        approved: score >= config.threshold,
        threshold: config.threshold,
        model: kind,
        receipt: outputs.receipt().clone(),
    })
}

impl ModelKind {
    /// The output that holds the probabilities.
    fn output(self) -> &'static str {
        match self {
            ModelKind::Trees => "probabilities",
            ModelKind::Mlp => "probability",
        }
    }

    /// How many there are: of "defaulted" and "repaid", or of "repaid" alone.
    fn probabilities(self) -> u32 {
        match self {
            ModelKind::Trees => 2,
            ModelKind::Mlp => 1,
        }
    }
}

impl Config {
    fn model(&self, kind: ModelKind) -> Result<Model, ContractError> {
        let pinned = match kind {
            ModelKind::Trees => &self.trees,
            ModelKind::Mlp => &self.mlp,
        };
        let pinned = pinned.as_ref().ok_or(ContractError::NoSuchModel(kind))?;
        Ok(Model::new(pinned.code_id).with_checksum(pinned.checksum))
    }
}

/// Notes the checksum that the chain knows, and checks that the model takes what this contract gives.
fn pin(deps: Deps, kind: ModelKind, source: Option<ModelSource>) -> Result<Option<PinnedModel>, ContractError> {
    let Some(ModelSource { code_id, checksum }) = source else {
        return Ok(None);
    };
    let code = deps.querier.query_wasm_code_info(code_id)?;
    let actual = Checksum::from(*code.checksum.as_ref());
    if let Some(expected) = checksum.filter(|&expected| expected != actual) {
        return Err(ContractError::ChecksumMismatch {
            kind,
            code_id,
            expected,
            actual,
        });
    }
    let info = Model::new(code_id).with_checksum(actual).info(deps.querier)?;
    let elements = |shape: &[u32]| shape.iter().map(|&extent| u64::from(extent)).product::<u64>();
    let problem = match &info.inputs[..] {
        [input] if input.name == INPUT && elements(&input.shape) == FEATURES.len() as u64 => {
            let output = info.outputs.iter().find(|output| output.name == kind.output());
            match output {
                Some(output) if elements(&output.shape) == u64::from(kind.probabilities()) => None,
                Some(output) => Some(format!("its output {} has the shape {:?}", kind.output(), output.shape)),
                None => Some(format!("it has no output {}", kind.output())),
            }
        }
        _ => Some(format!("its only input should be {INPUT}, {} numbers", FEATURES.len())),
    };
    match problem {
        Some(problem) => Err(ContractError::WrongSignature { kind, code_id, problem }),
        None => Ok(Some(PinnedModel {
            code_id,
            checksum: actual,
        })),
    }
}

fn check_threshold(threshold: Decimal) -> Result<(), ContractError> {
    if threshold > Decimal::one() {
        return Err(ContractError::ThresholdOutOfRange(threshold));
    }
    Ok(())
}
