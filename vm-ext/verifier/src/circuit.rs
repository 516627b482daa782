//! A circuit as stored, with every rule checked that can be checked without its models.

use aiinference_types::{
    circuit::srs_id,
    limits,
    tensor::{self, FRACTION_BITS},
    v1, ErrorCode,
};
use prost::Message;

/// A 32-byte word, big endian.
pub type Word = [u8; 32];

/// The word of a key that holds the number of public values.
const COUNT_WORD: usize = 2;
/// The word of a key that holds the logarithm of the number of rows.
const LOGROWS_WORD: usize = 5;
/// The words of a key that say where among the public values an accumulator of other proofs lies: all 0, for none.
const ACCUMULATOR_WORDS: core::ops::Range<usize> = 10..14;
/// The words of a key that hold the generators of both groups.
const GENERATOR_WORDS: core::ops::Range<usize> = 14..20;
/// The words of a key that hold `-s*G2`, by which the structured reference string is known.
const SRS_WORDS: core::ops::Range<usize> = 20..24;
/// The least `logrows`, and the largest that a public structured reference string reaches.
const LOGROWS: core::ops::RangeInclusive<u32> = 4..=28;

/// The generators of BN254: G1 as x, y and G2 as x1, x2, y1, y2.
pub const GENERATORS: [Word; 6] = [
    small(1),
    small(2),
    word(0x198e9393920d483a7260bfb731fb5d25, 0xf1aa493335a9e71297e485b7aef312c2),
    word(0x1800deef121f1e76426a00665e5c4479, 0x674322d4f75edadd46debd5cd992f6ed),
    word(0x090689d0585ff075ec9e99ad690c3395, 0xbc4b313370b38ef355acdadcd122975b),
    word(0x12c85ea5db8c6deb4aab71808dcb408f, 0xe3d1e7690c43d37b4ce6cc0166fa7daa),
];

/// Public values that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name among those of the same kind: inputs, hashes, outputs.
    pub name: String,
    /// What it is.
    pub role: v1::InstanceRole,
    /// Row-major extents; empty for a hash.
    pub shape: Vec<u32>,
    /// A tensor's integers are worth `integer * 2^-fraction_bits`.
    pub fraction_bits: i32,
    /// Least integer of a tensor.
    pub low: i32,
    /// Largest integer of a tensor.
    pub high: i32,
    /// How many of the proof's public values it takes: 1 for a hash.
    pub elements: usize,
}

/// A model that the circuit says it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Where it is stored.
    pub code_id: u64,
    /// SHA-256 of its module.
    pub checksum: [u8; 32],
}

/// A checked circuit. Whether its key is that of its models, only rebuilding it can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circuit {
    pub(crate) key: Vec<Word>,
    pub(crate) proof_bytes: usize,
    pub(crate) values: Vec<Value>,
    pub(crate) count: usize,
    settings: v1::CircuitSettings,
    srs: [u8; 32],
    models: Vec<Model>,
    reproducible: bool,
}

/// Why bytes are no circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CircuitError {
    /// Above the limit of size.
    #[error("reading a circuit: {0} bytes are above the limit of {max}", max = limits::MAX_CIRCUIT_BYTES)]
    TooLarge(u64),
    /// No circuit, or not its one encoding.
    #[error("reading a circuit: it is no aiinference.v1.Circuit in its shortest encoding")]
    Malformed,
    /// A scheme that this version does not know.
    #[error("reading a circuit: its proofs are of scheme {0}, known is 1 (ezkl, Halo2 with KZG)")]
    UnknownScheme(i32),
    /// The key has no such length.
    #[error("reading a circuit: its key has {0} bytes, allowed are 32-byte words, {least} to {max} of them", least = SRS_WORDS.end, max = limits::MAX_KEY_WORDS)]
    KeyLength(usize),
    /// The key is for another number of public values than the layout says.
    #[error("reading a circuit: its layout has {0} values, its key is for another number")]
    KeyCount(usize),
    /// The key takes part of the public values for the accumulator of other proofs.
    #[error("reading a circuit: its key takes an accumulator from the public values, which no circuit of a model has")]
    Accumulator,
    /// The key names other generators than BN254's.
    #[error("reading a circuit: its key names other generators than those of BN254")]
    Generators,
    /// The key was made with another SRS than the circuit states.
    #[error("reading a circuit: it states another structured reference string than its key was made with")]
    Srs,
    /// Proofs of no possible length.
    #[error("reading a circuit: its proofs have {0} bytes, allowed are 32-byte words up to {max} bytes", max = limits::MAX_PROOF_BYTES)]
    ProofLength(u32),
    /// Too many or no public values.
    #[error("reading a circuit: it has no public values, or more than {max}", max = limits::MAX_INSTANCES)]
    Count,
    /// A public value is described in a way that is not allowed.
    #[error("reading a circuit: value {index}: {what}")]
    Value {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Settings that are missing, impossible, or other ones than the values show.
    #[error("reading a circuit: its settings: {0}")]
    Settings(&'static str),
    /// The models are too many, none, or without a checksum.
    #[error("reading a circuit: it stands for {0} models, allowed are 1 to {max} with a checksum of 32 bytes each, or none where it is not reproducible", max = limits::MAX_CIRCUIT_MODELS)]
    Models(usize),
}

impl CircuitError {
    /// Its number in the table of errors.
    pub fn code(&self) -> ErrorCode {
        match self {
            CircuitError::UnknownScheme(_) => ErrorCode::UnknownScheme,
            _ => ErrorCode::InvalidCircuit,
        }
    }
}

impl Circuit {
    /// Reads the contents of a circuit's section. A circuit has exactly one encoding; every other is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, CircuitError> {
        if bytes.len() as u64 > limits::MAX_CIRCUIT_BYTES {
            return Err(CircuitError::TooLarge(bytes.len() as u64));
        }
        let message = v1::Circuit::decode(bytes).map_err(|_| CircuitError::Malformed)?;
        if message.encode_to_vec() != bytes {
            return Err(CircuitError::Malformed);
        }
        Self::check(message)
    }

    /// Checks a circuit that is not stored yet.
    pub fn check(message: v1::Circuit) -> Result<Self, CircuitError> {
        if message.scheme != v1::ProofScheme::EzklHalo2Kzg as i32 {
            return Err(CircuitError::UnknownScheme(message.scheme));
        }
        let bytes = message.encoded_len() as u64;
        if bytes > limits::MAX_CIRCUIT_BYTES {
            return Err(CircuitError::TooLarge(bytes));
        }
        let (values, count) = check_values(message.instances)?;
        let settings = message.settings.ok_or(CircuitError::Settings("there are none"))?;
        check_settings(&settings, &values)?;
        let (key, srs) = check_key(&message.verifying_key, count, settings.logrows)?;
        if message.srs != srs {
            return Err(CircuitError::Srs);
        }
        let proof_bytes = message.proof_bytes as usize;
        if proof_bytes == 0 || proof_bytes > limits::MAX_PROOF_BYTES || !proof_bytes.is_multiple_of(32) {
            return Err(CircuitError::ProofLength(message.proof_bytes));
        }
        let models = check_models(&message.models, message.reproducible)?;
        Ok(Circuit {
            key,
            proof_bytes,
            values,
            count,
            settings,
            srs,
            models,
            reproducible: message.reproducible,
        })
    }

    /// The key's words.
    pub fn key(&self) -> &[Word] {
        &self.key
    }

    /// How long every proof is.
    pub fn proof_bytes(&self) -> usize {
        self.proof_bytes
    }

    /// The public values, in the order in which a proof takes them.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// How many field elements they are.
    pub fn instance_count(&self) -> usize {
        self.count
    }

    /// What it was compiled with.
    pub fn settings(&self) -> &v1::CircuitSettings {
        &self.settings
    }

    /// Id of the structured reference string that the key was made with.
    pub fn srs(&self) -> &[u8; 32] {
        &self.srs
    }

    /// What it says that it stands for.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// Whether it says that anyone can rebuild its key.
    pub fn reproducible(&self) -> bool {
        self.reproducible
    }
}

/// The words of a key, and the id of the structured reference string that it was made with, from the bytes alone.
pub fn key_srs(key: &[u8]) -> Result<[u8; 32], CircuitError> {
    let words = split(key)?;
    Ok(srs_of(&words))
}

fn split(key: &[u8]) -> Result<Vec<Word>, CircuitError> {
    let (words, rest) = key.as_chunks::<32>();
    if !rest.is_empty() || words.len() < SRS_WORDS.end || words.len() > limits::MAX_KEY_WORDS {
        return Err(CircuitError::KeyLength(key.len()));
    }
    Ok(words.to_vec())
}

/// Of a key that has all of its fixed words.
fn srs_of(words: &[Word]) -> [u8; 32] {
    let mut srs = [[0; 32]; 4];
    for (to, from) in srs.iter_mut().zip(&words[SRS_WORDS]) {
        *to = *from;
    }
    srs_id(&srs)
}

/// What can be told of a key without its model: `split` has seen to it that all of its fixed words are there.
fn check_key(key: &[u8], count: usize, logrows: u32) -> Result<(Vec<Word>, [u8; 32]), CircuitError> {
    let words = split(key)?;
    if words[COUNT_WORD] != small(count as u128) {
        return Err(CircuitError::KeyCount(count));
    }
    if words[LOGROWS_WORD] != small(logrows.into()) {
        return Err(CircuitError::Settings("logrows is not that of the key"));
    }
    if words[ACCUMULATOR_WORDS].iter().any(|word| *word != [0; 32]) {
        return Err(CircuitError::Accumulator);
    }
    if words[GENERATOR_WORDS] != GENERATORS {
        return Err(CircuitError::Generators);
    }
    let srs = srs_of(&words);
    Ok((words, srs))
}

/// ezkl hands its proofs the hashes first, then what is in the open.
fn rank(role: v1::InstanceRole) -> u32 {
    match role {
        v1::InstanceRole::Unspecified => 0,
        v1::InstanceRole::InputHash => 1,
        v1::InstanceRole::WeightsHash => 2,
        v1::InstanceRole::Input => 3,
        v1::InstanceRole::Output => 4,
    }
}

/// Values are named by kind: a claim does not say whether a hash is one of inputs or of weights.
pub(crate) fn kind(role: v1::InstanceRole) -> &'static str {
    match role {
        v1::InstanceRole::Input => "input",
        v1::InstanceRole::Output => "output",
        v1::InstanceRole::InputHash | v1::InstanceRole::WeightsHash | v1::InstanceRole::Unspecified => "hash",
    }
}

fn check_values(instances: Vec<v1::Instance>) -> Result<(Vec<Value>, usize), CircuitError> {
    if instances.is_empty() || instances.len() > limits::MAX_PORTS {
        return Err(CircuitError::Count);
    }
    let mut values: Vec<Value> = Vec::with_capacity(instances.len());
    let mut count = 0usize;
    for (index, instance) in instances.into_iter().enumerate() {
        let value = check_value(instance).map_err(|what| CircuitError::Value { index, what })?;
        let kind = kind(value.role);
        if values
            .iter()
            .any(|v| self::kind(v.role) == kind && v.name == value.name)
        {
            let what = "another one of its kind (input, hash, output) has its name";
            return Err(CircuitError::Value { index, what });
        }
        if values.last().is_some_and(|last| rank(last.role) > rank(value.role)) {
            let what = "hashes of inputs come first, then hashes of weights, then inputs, then outputs";
            return Err(CircuitError::Value { index, what });
        }
        // Each is at most MAX_INSTANCES, and there are at most MAX_PORTS.
        count += value.elements;
        values.push(value);
    }
    if count > limits::MAX_INSTANCES {
        return Err(CircuitError::Count);
    }
    Ok((values, count))
}

fn check_value(instance: v1::Instance) -> Result<Value, &'static str> {
    if instance.name.len() > limits::MAX_NAME_BYTES {
        return Err("its name is too long");
    }
    let role = instance.role();
    let (elements, low, high) = match role {
        v1::InstanceRole::Unspecified => return Err("its role is none that this version knows"),
        v1::InstanceRole::InputHash | v1::InstanceRole::WeightsHash => {
            if !instance.shape.is_empty() || (instance.fraction_bits, instance.low, instance.high) != (0, 0, 0) {
                return Err("a hash has neither shape nor format");
            }
            if instance.name.is_empty() {
                return Err("a hash has a name");
            }
            (1, 0, 0)
        }
        v1::InstanceRole::Input | v1::InstanceRole::Output => {
            let elements = tensor::element_count(&instance.shape).map_err(|_| "its shape is not allowed")?;
            let elements = usize::try_from(elements).unwrap_or(usize::MAX);
            if elements == 0 || elements > limits::MAX_INSTANCES {
                return Err("it has no elements, or too many");
            }
            if !FRACTION_BITS.contains(&instance.fraction_bits) {
                return Err("its fraction bits are not allowed");
            }
            let bound = |value: i64| i32::try_from(value).map_err(|_| "its range is not one of 32-bit integers");
            (elements, bound(instance.low)?, bound(instance.high)?)
        }
    };
    if low > high {
        return Err("its range is empty");
    }
    Ok(Value {
        name: instance.name,
        role,
        shape: instance.shape,
        fraction_bits: instance.fraction_bits,
        low,
        high,
        elements,
    })
}

/// Settings bind nothing by themselves, since the key decides; but they must not contradict what is seen of it.
fn check_settings(settings: &v1::CircuitSettings, values: &[Value]) -> Result<(), CircuitError> {
    use v1::{InstanceRole as Role, Visibility};

    let has = |role: Role| values.iter().any(|value| value.role == role);
    if !LOGROWS.contains(&settings.logrows) {
        return Err(CircuitError::Settings("logrows is not allowed"));
    }
    if settings.decomp_base < 2 || settings.decomp_legs == 0 || settings.num_inner_cols == 0 {
        return Err(CircuitError::Settings("decomposition or columns are not allowed"));
    }
    if settings.output_visibility() != Visibility::Public || !has(Role::Output) {
        return Err(CircuitError::Settings("outputs must be public, and there must be one"));
    }
    let inputs = match settings.input_visibility() {
        Visibility::Public => (true, false),
        Visibility::Hashed => (false, true),
        Visibility::Private => (false, false),
        Visibility::Unspecified | Visibility::Fixed => {
            return Err(CircuitError::Settings("inputs are public, hashed or private"))
        }
    };
    if inputs != (has(Role::Input), has(Role::InputHash)) {
        return Err(CircuitError::Settings(
            "the inputs' visibility is not that of the values",
        ));
    }
    let weights = match settings.param_visibility() {
        Visibility::Fixed => false,
        Visibility::Hashed => true,
        Visibility::Unspecified | Visibility::Private | Visibility::Public => {
            return Err(CircuitError::Settings("weights are fixed or hashed"))
        }
    };
    if weights != has(Role::WeightsHash) {
        return Err(CircuitError::Settings(
            "the weights' visibility is not that of the values",
        ));
    }
    Ok(())
}

fn check_models(models: &[v1::CircuitModel], reproducible: bool) -> Result<Vec<Model>, CircuitError> {
    let error = CircuitError::Models(models.len());
    if models.len() > limits::MAX_CIRCUIT_MODELS || (models.is_empty() && reproducible) {
        return Err(error);
    }
    let checked = models.iter().map(|model| {
        Some(Model {
            code_id: model.code_id,
            checksum: model.checksum.as_slice().try_into().ok()?,
        })
    });
    checked.collect::<Option<_>>().ok_or(error)
}

/// A number of 128 bits as a word.
const fn small(value: u128) -> Word {
    word(0, value)
}

/// A number of 256 bits from its halves.
const fn word(high: u128, low: u128) -> Word {
    let (high, low) = (high.to_be_bytes(), low.to_be_bytes());
    let mut word = [0; 32];
    let mut index = 0;
    while index < 16 {
        word[index] = high[index];
        word[16 + index] = low[index];
        index += 1;
    }
    word
}
