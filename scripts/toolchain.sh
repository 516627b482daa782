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

# --- Debian's packages, unpacked into the cache -------------------------------------------------------------------

# prepare_apt: package lists and a cache of our own. They need no root, and it does not matter whether the system's
# lists are missing or old.
apt=()
prepare_apt() {
  [ ${#apt[@]} -eq 0 ] || return 0
  local state=$work/apt
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  apt=(-o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=/var/lib/dpkg/status"
    -o "Dir::Cache=$state/cache" -o "APT::Sandbox::User=$(id -un)" -o "Acquire::Languages=none" -o "Acquire::Retries=2")
  logged "$cache/log/apt-update" apt-get "${apt[@]}" update ||
    fail "apt could not read the package lists (see $cache/log/apt-update)" "check /etc/apt/sources.list and the network, then run this again"
}

# missing_packages NAME...: what those packages need that this machine does not have. libc stays the system's.
missing_packages() {
  # `Inst name (version ...)`; an upgrade names the installed version first: `Inst name [old] (new ...)`.
  apt-get "${apt[@]}" install --simulate --no-install-recommends "$@" |
    sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | sed -E '/^(libc6|libc6-dev|libc-bin)$/d'
}

# unpack NAME...: those packages and what they miss, into $made/debian.
unpack() {
  local needed packages deb
  needed=$(missing_packages "$@") || fail "apt cannot tell what $1 needs" "run: apt-get install --simulate $*"
  mapfile -t packages < <(printf '%s\n' "$@" "$needed" | sed '/^$/d' | sort -u)
  mkdir -p "$work/deb" "$made/debian"
  (cd "$work/deb" && logged "$cache/log/apt-download" apt-get "${apt[@]}" download "${packages[@]}") ||
    fail "apt could not download $1 (see $cache/log/apt-download)" "check the network, then run this again"
  for deb in "$work"/deb/*.deb; do
    dpkg-deb -x "$deb" "$made/debian" || fail "$(basename "$deb") could not be unpacked into $made" "check the free disk space, then run this again"
    rm "$deb"
  done
}

# --- the compiler for guests: Debian ------------------------------------------------------------------------------

from_debian() {
  if ! have apt-get || ! have dpkg-deb; then
    fail "rustup could not fetch rust-src (see $cache/log/rustup), and this system has no apt-get to bring another compiler" \
      "check the network and run: rustup component add rust-src"
  fi
  local lld
  lld=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -path '*/bin/*' | head -n 1)
  [ -n "$lld" ] || fail "this Rust toolchain has no rust-lld, which links Wasm" "install the toolchain with rustup, then run this again"

  say "rustup cannot fetch rust-src here: unpacking Debian's rustc-web into the cache instead"
  prepare_apt
  apt-cache "${apt[@]}" show rustc-web >/dev/null 2>&1 ||
    fail "rustup could not fetch rust-src (see $cache/log/rustup), and this system's package archive has no rustc-web" "check the network and run: rustup component add rust-src"
  # Debian moves the version behind these names; the library packages that belong to it carry it in theirs.
  local versioned
  versioned=$(apt-cache "${apt[@]}" depends libstd-rust-web-dev | sed -n 's/^ *Depends: \(libstd-rust-web-[^ ]*\)$/\1/p')
  # shellcheck disable=SC2086  # one word a package
  unpack rustc-web cargo-web rust-web-src libstd-rust-web-dev $versioned

  # The compiler's libraries lie beside it and not on the system: small wrappers tell the loader, and nothing else sees it.
  local prefix=$made/debian/usr libraries tool
  libraries=$(dirname "$(find "$prefix/lib" -name 'librustc_driver*.so' | head -n 1)")
  mkdir -p "$made/bin"
  for tool in rustc cargo; do
    # shellcheck disable=SC2016  # expanded when the wrapper runs
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

# The npm package has the same version everywhere; Debian's is what there is without Node.
wasm_opt() {
  local tool
  if have npm && have node; then
    say "fetching wasm-opt (npm package binaryen $binaryen)"
    tool=$made/npm/node_modules/.bin/wasm-opt
    logged "$cache/log/npm-binaryen" npm install --prefix "$made/npm" --no-audit --no-fund --ignore-scripts "binaryen@$binaryen" ||
      fail "npm could not fetch binaryen $binaryen (see $cache/log/npm-binaryen)" "check the network, then run this again"
  elif have apt-get && have dpkg-deb; then
    say "fetching wasm-opt (Debian's binaryen)"
    tool=$made/debian/usr/bin/wasm-opt
    prepare_apt
    unpack binaryen
  else
    fail "there is nothing to fetch wasm-opt with" "install Node with npm, then run this again"
  fi
  "$tool" --version >/dev/null || fail "wasm-opt does not run: $tool" "remove $made and run this again"
  printf 'guest_wasm_opt=%q\n' "$tool" >>"$made/env.part"
}

# ------------------------------------------------------------------------------------------------------------------

# Made before, and still there?
is_ready() {
  [ -f "$made/env" ] || return 1
  use_guest_toolchain "$made/env"
  has_std_source "$guest_sysroot" && [ -e "$guest_wasm_opt" ]
}

native_toolchain
made=$(guest_toolchain)
is_ready || locked guest-toolchain
if ! is_ready; then
  # Those of other compilers and older scripts, once nothing has used them for a month.
  find "$cache" -maxdepth 1 -name 'guest-toolchain-*' -type d -mtime +30 -exec rm -rf {} +
  rm -rf "$made"
  work=$made/work
  mkdir -p "$work"
  from_rustup || from_debian
  use_guest_toolchain "$made/env.part"
  check_compiler
  wasm_opt
  rm -rf "$work"
  mv "$made/env.part" "$made/env"
  use_guest_toolchain "$made/env"
  say "guest toolchain ready: $("${guest_rustc:-rustc}" --version), $("$guest_wasm_opt" --version)"
fi
touch "$made"
