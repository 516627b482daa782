//! The C ABI of wasmvm with the extension.
