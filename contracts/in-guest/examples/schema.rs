//! Writes `schema/`: `cargo run --release -p in-guest --example schema`.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    fs::create_dir_all(&folder)?;
    for (name, json) in in_guest::schema::files() {
        fs::write(folder.join(name), json)?;
    }
    Ok(())
}
