#!/usr/bin/env bash
# Runs wasmvm's own Go tests, unmodified, against the library that the Go module ships and against ours, with the
# extension off and on; then our own Go tests. Every test that passes with the shipped library must pass with ours.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

module=github.com/CosmWasm/wasmvm/v3
name=libwasmvm.x86_64.so
ours=$root/target/libwasmvm
tests=$root/vm-ext/libwasmvm/go
[ -f "$ours/$name" ] || fail "there is no $ours/$name" "run 'make library'"
command -v go >/dev/null || fail "wasmvm's tests are written in Go, which is not here" "install Go 1.25 or newer (https://go.dev/dl)"

# The tests write beside themselves, and one of them wants a folder that cannot be made, which root can always make: a copy
# elsewhere, run by nobody where this is root.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
say "wasmvm's tests: building"
(cd "$tests" && go mod download "$module")
cp -r "$(cd "$tests" && go list -m -f '{{.Dir}}' "$module")" "$work/module"
chmod -R u+w "$work/module"
mkdir "$work/libraries"
cp -r "$ours" "$work/libraries/ours"
mkdir "$work/libraries/shipped"
mv "$work/module/internal/api/$name" "$work/libraries/shipped/"
# The linker needs one of that name where the module says; the loader then takes the first it finds.
cp "$work/libraries/shipped/$name" "$work/module/internal/api/$name"
packages=()
while read -r folder; do
  (cd "$work/module/$folder" && go test -c -o tests.bin .) || fail "wasmvm's tests in $folder do not build"
  [ -f "$work/module/$folder/tests.bin" ] && packages+=("$folder")
done < <(cd "$work/module" && go list -f '{{if or .TestGoFiles .XTestGoFiles}}.{{slice .ImportPath (len "'$module'")}}{{end}}' ./... | sed '/^$/d')
rm "$work/module/internal/api/$name"

as=()
if [ "$(id -u)" = 0 ]; then
  chown -R 65534:65534 "$work"
  as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi

# suite LABEL LIBRARY [VARIABLE=VALUE...]: runs all packages; writes the names of tests passed and failed.
suite() {
  local label=$1 library=$work/libraries/$2 folder loaded
  shift 2
  for folder in "${packages[@]}"; do
    loaded=$(LD_LIBRARY_PATH=$library ldd "$work/module/$folder/tests.bin" | awk -v name="$name" '$1 == name { print $3 }')
    [ -z "$loaded" ] || [ "$loaded" = "$library/$name" ] || fail "the tests in $folder load $loaded, not $library/$name"
    [ -n "$loaded" ] || [ "$folder" != ./internal/api ] || fail "the tests in $folder load no library"
    (cd "$work/module/$folder" && env HOME="$work" LD_LIBRARY_PATH="$library" "$@" \
      "${as[@]}" ./tests.bin -test.v -test.count=1 -test.timeout=10m) >"$work/$label$(tr / _ <<<"$folder").log" 2>&1 || true
    # A failed test is counted; a process that ended in the middle would go uncounted.
    grep -qxE 'PASS|FAIL' "$work/$label$(tr / _ <<<"$folder").log" ||
      fail "the tests in $folder ended early ($label)" "$(tail -n 40 "$work/$label$(tr / _ <<<"$folder").log")"
  done
  cat "$work/$label"*.log >"$work/$label.log"
  sed -n 's/^ *--- PASS: \([^ ]*\).*/\1/p' "$work/$label.log" | sort >"$work/$label.passed"
  sed -n 's/^ *--- FAIL: \([^ ]*\).*/\1/p' "$work/$label.log" | sort >"$work/$label.failed"
  say "wasmvm's tests: $label: $(wc -l <"$work/$label.passed") passed, $(wc -l <"$work/$label.failed") failed"
}

suite shipped shipped
suite off ours
suite on ours AIINFERENCE_FORCE_CAPABILITY=1
[ -s "$work/shipped.passed" ] || fail "no test of wasmvm ran" "see what the Go module holds"
for label in off on; do
  lost=$(comm -23 "$work/shipped.passed" "$work/$label.passed")
  [ -z "$lost" ] && continue
  tail -n 60 "$work/$label.log" >&2
  fail "these tests pass with the shipped library and not with ours (extension $label):" "$lost"
done
grep -q 'inference is on' "$work/on.log" || fail "the extension was not on" "see AIINFERENCE_FORCE_CAPABILITY"

say "the exports against the module's header"
header=$work/module/internal/api/bindings.h
AIINFERENCE_BINDINGS_H=$header cargo test --manifest-path "$root/Cargo.toml" --workspace --release --quiet --test abi -- --ignored >&2 ||
  fail "the exports differ from the header" "see above"
lost=$(comm -23 <(sed -n 's/^[a-z].*[ *]\([a-z0-9_]*\)(.*/\1/p' "$header" | grep -v '^typedef' | sort) \
  <(nm -D --defined-only "$ours/$name" | awk '{ print $3 }' | sort))
[ -z "$lost" ] || fail "the library does not export what the header declares:" "$lost"

say "our tests of the library in a Go process"
(cd "$tests" && go vet . && go test -c -o "$work/ours.bin" .)
(cd "$tests" && env LD_LIBRARY_PATH="$ours" AIINFERENCE_LOG=error \
  AIINFERENCE_TEST_LIBRARY="$ours/$name" \
  AIINFERENCE_TEST_CONTRACT="$root/target/contracts/test-probe.wasm" \
  AIINFERENCE_TEST_MODEL="$root/demo/models/tests/golden/mlp.wasm" \
  "$work/ours.bin" -test.v -test.count=1 -test.timeout=10m) || fail "our Go tests fail" "see above"

count() { wc -l <"$work/$1" | tr -d ' '; }
echo "wasmvm tests: shipped $(count shipped.passed) passed $(count shipped.failed) failed, ours $(count on.passed) passed $(count on.failed) failed"
