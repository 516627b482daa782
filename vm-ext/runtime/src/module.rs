//! A model as code: a small Wasm module that stores like any contract and carries the model in two custom sections; or,
//! where it is too large for one transaction, several that carry a slice each and one that says how to join them. A
//! circuit is stored the same way, in a section of its own.

use aiinference_types::{
    abi::{CIRCUIT_SECTION, GRAPH_SECTION, MANIFEST_SECTION, SHARD_SECTION, WEIGHTS_SECTION},
    v1,
};
use prost::Message;
use wasm_encoder as enc;
use wasmparser::{Parser, Payload};

mod shards;

pub use shards::{join, manifest, split, wrap_manifest, Joiner, Manifest, Shard, ShardError};

/// Why the sections of a module could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// It is no well-formed sequence of Wasm sections.
    #[error("reading a module: it is no well-formed Wasm near byte {0}")]
    Malformed(u64),
    /// A model section is there more than once.
    #[error("reading a module: section {0} appears twice")]
    Repeated(&'static str),
    /// Weights without a graph.
    #[error("reading a module: it has section {WEIGHTS_SECTION} but no {GRAPH_SECTION}")]
    NoGraph,
    /// Sections that do not go together.
    #[error("reading a module: it carries more than one of a model, a shard, a manifest and a circuit")]
    Mixed,
}

/// What a module carries for the extension: one of these, never two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried<'a> {
    /// Nothing: it is ordinary code.
    Contract,
    /// A whole model.
    Model(Sections<'a>),
    /// A slice of a model's module.
    Shard(&'a [u8]),
    /// An encoded [`Manifest`].
    Manifest(&'a [u8]),
    /// An encoded [`v1::Circuit`].
    Circuit(&'a [u8]),
}

/// The sections that are read. The order is that of [`carried`].
const SECTIONS: [&str; 5] = [
    GRAPH_SECTION,
    WEIGHTS_SECTION,
    SHARD_SECTION,
    MANIFEST_SECTION,
    CIRCUIT_SECTION,
];

/// The model sections of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections<'a> {
    /// The encoded graph.
    pub graph: &'a [u8],
    /// The encoded weights; empty if the module has no such section.
    pub weights: &'a [u8],
}

/// The module that carries a model.
pub fn wrap(graph: &[u8], weights: &[u8]) -> Vec<u8> {
    envelope(&[(GRAPH_SECTION, graph), (WEIGHTS_SECTION, weights)])
}

/// The module that carries a circuit. By its code id the circuit is named.
pub fn wrap_circuit(circuit: &v1::Circuit) -> Vec<u8> {
    envelope(&[(CIRCUIT_SECTION, &circuit.encode_to_vec())])
}

/// A module with custom sections: what a chain's upload checks ask of any contract, and nothing that could run.
///
/// `allocate` answers the null pointer, so that instantiating it as a contract fails at once.
fn envelope(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut types = enc::TypeSection::new();
    types.ty().function([], []);
    types.ty().function([enc::ValType::I32], [enc::ValType::I32]);
    types.ty().function([enc::ValType::I32], []);

    let mut functions = enc::FunctionSection::new();
    let mut code = enc::CodeSection::new();
    for kind in 0..3 {
        functions.function(kind);
        let mut body = enc::Function::new([]);
        if kind == 1 {
            body.instructions().i32_const(0);
        }
        body.instructions().end();
        code.function(&body);
    }

    let mut memories = enc::MemorySection::new();
    memories.memory(enc::MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });

    let mut exports = enc::ExportSection::new();
    exports.export("memory", enc::ExportKind::Memory, 0);
    exports.export("interface_version_8", enc::ExportKind::Func, 0);
    exports.export("allocate", enc::ExportKind::Func, 1);
    exports.export("deallocate", enc::ExportKind::Func, 2);

    let mut module = enc::Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code);
    for (name, data) in sections {
        module.section(&enc::CustomSection {
            name: (*name).into(),
            data: (*data).into(),
        });
    }
    module.finish()
}

/// What a module carries.
pub fn carried(wasm: &[u8]) -> Result<Carried<'_>, ModuleError> {
    let mut found = [None; SECTIONS.len()];
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|e| ModuleError::Malformed(e.offset() as u64))?;
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        for (slot, name) in found.iter_mut().zip(SECTIONS) {
            if name == section.name() && slot.replace(section.data()).is_some() {
                return Err(ModuleError::Repeated(name));
            }
        }
    }
    match found {
        [None, None, None, None, None] => Ok(Carried::Contract),
        [Some(graph), weights, None, None, None] => Ok(Carried::Model(Sections {
            graph,
            weights: weights.unwrap_or_default(),
        })),
        [None, Some(_), None, None, None] => Err(ModuleError::NoGraph),
        [None, None, Some(slice), None, None] => Ok(Carried::Shard(slice)),
        [None, None, None, Some(manifest), None] => Ok(Carried::Manifest(manifest)),
        [None, None, None, None, Some(circuit)] => Ok(Carried::Circuit(circuit)),
        _ => Err(ModuleError::Mixed),
    }
}

/// The model sections of a module; None if it carries no whole model.
pub fn sections(wasm: &[u8]) -> Result<Option<Sections<'_>>, ModuleError> {
    Ok(match carried(wasm)? {
        Carried::Model(sections) => Some(sections),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_model_is_found_again() {
        let wasm = wrap(b"graph", b"weights");
        assert_eq!(
            sections(&wasm),
            Ok(Some(Sections {
                graph: b"graph",
                weights: b"weights"
            }))
        );
        wasmparser::Validator::new().validate_all(&wasm).unwrap();
    }

    #[test]
    fn the_envelope_keeps_its_bytes() {
        // A model's checksum covers the envelope: these bytes may never change.
        let wasm = wrap(b"", b"");
        let digest = <sha2::Sha256 as sha2::Digest>::digest(&wasm);
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            (wasm.len(), hex.as_str()),
            (148, "4024b2ee531513d554b975c4c5ddbe1215c8e779e4eea11706510a53e030021d")
        );
    }

    #[test]
    fn other_modules_carry_no_model_and_broken_ones_are_refused() {
        let empty = enc::Module::new().finish();
        assert_eq!(sections(&empty), Ok(None));
        assert_eq!(sections(b"not wasm"), Err(ModuleError::Malformed(0)));
        let wasm = wrap(b"graph", b"weights");
        for end in 0..wasm.len() {
            // A cut at the border of a section leaves a shorter module, which may carry less; it never panics.
            if let Ok(Some(found)) = sections(&wasm[..end]) {
                assert_eq!(found.graph, b"graph");
            }
        }
        let twice = [wasm.clone(), wasm[wasm.len() - (WEIGHTS_SECTION.len() + 10)..].to_vec()].concat();
        assert_eq!(sections(&twice), Err(ModuleError::Repeated(WEIGHTS_SECTION)));
    }

    #[test]
    fn weights_alone_are_no_model() {
        let wasm = envelope(&[(WEIGHTS_SECTION, b"w")]);
        assert_eq!(sections(&wasm), Err(ModuleError::NoGraph));
    }

    #[test]
    fn a_module_carries_one_kind_alone() {
        for (name, want) in SECTIONS.into_iter().zip([
            Ok(Carried::Model(Sections {
                graph: b"s",
                weights: b"",
            })),
            Err(ModuleError::NoGraph),
            Ok(Carried::Shard(b"s")),
            Ok(Carried::Manifest(b"s")),
            Ok(Carried::Circuit(b"s")),
        ]) {
            assert_eq!(carried(&envelope(&[(name, b"s"), ("else", b"")])), want);
            assert_eq!(
                carried(&envelope(&[(name, b"s"), (name, b"")])),
                Err(ModuleError::Repeated(name))
            );
            for other in SECTIONS.into_iter().filter(|other| *other != name) {
                let both = envelope(&[(name, b"s"), (other, b"t")]);
                let both = carried(&both);
                let model = [GRAPH_SECTION, WEIGHTS_SECTION];
                if model.contains(&name) && model.contains(&other) {
                    assert!(matches!(both, Ok(Carried::Model(_))));
                } else {
                    assert_eq!(both, Err(ModuleError::Mixed), "{name} and {other}");
                }
            }
        }
    }
}
