//! Turns a contract that imports `aiinference.*` into one that a stock CosmWasm VM can link.
//!
//! The lowered copy imports `env.query_chain` where the upload imports `aiinference.infer`, `aiinference.model_info` or
//! `aiinference.verify_proof` (all are of type `(i32) -> i32`), and reaches it through one added function, which traps unless the request begins
//! like one of ours: otherwise the import would be a second door to plain chain queries. Every other use of the imports
//! (`ref.func`, element segments, exports, the start function) means that function, too.
//!
//! Instructions are neither added nor removed anywhere else, so that they cost the same gas. Custom sections are dropped,
//! but for one that names the upload: each upload has a lowered copy, and a checksum of it, of its own. The same upload
//! gives the same bytes on every machine; a change of these bytes in a later release changes gas and is consensus-breaking.

use std::{borrow::Cow, fmt};

use aiinference_types::abi::{CAPABILITY, IMPORTS, IMPORT_MODULE, MAGIC, REQUIRES_EXPORT};
use cosmwasm_std::Checksum;
use wasm_encoder::{self as enc, reencode, reencode::Reencode};
use wasmparser::{ExternalKind, FuncType, Parser, Payload, TypeRef, ValType, Validator, WasmFeatures};

/// Custom section of a lowered copy: the checksum of the upload it was made from.
pub const ORIGIN_SECTION: &str = "aiinference.origin";

/// The Wasm that cosmwasm-vm 3.0 takes: nothing else is looked at, let alone lowered.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::REFERENCE_TYPES);

/// Why a contract that imports `aiinference.*` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoweringError {
    /// An import of a name that this version does not have.
    #[error(
        "preparing a contract: it imports \"{IMPORT_MODULE}.{name}\", which is none of {IMPORTS:?}; build it with a \
         version of aiinference-std that this chain supports"
    )]
    UnknownImport {
        /// The name after the dot.
        name: String,
    },
    /// An import with a wrong type.
    #[error(
        "preparing a contract: its import \"{IMPORT_MODULE}.{name}\" is {found} where (i32) -> i32 is needed; import it \
         through aiinference-std"
    )]
    WrongImportType {
        /// The name after the dot.
        name: String,
        /// What the module declares.
        found: String,
    },
    /// The export that states the need for the extension is missing.
    #[error(
        "preparing a contract: it imports \"{IMPORT_MODULE}.*\" but does not export \"{REQUIRES_EXPORT}\", the sign that \
         it needs the capability {CAPABILITY}; build it with aiinference-std, which exports it"
    )]
    MissingRequiresExport,
    /// The module is no valid Wasm of the kind that CosmWasm takes.
    #[error("preparing a contract: its Wasm is invalid or uses features that CosmWasm does not take: {message} (at byte {offset})")]
    Invalid {
        /// What the parser says.
        message: String,
        /// Where.
        offset: usize,
    },
    /// The module could be read but not be written again.
    #[error("preparing a contract: rewriting its Wasm failed: {0}; please report this module")]
    Rewrite(String),
}

impl From<wasmparser::BinaryReaderError> for LoweringError {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        LoweringError::Invalid {
            message: error.message().to_string(),
            offset: error.offset(),
        }
    }
}

impl From<reencode::Error> for LoweringError {
    fn from(error: reencode::Error) -> Self {
        LoweringError::Rewrite(error.to_string())
    }
}

/// Whether a module imports anything of `aiinference.*`, be it known or not. Bytes that cannot be read as far as their
/// imports import nothing: the VM refuses them with its own words.
pub fn needs_lowering(wasm: &[u8]) -> bool {
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::ImportSection(imports)) => {
                let found = imports
                    .into_imports()
                    .map_while(Result::ok)
                    .any(|import| import.module == IMPORT_MODULE);
                if found {
                    return true;
                }
            }
            // The only section that follows in a valid module without an import section earlier.
            Ok(Payload::CodeSectionStart { .. }) | Err(_) => return false,
            Ok(_) => {}
        }
    }
    false
}

/// The lowered copy of an upload; None if it imports nothing of `aiinference.*`.
pub fn lower(wasm: &[u8]) -> Result<Option<Vec<u8>>, LoweringError> {
    if !needs_lowering(wasm) {
        return Ok(None);
    }
    // Rewriting assumes what validation proves: order and uniqueness of sections, indices in range, known instructions.
    Validator::new_with_features(FEATURES).validate_all(wasm)?;
    let module = Sections::read(wasm)?;
    let lowering = Lowering::plan(&module)?;
    lowering.rewrite(wasm, &module).map(Some)
}

/// The sections of a valid module.
#[derive(Default)]
struct Sections<'a> {
    types: Vec<FuncType>,
    /// Sections that are copied as they are: id and where their contents lie.
    copied: Vec<(u8, std::ops::Range<usize>)>,
    imports: Vec<wasmparser::Import<'a>>,
    functions: Vec<u32>,
    globals: Option<wasmparser::GlobalSectionReader<'a>>,
    exports: Option<wasmparser::ExportSectionReader<'a>>,
    start: Option<u32>,
    elements: Option<wasmparser::ElementSectionReader<'a>>,
    bodies: Vec<wasmparser::FunctionBody<'a>>,
}

impl<'a> Sections<'a> {
    fn read(wasm: &'a [u8]) -> Result<Self, LoweringError> {
        let mut module = Sections::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(reader) => {
                    module.copied.push((enc::SectionId::Type as u8, reader.range()));
                    for ty in reader.into_iter_err_on_gc_types() {
                        module.types.push(ty?);
                    }
                }
                Payload::ImportSection(reader) => {
                    module.imports = reader.into_imports().collect::<Result<_, _>>()?;
                }
                Payload::FunctionSection(reader) => {
                    module.functions = reader.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::TableSection(reader) => module.copied.push((enc::SectionId::Table as u8, reader.range())),
                Payload::MemorySection(reader) => module.copied.push((enc::SectionId::Memory as u8, reader.range())),
                Payload::GlobalSection(reader) => module.globals = Some(reader),
                Payload::ExportSection(reader) => module.exports = Some(reader),
                Payload::StartSection { func, .. } => module.start = Some(func),
                Payload::ElementSection(reader) => module.elements = Some(reader),
                Payload::DataCountSection { range, .. } => {
                    module.copied.push((enc::SectionId::DataCount as u8, range));
                }
                Payload::CodeSectionEntry(body) => module.bodies.push(body),
                Payload::DataSection(reader) => module.copied.push((enc::SectionId::Data as u8, reader.range())),
                _ => {}
            }
        }
        Ok(module)
    }
}

/// What is replaced: the indices of the imports that become `env.query_chain`, and the function that guards them.
struct Lowering {
    /// Function indices of the replaced imports, ascending.
    replaced: Vec<u32>,
    /// Index of the added function.
    guard: u32,
    /// Its type, that of the imports.
    guard_type: u32,
}

impl Lowering {
    fn plan(module: &Sections<'_>) -> Result<Self, LoweringError> {
        let mut replaced = Vec::new();
        let mut guard_type = 0;
        let mut functions = 0u32;
        for import in &module.imports {
            let type_index = match import.ty {
                TypeRef::Func(index) | TypeRef::FuncExact(index) => Some(index),
                _ => None,
            };
            if import.module == IMPORT_MODULE {
                let ty = type_index.and_then(|index| module.types.get(index as usize));
                if !IMPORTS.contains(&import.name) {
                    return Err(LoweringError::UnknownImport {
                        name: import.name.to_string(),
                    });
                }
                match (type_index, ty) {
                    (Some(index), Some(ty)) if ty.params() == [ValType::I32] && ty.results() == [ValType::I32] => {
                        replaced.push(functions);
                        guard_type = index;
                    }
                    _ => {
                        return Err(LoweringError::WrongImportType {
                            name: import.name.to_string(),
                            found: ty.map_or_else(|| "no function".to_string(), |ty| Signature(ty).to_string()),
                        })
                    }
                }
            }
            functions += u32::from(type_index.is_some());
        }
        let required = module.exports.clone().into_iter().flatten().map_while(Result::ok);
        if !required
            .into_iter()
            .any(|export| export.kind == ExternalKind::Func && export.name == REQUIRES_EXPORT)
        {
            return Err(LoweringError::MissingRequiresExport);
        }
        // A valid module has at most a million functions.
        let guard = functions + module.functions.len() as u32;
        Ok(Lowering {
            replaced,
            guard,
            guard_type,
        })
    }

    /// Writes the sections in their canonical order.
    fn rewrite(mut self, wasm: &[u8], module: &Sections<'_>) -> Result<Vec<u8>, LoweringError> {
        let mut out = enc::Module::new();
        let copy = |out: &mut enc::Module, id: enc::SectionId| {
            for (section, range) in &module.copied {
                if *section == id as u8 {
                    // The range came from the parser of these very bytes.
                    out.section(&enc::RawSection {
                        id: *section,
                        data: &wasm[range.clone()],
                    });
                }
            }
        };

        copy(&mut out, enc::SectionId::Type);

        let mut imports = enc::ImportSection::new();
        for import in &module.imports {
            let (from, name) = match import.module {
                IMPORT_MODULE => ("env", "query_chain"),
                other => (other, import.name),
            };
            imports.import(from, name, self.entity_type(import.ty)?);
        }
        out.section(&imports);

        let mut functions = enc::FunctionSection::new();
        for ty in &module.functions {
            functions.function(*ty);
        }
        functions.function(self.guard_type);
        out.section(&functions);

        copy(&mut out, enc::SectionId::Table);
        copy(&mut out, enc::SectionId::Memory);

        if let Some(reader) = module.globals.clone() {
            let mut globals = enc::GlobalSection::new();
            self.parse_global_section(&mut globals, reader)?;
            out.section(&globals);
        }
        if let Some(reader) = module.exports.clone() {
            let mut exports = enc::ExportSection::new();
            self.parse_export_section(&mut exports, reader)?;
            out.section(&exports);
        }
        if let Some(start) = module.start {
            out.section(&enc::StartSection {
                function_index: self.function_index(start)?,
            });
        }
        if let Some(reader) = module.elements.clone() {
            let mut elements = enc::ElementSection::new();
            self.parse_element_section(&mut elements, reader)?;
            out.section(&elements);
        }

        copy(&mut out, enc::SectionId::DataCount);

        let mut code = enc::CodeSection::new();
        for body in &module.bodies {
            self.parse_function_body(&mut code, body.clone())?;
        }
        code.function(&self.guard_function());
        out.section(&code);

        copy(&mut out, enc::SectionId::Data);

        out.section(&enc::CustomSection {
            name: Cow::Borrowed(ORIGIN_SECTION),
            data: Cow::Owned(Checksum::generate(wasm).as_slice().to_vec()),
        });
        Ok(out.finish())
    }

    /// `(request: i32) -> i32`: traps unless the Region at `request` holds at least the first seven bytes of the magic,
    /// the ABI version aside; then calls `query_chain`.
    fn guard_function(&self) -> enc::Function {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0i32, |word, byte| word << 8 | i32::from(*byte));
        let at = |offset| enc::MemArg {
            offset,
            // Nothing is promised about alignment.
            align: 0,
            memory_index: 0,
        };
        // A Region is {offset: u32, capacity: u32, length: u32}, little endian.
        const LENGTH: u64 = 8;
        let mut function = enc::Function::new([]);
        let mut code = function.instructions();
        code.local_get(0).i32_load(at(LENGTH)).i32_const(7).i32_lt_u();
        for start in [0, 3] {
            // Two words that overlap by one byte are the seven bytes.
            code.local_get(0).i32_load(at(0)).i32_load(at(start));
            code.i32_const(word(&MAGIC[start as usize..start as usize + 4]))
                .i32_ne();
            code.i32_or();
        }
        code.if_(enc::BlockType::Empty).unreachable().end();
        // All replaced imports are the same import now.
        code.local_get(0)
            .call(self.replaced.first().copied().unwrap_or_default())
            .end();
        function
    }
}

impl Reencode for Lowering {
    type Error = std::convert::Infallible;

    /// Whatever meant a replaced import means the guard.
    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(if self.replaced.binary_search(&function).is_ok() {
            self.guard
        } else {
            function
        })
    }
}

/// A function type in words.
struct Signature<'a>(&'a FuncType);

impl fmt::Display for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "({}) -> ({})", list(self.0.params()), list(self.0.results()))
    }
}
