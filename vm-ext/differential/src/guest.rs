//! The same as a Wasm module: `allocate` a line, have it answered (`respond`), read the text where the result points.

use crate::{answer, Request, RequestError};

/// Room for a request of so many bytes.
#[no_mangle]
extern "C" fn allocate(length: usize) -> *mut u8 {
    // Taken back by `respond`, which knows the length.
    Box::into_raw(vec![0u8; length].into_boxed_slice()).cast()
}

/// Answers the request in that room, which is given back: the place of the text in the low 32 bits, its length above.
/// The text stays until `release`.
///
/// # Safety
/// The room is one that `allocate` gave, of that length, and is used once.
#[no_mangle]
unsafe extern "C" fn respond(line: *mut u8, length: usize) -> u64 {
    // SAFETY: the caller's promise.
    let line = unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(line, length)) };
    let request = std::str::from_utf8(&line).ok().and_then(Request::parse);
    let answered = request.ok_or(RequestError::Malformed).and_then(|r| answer(&r));
    let text = answered.unwrap_or_else(|problem| format!("error {problem}\n"));
    let length = text.len() as u64;
    let place = Box::into_raw(text.into_boxed_str()).cast::<u8>() as u64;
    place | length << 32
}

/// Gives back what `respond` answered.
///
/// # Safety
/// Place and length are those of an answer, and are used once.
#[no_mangle]
unsafe extern "C" fn release(place: *mut u8, length: usize) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(place, length)) });
}
