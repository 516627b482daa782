//! From inputs to a picture.

use aiinference_std::{Checksum, Input, Model, Output, Plan, Receipt, Tensor, TensorInfo};
use base64::{engine::general_purpose::STANDARD, Engine};
use cosmwasm_std::Deps;
use cw721::state::Trait;

use crate::{
    msg::{ArtConfig, Artwork, Inputs, ModelSource, PinnedModel},
    png, ContractError,
};

/// Width and height of a picture.
const SIZE: usize = 64;
const PIXELS: usize = SIZE * SIZE;

/// Inputs and outputs by name and extents.
type Ports = &'static [(&'static str, &'static [u32])];

/// What the models must take and give.
const MOOD: (Ports, Ports) = (&[("market", &[8]), ("owner", &[3])], &[("mood", &[8])]);
const PAINTER: (Ports, Ports) = (
    &[("mood", &[8]), ("seed", &[8])],
    &[("pixels", &[3, SIZE as u32, SIZE as u32])],
);

/// Notes the checksums that the chain knows, and checks that the models fit together.
pub fn pin(deps: Deps, mood: &ModelSource, painter: &ModelSource) -> Result<(PinnedModel, PinnedModel), ContractError> {
    Ok((
        pin_one(deps, "mood", mood, MOOD)?,
        pin_one(deps, "painter", painter, PAINTER)?,
    ))
}

fn pin_one(
    deps: Deps,
    part: &'static str,
    &ModelSource { code_id, checksum }: &ModelSource,
    (inputs, outputs): (Ports, Ports),
) -> Result<PinnedModel, ContractError> {
    let actual = Checksum::from(deps.querier.query_wasm_code_info(code_id)?.checksum);
    if let Some(expected) = checksum.filter(|&expected| expected != actual) {
        return Err(ContractError::ChecksumMismatch {
            part,
            code_id,
            expected,
            actual,
        });
    }
    let info = Model::new(code_id).with_checksum(actual).info(deps.querier)?;
    let problem = if info.inputs.len() != inputs.len() {
        Some(format!(
            "it has {} inputs instead of {}",
            info.inputs.len(),
            inputs.len()
        ))
    } else {
        missing("input", &info.inputs, inputs).or_else(|| missing("output", &info.outputs, outputs))
    };
    match problem {
        Some(problem) => Err(ContractError::WrongSignature { part, code_id, problem }),
        None => Ok(PinnedModel {
            code_id,
            checksum: actual,
        }),
    }
}

/// What is wrong with the ports of a model, if anything. Leading extents of 1 do not count.
fn missing(what: &str, found: &[TensorInfo], wanted: Ports) -> Option<String> {
    wanted.iter().find_map(|(name, shape)| {
        let Some(port) = found.iter().find(|port| port.name == *name) else {
            return Some(format!("it has no {what} {name}"));
        };
        let ones = port.shape.iter().take_while(|&&extent| extent == 1).count();
        (port.shape[ones..] != **shape).then(|| format!("its {what} {name} has the shape {:?}", port.shape))
    })
}

/// Draws: both models in one call.
pub fn draw(deps: Deps, config: &ArtConfig, inputs: &Inputs) -> Result<(Vec<u8>, Receipt), ContractError> {
    let model = |pinned: &PinnedModel| Model::new(pinned.code_id).with_checksum(pinned.checksum);
    // Each at most a few thousand.
    let owner = [inputs.days_held as i64, inputs.transfers as i64, inputs.days_old as i64];
    let outputs = Plan::new()
        .step(
            &model(&config.mood),
            [
                Tensor::from_decimals(&inputs.market.values())?.named("market"),
                Tensor::from_i64s(&owner).named("owner"),
            ],
        )
        .step(
            &model(&config.painter),
            [
                Input::from_step(0, "mood").named("mood"),
                Tensor::from_decimals(&inputs.seed)?.named("seed").into(),
            ],
        )
        .returning(1, "pixels")
        .run(deps.querier)?;
    Ok((
        png::encode(SIZE as u32, SIZE as u32, &pixels(outputs.get("pixels")?)?),
        outputs.receipt().clone(),
    ))
}

/// Planes of reals in 0..=1 as interleaved bytes: `floor(255 * x + 1/2)`.
fn pixels(output: &Output) -> Result<Vec<u8>, ContractError> {
    let count = output.integers().len();
    if count != 3 * PIXELS {
        return Err(ContractError::WrongPicture(count, 3 * PIXELS));
    }
    let bits = output.fraction_bits();
    let mut rgb = vec![0; 3 * PIXELS];
    for (i, q) in output.integers().enumerate() {
        // A model's integers have 32 bits, so nothing here leaves 64 bits.
        let level = match bits {
            1.. => (q * 255 + (1 << (bits - 1).min(40))) >> bits.min(41),
            0 => q * 255,
            _ => q.signum() * 255,
        };
        // i / PIXELS is the channel, below 3.
        rgb[i % PIXELS * 3 + i / PIXELS] = level.clamp(0, 255) as u8;
    }
    Ok(rgb)
}

/// The token's metadata with its picture.
pub fn artwork(
    deps: Deps,
    collection_name: &str,
    token_id: &str,
    config: &ArtConfig,
    inputs: Inputs,
) -> Result<Artwork, ContractError> {
    let (png, receipt) = draw(deps, config, &inputs)?;
    let mut image = String::from("data:image/png;base64,");
    STANDARD.encode_string(png, &mut image);

    let mut attributes = vec![
        number("Days held", inputs.days_held),
        number("Transfers", inputs.transfers),
        number("Days old", inputs.days_old),
    ];
    if let Some(price) = inputs.price {
        attributes.push(number("Price", price));
        attributes.push(number("Return over 20 prices, percent", inputs.market.return_20));
    }
    Ok(Artwork {
        name: format!("{collection_name} {token_id}"),
        description: "A landscape drawn on chain by a neural network, from the market's mood, the token's history and \
                      its seed."
            .to_owned(),
        image,
        attributes,
        inputs,
        receipt,
    })
}

fn number(name: &str, value: impl ToString) -> Trait {
    Trait {
        display_type: Some("number".to_owned()),
        trait_type: name.to_owned(),
        value: value.to_string(),
    }
}
