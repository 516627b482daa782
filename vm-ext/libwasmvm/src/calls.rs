//! The exports that run contracts. Safety: as in `cache`, and the tables of functions are Go's.

use aiinference_vm::{AiQuerier, Origin};
use cosmwasm_vm::{
    call_execute_raw, call_ibc2_packet_ack_raw, call_ibc2_packet_receive_raw, call_ibc2_packet_send_raw,
    call_ibc2_packet_timeout_raw, call_ibc_channel_close_raw, call_ibc_channel_connect_raw, call_ibc_channel_open_raw,
    call_ibc_destination_callback_raw, call_ibc_packet_ack_raw, call_ibc_packet_receive_raw,
    call_ibc_packet_timeout_raw, call_ibc_source_callback_raw, call_instantiate_raw, call_migrate_raw,
    call_migrate_with_info_raw, call_query_raw, call_reply_raw, call_sudo_raw, Backend, Instance, InstanceOptions,
    VmResult,
};

use crate::{
    api::GoApi,
    cache::{bytes, cache_t, checksum, vm},
    error::Error,
    guard::guarded,
    memory::{ByteSliceView, UnmanagedVector},
    querier::GoQuerier,
    storage::{Db, GoStorage},
};

/// What a call used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GasReport {
    /// What the call was given.
    pub limit: u64,
    /// What is left.
    pub remaining: u64,
    /// Used in storage, iterators and queries, which the chain has counted.
    pub used_externally: u64,
    /// Used by Wasm, by functions for addresses, and by inference.
    pub used_internally: u64,
}

type NodeInstance = Instance<GoApi, GoStorage, AiQuerier<GoQuerier>>;

/// What every entry point is called with.
struct Call<'a> {
    entry_point: &'static str,
    cache: *mut cache_t,
    checksum: ByteSliceView,
    env: &'a ByteSliceView,
    db: Db,
    api: GoApi,
    querier: GoQuerier,
    gas_limit: u64,
    print_debug: bool,
    gas_report: Option<&'a mut GasReport>,
}

impl Call<'_> {
    /// Runs one entry point in a new instance. Gas is reported whether it fails or not.
    ///
    /// # Safety
    ///
    /// As for the exports.
    unsafe fn run(self, entry: impl FnOnce(&mut NodeInstance) -> VmResult<Vec<u8>>) -> Result<Vec<u8>, Error> {
        // SAFETY: the caller's promise.
        let vm = unsafe { vm(self.cache) }?;
        let gas_report = self.gas_report.ok_or(Error::NoGasReport)?;
        let checksum = checksum(&self.checksum)?;
        let backend = Backend {
            api: self.api,
            storage: GoStorage::new(self.db),
            querier: self.querier,
        };
        let options = InstanceOptions {
            gas_limit: self.gas_limit,
        };
        let mut instance = vm.get_instance_for(&checksum, backend, options, || Origin {
            entry_point: self.entry_point,
            env: self.env.read().unwrap_or_default().to_vec(),
        })?;
        if self.print_debug {
            instance.set_debug_handler(|message, info| {
                tracing::info!(target: "aiinference::contract", gas_remaining = info.gas_remaining, "{message}");
            });
        }
        let result = entry(&mut instance);
        let used = instance.create_gas_report();
        *gas_report = GasReport {
            limit: used.limit,
            remaining: used.remaining,
            used_externally: used.used_externally,
            used_internally: used.used_internally,
        };
        Ok(result?)
    }
}

/// One argument's bytes. Stock names them by their position.
fn argument<'a>(view: &'a ByteSliceView, name: &'static str) -> Result<&'a [u8], Error> {
    view.read().ok_or(Error::UnsetArgument(name))
}

/// Exports an entry point: its name, the arguments that follow the checksum (`env` first), and the call.
macro_rules! entry_point {
    ($(#[$doc:meta])* $name:ident($env:ident $(, $arg:ident as $position:literal)*) => $call:path) => {
        $(#[$doc])*
        #[no_mangle]
        #[allow(clippy::too_many_arguments)] // the header's
        pub unsafe extern "C" fn $name(
            cache: *mut cache_t,
            checksum: ByteSliceView,
            $env: ByteSliceView,
            $($arg: ByteSliceView,)*
            db: Db,
            api: GoApi,
            querier: GoQuerier,
            gas_limit: u64,
            print_debug: bool,
            gas_report: Option<&mut GasReport>,
            error_msg: Option<&mut UnmanagedVector>,
        ) -> UnmanagedVector {
            let entry_point = stringify!($name);
            bytes(guarded(entry_point, error_msg, || {
                let call = Call {
                    entry_point,
                    cache,
                    checksum,
                    env: &$env,
                    db,
                    api,
                    querier,
                    gas_limit,
                    print_debug,
                    gas_report,
                };
                let env_bytes = argument(&$env, "arg1")?;
                $(let $arg = argument(&$arg, $position)?;)*
                // SAFETY: Go's promise, see the top of the module.
                unsafe { call.run(|instance| $call(instance, env_bytes $(, $arg)*)) }
            }))
        }
    };
}

entry_point! {
    /// Runs `instantiate`.
    instantiate(env, info as "arg2", msg as "arg3") => call_instantiate_raw
}
entry_point! {
    /// Runs `execute`.
    execute(env, info as "arg2", msg as "arg3") => call_execute_raw
}
entry_point! {
    /// Runs `migrate`.
    migrate(env, msg as "arg2") => call_migrate_raw
}
entry_point! {
    /// Runs `migrate` with what is known of the migration.
    migrate_with_info(env, msg as "arg2", migrate_info as "arg3") => call_migrate_with_info_raw
}
entry_point! {
    /// Runs `sudo`.
    sudo(env, msg as "arg2") => call_sudo_raw
}
entry_point! {
    /// Runs `reply`.
    reply(env, msg as "arg2") => call_reply_raw
}
entry_point! {
    /// Runs `query`.
    query(env, msg as "arg2") => call_query_raw
}
entry_point! {
    /// Runs `ibc_channel_open`.
    ibc_channel_open(env, msg as "arg2") => call_ibc_channel_open_raw
}
entry_point! {
    /// Runs `ibc_channel_connect`.
    ibc_channel_connect(env, msg as "arg2") => call_ibc_channel_connect_raw
}
entry_point! {
    /// Runs `ibc_channel_close`.
    ibc_channel_close(env, msg as "arg2") => call_ibc_channel_close_raw
}
entry_point! {
    /// Runs `ibc_packet_receive`.
    ibc_packet_receive(env, msg as "arg2") => call_ibc_packet_receive_raw
}
entry_point! {
    /// Runs `ibc_packet_ack`.
    ibc_packet_ack(env, msg as "arg2") => call_ibc_packet_ack_raw
}
entry_point! {
    /// Runs `ibc_packet_timeout`.
    ibc_packet_timeout(env, msg as "arg2") => call_ibc_packet_timeout_raw
}
entry_point! {
    /// Runs `ibc_source_callback`.
    ibc_source_callback(env, msg as "arg2") => call_ibc_source_callback_raw
}
entry_point! {
    /// Runs `ibc_destination_callback`.
    ibc_destination_callback(env, msg as "arg2") => call_ibc_destination_callback_raw
}
entry_point! {
    /// Runs `ibc2_packet_receive`.
    ibc2_packet_receive(env, msg as "arg2") => call_ibc2_packet_receive_raw
}
entry_point! {
    /// Runs `ibc2_packet_ack`.
    ibc2_packet_ack(env, msg as "arg2") => call_ibc2_packet_ack_raw
}
entry_point! {
    /// Runs `ibc2_packet_timeout`.
    ibc2_packet_timeout(env, msg as "arg2") => call_ibc2_packet_timeout_raw
}
entry_point! {
    /// Runs `ibc2_packet_send`.
    ibc2_packet_send(env, msg as "arg2") => call_ibc2_packet_send_raw
}
