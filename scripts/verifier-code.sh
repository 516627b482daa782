#!/usr/bin/env bash
# Compiles the verifier of proofs again from its Solidity source, with npm's solc of the pinned version, and compares the result with
# the code that is checked in. Needs Node.js with npm (Debian: apt-get install nodejs npm). Takes about 10 s.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

solc=0.8.20
code=$root/vm-ext/verifier/code

have npm || fail "npm is not installed" "install Node.js with npm (Debian: apt-get install nodejs npm)"

tools=$cache/solc-$solc
locked solc
if [ ! -f "$tools/complete" ]; then
  say "installing solc $solc from npm"
  rm -rf "$tools"
  mkdir -p "$tools"
  cp "$code/package.json" "$code/package-lock.json" "$tools/"
  logged "$cache/log/solc" npm ci --prefix "$tools" --ignore-scripts --no-audit --no-fund ||
    fail "npm could not install solc $solc (see $cache/log/solc)" "check the network, then run this again"
  touch "$tools/complete"
fi

made=$(mktemp)
trap 'rm -f "$made"' EXIT
NODE_PATH=$tools/node_modules node "$code/compile.js" "$code/Halo2VerifierReusable.sol" "$made" ||
  fail "the verifier's source does not compile" "see the compiler's message above"
cmp -s "$made" "$code/Halo2VerifierReusable.bin" ||
  fail "the verifier's code is not what its source compiles to" "restore vm-ext/verifier/code; a change of it is a consensus-breaking release"
say "the verifier's code is what solc $solc makes of its source: $(sha256 <"$made")"
