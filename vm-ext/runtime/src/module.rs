//! A model as code: a small Wasm module that stores like any contract and carries the model in two custom sections.

use aiinference_types::abi::{GRAPH_SECTION, WEIGHTS_SECTION};
use wasm_encoder as enc;
use wasmparser::{Parser, Payload};

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
}

/// The model sections of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections<'a> {
    /// The encoded graph.
    pub graph: &'a [u8],
    /// The encoded weights; empty if the module has no such section.
    pub weights: &'a [u8],
}

/// The module that carries a model: what a chain's upload checks ask of any contract, and nothing that could run.
///
/// `allocate` answers the null pointer, so that instantiating it as a contract fails at once.
pub fn wrap(graph: &[u8], weights: &[u8]) -> Vec<u8> {
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
    for (name, data) in [(GRAPH_SECTION, graph), (WEIGHTS_SECTION, weights)] {
        module.section(&enc::CustomSection {
            name: name.into(),
            data: data.into(),
        });
    }
    module.finish()
}

/// The model sections of a module; None if it carries no model.
pub fn sections(wasm: &[u8]) -> Result<Option<Sections<'_>>, ModuleError> {
    let (mut graph, mut weights) = (None, None);
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|e| ModuleError::Malformed(e.offset() as u64))?;
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        let (slot, name) = match section.name() {
            GRAPH_SECTION => (&mut graph, GRAPH_SECTION),
            WEIGHTS_SECTION => (&mut weights, WEIGHTS_SECTION),
            _ => continue,
        };
        if slot.replace(section.data()).is_some() {
            return Err(ModuleError::Repeated(name));
        }
    }
    match (graph, weights) {
        (Some(graph), weights) => Ok(Some(Sections {
            graph,
            weights: weights.unwrap_or_default(),
        })),
        (None, Some(_)) => Err(ModuleError::NoGraph),
        (None, None) => Ok(None),
    }
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
        let mut module = enc::Module::new();
        module.section(&enc::CustomSection {
            name: WEIGHTS_SECTION.into(),
            data: b"w".as_slice().into(),
        });
        assert_eq!(sections(&module.finish()), Err(ModuleError::NoGraph));
    }
}
