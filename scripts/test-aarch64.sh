#!/usr/bin/env bash
# Runs the engine's tests as 64-bit ARM would: compiled for it, and run by qemu-user with NEON and its dot products. Needs
# Debian's packages qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, and the sources of the standard library, which rustup
# brings as rust-src. Arguments go to `cargo test`: `scripts/test-aarch64.sh --lib`.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

for tool in qemu-aarch64 aarch64-linux-gnu-gcc; do
  have "$tool" || fail "there is no $tool" "install qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross"
done
[ -d "$(rustc --print sysroot)/lib/rustlib/src/rust/library" ] || fail "the sources of Rust's standard library are not there" "run: rustup component add rust-src"

# A standard library of the compiler's own version is built first: none has to be downloaded for this target.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
cd "$root"
exec cargo test -Zbuild-std=std,panic_abort --target aarch64-unknown-linux-gnu --target-dir target/aarch64 --release -p aiinference-engine "$@"
