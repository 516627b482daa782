#!/usr/bin/env bash
# Fuzzes every target of every `fuzz` crate in the tree, FUZZ_SECONDS (60) each, with cargo-fuzz on a nightly toolchain.
# It begins with that crate's corpus, which the ordinary tests replay, and with what earlier runs found: that is kept in the
# user's cache, and what is worth it is chosen from there by hand.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${FUZZ_SECONDS:-60}

crates=()
while IFS= read -r manifest; do
  crates+=("$(dirname "$manifest")")
done < <(cd "$root" && git ls-files '*fuzz/Cargo.toml' | sed "s|^|$root/|")
[ ${#crates[@]} -gt 0 ] || fail "no crate in the tree is called fuzz"

if ! cargo +nightly --version >/dev/null 2>&1; then
  say "installing a nightly toolchain with rustup"
  logged "$cache/log/rustup-nightly" rustup toolchain install nightly --profile minimal ||
    fail "there is no nightly Rust toolchain, and rustup could not install one (see $cache/log/rustup-nightly)" "check the network and run: rustup toolchain install nightly"
fi
tools=$cache/tools
if [ ! -x "$tools/bin/cargo-fuzz" ]; then
  say "building cargo-fuzz"
  logged "$cache/log/cargo-fuzz" cargo +nightly install cargo-fuzz --locked --root "$tools" ||
    fail "cargo-fuzz could not be built (see $cache/log/cargo-fuzz)" "check the network, then run this again"
fi

for crate in "${crates[@]}"; do
  targets=$(cd "$crate/.." && "$tools/bin/cargo-fuzz" fuzz list) || fail "cargo-fuzz cannot read ${crate#"$root"/}"
  for target in $targets; do
    say "fuzzing ${crate#"$root"/}: $target for $seconds s"
    found=$cache/fuzz/${crate#"$root"/}/$target
    mkdir -p "$found" "$crate/corpus/$target"
    (cd "$crate/.." && PATH="$tools/bin:$PATH" cargo +nightly fuzz run "$target" "$found" "fuzz/corpus/$target" -- "-max_total_time=$seconds") ||
      fail "the fuzz target $target of ${crate#"$root"/} found a failure" "the input lies in ${crate#"$root"/}/artifacts/$target; keep it in the corpus once it is fixed"
  done
done
