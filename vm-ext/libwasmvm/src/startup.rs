//! What happens when a node opens its cache: the log, the kernels' self-test, the observers.

use std::{
    fmt::Display,
    sync::{Arc, Once},
};

use aiinference_engine::selftest;
use aiinference_types::abi::CAPABILITY;
use aiinference_vm::{Kernels, Observer, Runtime};
use cosmwasm_vm::Config;
use tracing_subscriber::EnvFilter;

use crate::{
    cache::NodeVm,
    error::Error,
    metrics,
    observers::{Observers, TraceLog},
    settings::{self, Settings},
    version,
};

/// Starts the log to stderr, where the node's own goes too. Once a process.
pub(crate) fn log() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let wanted = std::env::var(settings::LOG).unwrap_or_default();
        let filter = EnvFilter::builder().parse_lossy(if wanted.is_empty() { "info" } else { &wanted });
        // Somebody else's subscriber in this process serves as well.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            // A full disk behind stderr must not become a panic in a contract's call.
            .log_internal_errors(false)
            .try_init();
    });
}

/// Adds the capability where the node forces it, and makes the runtime with kernels that have been tried.
pub(crate) fn prepare(config: &mut Config, settings: &Settings) -> Result<Arc<Runtime>, Error> {
    let capabilities = &mut config.cache.available_capabilities;
    let listed = capabilities.contains(CAPABILITY);
    if settings.force_capability && !listed {
        tracing::warn!(
            "{}=1: the extension is on though the application does not list the capability {CAPABILITY}. Nodes of one \
             chain must agree on this, or they part",
            settings::FORCE_CAPABILITY
        );
        capabilities.insert(CAPABILITY.to_string());
    }
    let mut runtime = settings.runtime.clone();
    if listed || settings.force_capability {
        runtime.kernels = tried(runtime.kernels, selftest)?;
        tracing::info!(
            version = version::OWN,
            kernels = runtime.kernels.name(),
            cache_bytes = runtime.cache_bytes,
            "inference is on"
        );
    } else {
        // Not shown by default: off, the library says no more than the stock one, whose users may read stderr.
        tracing::debug!(
            version = version::OWN,
            "inference is off: the application does not list the capability {CAPABILITY}"
        );
    }
    Ok(Arc::new(Runtime::new(runtime)))
}

/// The kernels, or the scalar ones where they fail the test. An error where those fail too: such a machine cannot validate.
fn tried<E: Display>(kernels: Kernels, test: impl Fn(&Kernels) -> Result<(), E>) -> Result<Kernels, E> {
    let Err(failure) = test(&kernels) else {
        return Ok(kernels);
    };
    tracing::error!(
        kernels = kernels.name(),
        "{failure}. THESE KERNELS COMPUTE WRONG BITS ON THIS MACHINE; the scalar ones are used instead, which are slower. \
         Report the CPU model, and set {}=scalar",
        settings::KERNELS
    );
    let scalar = Kernels::scalar();
    test(&scalar)?;
    Ok(scalar)
}

/// Switches on what the node wants to see of its inferences.
pub(crate) fn observe(vm: &mut NodeVm, settings: &Settings) {
    let mut observers: Vec<Box<dyn Observer>> = Vec::new();
    let Some(runtime) = vm.runtime() else { return };
    if let Some(address) = settings.metrics {
        // Metrics are no reason to stop a validator.
        match metrics::serve(address, runtime.kernels()) {
            Ok(observer) => {
                tracing::info!("metrics are served at http://{address}/metrics");
                observers.push(Box::new(observer));
            }
            Err(error) => tracing::error!(
                "serving metrics at {address}: {error}; the node goes on without. Set {} to a free address",
                settings::METRICS
            ),
        }
    }
    if let Some(trace) = &settings.trace {
        match TraceLog::open(trace) {
            Ok(observer) => {
                tracing::info!(file = %trace.file.display(), "inferences are logged");
                observers.push(Box::new(observer));
            }
            Err(error) => tracing::error!(
                "logging inferences to {}: {error}; the node goes on without. Set {} to a file that can be written",
                trace.file.display(),
                settings::TRACE
            ),
        }
    }
    if !observers.is_empty() {
        vm.set_observer(Arc::new(Observers(observers)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(names: &'static [&'static str]) -> impl Fn(&Kernels) -> Result<(), String> {
        move |kernels| match names.contains(&kernels.name()) {
            true => Err("a bit differs".to_string()),
            false => Ok(()),
        }
    }

    #[test]
    fn kernels_that_pass_are_used_and_others_give_way_to_the_scalar_ones() {
        let fast = Kernels::auto();
        assert_eq!(tried(fast, failing(&[])).unwrap().name(), fast.name());
        if fast.name() != "scalar" {
            assert_eq!(
                tried(
                    fast,
                    failing(&["sse2", "avx2", "avx512", "avx512vnni", "neon", "dotprod"])
                )
                .unwrap()
                .name(),
                "scalar"
            );
        }
    }

    #[test]
    fn a_machine_that_fails_the_scalar_test_opens_no_cache() {
        assert!(tried(Kernels::auto(), failing(&Kernels::NAMES)).is_err());
    }

    #[test]
    fn every_set_of_kernels_here_passes_the_self_test() {
        for kernels in Kernels::available() {
            selftest(&kernels).unwrap();
        }
    }
}
