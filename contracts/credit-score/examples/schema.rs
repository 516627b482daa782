//! Writes `schema/`: `cargo run --release -p credit-score --example schema`.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    fs::create_dir_all(&folder)?;
    for (name, json) in credit_score::schema::files() {
        fs::write(folder.join(name), json)?;
    }
    Ok(())
}
