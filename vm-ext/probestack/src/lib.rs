//! The symbol that wasmer's table of library calls names and that current Rust no longer brings along.
//!
//! wasmer 5.0.6 refers to `__rust_probestack` on x86_64. Rust generated calls to a function of that name for frames of
//! more than one page until inline probes replaced it; since then programs with this wasmer fail to link (or, as shared
//! libraries, to load). Singlepass code never calls it: it only has to exist. It is nevertheless a correct probe.

/// Makes sure that the linker takes the symbol along, for a program that calls this: the address of the probe, or 0 where none is needed.
pub fn address() -> usize {
    #[cfg(target_arch = "x86_64")]
    return std::hint::black_box(__rust_probestack as *const () as usize);
    #[cfg(not(target_arch = "x86_64"))]
    return 0;
}

/// Touches every page of the `rax` bytes below the caller's stack pointer, in falling order, so that a frame larger
/// than the guard page meets the guard page instead of jumping over it.
///
/// # Safety
///
/// Called by compiled code only, never from Rust: the size comes in `rax`. It keeps every register but `r11` and the
/// flags, which its calling convention leaves free, reads but never writes the probed memory, and restores `rsp` and
/// `rbp` before it returns. The stack pointer moves along with the probes, since a kernel may refuse to grow a stack
/// far below it.
#[cfg(target_arch = "x86_64")]
// SAFETY: no other object of a program built with this toolchain defines the symbol (two would fail to link), and the
// body, being naked, consists of the instructions below alone.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn __rust_probestack() {
    core::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "mov r11, rax",
        "2:",
        "cmp r11, 4096",
        "jbe 3f",
        "sub rsp, 4096",
        "test qword ptr [rsp], rsp",
        "sub r11, 4096",
        "jmp 2b",
        "3:",
        "sub rsp, r11",
        "test qword ptr [rsp], rsp",
        "mov rsp, rbp",
        "pop rbp",
        "ret",
    )
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Calls the probe with a size and reports whether the registers that it must keep were kept.
    fn probe(bytes: u64) -> bool {
        let (rax_after, rdi_after, rsp_change): (u64, u64, u64);
        // SAFETY: the probe reads `bytes` below the stack pointer, which the test thread's stack has, and changes only
        // r11 and the flags. `call` uses the 128 bytes of the red zone, so it is stepped over first.
        unsafe {
            core::arch::asm!(
                "mov {saved}, rsp",
                "sub rsp, 256",
                "and rsp, -16",
                "call {probe}",
                "lea r11, [rsp]",
                "mov rsp, {saved}",
                "sub r11, rsp",
                "neg r11",
                "mov {change}, r11",
                probe = sym __rust_probestack,
                saved = out(reg) _,
                change = lateout(reg) rsp_change,
                inout("rax") bytes => rax_after,
                inout("rdi") 0x5eed_u64 => rdi_after,
                out("r11") _,
            );
        }
        rax_after == bytes && rdi_after == 0x5eed && (256..256 + 16).contains(&rsp_change)
    }

    #[test]
    fn it_probes_any_size_and_keeps_the_registers() {
        assert_ne!(address(), 0);
        let outcome = std::thread::Builder::new()
            .stack_size(8 << 20)
            .spawn(|| [0, 1, 4095, 4096, 4097, 1 << 20, (1 << 22) + 3].map(probe))
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(outcome, [true; 7]);
    }
}
