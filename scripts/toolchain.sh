#!/usr/bin/env bash
# Brings what guest Wasm is built with into a folder of the user's cache: a Rust compiler that can compile `std` for
# wasm32-unknown-unknown (cosmwasm-vm refuses the bulk-memory opcodes of the prebuilt one), and wasm-opt.
# Installs nothing on the system. Does nothing, quietly, when everything is there.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"
export RUSTUP_MAX_RETRIES=1 RUST_BACKTRACE=0

target=wasm32-unknown-unknown
# The npm package `binaryen` carries wasm-opt for every platform that has Node.
binaryen=132.0.0

# --- the pinned native toolchain ---------------------------------------------------------------------------------

native_toolchain() {
  have cargo || fail "cargo is not installed" "install rustup (https://rustup.rs), then run this again"
  if ! rustc --version >/dev/null 2>&1; then
    have rustup || fail "rustc does not run: $(rustc --version 2>&1 | tail -n 1)" "install rustup (https://rustup.rs), then run this again"
    say "installing the Rust toolchain named in rust-toolchain.toml"
    logged "$cache/log/rustup-toolchain" rustup toolchain install ||
      fail "rustup could not install the toolchain named in rust-toolchain.toml" "check the network, or install it by hand with: rustup toolchain install"
  fi
  have cc || fail "there is no C compiler to link with" "install one (Debian: apt-get install gcc libc6-dev)"
}

# --- the compiler for guests: rustup ------------------------------------------------------------------------------

has_std_source() { [ -f "$1/lib/rustlib/src/rust/library/std/Cargo.toml" ]; }

# Limited in time: where rustup's server cannot be reached there is another way.
from_rustup() {
  local sysroot
  sysroot=$(rustc --print sysroot)
  if ! has_std_source "$sysroot"; then
    have rustup || return 1
    say "fetching rust-src and $target with rustup"
    mkdir -p "$cache/log"
    {
      limited 180 rustup component add rust-src && limited 180 rustup target add "$target"
    } >"$cache/log/rustup" 2>&1 </dev/null || return 1
    has_std_source "$sysroot" || return 1
  fi
  {
    printf 'guest_cargo=%q\n' "$(command -v cargo)"
    printf 'guest_sysroot=%q\n' "$sysroot"
  } >"$made/env.part"
}

# --- the compiler for guests: Debian ------------------------------------------------------------------------------

# apt with package lists and a cache of our own: it needs no root, and lists that are missing or old do not matter.
apt_options() {
  local state=$work/apt
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  printf '%s\n' -o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=/var/lib/dpkg/status" \
    -o "Dir::Cache=$state/cache" -o "APT::Sandbox::User=$(id -un)" -o "Acquire::Languages=none" -o "Acquire::Retries=2"
}

# Names the packages to unpack: the compiler's own, whatever version Debian has now, and what they need that this
# machine does not have. libc stays the system's.
debian_packages() {
  printf '%s\n' "$@" libstd-rust-web-dev
  apt-cache "${apt[@]}" depends libstd-rust-web-dev | sed -n 's/^ *Depends: \(libstd-rust-web-[^ ]*\)$/\1/p'
  # `Inst name (version …)`; upgrades name the installed version first: `Inst name [old] (new …)`.
  apt-get "${apt[@]}" install --simulate --no-install-recommends "$@" |
    sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | grep -vE '^(libc6|libc6-dev|libc-bin)$'
}

unpack_debian() {
  local packages
  packages=$(debian_packages "$@" | sort -u) || return 1
  mkdir -p "$work/deb" "$made/debian"
  # shellcheck disable=SC2086  # one word a package
  (cd "$work/deb" && logged "$cache/log/apt-download" apt-get "${apt[@]}" download $packages) || return 1
  local deb
  for deb in "$work"/deb/*.deb; do
    dpkg-deb -x "$deb" "$made/debian" || return 1
    rm "$deb"
  done
}

from_debian() {
  if ! have apt-get || ! have dpkg-deb; then
    fail "rustup could not fetch rust-src (see $cache/log/rustup), and this system has no apt-get to bring another compiler" \
      "check the network and run: rustup component add rust-src"
  fi
  local lld
  lld=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -path '*/bin/*' | head -n 1)
  [ -n "$lld" ] || fail "this Rust toolchain has no rust-lld, which links Wasm" "install the toolchain with rustup, then run this again"

  say "rustup cannot fetch rust-src here: unpacking Debian's rustc-web into the cache instead"
  mapfile -t apt < <(apt_options)
  logged "$cache/log/apt-update" apt-get "${apt[@]}" update ||
    fail "apt could not read the package lists (see $cache/log/apt-update)" "check /etc/apt/sources.list and the network, then run this again"
  apt-cache "${apt[@]}" show rustc-web >/dev/null 2>&1 ||
    fail "this system's package archive has no rustc-web" "bring rust-src with rustup: rustup component add rust-src"
  unpack_debian rustc-web cargo-web rust-web-src ||
    fail "Debian's rustc-web could not be unpacked (see $cache/log/apt-download)" "check the network and the free disk space, then run this again"

  # The compiler's libraries lie beside it and not on the system: small wrappers tell the loader, and nothing else sees it.
  local prefix=$made/debian/usr libraries tool
  libraries=$(dirname "$(find "$prefix/lib" -name 'librustc_driver*.so' | head -n 1)")
  mkdir -p "$made/bin"
  for tool in rustc cargo; do
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec %q "$@"\n' \
      "$libraries" "$prefix/bin/$tool" >"$made/bin/$tool"
    chmod +x "$made/bin/$tool"
  done
  {
    printf 'guest_cargo=%q\n' "$made/bin/cargo"
    printf 'guest_rustc=%q\n' "$made/bin/rustc"
    printf 'guest_linker=%q\n' "$lld"
    printf 'guest_sysroot=%q\n' "$prefix"
  } >"$made/env.part"
}

# The compiler must run, and must be as new as the workspace asks for.
check_compiler() {
  local wanted found
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  found=$("${guest_rustc:-rustc}" --version) ||
    fail "the compiler for guests does not run: ${guest_rustc:-rustc}" "see the lines above; a missing library is usually one to install with apt-get"
  "$guest_cargo" --version >/dev/null ||
    fail "cargo for guests does not run: $guest_cargo" "see the lines above; a missing library is usually one to install with apt-get"
  [ "$(printf '%s\n' "$wanted" "$(cut -d' ' -f2 <<<"$found")" | sort -V | head -n 1)" = "$wanted" ] ||
    fail "the compiler for guests is '$found', the workspace needs $wanted" "bring a newer one: rustup component add rust-src"
  has_std_source "$guest_sysroot" || fail "no source of std under $guest_sysroot" "remove $made and run this again"
}

# --- wasm-opt -------------------------------------------------------------------------------------------------------

wasm_opt() {
  local tool
  if have npm && have node; then
    say "fetching wasm-opt (npm package binaryen $binaryen)"
    logged "$cache/log/npm-binaryen" npm install --prefix "$made/npm" --no-audit --no-fund --ignore-scripts "binaryen@$binaryen" ||
      fail "npm could not fetch binaryen $binaryen (see $cache/log/npm-binaryen)" "check the network, then run this again"
    tool=$made/npm/node_modules/.bin/wasm-opt
  else
    tool=todo
  fi
  "$tool" --version >/dev/null || fail "wasm-opt does not run: $tool" "remove $made and run this again"
  printf 'guest_wasm_opt=%q\n' "$tool" >>"$made/env.part"
}

# ------------------------------------------------------------------------------------------------------------------

native_toolchain
made=$(guest_toolchain)
if [ ! -f "$made/env" ]; then
  locked guest-toolchain
fi
if [ ! -f "$made/env" ]; then
  rm -rf "$made"
  work=$made/work
  mkdir -p "$work"
  from_rustup || from_debian
  # shellcheck source=/dev/null
  . "$made/env.part"
  check_compiler
  wasm_opt
  rm -rf "$work"
  mv "$made/env.part" "$made/env"
  # shellcheck source=/dev/null
  . "$made/env"
  say "guest toolchain ready: $("${guest_rustc:-rustc}" --version), $("$guest_wasm_opt" --version)"
fi
