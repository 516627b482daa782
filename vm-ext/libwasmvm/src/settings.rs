//! What the environment of a node sets. Read once, when the cache is opened.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `AIINFERENCE_FORCE_CAPABILITY` | unset | `1` adds the capability `aiinference_1`. **Dangerous: changes results.** |
//! | `AIINFERENCE_KERNELS` | `auto` | which inner loops run |
//! | `AIINFERENCE_CACHE_BYTES` | 268435456 | memory for decoded models |
//! | `AIINFERENCE_METRICS` | unset | address of the metrics listener, `127.0.0.1:9464` or just `9464` |
//! | `AIINFERENCE_TRACE` | unset | file to which every inference is logged |
//! | `AIINFERENCE_TRACE_BYTES` | 268435456 | size at which that file is moved aside, to `FILE.1` |
//! | `AIINFERENCE_LOG` | `info` | what is logged to stderr, in the syntax of `RUST_LOG` |

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use aiinference_vm::Kernels;

/// The one variable that changes behaviour: it switches the extension on though the application does not list the
/// capability. For test networks; a node alone in setting it falls out of consensus.
pub const FORCE_CAPABILITY: &str = "AIINFERENCE_FORCE_CAPABILITY";
/// Which inner loops run.
pub const KERNELS: &str = "AIINFERENCE_KERNELS";
/// Memory for decoded models, in bytes.
pub const CACHE_BYTES: &str = "AIINFERENCE_CACHE_BYTES";
/// Address of the metrics listener.
pub const METRICS: &str = "AIINFERENCE_METRICS";
/// The trace file.
pub const TRACE: &str = "AIINFERENCE_TRACE";
/// Largest size of the trace file, in bytes.
pub const TRACE_BYTES: &str = "AIINFERENCE_TRACE_BYTES";
/// Filter of the log.
pub const LOG: &str = "AIINFERENCE_LOG";

const DEFAULT_TRACE_BYTES: u64 = 256 << 20;

/// A variable has a value that it cannot have.
#[derive(Debug, thiserror::Error)]
#[error("reading the environment: {variable}={value:?} is not {expected}")]
pub struct SettingError {
    variable: &'static str,
    value: String,
    expected: &'static str,
}

/// What a node set.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) force_capability: bool,
    pub(crate) runtime: aiinference_vm::Settings,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) trace: Option<Trace>,
}

/// Where inferences are logged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) file: PathBuf,
    pub(crate) max_bytes: u64,
}

impl Settings {
    /// From the environment of the process.
    pub(crate) fn from_env() -> Result<Self, SettingError> {
        Settings::read(|variable| std::env::var_os(variable).map(|value| value.to_string_lossy().into_owned()))
    }

    /// From any source of variables. An empty value is none.
    fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let mut runtime = aiinference_vm::Settings::default();
        if let Some(name) = set(KERNELS) {
            let expected = "auto, or the name of kernels that this CPU runs: scalar; sse2, avx2, avx512 or avx512vnni; neon or dotprod";
            runtime.kernels = Kernels::by_name(&name).ok_or_else(|| error(KERNELS, name, expected))?;
        }
        if let Some(bytes) = set(CACHE_BYTES) {
            runtime.cache_bytes = number(CACHE_BYTES, bytes)?;
        }
        let force_capability = match set(FORCE_CAPABILITY).as_deref() {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => return Err(error(FORCE_CAPABILITY, other.to_string(), "0 or 1")),
        };
        let metrics = set(METRICS).map(address).transpose()?;
        let max_bytes = match set(TRACE_BYTES) {
            Some(bytes) => number(TRACE_BYTES, bytes)?,
            None => DEFAULT_TRACE_BYTES,
        };
        let trace = set(TRACE).map(|file| Trace {
            file: file.into(),
            max_bytes,
        });
        Ok(Settings {
            force_capability,
            runtime,
            metrics,
            trace,
        })
    }
}

fn error(variable: &'static str, value: String, expected: &'static str) -> SettingError {
    SettingError {
        variable,
        value,
        expected,
    }
}

fn number(variable: &'static str, value: String) -> Result<u64, SettingError> {
    value
        .parse()
        .map_err(|_| error(variable, value, "a number of bytes, such as 268435456"))
}

/// An address, or a port on loopback: the metrics leave the machine only where that is asked for.
fn address(value: String) -> Result<SocketAddr, SettingError> {
    if let Ok(port) = value.parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    value
        .parse()
        .map_err(|_| error(METRICS, value, "a port or an address with one, such as 127.0.0.1:9464"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&'static str, &str)]) -> Result<Settings, SettingError> {
        Settings::read(|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.to_string())
        })
    }

    #[test]
    fn without_variables_everything_is_off_or_at_its_default() {
        for settings in [with(&[]), with(&[(METRICS, ""), (TRACE, ""), (FORCE_CAPABILITY, "0")])] {
            let settings = settings.unwrap();
            assert!(!settings.force_capability && settings.metrics.is_none() && settings.trace.is_none());
            assert_eq!(settings.runtime.cache_bytes, 256 << 20);
        }
    }

    #[test]
    fn values_are_taken() {
        let settings = with(&[
            (FORCE_CAPABILITY, "1"),
            (KERNELS, "scalar"),
            (CACHE_BYTES, "1000"),
            (METRICS, "9464"),
            (TRACE, "inferences.jsonl"),
            (TRACE_BYTES, "5000"),
        ])
        .unwrap();
        assert!(settings.force_capability);
        assert_eq!(settings.runtime.kernels.name(), "scalar");
        assert_eq!(settings.runtime.cache_bytes, 1000);
        assert_eq!(settings.metrics.unwrap().to_string(), "127.0.0.1:9464");
        let trace = settings.trace.unwrap();
        assert_eq!((trace.file, trace.max_bytes), ("inferences.jsonl".into(), 5000));
        let elsewhere = with(&[(METRICS, "0.0.0.0:80")]).unwrap().metrics.unwrap();
        assert_eq!(elsewhere.to_string(), "0.0.0.0:80");
    }

    #[test]
    fn other_values_are_refused_by_name() {
        for (variable, value) in [
            (FORCE_CAPABILITY, "yes"),
            (KERNELS, "gpu"),
            (CACHE_BYTES, "256MiB"),
            (METRICS, "localhost"),
            (TRACE_BYTES, "-1"),
        ] {
            let text = with(&[(variable, value)]).unwrap_err().to_string();
            assert!(text.contains(variable) && text.contains(value), "{text}");
        }
    }
}
