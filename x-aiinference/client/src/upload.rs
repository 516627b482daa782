//! Storing a contract or a model, the latter in shards where one transaction cannot carry it.

use std::{
    collections::{HashMap, VecDeque},
    io::{Read, Write},
};

use aiinference_runtime::{
    module::{self, Carried, ModuleError, ShardError},
    verifier::{Circuit, CircuitError},
    LoadedModel, ModelError,
};
use aiinference_types::limits;
use cosmrs::proto::cosmwasm::wasm::v1::{MsgStoreCode, MsgStoreCodeResponse};
use flate2::{read::GzDecoder, write::GzEncoder, Compression};
use sha2::{Digest, Sha256};

use crate::{
    account::Account,
    error::ClientError,
    msg::{Access, Msg, GZIP},
    node::{CodeInfo, Node},
    tx::Included,
};

/// Bytes of a module that chains with default settings store.
pub const MAX_MODULE: usize = 800 * 1024;

/// Bytes of a module as it travels: what a broadcast carries, less the transaction around it.
const MAX_TRAVELLING: usize = crate::node::MAX_TX - 2_000;

/// Bytes of the model in one shard, unless told otherwise: stored and sent without being gzipped, whatever they are.
pub const SHARD_BYTES: usize = 700_000;

/// The most bytes of the model that a shard may be told to hold.
pub const MAX_SHARD_BYTES: usize = MAX_TRAVELLING - 1_000;

/// What a shard's module has beside its slice, at most.
const ENVELOPE_BYTES: u64 = 1024;

/// Shards on their way at once.
const IN_FLIGHT: usize = 4;

/// Why a file cannot be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    #[error(
        "reading the module: it does not begin like Wasm; give a contract, or a model that `aiinference convert` wrote"
    )]
    NotWasm,
    #[error(
        "reading the module: its gzip is broken or holds more than {} bytes",
        limits::MAX_MODEL_BYTES
    )]
    Gzip,
    #[error("checking the module: {0}")]
    Module(#[from] ModuleError),
    #[error("checking the model: {0}")]
    Model(#[from] ModelError),
    #[error("checking the circuit: {0}")]
    Circuit(#[from] CircuitError),
    #[error("checking the module: a single shard or manifest cannot be uploaded; give the model, and it is cut again")]
    Part,
    #[error(
        "checking the contract: its {bytes} bytes ({zipped} gzipped) are above what one transaction carries \
         ({MAX_MODULE} stored, {MAX_TRAVELLING} sent); make it smaller, with wasm-opt -Os or fewer dependencies"
    )]
    ContractTooLarge { bytes: usize, zipped: usize },
    #[error("cutting the model: a shard holds 1 to {MAX_SHARD_BYTES} bytes, not {0}")]
    ShardBytes(usize),
    #[error("cutting the model: it would be {0} shards, allowed are {max}; let each hold more", max = limits::MAX_SHARDS)]
    TooManyShards(usize),
    #[error("storing the module: the chain names the checksum {found} instead of {expected}; ask another node")]
    Checksum { expected: String, found: String },
    #[error("storing the module: the chain does not say which code it became (transaction {0})")]
    NoCodeId(String),
    #[error("reading code {0}: it is a contract or a circuit, no model")]
    NotAModel(u64),
    #[error("reading code {0}: it is one shard of a model; name the model's manifest")]
    OnlyAShard(u64),
    #[error("reading code {0}: its shards hold more than the manifest states")]
    Overfull(u64),
    #[error("reading the model: {0}")]
    Shards(#[from] ShardError),
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Code that is run.
    Contract,
    /// Code that is a model.
    Model,
    /// Code that is a circuit, by which proofs speak about a model.
    Circuit,
}

/// A module that is stored by one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is, for messages: `contract`, `model`, `shard 2 of 5` or `manifest`.
    pub name: String,
    /// SHA-256 of the module.
    pub checksum: [u8; 32],
    /// Bytes that the chain stores.
    pub stored_bytes: usize,
    /// The module as it is sent: gzipped where that is less.
    pub travelling: Vec<u8>,
}

impl Part {
    fn new(name: String, module: Vec<u8>) -> Self {
        let zipped = gzip(&module);
        Part {
            name,
            checksum: Sha256::digest(&module).into(),
            stored_bytes: module.len(),
            travelling: if zipped.len() < module.len() { zipped } else { module },
        }
    }

    /// The message that stores it.
    pub fn message(&self, sender: &str, instantiate: Option<Access>) -> Msg {
        Msg::StoreCode {
            sender: sender.into(),
            wasm: self.travelling.clone(),
            instantiate,
        }
    }
}

/// A file made ready to be stored.
#[derive(Clone, Debug)]
pub struct Package {
    kind: Kind,
    module: Vec<u8>,
    /// As one piece, if it fits.
    whole: Option<Part>,
    /// In pieces, if not.
    shards: Vec<Part>,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the chain has it as this code.
    Stored(u64),
    /// Store these, in any order. After shards, ask again.
    Store(Vec<Part>),
}

/// The codes that a chain has, by their checksum.
#[derive(Clone, Debug, Default)]
pub struct CodeIndex(HashMap<[u8; 32], Vec<CodeInfo>>);

impl CodeIndex {
    /// Reads the chain's list of codes.
    pub async fn read(node: &Node, page_done: impl FnMut(usize)) -> Result<Self, ClientError> {
        let mut index = CodeIndex::default();
        for code in node.codes(page_done).await? {
            index.0.entry(code.checksum).or_default().push(code);
        }
        Ok(index)
    }

    /// Notes a code that was stored meanwhile.
    pub fn add(&mut self, code: CodeInfo) {
        self.0.entry(code.checksum).or_default().push(code);
    }

    /// The oldest code with this checksum.
    fn any(&self, checksum: &[u8; 32]) -> Option<u64> {
        self.0.get(checksum)?.first().map(|code| code.code_id)
    }

    /// The checksum of a code.
    fn checksum(&self, code_id: u64) -> Option<[u8; 32]> {
        let mut all = self.0.values().flatten();
        all.find(|code| code.code_id == code_id).map(|code| code.checksum)
    }

    /// The oldest code with this checksum that somebody stored.
    fn of(&self, checksum: &[u8; 32], creator: &str) -> Option<u64> {
        let codes = self.0.get(checksum)?;
        codes
            .iter()
            .find(|code| code.creator == creator)
            .map(|code| code.code_id)
    }
}

impl Package {
    /// Checks a module as a chain would, so that a bad one costs nothing, and cuts a large model into shards of at most
    /// so many bytes. A gzipped module is unpacked.
    pub fn new(file: Vec<u8>, shard_bytes: usize) -> Result<Self, PackageError> {
        if !(1..=MAX_SHARD_BYTES).contains(&shard_bytes) {
            return Err(PackageError::ShardBytes(shard_bytes));
        }
        let module = if file.starts_with(&GZIP) {
            gunzip(&file, limits::MAX_MODEL_BYTES)?
        } else {
            file
        };
        if !module.starts_with(b"\0asm") {
            return Err(PackageError::NotWasm);
        }
        let kind = match module::carried(&module)? {
            Carried::Contract => Kind::Contract,
            Carried::Model(_) => {
                LoadedModel::load(Sha256::digest(&module).into(), &module)?;
                Kind::Model
            }
            Carried::Circuit(section) => {
                Circuit::decode(section)?;
                Kind::Circuit
            }
            Carried::Shard(_) | Carried::Manifest(_) => return Err(PackageError::Part),
        };
        Self::cut(kind, module, shard_bytes)
    }

    /// Makes the parts of a module that was checked.
    fn cut(kind: Kind, module: Vec<u8>, shard_bytes: usize) -> Result<Self, PackageError> {
        let name = match kind {
            Kind::Contract => "contract",
            Kind::Model => "model",
            Kind::Circuit => "circuit",
        };
        let mut package = Package {
            kind,
            module,
            whole: None,
            shards: Vec::new(),
        };
        let zipped = if package.module.len() <= MAX_MODULE {
            let part = Part::new(name.into(), package.module.clone());
            let travelling = part.travelling.len();
            if travelling <= MAX_TRAVELLING {
                package.whole = Some(part);
                return Ok(package);
            }
            travelling
        } else {
            gzip(&package.module).len()
        };
        if kind != Kind::Model {
            return Err(PackageError::ContractTooLarge {
                bytes: package.module.len(),
                zipped,
            });
        }
        let count = package.module.len().div_ceil(shard_bytes);
        if count > limits::MAX_SHARDS {
            return Err(PackageError::TooManyShards(count));
        }
        let shards = module::split(&package.module, shard_bytes).into_iter().enumerate();
        package.shards = shards
            .map(|(index, shard)| Part::new(format!("shard {} of {count}", index + 1), shard))
            .collect();
        Ok(package)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// SHA-256 of the file's module; of a model in shards, too, whose code is the manifest.
    pub fn checksum(&self) -> [u8; 32] {
        Sha256::digest(&self.module).into()
    }

    /// Into how many shards it is cut; 0 if it is stored whole.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Bytes of its module.
    pub fn bytes(&self) -> usize {
        self.module.len()
    }

    /// Who may instantiate it, where the user says nothing: nobody a model or a circuit, and a contract whom the chain says.
    pub fn access(&self) -> Option<Access> {
        (self.kind != Kind::Contract).then_some(Access::Nobody)
    }

    /// What is to be done, by what the chain has. A model is the same model whoever stored it. Of a contract only
    /// the sender's own code counts, since another's may be closed to others.
    pub fn next(&self, index: &CodeIndex, sender: &str) -> Next {
        if let Some(part) = &self.whole {
            let found = match self.kind {
                Kind::Model | Kind::Circuit => index.any(&part.checksum),
                Kind::Contract => index.of(&part.checksum, sender),
            };
            return found.map_or_else(|| Next::Store(vec![part.clone()]), Next::Stored);
        }
        let found: Option<Vec<(u64, [u8; 32])>> = self
            .shards
            .iter()
            .map(|shard| Some((index.any(&shard.checksum)?, shard.checksum)))
            .collect();
        let Some(found) = found else {
            let missing = self.shards.iter().filter(|shard| index.any(&shard.checksum).is_none());
            let mut parts: Vec<Part> = Vec::new();
            for part in missing {
                // Equal slices are one code.
                if parts.iter().all(|other| other.checksum != part.checksum) {
                    parts.push(part.clone());
                }
            }
            return Next::Store(parts);
        };
        let manifest = module::wrap_manifest(&module::manifest(&self.module, found));
        let part = Part::new("manifest".into(), manifest);
        match index.any(&part.checksum) {
            Some(code_id) => Next::Stored(code_id),
            None => Next::Store(vec![part]),
        }
    }
}

/// How an upload goes on.
#[derive(Clone, Debug)]
pub enum Progress<'a> {
    /// A part was given to the node.
    Sent { part: &'a Part, hash: &'a str },
    /// A part is on the chain.
    Stored {
        part: &'a Part,
        code_id: u64,
        transaction: &'a Included,
    },
}

/// What an upload came to.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// The code that names it.
    pub code_id: u64,
    /// SHA-256 of that code: of the manifest, for a model in shards.
    pub checksum: [u8; 32],
    /// The transactions sent; none if the chain had all of it.
    pub transactions: Vec<Included>,
}

/// Stores what the chain does not have yet.
///
/// Interrupted, it is simply called again with a new index: what was stored stays. `access` overrides
/// [`Package::access`].
pub async fn upload(
    account: &Account,
    package: &Package,
    index: &mut CodeIndex,
    access: Option<Access>,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Uploaded, ClientError> {
    let access = access.or_else(|| package.access());
    let mut transactions = Vec::new();
    let mut checksum = package.checksum();
    // Whole modules take one round, shards two: themselves and their manifest.
    loop {
        let parts = match package.next(index, account.address()) {
            Next::Stored(code_id) => {
                if package.shards() > 0 {
                    checksum = index.checksum(code_id).unwrap_or(checksum);
                }
                return Ok(Uploaded {
                    code_id,
                    checksum,
                    transactions,
                });
            }
            Next::Store(parts) => parts,
        };
        let mut waiting: VecDeque<(&Part, String)> = VecDeque::new();
        let mut left = parts.iter();
        loop {
            while waiting.len() < IN_FLIGHT {
                let Some(part) = left.next() else { break };
                let hash = account
                    .submit(&[part.message(account.address(), access.clone())])
                    .await?;
                progress(Progress::Sent { part, hash: &hash });
                waiting.push_back((part, hash));
            }
            let Some((part, hash)) = waiting.pop_front() else { break };
            let included = account.confirm(&hash).await?;
            let code_id = stored_code(part, &included)?;
            progress(Progress::Stored {
                part,
                code_id,
                transaction: &included,
            });
            index.add(CodeInfo {
                code_id,
                creator: account.address().into(),
                checksum: part.checksum,
                instantiate: String::new(),
            });
            transactions.push(included);
        }
    }
}

/// Code that governance has been asked to store, by checksum: the proposals that wait for deposits or votes.
pub async fn proposed(node: &Node) -> Result<HashMap<[u8; 32], u64>, ClientError> {
    let mut found = HashMap::new();
    for proposal in node.open_proposals().await? {
        for message in &proposal.messages {
            let Ok(store) = message.to_msg::<MsgStoreCode>() else {
                continue;
            };
            let module = match store.wasm_byte_code.starts_with(&GZIP) {
                true => gunzip(&store.wasm_byte_code, MAX_MODULE as u64).unwrap_or_default(),
                false => store.wasm_byte_code,
            };
            found.entry(Sha256::digest(&module).into()).or_insert(proposal.id);
        }
    }
    Ok(found)
}

/// The code that a part became, if it is that part.
fn stored_code(part: &Part, included: &Included) -> Result<u64, ClientError> {
    let answer: MsgStoreCodeResponse = included
        .response(0)
        .ok_or_else(|| PackageError::NoCodeId(included.hash.clone()))?;
    if answer.checksum != part.checksum {
        return Err(PackageError::Checksum {
            expected: hex::encode(part.checksum),
            found: hex::encode(&answer.checksum),
        }
        .into());
    }
    Ok(answer.code_id)
}

/// A model from the chain, in shards or not, with every byte checked. `shard_done` hears how many of how many are here.
pub async fn download(
    node: &Node,
    code_id: u64,
    mut shard_done: impl FnMut(usize, usize),
) -> Result<LoadedModel, ClientError> {
    let (info, module) = node.code(code_id).await?;
    let bytes = match module::carried(&module).map_err(PackageError::from)? {
        Carried::Model(_) => return Ok(LoadedModel::load(info.checksum, &module).map_err(PackageError::from)?),
        Carried::Contract | Carried::Circuit(_) => return Err(PackageError::NotAModel(code_id).into()),
        Carried::Shard(_) => return Err(PackageError::OnlyAShard(code_id).into()),
        Carried::Manifest(bytes) => bytes,
    };
    let manifest = module::Manifest::decode(bytes).map_err(PackageError::from)?;
    let mut shards = Vec::with_capacity(manifest.shards.len());
    let mut room = manifest
        .size
        .saturating_add(ENVELOPE_BYTES * manifest.shards.len() as u64);
    for shard in &manifest.shards {
        let (_, module) = node.code(shard.code_id).await?;
        // Joining would find it too, but only after everything was fetched.
        room = room
            .checked_sub(module.len() as u64)
            .ok_or(PackageError::Overfull(code_id))?;
        shards.push(module);
        shard_done(shards.len(), manifest.shards.len());
    }
    Ok(LoadedModel::load_sharded(info.checksum, &module, &shards).map_err(PackageError::from)?)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; should it, the file is sent as it is.
    match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
        Ok(zipped) => zipped,
        Err(_) => bytes.to_vec(),
    }
}

fn gunzip(bytes: &[u8], limit: u64) -> Result<Vec<u8>, PackageError> {
    let mut module = Vec::new();
    let read = GzDecoder::new(bytes).take(limit + 1).read_to_end(&mut module);
    match read {
        Ok(size) if size as u64 <= limit => Ok(module),
        _ => Err(PackageError::Gzip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not compress.
    fn noise(bytes: usize, mut state: u32) -> Vec<u8> {
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..bytes).map(next).collect()
    }

    fn code(code_id: u64, creator: &str, checksum: [u8; 32]) -> CodeInfo {
        CodeInfo {
            code_id,
            creator: creator.into(),
            checksum,
            instantiate: String::new(),
        }
    }

    fn names(next: Next) -> Vec<String> {
        match next {
            Next::Stored(id) => vec![format!("stored {id}")],
            Next::Store(parts) => parts.into_iter().map(|part| part.name).collect(),
        }
    }

    #[test]
    fn a_large_model_takes_its_shards_first_and_then_the_manifest_of_them() {
        let module = noise(1_000_000, 1);
        let package = Package::cut(Kind::Model, module.clone(), 400_000).unwrap();
        let mut index = CodeIndex::default();
        assert_eq!(
            names(package.next(&index, "me")),
            ["shard 1 of 3", "shard 2 of 3", "shard 3 of 3"]
        );
        // Whoever stored a shard: it is the same shard. Of two, the older one is taken, on every run alike.
        index.add(code(5, "other", package.shards[1].checksum));
        index.add(code(9, "me", package.shards[1].checksum));
        assert_eq!(names(package.next(&index, "me")), ["shard 1 of 3", "shard 3 of 3"]);
        index.add(code(6, "me", package.shards[2].checksum));
        index.add(code(7, "me", package.shards[0].checksum));
        let Next::Store(parts) = package.next(&index, "me") else {
            panic!("no manifest")
        };
        let [manifest] = &parts[..] else {
            panic!("more than a manifest")
        };
        let bytes = gunzip(&manifest.travelling, 10_000).unwrap_or_else(|_| manifest.travelling.clone());
        let Ok(Carried::Manifest(section)) = module::carried(&bytes) else {
            panic!("no manifest")
        };
        let decoded = module::Manifest::decode(section).unwrap();
        assert_eq!(
            decoded.shards.iter().map(|shard| shard.code_id).collect::<Vec<_>>(),
            [7, 5, 6]
        );
        assert_eq!(decoded.checksum, package.checksum());
        index.add(code(10, "me", manifest.checksum));
        assert_eq!(names(package.next(&index, "me")), ["stored 10"]);
    }

    #[test]
    fn equal_slices_are_sent_once() {
        let half = noise(400_000, 2);
        let package = Package::cut(Kind::Model, [half.clone(), half.clone(), half].concat(), 400_000).unwrap();
        assert_eq!(names(package.next(&CodeIndex::default(), "me")), ["shard 1 of 3"]);
    }

    #[test]
    fn of_a_contract_only_the_senders_own_code_counts() {
        let package = Package::cut(Kind::Contract, noise(1000, 3), SHARD_BYTES).unwrap();
        let mut index = CodeIndex::default();
        index.add(code(1, "other", package.checksum()));
        assert_eq!(names(package.next(&index, "me")), ["contract"]);
        index.add(code(2, "me", package.checksum()));
        assert_eq!(names(package.next(&index, "me")), ["stored 2"]);
        assert_eq!(package.access(), None);
        let model = Package::cut(Kind::Model, noise(1000, 3), SHARD_BYTES).unwrap();
        assert_eq!(names(model.next(&index, "me")), ["stored 1"]);
        assert_eq!(model.access(), Some(Access::Nobody));
    }

    #[test]
    fn every_part_fits_a_transaction_whatever_its_bytes() {
        for bytes in [
            MAX_TRAVELLING,
            MAX_TRAVELLING + 1,
            MAX_MODULE,
            MAX_MODULE + 1,
            3_000_000,
        ] {
            let package = Package::cut(Kind::Model, noise(bytes, 4), MAX_SHARD_BYTES).unwrap();
            let parts = package.whole.iter().chain(&package.shards);
            for part in parts {
                assert!(
                    part.stored_bytes <= MAX_MODULE && part.travelling.len() <= MAX_TRAVELLING,
                    "{bytes}"
                );
            }
            assert_eq!(package.shards() == 0, bytes <= MAX_TRAVELLING, "{bytes}");
        }
        // What compresses travels gzipped, and is no reason to cut.
        assert_eq!(
            Package::cut(Kind::Model, vec![0; MAX_MODULE], SHARD_BYTES)
                .unwrap()
                .shards(),
            0
        );
    }

    #[test]
    fn what_cannot_be_stored_is_refused_before_anything_is_sent() {
        let refused = |file: &[u8], shard_bytes| Package::new(file.to_vec(), shard_bytes).unwrap_err();
        assert!(matches!(refused(b"hello", 1), PackageError::NotWasm));
        assert!(matches!(refused(&[0x1f, 0x8b, 1, 2], 1), PackageError::Gzip));
        assert!(matches!(refused(b"\0asm", 0), PackageError::ShardBytes(0)));
        assert!(matches!(
            refused(b"\0asm", MAX_SHARD_BYTES + 1),
            PackageError::ShardBytes(_)
        ));
        assert!(matches!(refused(b"\0asm\x01\0\0\0\x07", 1), PackageError::Module(_)));
        assert!(matches!(refused(&module::wrap(b"bad", b""), 1), PackageError::Model(_)));
        let shard = module::split(b"x", 1).swap_remove(0);
        assert!(matches!(refused(&shard, 1), PackageError::Part));
        let large = Package::cut(Kind::Contract, noise(MAX_MODULE + 1, 5), SHARD_BYTES).unwrap_err();
        assert!(matches!(large, PackageError::ContractTooLarge { .. }));
        let many = Package::cut(Kind::Model, noise(MAX_MODULE + 1, 6), 1000).unwrap_err();
        assert!(matches!(many, PackageError::TooManyShards(820)), "{many}");
    }

    #[test]
    fn a_gzipped_contract_is_the_same_contract() {
        let module = b"\0asm\x01\0\0\0".to_vec();
        let plain = Package::new(module.clone(), SHARD_BYTES).unwrap();
        let zipped = Package::new(gzip(&module), SHARD_BYTES).unwrap();
        assert_eq!((zipped.checksum(), zipped.kind()), (plain.checksum(), Kind::Contract));
    }
}
