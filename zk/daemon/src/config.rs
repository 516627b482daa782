//! The configuration file.

use std::{
    collections::BTreeSet,
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use aiinference_client::{coins, read_secret, Coin, GasPrice, Key, DEFAULT_PATH};
use serde::Deserialize;

use crate::error::{ProverError, Result};

/// Bytes of the largest configuration that is read.
const MAX_FILE: u64 = 1 << 20;

/// What `aiinference prover init` writes.
pub const TEMPLATE: &str = r#"# aiinference prover. Every setting that is commented out shows its default.

data = "prover"                     # the folder of its memory; one prover a folder
# metrics = "127.0.0.1:9461"        # Prometheus, on loopback only; off if not set
# poll_seconds = 5                  # how often the registry is asked when the WebSocket tells of no block
# private_inputs = "inputs"         # a folder of inputs that requests name by their hash, as HASH.json; none if not set

[chain]
id = "provider-1"
rpc = ["http://127.0.0.1:26657"]    # the next one is taken when one fails
registry = "wasm1..."               # the registry contract
key_file = "prover.mnemonic"        # a mnemonic or 64 hexadecimal digits, mode 0600; or key_env = "VARIABLE"
# derivation_path = "m/44'/118'/0'/0/0"
gas_price = "0stake"
# gas_margin = 1.3                  # gas limits are what a trial used, times this

[rules]
maximum_bond = "5000stake"          # the most that one request may hold back; without it, nothing is taken
# minimum_fee = ""                  # like "100stake": requests that pay less are left
# reserve = ""                      # like "1000stake": what the account keeps, for fees
# patience = 2.0                    # a window must be this many times the time that the proof is expected to take
# margin_seconds = 10               # and so much more, for blocks to come
# attempts = 3                      # proofs begun for one request before it is given up
# development_srs = false           # also take requests for circuits whose SRS anybody could have made

[[circuits]]
folder = "credit.circuit"           # as `aiinference prove setup` makes it
code_id = 7                         # where the chain has it: what `aiinference prove module` writes, uploaded
# minimum_fee = "500stake"          # in the place of the one above
"#;

/// A whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of the memory.
    pub data: PathBuf,
    /// Where metrics are served.
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    /// How often the registry is asked anyway.
    #[serde(default = "defaults::poll_seconds")]
    pub poll_seconds: u64,
    /// The folder of private inputs.
    #[serde(default)]
    pub private_inputs: Option<PathBuf>,
    /// The chain.
    pub chain: ChainConfig,
    /// What is taken.
    #[serde(default)]
    pub rules: RulesConfig,
    /// What can be proven.
    #[serde(default)]
    pub circuits: Vec<CircuitConfig>,
    /// The folder that paths in it are relative to.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// The chain, and how the prover pays on it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// Its id.
    pub id: String,
    /// Its nodes.
    pub rpc: Vec<String>,
    /// The registry's address.
    pub registry: String,
    /// The key's file.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The environment variable of the key.
    #[serde(default)]
    pub key_env: Option<String>,
    /// Where the key is derived.
    #[serde(default = "defaults::derivation_path")]
    pub derivation_path: String,
    /// What a unit of gas costs.
    pub gas_price: String,
    /// Gas limits over gas used in a trial.
    #[serde(default = "defaults::gas_margin")]
    pub gas_margin: f64,
}

/// What is taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// The least fee.
    pub minimum_fee: String,
    /// The largest bond.
    pub maximum_bond: String,
    /// What the account keeps.
    pub reserve: String,
    /// The window over the expected time.
    pub patience: f64,
    /// Seconds of the window for blocks to come.
    pub margin_seconds: u64,
    /// Proofs begun for one request.
    pub attempts: u32,
    /// Whether circuits of a development SRS are proven.
    pub development_srs: bool,
}

impl Default for RulesConfig {
    fn default() -> Self {
        RulesConfig {
            minimum_fee: String::new(),
            maximum_bond: String::new(),
            reserve: String::new(),
            patience: 2.0,
            margin_seconds: 10,
            attempts: 3,
            development_srs: false,
        }
    }
}

/// One circuit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CircuitConfig {
    /// Its folder.
    pub folder: PathBuf,
    /// Where the chain has it.
    pub code_id: u64,
    /// The least fee, for this one.
    #[serde(default)]
    pub minimum_fee: Option<String>,
}

mod defaults {
    pub fn poll_seconds() -> u64 {
        5
    }
    pub fn derivation_path() -> String {
        super::DEFAULT_PATH.into()
    }
    pub fn gas_margin() -> f64 {
        1.3
    }
}

impl Config {
    /// Reads a configuration and checks it.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |reason: String| ProverError::Config {
            path: path.into(),
            reason,
        };
        let facts =
            fs::metadata(path).map_err(|error| failed(format!("{error}; write one with `aiinference prover init`")))?;
        if facts.len() > MAX_FILE {
            return Err(failed(format!("it is above {MAX_FILE} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        Self::parse(&text, folder).map_err(failed)
    }

    /// The same from its text.
    pub fn parse(text: &str, folder: PathBuf) -> Result<Self, String> {
        let mut config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.folder = folder;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let chain = &self.chain;
        if chain.rpc.is_empty() {
            return Err("chain.rpc names no node".into());
        }
        match (&chain.key_file, &chain.key_env) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err("give either chain.key_file or chain.key_env".into()),
        }
        chain.price()?;
        if !(1.0..=10.0).contains(&chain.gas_margin) {
            return Err("chain.gas_margin must be 1 to 10".into());
        }
        if self.metrics.is_some_and(|address| !address.ip().is_loopback()) {
            return Err("metrics must listen on loopback, like 127.0.0.1:9461".into());
        }
        if !(1..=3600).contains(&self.poll_seconds) {
            return Err("poll_seconds must be 1 to 3600".into());
        }
        let rules = &self.rules;
        if !(1.0..=1000.0).contains(&rules.patience) {
            return Err("rules.patience must be 1 to 1000".into());
        }
        if rules.margin_seconds > 86_400 {
            return Err("rules.margin_seconds must be at most 86400".into());
        }
        if !(1..=100).contains(&rules.attempts) {
            return Err("rules.attempts must be 1 to 100".into());
        }
        for (name, text) in [
            ("rules.minimum_fee", &rules.minimum_fee),
            ("rules.maximum_bond", &rules.maximum_bond),
            ("rules.reserve", &rules.reserve),
        ] {
            amounts(text).map_err(|reason| format!("{name}: {reason}"))?;
        }
        for circuit in &self.circuits {
            let text = circuit.minimum_fee.as_deref().unwrap_or_default();
            amounts(text).map_err(|reason| format!("circuits: minimum_fee: {reason}"))?;
        }
        let mut codes = BTreeSet::new();
        if let Some(twice) = self.circuits.iter().find(|circuit| !codes.insert(circuit.code_id)) {
            return Err(format!("the circuit with code id {} is there twice", twice.code_id));
        }
        Ok(())
    }

    /// A path of the configuration, from where the program runs.
    pub fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// How often the registry is asked anyway.
    pub fn poll(&self) -> Duration {
        Duration::from_secs(self.poll_seconds)
    }

    /// The key.
    pub fn key(&self) -> Result<Key> {
        let failed = ProverError::Key;
        let chain = &self.chain;
        let secret = match (&chain.key_file, &chain.key_env) {
            (Some(file), _) => read_secret(&self.path(file)).map_err(|error| failed(error.to_string()))?,
            (None, Some(name)) => env::var(name)
                .map(Into::into)
                .map_err(|_| failed(format!("the environment has no {name}")))?,
            (None, None) => return Err(failed("none is configured".into())),
        };
        Key::from_secret(&secret, &chain.derivation_path).map_err(|error| failed(error.to_string()))
    }
}

impl ChainConfig {
    /// The price of gas.
    pub fn price(&self) -> Result<GasPrice, String> {
        let price = self.gas_price.parse();
        price.map_err(|error: aiinference_client::ClientError| error.to_string())
    }
}

/// A list of amounts; empty text is an empty list.
pub(crate) fn amounts(text: &str) -> Result<Vec<Coin>, String> {
    coins(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "data = \"d\"\n[chain]\nid = \"one-1\"\nrpc = [\"http://127.0.0.1:1\"]\nregistry = \"wasm1x\"\n";

    fn parse(more: &str) -> Result<Config, String> {
        Config::parse(&format!("{LEAST}{more}"), PathBuf::from("there"))
    }

    #[test]
    fn the_template_is_a_configuration_with_and_without_its_comments() {
        let plain = Config::parse(TEMPLATE, PathBuf::new()).unwrap();
        let all: String = TEMPLATE
            .lines()
            .filter(|line| !line.starts_with("# aiinference"))
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
            .collect();
        let shown = Config::parse(&all, PathBuf::new()).unwrap();
        assert_eq!(shown.poll_seconds, plain.poll_seconds, "comments show the defaults");
        assert_eq!(format!("{:?}", shown.rules), format!("{:?}", plain.rules));
        assert_eq!(shown.chain.derivation_path, plain.chain.derivation_path);
        assert_eq!(shown.chain.gas_margin, plain.chain.gas_margin);
        assert!(shown.metrics.is_some() && shown.private_inputs.is_some());
        assert_eq!(shown.circuits[0].minimum_fee.as_deref(), Some("500stake"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_name() {
        let good = "gas_price = \"0stake\"\nkey_env = \"KEY\"\n";
        parse(good).unwrap();
        for (more, part) in [
            ("gas_price = \"0stake\"\n".to_string(), "key_file"),
            (format!("{good}key_file = \"k\"\n"), "key_file"),
            ("gas_price = \"cheap\"\nkey_env = \"KEY\"\n".into(), "cheap"),
            (format!("{good}gas_margin = 0.5\n"), "gas_margin"),
            (format!("{good}[rules]\npatience = 0.1\n"), "patience"),
            (format!("{good}[rules]\nattempts = 0\n"), "attempts"),
            (format!("{good}[rules]\nminimum_fee = \"lots\"\n"), "rules.minimum_fee"),
            (format!("{good}[rules]\nmaximum_bonds = \"1stake\"\n"), "maximum_bonds"),
            (
                format!("{good}[[circuits]]\nfolder = \"a\"\ncode_id = 1\n[[circuits]]\nfolder = \"b\"\ncode_id = 1\n"),
                "twice",
            ),
        ] {
            let error = parse(&more).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let open = Config::parse(&format!("metrics = \"0.0.0.0:1\"\n{LEAST}{good}"), PathBuf::new());
        assert!(open.unwrap_err().contains("loopback"));
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused_and_no_key_is_shown() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let secret = "1".repeat(64);
        fs::write(&file, &secret).unwrap();
        let text = format!("{LEAST}gas_price = \"0stake\"\nkey_file = \"key\"\n");
        let config = Config::parse(&text, folder.path().into()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = config.key().unwrap_err().to_string();
        assert!(error.contains("chmod 600") && !error.contains(&secret), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let key = config.key().unwrap();
        assert!(!format!("{key:?} {config:?}").contains(&secret));
        fs::write(&file, "no key at all").unwrap();
        let error = config.key().unwrap_err().to_string();
        assert!(!error.contains("no key at all"), "{error}");
    }
}
