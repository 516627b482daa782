//! The checked-in schema is that of the messages.
//!
//! `UPDATE_SCHEMA=1 cargo test --workspace --release --test schema` writes it.

use std::{env, fs, path::Path};

use serde_json::Value;

#[test]
fn the_schema_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    for (name, json) in aiinference_registry::schema::files() {
        let path = folder.join(name);
        if env::var_os("UPDATE_SCHEMA").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &json).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        let stored: Value = serde_json::from_str(&stored).unwrap_or_default();
        let current: Value = serde_json::from_str(&json).unwrap();
        assert!(current["query"].is_object());
        let update = "UPDATE_SCHEMA=1 cargo test --workspace --release --test schema";
        assert!(stored == current, "{name} is not that of the messages; run: {update}");
    }
}
