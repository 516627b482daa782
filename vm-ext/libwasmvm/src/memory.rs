//! Bytes across the border: views of the other side's memory, and vectors that Rust allocates and frees for both.

use std::{mem::ManuallyDrop, ptr, slice};

/// A slice of Go's memory, lent for one call.
#[repr(C)]
#[derive(Debug)]
pub struct ByteSliceView {
    is_nil: bool,
    ptr: *const u8,
    len: usize,
}

impl ByteSliceView {
    /// The bytes; None for Go's nil.
    pub(crate) fn read(&self) -> Option<&[u8]> {
        if self.is_nil {
            return None;
        }
        if self.len == 0 {
            // The pointer of an empty slice may be null, which no Rust slice may have.
            return Some(&[]);
        }
        // SAFETY: Go passes pointer and length of a slice that it keeps alive and unmoved until the call returns; the
        // view is lent to the call, and so is what is read here.
        Some(unsafe { slice::from_raw_parts(self.ptr, self.len) })
    }

    /// A view of bytes that outlive the call it is passed to.
    pub fn of(bytes: Option<&[u8]>) -> Self {
        ByteSliceView {
            is_nil: bytes.is_none(),
            ptr: bytes.map_or(ptr::null(), <[u8]>::as_ptr),
            len: bytes.map_or(0, <[u8]>::len),
        }
    }
}

/// A slice of Rust's memory, lent to a function of Go.
#[repr(C)]
#[derive(Debug)]
pub struct U8SliceView {
    is_none: bool,
    ptr: *const u8,
    len: usize,
}

impl U8SliceView {
    pub(crate) fn new(bytes: Option<&[u8]>) -> Self {
        // Go's checks of pointers refuse the dangling one of an empty Rust slice.
        let filled = bytes.filter(|bytes| !bytes.is_empty());
        U8SliceView {
            is_none: bytes.is_none(),
            ptr: filled.map_or(ptr::null(), <[u8]>::as_ptr),
            len: filled.map_or(0, <[u8]>::len),
        }
    }
}

/// An optional vector that Rust allocates and frees, whoever makes it: Go through [`new_unmanaged_vector`]. Its owner
/// destroys it exactly once.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnmanagedVector {
    is_none: bool,
    ptr: *mut u8,
    len: usize,
    cap: usize,
}

impl UnmanagedVector {
    /// No vector.
    pub const NONE: Self = UnmanagedVector {
        is_none: true,
        ptr: ptr::null_mut(),
        len: 0,
        cap: 0,
    };

    /// Hands the bytes to whoever gets the vector.
    pub fn some(bytes: Vec<u8>) -> Self {
        if bytes.capacity() == 0 {
            // Nothing is allocated, so nothing leaks; and Go refuses the dangling pointer.
            return UnmanagedVector {
                is_none: false,
                ..UnmanagedVector::NONE
            };
        }
        let mut bytes = ManuallyDrop::new(bytes);
        UnmanagedVector {
            is_none: false,
            ptr: bytes.as_mut_ptr(),
            len: bytes.len(),
            cap: bytes.capacity(),
        }
    }

    /// Takes the bytes back.
    ///
    /// # Safety
    ///
    /// Parts as [`UnmanagedVector::some`] made them, and not taken before.
    pub unsafe fn consume(self) -> Option<Vec<u8>> {
        if self.is_none {
            None
        } else if self.cap == 0 {
            Some(Vec::new())
        } else {
            // SAFETY: the caller's promise; a capacity above 0 means that `some` took the parts of a vector.
            Some(unsafe { Vec::from_raw_parts(self.ptr, self.len, self.cap) })
        }
    }
}

impl Default for UnmanagedVector {
    fn default() -> Self {
        UnmanagedVector::NONE
    }
}

/// Makes a vector with a copy of Go's bytes.
///
/// # Safety
///
/// Unless `nil`, `length` bytes can be read at `ptr`.
#[no_mangle]
pub unsafe extern "C" fn new_unmanaged_vector(nil: bool, ptr: *const u8, length: usize) -> UnmanagedVector {
    if nil {
        UnmanagedVector::NONE
    } else if length == 0 {
        UnmanagedVector::some(Vec::new())
    } else {
        // SAFETY: the caller's promise.
        UnmanagedVector::some(unsafe { slice::from_raw_parts(ptr, length) }.to_vec())
    }
}

/// Frees a vector.
///
/// # Safety
///
/// `v` came from this library and is destroyed once.
#[no_mangle]
pub unsafe extern "C" fn destroy_unmanaged_vector(v: UnmanagedVector) {
    // SAFETY: the caller's promise.
    drop(unsafe { v.consume() });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back_as_they_went() {
        for bytes in [None, Some(vec![]), Some(vec![1, 2, 3]), Some(Vec::with_capacity(10))] {
            let vector = bytes.clone().map_or(UnmanagedVector::NONE, UnmanagedVector::some);
            assert_eq!(unsafe { vector.consume() }, bytes);
        }
        let copy = unsafe { new_unmanaged_vector(false, b"abc".as_ptr(), 3) };
        assert_eq!(unsafe { copy.consume() }, Some(b"abc".to_vec()));
        assert_eq!(unsafe { new_unmanaged_vector(true, ptr::null(), 0).consume() }, None);
        assert_eq!(
            unsafe { new_unmanaged_vector(false, ptr::null(), 0).consume() },
            Some(vec![])
        );
        unsafe { destroy_unmanaged_vector(UnmanagedVector::some(vec![1])) };
    }

    #[test]
    fn nothing_empty_carries_a_pointer() {
        assert!(UnmanagedVector::some(Vec::new()).ptr.is_null());
        assert!(U8SliceView::new(Some(&[])).ptr.is_null());
        assert!(U8SliceView::new(None).ptr.is_null());
        assert!(!U8SliceView::new(Some(&[])).is_none);
        assert_eq!(ByteSliceView::of(Some(&[])).read(), Some(&[][..]));
        assert_eq!(ByteSliceView::of(None).read(), None);
        assert_eq!(ByteSliceView::of(Some(b"ab")).read(), Some(&b"ab"[..]));
    }
}
