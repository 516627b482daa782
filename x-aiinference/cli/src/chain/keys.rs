//! `aiinference keys`

use std::{env, io, path::PathBuf};

use aiinference_client::{read_secret, read_text, write_secret, Key, DEFAULT_PATH};
use anyhow::{bail, Context, Result};
use clap::Subcommand;
use serde_json::json;

use super::KeysFolder;

/// The environment variable that may hold a mnemonic.
pub const MNEMONIC: &str = "AIINFERENCE_MNEMONIC";

#[derive(clap::Args)]
#[command(after_help = "\
A key is a file of mode 0600 in the folder. Nothing ever prints a secret.

Examples:
  aiinference keys add alice --mnemonic-file words.txt
  aiinference keys add alice --new-mnemonic words.txt    # makes one; keep that file safe
  aiinference keys list --prefix wasm

  # from wasmd's test keyring
  wasmd keys export alice --unarmored-hex --unsafe --keyring-backend test --home HOME -y \\
      | aiinference keys import alice")]
pub struct KeysArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    folder: KeysFolder,
    /// What addresses of the chain begin with, for showing them
    #[arg(long, global = true, default_value = "wasm")]
    prefix: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Add a key of a BIP-39 mnemonic, from a file or from AIINFERENCE_MNEMONIC
    Add {
        /// What to call it: letters, digits, - and _
        name: String,
        /// A file with the words, of mode 0600
        #[arg(long, value_name = "FILE")]
        mnemonic_file: Option<PathBuf>,
        /// Make a new mnemonic of 24 words and write it to this new file
        #[arg(long, value_name = "FILE", conflicts_with = "mnemonic_file")]
        new_mnemonic: Option<PathBuf>,
        /// Which key of the mnemonic
        #[arg(long, default_value = DEFAULT_PATH, value_name = "PATH")]
        hd_path: String,
    },
    /// Add a private key of 64 hexadecimal digits, read from standard input
    Import {
        /// What to call it: letters, digits, - and _
        name: String,
    },
    /// List all keys
    List,
    /// Show a key's address and public key
    Show {
        /// Its name
        name: String,
    },
    /// Delete a key for good
    Delete {
        /// Its name
        name: String,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

pub fn keys(args: &KeysArgs) -> Result<()> {
    let ring = args.folder.open()?;
    let names = match &args.command {
        Command::Add {
            name,
            mnemonic_file,
            new_mnemonic,
            hd_path,
        } => {
            // Before a mnemonic is made for it.
            ring.check_new(name)?;
            let key = match new_mnemonic {
                Some(path) => {
                    let words = Key::new_mnemonic()?;
                    let key = Key::from_mnemonic(&words, hd_path)?;
                    write_secret(path, words.as_bytes())?;
                    key
                }
                None => mnemonic_key(mnemonic_file.as_deref(), hd_path)?.with_context(|| {
                    format!("adding key {name}: name a --mnemonic-file, set {MNEMONIC}, or ask for a --new-mnemonic")
                })?,
            };
            ring.add(name, &key)?;
            vec![name.clone()]
        }
        Command::Import { name } => {
            ring.check_new(name)?;
            let text = read_text(io::stdin().lock()).context("reading a private key from standard input")?;
            let Some(text) = text else {
                bail!("reading a private key from standard input: that is none; see `aiinference keys --help`");
            };
            ring.add(name, &Key::from_hex(&text)?)?;
            vec![name.clone()]
        }
        Command::List => ring.names()?,
        Command::Show { name } => vec![name.clone()],
        Command::Delete { name, yes: false } => {
            ring.get(name)?;
            bail!(
                "deleting key {name}: it cannot be brought back without its mnemonic; repeat with --yes if you mean it"
            );
        }
        Command::Delete { name, yes: true } => {
            ring.delete(name)?;
            eprintln!("deleted key {name}");
            return Ok(());
        }
    };
    let mut shown = Vec::new();
    for name in names {
        let key = ring.get(&name)?;
        let (address, public) = (key.address(&args.prefix)?, hex::encode(key.public_key().to_bytes()));
        if !args.json {
            println!("{name:<16} {address}  {public}");
        }
        shown.push(json!({ "name": name, "address": address.as_ref(), "public_key": public }));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else if shown.is_empty() {
        eprintln!("there are no keys yet; `aiinference keys add --help` says how to add one");
    }
    Ok(())
}

/// The key of a mnemonic in a file, or else in the environment; None if neither is named.
pub fn mnemonic_key(file: Option<&std::path::Path>, path: &str) -> Result<Option<Key>> {
    let words = match file {
        Some(file) => read_secret(file)?,
        None => match env::var(MNEMONIC) {
            Ok(words) => zeroize::Zeroizing::new(words),
            Err(env::VarError::NotPresent) => return Ok(None),
            Err(env::VarError::NotUnicode(_)) => bail!("reading {MNEMONIC}: it is no text"),
        },
    };
    Ok(Some(Key::from_mnemonic(&words, path)?))
}
