//! The checked-in schema is that of the messages.

use std::{fs, path::Path};

use serde_json::Value;

#[test]
fn the_schema_is_up_to_date() {
    for (name, json) in dynamic_nft::schema::files() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
        let stored = fs::read_to_string(&path).unwrap_or_default();
        let stored: Value = serde_json::from_str(&stored).unwrap_or_default();
        let current: Value = serde_json::from_str(&json).unwrap();
        assert!(current["query"].is_object());
        assert_eq!(
            stored, current,
            "run: cargo run --release -p dynamic-nft --example schema"
        );
    }
}
