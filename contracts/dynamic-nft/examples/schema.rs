//! Writes `schema/`: `cargo run --release -p dynamic-nft --example schema`.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    fs::create_dir_all(&folder)?;
    for (name, json) in dynamic_nft::schema::files() {
        fs::write(folder.join(name), json)?;
    }
    Ok(())
}
