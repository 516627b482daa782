//! The configuration file.

use std::{
    collections::BTreeSet,
    env,
    fmt::Display,
    fs,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use aiinference_client::{read_secret, Coin, GasPrice, Key, DEFAULT_PATH};
use serde::Deserialize;
use url::Url;

use crate::{
    error::{RelayError, Result},
    packet::{is_name, End},
};

/// Bytes of the largest configuration that is read.
const MAX_FILE: u64 = 1 << 20;

/// Parts of a period that are meant: with less, of the usual three weeks, a light client expires within half an hour.
const FRACTIONS: RangeInclusive<f64> = 0.001..=0.95;

/// Seconds between scans, and between the clocks of two chains.
const SCANS: RangeInclusive<u64> = 1..=86_400;
const DRIFTS: RangeInclusive<u64> = 1..=3_600;

/// Characters of a chain's id, at most.
const MAX_ID: usize = 64;

/// What `config init` writes.
pub const TEMPLATE: &str = r#"# aiinference-relay. Every setting that is commented out shows its default.

# metrics = "127.0.0.1:9460"    # Prometheus, on loopback only; off if not set
# scan_seconds = 30             # how often chain state is searched for packets whose events were missed

[[chains]]
id = "provider-1"
rpc = ["http://127.0.0.1:26657"]    # the next one is taken when one fails
key_file = "relayer.mnemonic"       # a mnemonic or 64 hexadecimal digits, mode 0600; or key_env = "VARIABLE"
# derivation_path = "m/44'/118'/0'/0/0"
gas_price = "0stake"
# gas_margin = 1.2              # gas limits are what a trial used, times this
# max_gas = 40000000            # of one transaction
# max_messages = 60             # in one transaction
# max_bytes = 600000            # of one transaction
# trusting_fraction = 0.66      # of the unbonding period, for clients that `link` makes
# refresh_fraction = 0.66       # clients of this chain are refreshed when so much of their trusting period is over
# clock_drift_seconds = 40      # for clients that `link` makes

[[chains]]
id = "consumer-1"
rpc = ["http://127.0.0.1:26757"]
key_file = "relayer.mnemonic"
gas_price = "0stake"

# `link --write` adds channels here:
# [[channels]]
# a = { chain = "provider-1", port = "transfer", channel = "channel-0" }
# b = { chain = "consumer-1", port = "transfer", channel = "channel-0" }
# max_gas = 20000000            # of one packet's message; more is left
# minimum_reward = "100stake"   # aiinference-1 only: packets that pay less for being received are left
"#;

/// A whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub metrics: Option<SocketAddr>,
    #[serde(default = "defaults::scan_seconds")]
    pub scan_seconds: u64,
    #[serde(default)]
    pub chains: Vec<ChainConfig>,
    #[serde(default)]
    pub channels: Vec<ChannelConfig>,
    /// The folder that paths in it are relative to.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// That a number is one of these; what is none at all (`nan`) is not.
fn within<T: PartialOrd + Display>(
    name: &str,
    value: &T,
    range: &RangeInclusive<T>,
) -> std::result::Result<(), String> {
    match range.contains(value) {
        true => Ok(()),
        false => Err(format!(
            "{name} is {value}, it must be {} to {}",
            range.start(),
            range.end()
        )),
    }
}

/// One chain, and how this relayer pays on it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    pub id: String,
    pub rpc: Vec<String>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    #[serde(default)]
    pub key_env: Option<String>,
    #[serde(default = "defaults::derivation_path")]
    pub derivation_path: String,
    pub gas_price: String,
    #[serde(default = "defaults::gas_margin")]
    pub gas_margin: f64,
    #[serde(default = "defaults::max_gas")]
    pub max_gas: u64,
    #[serde(default = "defaults::max_messages")]
    pub max_messages: usize,
    #[serde(default = "defaults::max_bytes")]
    pub max_bytes: usize,
    #[serde(default = "defaults::fraction")]
    pub trusting_fraction: f64,
    #[serde(default = "defaults::fraction")]
    pub refresh_fraction: f64,
    #[serde(default = "defaults::clock_drift_seconds")]
    pub clock_drift_seconds: u64,
}

/// A channel to relay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    pub a: EndConfig,
    pub b: EndConfig,
    /// The most gas for one packet's message.
    #[serde(default)]
    pub max_gas: Option<u64>,
    /// The least that the answering contract must pay for a packet.
    #[serde(default)]
    pub minimum_reward: Option<String>,
}

/// One end of a channel to relay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndConfig {
    pub chain: String,
    pub port: String,
    pub channel: String,
}

impl EndConfig {
    pub fn end(&self) -> End {
        End {
            port: self.port.clone(),
            channel: self.channel.clone(),
        }
    }
}

mod defaults {
    pub fn scan_seconds() -> u64 {
        30
    }
    pub fn derivation_path() -> String {
        super::DEFAULT_PATH.into()
    }
    pub fn gas_margin() -> f64 {
        1.2
    }
    pub fn max_gas() -> u64 {
        40_000_000
    }
    pub fn max_messages() -> usize {
        60
    }
    pub fn max_bytes() -> usize {
        600_000
    }
    pub fn fraction() -> f64 {
        0.66
    }
    pub fn clock_drift_seconds() -> u64 {
        40
    }
}

impl Config {
    /// Reads a configuration and checks it.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |reason: String| RelayError::Config {
            path: path.into(),
            reason,
        };
        let facts = fs::metadata(path)
            .map_err(|error| failed(format!("{error}; write one with `aiinference-relay config init`")))?;
        if facts.len() > MAX_FILE {
            return Err(failed(format!("it is above {MAX_FILE} bytes")));
        }
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let folder = path.parent().map(PathBuf::from).unwrap_or_default();
        Self::parse(&text, folder).map_err(failed)
    }

    /// The same from its text.
    pub fn parse(text: &str, folder: PathBuf) -> std::result::Result<Self, String> {
        let mut config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.folder = folder;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let mut ids = BTreeSet::new();
        for chain in &self.chains {
            if !ids.insert(&chain.id) {
                return Err(format!("chain {} is there twice", chain.id));
            }
            chain
                .check()
                .map_err(|reason| format!("chain {}: {reason}", chain.id))?;
        }
        within("scan_seconds", &self.scan_seconds, &SCANS)?;
        if self.metrics.is_some_and(|address| !address.ip().is_loopback()) {
            return Err("metrics must listen on loopback, like 127.0.0.1:9460".into());
        }
        let mut ends = BTreeSet::new();
        for channel in &self.channels {
            if channel.a.chain == channel.b.chain {
                return Err(format!("channel {}: both ends are on one chain", channel.a.channel));
            }
            for end in [&channel.a, &channel.b] {
                if !is_name(&end.port) || !is_name(&end.channel) {
                    return Err(format!(
                        "channel {:?}: it or its port {:?} is no name that chains have",
                        end.channel, end.port
                    ));
                }
                if !ids.contains(&end.chain) {
                    return Err(format!("channel {}: there is no chain {}", end.channel, end.chain));
                }
                if !ends.insert(end) {
                    return Err(format!("channel {} of {} is there twice", end.channel, end.chain));
                }
            }
            channel
                .reward()
                .map_err(|reason| format!("channel {}: minimum_reward: {reason}", channel.a.channel))?;
        }
        Ok(())
    }

    /// The chain of an id.
    pub fn chain(&self, id: &str) -> Result<&ChainConfig> {
        self.chains.iter().find(|chain| chain.id == id).ok_or_else(|| {
            let known: Vec<&str> = self.chains.iter().map(|chain| chain.id.as_str()).collect();
            RelayError::UnknownChain {
                wanted: id.into(),
                known: known.join(", "),
            }
        })
    }

    /// How often chain state is scanned.
    pub fn scan_interval(&self) -> Duration {
        Duration::from_secs(self.scan_seconds)
    }
}

impl ChainConfig {
    fn check(&self) -> std::result::Result<(), String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.id.is_empty() || self.id.len() > MAX_ID || !self.id.chars().all(good) {
            return Err(format!("id must be 1 to {MAX_ID} letters, digits and -_."));
        }
        if self.rpc.is_empty() {
            return Err("rpc names no node".into());
        }
        for node in &self.rpc {
            let url = Url::parse(node).ok();
            if !url.is_some_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) {
                return Err(format!("rpc: {node:?} is no address like http://127.0.0.1:26657"));
            }
        }
        match (&self.key_file, &self.key_env) {
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err("give either key_file or key_env".into()),
        }
        self.price()?;
        within("gas_margin", &self.gas_margin, &(1.0..=10.0))?;
        for (name, fraction) in [
            ("trusting_fraction", self.trusting_fraction),
            ("refresh_fraction", self.refresh_fraction),
        ] {
            within(name, &fraction, &FRACTIONS)?;
        }
        within("clock_drift_seconds", &self.clock_drift_seconds, &DRIFTS)?;
        if self.max_messages == 0 || self.max_gas == 0 {
            return Err("max_messages and max_gas must be at least 1".into());
        }
        within("max_bytes", &self.max_bytes, &(10_000..=aiinference_client::MAX_TX))?;
        Ok(())
    }

    /// The price of gas.
    pub fn price(&self) -> std::result::Result<GasPrice, String> {
        self.gas_price
            .parse()
            .map_err(|error: aiinference_client::ClientError| error.to_string())
    }

    /// The key that pays on this chain.
    pub fn key(&self, folder: &Path) -> Result<Key> {
        let failed = |reason: String| RelayError::Key {
            chain: self.id.clone(),
            reason,
        };
        let secret = match (&self.key_file, &self.key_env) {
            (Some(file), _) => read_secret(&folder.join(file)).map_err(|error| failed(error.to_string()))?,
            (None, Some(name)) => env::var(name)
                .map(Into::into)
                .map_err(|_| failed(format!("the environment has no {name}")))?,
            (None, None) => return Err(failed("none is configured".into())),
        };
        Key::from_secret(&secret, &self.derivation_path).map_err(|error| failed(error.to_string()))
    }
}

impl ChannelConfig {
    /// The least reward, if there is one.
    pub fn reward(&self) -> std::result::Result<Option<Coin>, String> {
        let coin = self.minimum_reward.as_deref().map(str::parse::<Coin>);
        coin.transpose().map_err(|error| error.to_string())
    }

    /// The table as it stands in a file.
    pub fn to_toml(&self) -> String {
        let end = |end: &EndConfig| {
            let (chain, port, channel) = (&end.chain, &end.port, &end.channel);
            format!("{{ chain = {chain:?}, port = {port:?}, channel = {channel:?} }}")
        };
        format!("[[channels]]\na = {}\nb = {}\n", end(&self.a), end(&self.b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAINS: &str = r#"
[[chains]]
id = "one-1"
rpc = ["http://127.0.0.1:1"]
key_env = "KEY"
gas_price = "0.01stake"
[[chains]]
id = "two-1"
rpc = ["http://127.0.0.1:2"]
key_env = "KEY"
gas_price = "0stake"
"#;

    fn parse(more: &str) -> std::result::Result<Config, String> {
        Config::parse(&format!("{CHAINS}{more}"), PathBuf::new())
    }

    #[test]
    fn the_template_is_a_configuration_with_and_without_its_comments() {
        Config::parse(TEMPLATE, PathBuf::new()).unwrap();
        let all: String = TEMPLATE
            .lines()
            .filter(|line| !line.starts_with("# `") && !line.starts_with("# aiinference-relay."))
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line)))
            .collect();
        let config = Config::parse(&all, PathBuf::new()).unwrap();
        assert_eq!(config.channels.len(), 1);
        let plain = Config::parse(TEMPLATE, PathBuf::new()).unwrap();
        assert_eq!(
            config.chains[0].max_gas, plain.chains[0].max_gas,
            "comments show the defaults"
        );
        assert_eq!(config.chains[0].max_messages, plain.chains[0].max_messages);
        assert_eq!(config.chains[0].max_bytes, plain.chains[0].max_bytes);
        assert_eq!(config.scan_seconds, plain.scan_seconds);
    }

    #[test]
    fn a_channel_is_read_as_it_was_written() {
        let end = |chain: &str, channel: &str| EndConfig {
            chain: chain.into(),
            port: "transfer".into(),
            channel: channel.into(),
        };
        let channel = ChannelConfig {
            a: end("one-1", "channel-3"),
            b: end("two-1", "channel-9"),
            max_gas: None,
            minimum_reward: None,
        };
        let config = parse(&channel.to_toml()).unwrap();
        assert_eq!((&config.channels[0].a, &config.channels[0].b), (&channel.a, &channel.b));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_name() {
        let end = |chain: &str, id: &str| format!("{{ chain = \"{chain}\", port = \"transfer\", channel = \"{id}\" }}");
        let channel = |a: &str, b: &str| format!("[[channels]]\na = {a}\nb = {b}\n");
        let (one, two) = (end("one-1", "channel-0"), end("two-1", "channel-0"));
        let good = channel(&one, &two);
        parse(&good).unwrap();
        for (more, part) in [
            (channel(&one, &end("one-1", "channel-1")), "both ends"),
            (channel(&one, &end("six-1", "channel-1")), "six-1"),
            (good.clone() + &channel(&one, &end("two-1", "channel-7")), "twice"),
            (good.clone() + "minimum_reward = \"lots\"\n", "minimum_reward"),
            (good + "minimum = 1\n", "minimum"),
            (
                "[[chains]]\nid = \"x-1\"\nrpc = []\nkey_env=\"K\"\ngas_price=\"0stake\"\n".into(),
                "rpc",
            ),
            (
                "[[chains]]\nid = \"x-1\"\nrpc = [\"http://h\"]\ngas_price=\"0stake\"\n".into(),
                "key_file",
            ),
        ] {
            let error = parse(&more).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(Config::parse("metrics = \"0.0.0.0:1\"", PathBuf::new()).is_err());
    }

    #[test]
    fn numbers_out_of_their_range_are_refused_with_the_range() {
        let with = |setting: &str| parse_chain(setting).map(drop);
        for setting in [
            "trusting_fraction = 0.001",
            "trusting_fraction = 0.95",
            "refresh_fraction = 0.5",
            "clock_drift_seconds = 3600",
            "gas_margin = 1",
            "max_bytes = 10000",
        ] {
            with(setting).unwrap();
        }
        for (setting, part) in [
            (
                "trusting_fraction = 0.000999",
                "trusting_fraction is 0.000999, it must be 0.001 to 0.95",
            ),
            ("trusting_fraction = 0.00003", "trusting_fraction"),
            ("trusting_fraction = 0", "trusting_fraction"),
            ("trusting_fraction = -0.5", "trusting_fraction"),
            ("trusting_fraction = 1.0", "trusting_fraction"),
            ("trusting_fraction = nan", "trusting_fraction is NaN"),
            ("trusting_fraction = inf", "trusting_fraction is inf"),
            ("trusting_fraction = \"0.5\"", "trusting_fraction"),
            ("refresh_fraction = 0.0", "refresh_fraction"),
            ("refresh_fraction = nan", "refresh_fraction"),
            ("clock_drift_seconds = 0", "clock_drift_seconds"),
            ("clock_drift_seconds = 9223372036854775807", "clock_drift_seconds"),
            ("clock_drift_seconds = -1", "clock_drift_seconds"),
            ("gas_margin = nan", "gas_margin"),
            ("gas_margin = 0.9", "gas_margin"),
            ("max_gas = 0", "max_gas"),
            ("max_messages = 0", "max_messages"),
            ("max_bytes = 9999", "max_bytes is 9999"),
            ("max_bytes = 999999999", "max_bytes"),
        ] {
            let error = with(setting).unwrap_err();
            assert!(error.contains(part), "{setting}: {error}");
        }
        for seconds in ["0", "86401", "9223372036854775807", "-1"] {
            let text = format!("scan_seconds = {seconds}\n{CHAINS}");
            let error = Config::parse(&text, PathBuf::new()).unwrap_err();
            assert!(error.contains("scan_seconds"), "{error}");
        }
    }

    #[test]
    fn names_and_addresses_that_are_none_are_refused() {
        for (id, rpc, part) in [
            ("", "http://h", "id must be"),
            ("a b", "http://h", "id must be"),
            ("x-1", "h", "rpc: \"h\""),
            ("x-1", "", "rpc"),
            ("x-1", "ftp://h", "rpc"),
            ("x-1", "unix:/run/node", "rpc"),
        ] {
            let chain = format!("[[chains]]\nid = {id:?}\nrpc = [{rpc:?}]\nkey_env = \"K\"\ngas_price = \"0stake\"\n");
            let error = parse(&chain).unwrap_err();
            assert!(error.contains(part), "{id:?} {rpc:?}: {error}");
        }
        for price in ["", "stake", "-1stake", "1", "nanstake"] {
            let chain =
                format!("[[chains]]\nid = \"x-1\"\nrpc = [\"http://h\"]\nkey_env = \"K\"\ngas_price = {price:?}\n");
            assert!(parse(&chain).is_err(), "{price:?}");
        }
        let channel = "[[channels]]\na = { chain = \"one-1\", port = \"transfer\", channel = \"channel 0\" }\nb = { chain = \"two-1\", port = \"transfer\", channel = \"channel-0\" }\n";
        let error = parse(channel).unwrap_err();
        assert!(error.contains("no name that chains have"), "{error}");
    }

    /// A configuration with a setting of a chain.
    fn parse_chain(setting: &str) -> std::result::Result<Config, String> {
        let chain = "[[chains]]\nid = \"x-1\"\nrpc = [\"http://h\"]\nkey_env = \"K\"\ngas_price = \"0stake\"\n";
        parse(&format!("{chain}{setting}\n"))
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "1".repeat(64)).unwrap();
        let mut chain = parse("").unwrap().chains.remove(0);
        chain.key_file = Some("key".into());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = chain.key(folder.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chain.key(folder.path()).unwrap();
    }

    #[test]
    fn a_key_comes_from_the_environment_if_that_is_named() {
        let chain = parse("").unwrap().chains.remove(0);
        assert_eq!(chain.key_env.as_deref(), Some("KEY"));
        let other = ChainConfig {
            key_env: Some("NO_SUCH_VARIABLE_OF_THE_RELAYER".into()),
            ..chain
        };
        let error = other.key(Path::new("")).unwrap_err().to_string();
        assert!(error.contains("NO_SUCH_VARIABLE_OF_THE_RELAYER"), "{error}");
    }
}
