#!/usr/bin/env bash
# Runs the engine's tests as 64-bit ARM would: compiled for it, and run by qemu-user with NEON and its dot products. Needs
# Debian's packages qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, and the sources of the standard library, which rustup
# brings as rust-src. Arguments go to `cargo test`: `scripts/test-aarch64.sh --lib`.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

use_aarch64
cd "$root"
exec cargo test "${aarch64[@]}" -p aiinference-engine "$@"
