#!/usr/bin/env bash
# Builds unmodified wasmd from the Go module proxy to target/wasmd/wasmd, and copies the libwasmvm that its wasmvm module
# ships to target/wasmd/stock/. The modules and their hashes are localnet/wasmd/go.mod and go.sum; no source is ours.
# Does nothing, quietly, when that was done before with the same modules and compiler.
# The loader finds the library through LD_LIBRARY_PATH alone: `LD_LIBRARY_PATH=target/wasmd/stock target/wasmd/wasmd`.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root/localnet/wasmd"

out=$root/target/wasmd
library=libwasmvm.x86_64.so
wasmd=github.com/CosmWasm/wasmd
wasmvm=github.com/CosmWasm/wasmvm/v3
sdk=github.com/cosmos/cosmos-sdk/version

# version_of MODULE: the version that go.mod requires.
version_of() { sed -n "s|^[[:space:]]*$1 \(v[^ ]*\).*|\1|p" go.mod | head -n 1; }

[ "$(uname -sm)" = "Linux x86_64" ] || fail "the localnet runs on Linux x86_64, this is $(uname -sm)"
have go || fail "building wasmd needs Go, which is not installed" "install Go 1.24 or newer (https://go.dev/dl), then run this again"
have cc || fail "building wasmd needs a C compiler (cgo)" "install one (Debian: apt-get install gcc libc6-dev)"
wanted=$(sed -n 's/^go \([0-9.]*\)$/\1/p' go.mod)
found=$(GOTOOLCHAIN=local go env GOVERSION)
[ "$(printf '%s\n' "$wanted" "${found#go}" | sort -V | head -n 1)" = "$wanted" ] ||
  fail "building wasmd needs Go $wanted or newer, this is $found" "install a newer one (https://go.dev/dl), then run this again"

version=$(version_of "$wasmd")
ldflags="-s -w -X $sdk.Name=wasm -X $sdk.AppName=wasmd -X $sdk.Version=${version#v} -X $sdk.BuildTags=netgo -X $wasmd/app.Bech32Prefix=wasm"
stamp=$({
  cat go.mod go.sum
  printf '%s\n' "$found" "$ldflags"
} | sha256)
is_built() { [ -x "$out/wasmd" ] && [ -f "$out/stock/$library" ] && [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; }
is_built && exit 0
mkdir -p "$out/stock"

locked wasmd
is_built && exit 0
rm -f "$out/stamp"

# The toolchain on this machine and the modules in go.sum, nothing else.
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=1
say "fetching the Go modules of wasmd $version"
logged "$out/log/download" go mod download ||
  fail "the modules of wasmd could not be fetched (see $out/log/download)" "check the network and GOPROXY ($(go env GOPROXY)), then run this again"
say "building wasmd $version with $found (about 4 minutes the first time)"
logged "$out/log/build" go build -trimpath -buildvcs=false -tags netgo -ldflags "$ldflags" -o "$out/wasmd.part" "$wasmd/cmd/wasmd" ||
  fail "wasmd $version does not build (see $out/log/build)" "check the C compiler and the free disk space, then run this again"
shipped=$(go list -m -f '{{.Dir}}' "$wasmvm")/internal/api/$library
[ -f "$shipped" ] || fail "wasmvm $(version_of "$wasmvm") ships no $library ($shipped)"
install -m 0755 "$shipped" "$out/stock/$library.part"
mv "$out/stock/$library.part" "$out/stock/$library"
mv "$out/wasmd.part" "$out/wasmd"

said=$(LD_LIBRARY_PATH=$out/stock "$out/wasmd" version 2>&1) ||
  fail "the wasmd just built does not run: $said" "remove $out and run this again"
printf '%s\n' "$stamp" >"$out/stamp"
say "wasmd $said and its stock $library ($(version_of "$wasmvm")) are in $out"
