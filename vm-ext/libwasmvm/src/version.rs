//! Who this library is: to wasmd the wasmvm it stands for, to its operator itself.

use std::ffi::{c_char, CStr};

/// The wasmvm whose ABI this is. wasmd compares it with its own when it starts.
const WASMVM: &CStr = c"3.0.7";

/// Our own version and build: what `aiinference_version_str` answers and the log says.
pub(crate) const OWN: &str = concat!(
    "aiinference ",
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("AIINFERENCE_BUILD"),
    ")"
);
const OWN_C: &str = concat!(
    "aiinference ",
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("AIINFERENCE_BUILD"),
    ")\0"
);

/// Version of wasmvm, as a C string that lives as long as the library.
#[no_mangle]
pub extern "C" fn version_str() -> *const c_char {
    WASMVM.as_ptr()
}

/// Our own version and build, as a C string that lives as long as the library. Not in wasmvm's header.
#[no_mangle]
pub extern "C" fn aiinference_version_str() -> *const c_char {
    OWN_C.as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_c_strings() {
        let read = |version: *const c_char| unsafe { CStr::from_ptr(version) }.to_str().unwrap();
        assert_eq!(read(version_str()), "3.0.7");
        assert_eq!(read(aiinference_version_str()), OWN);
    }
}
