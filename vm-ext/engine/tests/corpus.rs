//! The fuzzers' corpora, replayed. `load_and_run` holds models, which `parse` reads as well; `execute` holds draws.

use std::path::Path;

use aiinference_differential::memory::Counting;

#[path = "../fuzz/body.rs"]
mod body;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All files of a corpus go through a check; their number.
fn replay(corpus: &str, check: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus") {
        check(&std::fs::read(file.expect("a file").path()).expect("readable bytes"));
        count += 1;
    }
    count
}

#[test]
fn the_corpus_of_models_holds() {
    let count = replay("load_and_run", body::load_and_run);
    assert!(count >= 40, "only {count} files");
    assert_eq!(replay("load_and_run", body::parse), count);
}

#[test]
fn the_corpus_of_the_parser_holds() {
    let count = replay("parse", body::parse);
    assert!(count >= 5, "only {count} files");
    assert_eq!(replay("parse", body::load_and_run), count);
}

#[test]
fn the_corpus_of_draws_holds() {
    let count = replay("execute", body::execute);
    assert!(count >= 20, "only {count} files");
}
