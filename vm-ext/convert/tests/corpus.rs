//! The fuzzer's corpus, replayed.

#[path = "../fuzz/body.rs"]
mod body;

#[test]
fn the_corpus_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/convert");
    let mut count = 0;
    for file in std::fs::read_dir(folder).expect("the corpus") {
        body::check(&std::fs::read(file.expect("a file").path()).expect("readable bytes"));
        count += 1;
    }
    assert!(count >= 40, "only {count} files");
}
