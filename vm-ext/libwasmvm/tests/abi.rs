//! The exports held against the header of the Go module, declaration by declaration: what the types here say is what the
//! compiler made of them.
//!
//! `AIINFERENCE_BINDINGS_H` names the header; `make wasmvm-tests` fetches it with the module and runs this.

use std::{
    collections::BTreeMap,
    mem::{offset_of, size_of},
};

use wasmvm::*;

/// A type as the header writes it, without `struct` and spaces.
trait C {
    fn c() -> String;
}

macro_rules! named {
    ($($rust:ty => $c:literal),* $(,)?) => { $(impl C for $rust { fn c() -> String { $c.to_string() } })* };
}

named! {
    bool => "bool", i32 => "int32_t", u8 => "uint8_t", u32 => "uint32_t", u64 => "uint64_t", usize => "uintptr_t",
    () => "void", std::ffi::c_char => "char",
    ByteSliceView => "ByteSliceView", U8SliceView => "U8SliceView", UnmanagedVector => "UnmanagedVector",
    OptionalU64 => "OptionalU64", AnalysisReport => "AnalysisReport", Metrics => "Metrics", GasReport => "GasReport",
    IteratorReference => "IteratorReference", IteratorVtable => "IteratorVtable", GoIter => "GoIter",
    DbVtable => "DbVtable", Db => "Db", GoApiVtable => "GoApiVtable", GoApi => "GoApi",
    QuerierVtable => "QuerierVtable", GoQuerier => "GoQuerier",
    cache_t => "cache_t", gas_meter_t => "gas_meter_t", db_t => "db_t", api_t => "api_t", querier_t => "querier_t",
}

impl<T: C> C for *mut T {
    fn c() -> String {
        T::c() + "*"
    }
}
impl<T: C> C for *const T {
    fn c() -> String {
        "const ".to_string() + &T::c() + "*"
    }
}
/// A reference that may be missing is a pointer that may be null.
impl<T: C> C for Option<&mut T> {
    fn c() -> String {
        T::c() + "*"
    }
}

macro_rules! functions {
    ($(($($arg:ident)*))*) => { $(
        impl<R: C, $($arg: C),*> C for Option<extern "C" fn($($arg),*) -> R> {
            fn c() -> String { signature(R::c(), &[$($arg::c()),*]) }
        }
        impl<R: C, $($arg: C),*> Export for extern "C" fn($($arg),*) -> R {
            fn signature(&self) -> String { signature(R::c(), &[$($arg::c()),*]) }
        }
        impl<R: C, $($arg: C),*> Export for unsafe extern "C" fn($($arg),*) -> R {
            fn signature(&self) -> String { signature(R::c(), &[$($arg::c()),*]) }
        }
    )* };
}

trait Export {
    fn signature(&self) -> String;
}

functions! {
    () (A) (A B) (A B D) (A B D E) (A B D E F) (A B D E F G) (A B D E F G H) (A B D E F G H I) (A B D E F G H I J)
    (A B D E F G H I J K) (A B D E F G H I J K L) (A B D E F G H I J K L M)
}

fn signature(result: String, arguments: &[String]) -> String {
    let arguments = if arguments.is_empty() {
        "void".to_string()
    } else {
        arguments.join(",")
    };
    format!("{result}({arguments})")
}

macro_rules! exports {
    ($($name:ident($($hole:tt)*)),* $(,)?) => {{
        let mut map = BTreeMap::new();
        $(
            let export: unsafe extern "C" fn($($hole)*) -> _ = $name;
            map.insert(stringify!($name).to_string(), export.signature());
        )*
        map
    }};
}

/// Every export of the header, as this crate has it.
fn ours() -> BTreeMap<String, String> {
    let mut all = exports! {
        init_cache(_, _), store_code(_, _, _, _, _), remove_wasm(_, _, _), load_wasm(_, _, _), pin(_, _, _),
        unpin(_, _, _), sync_pinned_codes(_, _, _), analyze_code(_, _, _), get_metrics(_, _), get_pinned_metrics(_, _),
        release_cache(_), new_unmanaged_vector(_, _, _), destroy_unmanaged_vector(_),
        instantiate(_, _, _, _, _, _, _, _, _, _, _, _), execute(_, _, _, _, _, _, _, _, _, _, _, _),
        migrate_with_info(_, _, _, _, _, _, _, _, _, _, _, _),
    };
    all.extend(exports! {
        migrate(_, _, _, _, _, _, _, _, _, _, _), sudo(_, _, _, _, _, _, _, _, _, _, _),
        reply(_, _, _, _, _, _, _, _, _, _, _), query(_, _, _, _, _, _, _, _, _, _, _),
        ibc_channel_open(_, _, _, _, _, _, _, _, _, _, _), ibc_channel_connect(_, _, _, _, _, _, _, _, _, _, _),
        ibc_channel_close(_, _, _, _, _, _, _, _, _, _, _), ibc_packet_receive(_, _, _, _, _, _, _, _, _, _, _),
        ibc_packet_ack(_, _, _, _, _, _, _, _, _, _, _), ibc_packet_timeout(_, _, _, _, _, _, _, _, _, _, _),
        ibc_source_callback(_, _, _, _, _, _, _, _, _, _, _),
        ibc_destination_callback(_, _, _, _, _, _, _, _, _, _, _),
        ibc2_packet_receive(_, _, _, _, _, _, _, _, _, _, _), ibc2_packet_ack(_, _, _, _, _, _, _, _, _, _, _),
        ibc2_packet_timeout(_, _, _, _, _, _, _, _, _, _, _), ibc2_packet_send(_, _, _, _, _, _, _, _, _, _, _),
    });
    let version: extern "C" fn() -> _ = version_str;
    all.insert("version_str".to_string(), version.signature());
    all
}

/// A structure: its size, and per field name, type and offset.
type Layout = (usize, Vec<(String, String, usize)>);

macro_rules! layouts {
    ($($name:ident { $($field:ident : $kind:ty),* $(,)? }),* $(,)?) => {
        BTreeMap::from([$((
            stringify!($name).to_string(),
            (size_of::<$name>(), vec![$((
                stringify!($field).to_string(),
                // Assigning checks that the field has the type that is named here.
                { let _ = |value: $name| { let _field: $kind = value.$field; }; <$kind as C>::c() },
                offset_of!($name, $field),
            )),*]),
        )),*])
    };
}

type Gas = *mut gas_meter_t;
type Out = *mut UnmanagedVector;
type Half = Option<extern "C" fn(IteratorReference, Gas, *mut u64, Out, Out) -> i32>;
type Convert = Option<extern "C" fn(*const api_t, U8SliceView, Out, Out, *mut u64) -> i32>;

/// Every structure with public fields, as this crate has it.
fn our_layouts() -> BTreeMap<String, Layout> {
    layouts! {
        OptionalU64 { is_some: bool, value: u64 },
        AnalysisReport {
            has_ibc_entry_points: bool, entrypoints: UnmanagedVector, required_capabilities: UnmanagedVector,
            contract_migrate_version: OptionalU64,
        },
        Metrics {
            hits_pinned_memory_cache: u32, hits_memory_cache: u32, hits_fs_cache: u32, misses: u32,
            elements_pinned_memory_cache: u64, elements_memory_cache: u64, size_pinned_memory_cache: u64,
            size_memory_cache: u64,
        },
        GasReport { limit: u64, remaining: u64, used_externally: u64, used_internally: u64 },
        IteratorReference { call_id: u64, iterator_id: u64 },
        IteratorVtable {
            next: Option<extern "C" fn(IteratorReference, Gas, *mut u64, Out, Out, Out) -> i32>,
            next_key: Half, next_value: Half,
        },
        GoIter { gas_meter: Gas, reference: IteratorReference, vtable: IteratorVtable },
        DbVtable {
            read_db: Option<extern "C" fn(*mut db_t, Gas, *mut u64, U8SliceView, Out, Out) -> i32>,
            write_db: Option<extern "C" fn(*mut db_t, Gas, *mut u64, U8SliceView, U8SliceView, Out) -> i32>,
            remove_db: Option<extern "C" fn(*mut db_t, Gas, *mut u64, U8SliceView, Out) -> i32>,
            scan_db: Option<
                extern "C" fn(*mut db_t, Gas, *mut u64, U8SliceView, U8SliceView, i32, *mut GoIter, Out) -> i32,
            >,
        },
        Db { gas_meter: Gas, state: *mut db_t, vtable: DbVtable },
        GoApiVtable {
            humanize_address: Convert, canonicalize_address: Convert,
            validate_address: Option<extern "C" fn(*const api_t, U8SliceView, Out, *mut u64) -> i32>,
        },
        GoApi { state: *const api_t, vtable: GoApiVtable },
        QuerierVtable {
            query_external: Option<extern "C" fn(*const querier_t, u64, *mut u64, U8SliceView, Out, Out) -> i32>,
        },
        GoQuerier { state: *const querier_t, vtable: QuerierVtable },
    }
}

// --- the header ---------------------------------------------------------------------------------------------------------

fn header() -> String {
    let path = std::env::var("AIINFERENCE_BINDINGS_H").expect("AIINFERENCE_BINDINGS_H names the header");
    let text = std::fs::read_to_string(path).expect("the header can be read");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        plain += before;
        rest = comment.split_once("*/").expect("comments end").1;
    }
    plain += rest;
    let lines = plain.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.collect::<Vec<_>>().join(" ")
}

/// One way of writing a type.
fn normal(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "struct").collect();
    words.join(" ").replace(" *", "*")
}

/// Splits a declaration `type name` into both.
fn declaration(text: &str) -> (String, String) {
    let text = normal(text);
    let at = text.rfind([' ', '*']).map_or(0, |at| at + 1);
    (text[..at].trim().to_string(), text[at..].to_string())
}

fn arguments(text: &str) -> String {
    if normal(text) == "void" {
        return "void".to_string();
    }
    let all: Vec<String> = text.split(',').map(|argument| declaration(argument).0).collect();
    all.join(",")
}

/// What each declaration ends at, outside of braces.
fn statements(text: &str) -> Vec<String> {
    let (mut depth, mut current, mut all) = (0, String::new(), Vec::new());
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => {
                all.push(std::mem::take(&mut current));
                continue;
            }
            _ => {}
        }
        current.push(character);
    }
    all
}

/// A structure's fields: name and type.
type Fields = Vec<(String, String)>;

/// The header's functions and structures.
fn theirs() -> (BTreeMap<String, String>, BTreeMap<String, Fields>) {
    let (mut functions, mut structures) = (BTreeMap::new(), BTreeMap::new());
    for statement in statements(&header()) {
        let statement = statement.trim();
        if statement.starts_with("enum") || (statement.starts_with("typedef") && !statement.contains('{')) {
            continue;
        }
        if let Some(body) = statement.strip_prefix("typedef struct") {
            let (_, body) = body.split_once('{').expect("a body");
            let (body, name) = body.rsplit_once('}').expect("a body ends");
            let fields =
                body.split(';')
                    .filter(|field| !field.trim().is_empty())
                    .map(|field| match field.split_once("(*") {
                        Some((result, rest)) => {
                            let (name, rest) = rest.split_once(")(").expect("a pointer to a function");
                            let inside = rest.rsplit_once(')').expect("arguments end").0;
                            (name.to_string(), signature(normal(result), &[arguments(inside)]))
                        }
                        None => {
                            let (kind, name) = declaration(field);
                            (name, kind)
                        }
                    });
            structures.insert(name.trim().to_string(), fields.collect());
        } else {
            let (head, rest) = statement.split_once('(').expect("a function");
            let (result, name) = declaration(head);
            let inside = rest.rsplit_once(')').expect("arguments end").0;
            functions.insert(name, signature(result, &[arguments(inside)]));
        }
    }
    (functions, structures)
}

#[test]
#[ignore = "needs the Go module's header: make wasmvm-tests"]
fn every_export_has_the_headers_signature() {
    let (functions, _) = theirs();
    assert_eq!(functions.len(), 33);
    assert_eq!(ours(), functions);
}

#[test]
#[ignore = "needs the Go module's header: make wasmvm-tests"]
fn every_structure_has_the_headers_fields_where_c_puts_them() {
    let (_, structures) = theirs();
    let ours = our_layouts();
    let opaque = ["cache_t", "gas_meter_t", "db_t", "api_t", "querier_t"];
    // Their fields are private here; sizes are compared all the same, through the structures that hold them.
    let views = ["ByteSliceView", "U8SliceView", "UnmanagedVector"];
    let named: Vec<_> = structures
        .keys()
        .filter(|name| !opaque.contains(&name.as_str()))
        .collect();
    let expected: Vec<_> = ours.keys().map(String::as_str).chain(views).collect();
    assert_eq!(named.len(), expected.len(), "{named:?}");
    for (name, (size, fields)) in &ours {
        let header = &structures[name];
        let mine: Fields = fields
            .iter()
            .map(|(field, kind, _)| (field.clone(), kind.clone()))
            .collect();
        assert_eq!(&mine, header, "{name}");
        let (offsets, whole) = layout(header, &structures);
        assert_eq!(
            fields.iter().map(|(_, _, offset)| *offset).collect::<Vec<_>>(),
            offsets,
            "{name}"
        );
        assert_eq!(*size, whole, "{name}");
    }
    for (name, size) in [
        ("ByteSliceView", size_of::<ByteSliceView>()),
        ("U8SliceView", size_of::<U8SliceView>()),
        ("UnmanagedVector", size_of::<UnmanagedVector>()),
    ] {
        assert_eq!(layout(&structures[name], &structures).1, size, "{name}");
    }
}

/// C's rule: each field at the next multiple of its alignment, the whole rounded up to the largest.
fn layout(fields: &[(String, String)], all: &BTreeMap<String, Fields>) -> (Vec<usize>, usize) {
    fn measure(kind: &str, all: &BTreeMap<String, Fields>) -> (usize, usize) {
        match kind {
            "bool" => (1, 1),
            "int32_t" | "uint32_t" => (4, 4),
            "uint64_t" | "uintptr_t" => (8, 8),
            pointer if pointer.ends_with('*') || pointer.ends_with(')') => (8, 8),
            structure => {
                let fields = &all[structure];
                let align = fields.iter().map(|(_, kind)| measure(kind, all).1).max().unwrap_or(1);
                (layout(fields, all).1, align)
            }
        }
    }
    let (mut end, mut largest, mut offsets) = (0usize, 1, Vec::new());
    for (_, kind) in fields {
        let (size, align) = measure(kind, all);
        largest = largest.max(align);
        let offset = end.next_multiple_of(align);
        offsets.push(offset);
        end = offset + size;
    }
    (offsets, end.next_multiple_of(largest))
}
