//! `make demo`: the whole way on an embedded chain. Converts the four ONNX models of `contracts/`, stores and
//! instantiates everything, decides on credits, lets a collection of pictures live through twenty months of a market,
//! and writes a gallery to `target/demo/`. Prints what every call costs, beside the same model run in guest Wasm.

mod bench;
mod credit;
mod gallery;
mod market;
mod page;
mod sheet;
mod stage;

use std::{fs, path::PathBuf, time::Instant};

use aiinference_demo_models as models;
use anyhow::{Context, Result};
use clap::Parser;
use stage::Stage;

/// Runs the example contracts and their models on an embedded chain and writes a gallery page.
#[derive(Parser)]
struct Arguments {
    /// Where to write the gallery.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Also writes some of the pictures side by side into one PNG file: how docs/gallery.png is made.
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let out = arguments.out.unwrap_or_else(|| models::root().join("target/demo"));
    let say = |text: &str| println!("[{:5.1} s] {text}", begun.elapsed().as_secs_f64());

    say("converting the ONNX models to integers (kept in target/models for the next time)");
    let mut stage = Stage::new()?;
    for source in models::ALL {
        let module = source.module()?;
        let id = stage.store(source.name, &module)?;
        say(&format!(
            "  {}: {} bytes, stored as code {id}",
            source.name,
            module.len()
        ));
    }
    for name in ["credit-score", "dynamic-nft", "in-guest"] {
        let module = models::contract(name)?;
        let id = stage.store(name, &module)?;
        say(&format!(
            "  contract {name}: {} bytes, stored as code {id}",
            module.len()
        ));
    }

    say("credits: a tree ensemble decides, a neural network gives a second opinion");
    let credit = credit::run(&mut stage)?;
    credit.print();

    say("pictures: minting, and posting the market day by day");
    let gallery = gallery::run(&mut stage, |text| say(&format!("  {text}")))?;

    say("the same models once more, as guest Wasm inside a contract");
    let rows = bench::run(&mut stage, &credit, &gallery)?;
    bench::print(&rows);

    fs::create_dir_all(&out).with_context(|| format!("making the folder {}", out.display()))?;
    let page = page::write(&out, &gallery, &rows)?;
    if let Some(path) = arguments.sheet {
        let bytes = sheet::write(&path, &gallery)?;
        say(&format!("contact sheet: {} ({bytes} bytes)", path.display()));
    }
    say(&format!("done. Open {}", page.canonicalize().unwrap_or(page).display()));
    Ok(())
}
