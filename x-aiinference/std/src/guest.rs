//! The imports of a contract compiled to Wasm. The only unsafe code of this crate.

use crate::Error;

/// A stretch of linear memory, as CosmWasm contracts and VMs describe it to each other.
#[repr(C)]
struct Region {
    offset: u32,
    capacity: u32,
    length: u32,
}

#[link(wasm_import_module = "aiinference")]
extern "C" {
    fn infer(request: u32) -> u32;
    fn model_info(request: u32) -> u32;
    fn verify_proof(request: u32) -> u32;
}

/// States that this contract needs a chain with the extension.
#[no_mangle]
extern "C" fn requires_aiinference_1() {}

/// Hands a request to the import `infer`; the raw answer, in its JSON envelope.
pub fn call_infer(request: &[u8]) -> Result<Vec<u8>, Error> {
    // Safety: see `call`.
    call(request, |region| unsafe { infer(region) })
}

/// Hands a request to the import `model_info`; the raw answer, in its JSON envelope.
pub fn call_model_info(request: &[u8]) -> Result<Vec<u8>, Error> {
    // Safety: see `call`.
    call(request, |region| unsafe { model_info(region) })
}

/// Hands a request to the import `verify_proof`; the raw answer, in its JSON envelope.
pub fn call_verify_proof(request: &[u8]) -> Result<Vec<u8>, Error> {
    // Safety: see `call`.
    call(request, |region| unsafe { verify_proof(region) })
}

fn call(request: &[u8], import: impl FnOnce(u32) -> u32) -> Result<Vec<u8>, Error> {
    let length = request.len() as u32;
    let region = Region {
        offset: request.as_ptr() as u32,
        capacity: length,
        length,
    };
    // The host reads the region and the request, which both outlive the call, and writes neither.
    let answer = import(&raw const region as u32);
    if answer == 0 {
        return Err(Error::InvalidAnswer("it is a null pointer"));
    }
    // Safety: the host obtained the answer from this module's own export `allocate`, which is cosmwasm-std's in both
    // versions: a `Box` of three u32 (size 12, alignment 4, as `Region` here) that describes a `Vec<u8>` by pointer,
    // capacity and length; the host then wrote `length <= capacity` bytes. It keeps no reference: both are ours, and
    // are freed once, by the same allocator.
    unsafe {
        let region = Box::from_raw(answer as *mut Region);
        Ok(Vec::from_raw_parts(
            region.offset as *mut u8,
            region.length as usize,
            region.capacity as usize,
        ))
    }
}
