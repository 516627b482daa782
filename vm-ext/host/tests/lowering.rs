//! The lowered copy of a contract.

mod common;

use aiinference_types::abi::MAGIC;
use aiinference_vm::lowering::{lower, needs_lowering, LoweringError, ORIGIN_SECTION};
use common::{capabilities, guest, inferring_guest, plain_guest, request, Chain, GAS_LIMIT};
use cosmwasm_std::Checksum;
use cosmwasm_vm::{
    call_instantiate_raw, call_query_raw, call_reply_raw, call_sudo_raw,
    internals::{check_wasm, Logger},
    testing::{MockApi, MockStorage},
    Backend, Instance, InstanceOptions, VmError, WasmLimits,
};
use proptest::prelude::*;
use wasmparser::{Operator, Parser, Payload};

fn lowered(wasm: &[u8]) -> Vec<u8> {
    lower(wasm).unwrap().unwrap()
}

fn instance(wasm: &[u8], chain: &Chain) -> Instance<MockApi, MockStorage, Chain> {
    let backend = Backend {
        api: MockApi::default(),
        storage: MockStorage::default(),
        querier: chain.clone(),
    };
    Instance::from_code(wasm, backend, InstanceOptions { gas_limit: GAS_LIMIT }, None).unwrap()
}

fn exports(wasm: &[u8]) -> Vec<(String, wasmparser::ExternalKind)> {
    let mut found = vec![];
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(reader) = payload.unwrap() {
            found.extend(
                reader
                    .into_iter()
                    .map(|e| e.unwrap())
                    .map(|e| (e.name.to_string(), e.kind)),
            );
        }
    }
    found
}

/// The instructions of each function but calls and function references, whose targets move.
fn bodies(wasm: &[u8]) -> Vec<Vec<String>> {
    let mut found = vec![];
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            let operators = body.get_operators_reader().unwrap().into_iter();
            found.push(
                operators
                    .map(|op| match op.unwrap() {
                        Operator::Call { .. } => "call".to_string(),
                        Operator::RefFunc { .. } => "ref.func".to_string(),
                        other => format!("{other:?}"),
                    })
                    .collect(),
            );
        }
    }
    found
}

fn custom_sections(wasm: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![];
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CustomSection(section) = payload.unwrap() {
            found.push((section.name().to_string(), section.data().to_vec()));
        }
    }
    found
}

fn with_custom_section(wasm: &[u8], name: &str, data: &[u8]) -> Vec<u8> {
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name.as_bytes());
    section.extend_from_slice(data);
    assert!(section.len() < 128);
    [wasm, &[0, section.len() as u8], &section].concat()
}

#[test]
fn a_lowered_copy_passes_the_checks_that_the_upload_does_not() {
    let wasm = inferring_guest();
    let check = |wasm: &[u8]| check_wasm(wasm, &capabilities(true), &WasmLimits::default(), Logger::Off);
    let refused = check(&wasm).unwrap_err().to_string();
    assert!(
        refused.contains("unsupported import: \"aiinference.infer\""),
        "{refused}"
    );
    check(&lowered(&wasm)).unwrap();
}

#[test]
fn a_module_without_our_imports_is_not_lowered() {
    let wasm = plain_guest();
    assert!(!needs_lowering(&wasm));
    assert_eq!(lower(&wasm), Ok(None));
    let only_requires = guest("", r#"(func (export "requires_aiinference_1"))"#);
    assert_eq!(lower(&only_requires), Ok(None));
    for garbage in [&b""[..], b"\0asm", b"no wasm at all"] {
        assert_eq!(lower(garbage), Ok(None));
    }
}

#[test]
fn exports_and_instructions_stay_as_they_are() {
    let wasm = inferring_guest();
    let copy = lowered(&wasm);
    assert_eq!(exports(&wasm), exports(&copy));
    let (before, after) = (bodies(&wasm), bodies(&copy));
    assert_eq!(before.len() + 1, after.len());
    assert_eq!(before, after[..before.len()]);
}

#[test]
fn lowering_gives_the_same_bytes_every_time() {
    let wasm = inferring_guest();
    assert_eq!(lowered(&wasm), lowered(&wasm));
    // Gas and thereby consensus rest on these bytes: a change must be a decision.
    assert_eq!(
        Checksum::generate(&lowered(&wasm)).to_hex(),
        "9d3066f03fec1813d6ec415e1e6d5e5d1b7fcf62b35e829c1f18ba50a87a29f5"
    );
}

#[test]
fn custom_sections_are_dropped_and_the_upload_is_named() {
    let wasm = inferring_guest();
    let (a, b) = (
        with_custom_section(&wasm, "aiinference.graph", b"a model"),
        with_custom_section(&wasm, "aiinference.graph", b"b model"),
    );
    assert_ne!(lowered(&a), lowered(&b));
    let origin = Checksum::generate(&a).as_slice().to_vec();
    assert_eq!(custom_sections(&lowered(&a)), [(ORIGIN_SECTION.to_string(), origin)]);
}

#[test]
fn every_way_to_the_import_reaches_the_guard() {
    let chain = Chain::default();
    let copy = lowered(&inferring_guest());
    let ours = request(b"payload");
    let foreign = br#"{"bank":{"supply":{"denom":"x"}}}"#;

    // A request of ours passes: by call, and by table for either import.
    call_query_raw(&mut instance(&copy, &chain), b"{}", &ours).unwrap();
    call_instantiate_raw(&mut instance(&copy, &chain), b"{}", b"{}", &ours).unwrap();
    call_reply_raw(&mut instance(&copy, &chain), b"{}", &ours).unwrap();
    assert_eq!(chain.requests(), vec![ours.clone(); 3]);

    // Anything else traps.
    for result in [
        call_query_raw(&mut instance(&copy, &chain), b"{}", foreign),
        call_instantiate_raw(&mut instance(&copy, &chain), b"{}", b"{}", foreign),
        call_reply_raw(&mut instance(&copy, &chain), b"{}", foreign),
    ] {
        assert!(matches!(result, Err(VmError::RuntimeErr { .. })), "{result:?}");
    }
    assert_eq!(chain.requests().len(), 3);

    // The contract's own plain import is not guarded.
    call_sudo_raw(&mut instance(&copy, &chain), b"{}", foreign).unwrap();
    assert_eq!(chain.requests().last().unwrap(), foreign);
}

#[test]
fn the_guard_looks_at_the_first_seven_bytes_alone() {
    let chain = Chain::default();
    let copy = lowered(&inferring_guest());
    let passes = |message: &[u8]| call_query_raw(&mut instance(&copy, &chain), b"{}", message).is_ok();
    assert!(passes(&MAGIC) && passes(&MAGIC[..7]));
    assert!(
        passes(&[&MAGIC[..7], &[99]].concat()),
        "an ABI version of tomorrow is answered by the host"
    );
    for length in 0..7 {
        assert!(!passes(&MAGIC[..length]), "{length}");
    }
    for index in 0..7 {
        let mut changed = request(b"payload");
        changed[index] ^= 0x20;
        assert!(!passes(&changed), "{index}");
    }
}

#[test]
fn a_region_that_ends_with_the_memory_is_read_without_a_step_beyond() {
    // 17 pages: the last seven bytes of memory are the request.
    let wasm = guest(
        r#"(import "aiinference" "infer" (func $infer (param i32) (result i32)))"#,
        r#"(func (export "requires_aiinference_1"))
           (data (i32.const 1114105) "\00aiinf\00")
           (data (i32.const 16) "\f9\ff\10\00\07\00\00\00\07\00\00\00")
           (func (export "query") (param i32 i32) (result i32) (call $infer (i32.const 16)))"#,
    );
    let chain = Chain::default();
    call_query_raw(&mut instance(&lowered(&wasm), &chain), b"{}", b"").unwrap();
    assert_eq!(chain.requests(), [MAGIC[..7].to_vec()]);
}

#[test]
fn references_in_code_globals_exports_and_start_are_moved() {
    // The VM refuses instructions on references, after lowering; what is lowered must be right all the same.
    let wasm = guest(
        r#"(import "aiinference" "infer" (func $infer (param i32) (result i32)))
           (import "aiinference" "infer" (func $again (param i32) (result i32)))"#,
        r#"(table 1 1 funcref)
           (global $held funcref (ref.func $infer))
           (start $boot)
           (func $boot (table.set (i32.const 0) (ref.func $again)))
           (export "one" (func $infer))
           (export "two" (func $again))
           (elem (i32.const 0) func $again)
           (func (export "requires_aiinference_1"))
           (func (export "query") (param i32 i32) (result i32) (call $again (local.get 1)))"#,
    );
    let copy = lowered(&wasm);
    wasmparser::Validator::new().validate_all(&copy).unwrap();
    // Imports are functions 0 and 1; the guard is the last one, and alone in calling them.
    let guard = 2 + bodies(&copy).len() as u32 - 1;
    let mut references = vec![];
    for payload in Parser::new(0).parse_all(&copy) {
        match payload.unwrap() {
            Payload::GlobalSection(reader) => references.extend(reader.into_iter().flat_map(|global| {
                let operators = global.unwrap().init_expr.get_operators_reader();
                operators.into_iter().filter_map(|op| match op.unwrap() {
                    Operator::RefFunc { function_index } => Some(("global", function_index)),
                    _ => None,
                })
            })),
            Payload::ExportSection(reader) => references.extend(
                reader
                    .into_iter()
                    .map(|export| export.unwrap())
                    .filter(|export| ["one", "two"].contains(&export.name))
                    .map(|export| ("export", export.index)),
            ),
            Payload::ElementSection(reader) => {
                for element in reader {
                    let wasmparser::ElementItems::Functions(functions) = element.unwrap().items else {
                        panic!("elements became expressions")
                    };
                    references.extend(functions.into_iter().map(|f| ("element", f.unwrap())));
                }
            }
            Payload::CodeSectionEntry(body) => {
                references.extend(body.get_operators_reader().unwrap().into_iter().filter_map(
                    |op| match op.unwrap() {
                        Operator::Call { function_index } => Some(("call", function_index)),
                        Operator::RefFunc { function_index } => Some(("ref.func", function_index)),
                        _ => None,
                    },
                ));
            }
            Payload::StartSection { func, .. } => references.push(("start", func - 4)),
            _ => {}
        }
    }
    let found = |kind| -> Vec<u32> {
        references
            .iter()
            .filter(|(k, _)| *k == kind)
            .map(|(_, index)| *index)
            .collect()
    };
    assert_eq!(found("global"), [guard]);
    assert_eq!(found("export"), [guard, guard]);
    assert_eq!(found("element"), [guard]);
    assert_eq!(found("ref.func"), [guard]);
    assert_eq!(found("call"), [guard, 0]);
    // Functions of its own keep their numbers: $boot is the fourth after the two imports.
    assert_eq!(found("start"), [1]);
}

#[test]
fn unknown_names_and_wrong_types_are_refused() {
    let refusal = |import: &str| lower(&guest(import, r#"(func (export "requires_aiinference_1"))"#)).unwrap_err();
    assert_eq!(
        refusal(r#"(import "aiinference" "train" (func (param i32) (result i32)))"#),
        LoweringError::UnknownImport { name: "train".into() }
    );
    for (ty, found) in [
        ("(func)", "() -> ()"),
        ("(func (param i32))", "(i32) -> ()"),
        ("(func (param i32 i32) (result i32))", "(i32, i32) -> (i32)"),
        ("(func (param i64) (result i32))", "(i64) -> (i32)"),
        ("(global i32)", "no function"),
    ] {
        assert_eq!(
            refusal(&format!(r#"(import "aiinference" "infer" {ty})"#)),
            LoweringError::WrongImportType {
                name: "infer".into(),
                found: found.into()
            }
        );
    }
}

#[test]
fn every_known_import_is_lowered_behind_the_guard() {
    for name in aiinference_types::abi::IMPORTS {
        let import = format!(r#"(import "aiinference" "{name}" (func $ask (param i32) (result i32)))"#);
        let wasm = guest(
            &import,
            r#"(func (export "requires_aiinference_1"))
               (data (i32.const 1114105) "\00aiinf\00")
               (data (i32.const 16) "\f9\ff\10\00\07\00\00\00\07\00\00\00")
               (func (export "query") (param i32 i32) (result i32) (call $ask (i32.const 16)))"#,
        );
        let chain = Chain::default();
        call_query_raw(&mut instance(&lowered(&wasm), &chain), b"{}", b"").unwrap();
        assert_eq!(chain.requests(), [MAGIC[..7].to_vec()], "{name}");
    }
}

#[test]
fn the_sign_of_the_need_must_be_exported_as_a_function() {
    let import = r#"(import "aiinference" "infer" (func (param i32) (result i32)))"#;
    for rest in ["", r#"(global (export "requires_aiinference_1") i32 (i32.const 0))"#] {
        assert_eq!(lower(&guest(import, rest)), Err(LoweringError::MissingRequiresExport));
    }
}

#[test]
fn a_module_that_is_not_valid_is_refused_not_repaired() {
    // i32.add on an empty stack, in an otherwise fine contract.
    let wasm = inferring_guest();
    let position = wasm.windows(3).rposition(|w| w == [0x20, 0x01, 0x41]).unwrap();
    let mut broken = wasm;
    broken[position..position + 2].copy_from_slice(&[0x6a, 0x01]);
    assert!(matches!(lower(&broken), Err(LoweringError::Invalid { .. })));
}

proptest! {
    #[test]
    fn damaged_modules_never_panic_and_what_is_lowered_is_valid(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..8), 1..4),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
    ) {
        let mut wasm = inferring_guest();
        for (index, bit) in flips {
            let index = index.index(wasm.len());
            wasm[index] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            wasm.truncate(cut.index(wasm.len()));
        }
        if let Ok(Some(copy)) = lower(&wasm) {
            wasmparser::Validator::new().validate_all(&copy).unwrap();
            prop_assert!(!needs_lowering(&copy));
        }
    }
}
