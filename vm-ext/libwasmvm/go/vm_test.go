// Package libwasmvm holds the library to account where only Go can: loaded into a Go process, under its signal handlers
// and called from its threads. The library is the one that the dynamic linker finds first; the variables
// AIINFERENCE_TEST_CONTRACT and AIINFERENCE_TEST_MODEL name a contract that does as it is told and the model
// of the credit example.
package libwasmvm

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	wasmvm "github.com/CosmWasm/wasmvm/v3"
	"github.com/CosmWasm/wasmvm/v3/types"
)

const (
	gasLimit   = uint64(2_000_000_000_000)
	capability = "aiinference_1"
	codeID     = 7
)

var stock = []string{
	"iterator", "staking", "stargate", "cosmwasm_1_1", "cosmwasm_1_2", "cosmwasm_1_3", "cosmwasm_1_4", "cosmwasm_2_0",
	"cosmwasm_2_1", "cosmwasm_2_2", "ibc2",
}

// --- a chain, as far as a contract sees it --------------------------------------------------------------------------

// meter counts no gas of its own: the store is free.
type meter struct{}

func (meter) GasConsumed() types.Gas { return 0 }

// store is a contract's storage, in memory; the tests iterate over none of it.
type store map[string][]byte

func (s store) Get(key []byte) []byte                      { return s[string(key)] }
func (s store) Set(key, value []byte)                      { s[string(key)] = value }
func (s store) Delete(key []byte)                          { delete(s, string(key)) }
func (s store) Iterator(_, _ []byte) types.Iterator        { panic("the tests iterate over nothing") }
func (s store) ReverseIterator(_, _ []byte) types.Iterator { panic("the tests iterate over nothing") }

// querier knows the codes of the chain.
type querier map[uint64]wasmvm.Checksum

func (q querier) GasConsumed() uint64 { return 0 }

func (q querier) Query(request types.QueryRequest, _ uint64) ([]byte, error) {
	if request.Wasm == nil || request.Wasm.CodeInfo == nil {
		return nil, types.UnsupportedRequest{Kind: "the tests ask for codes alone"}
	}
	checksum, known := q[request.Wasm.CodeInfo.CodeID]
	if !known {
		return nil, types.NoSuchCode{CodeID: request.Wasm.CodeInfo.CodeID}
	}
	return json.Marshal(types.CodeInfoResponse{CodeID: request.Wasm.CodeInfo.CodeID, Creator: "creator", Checksum: checksum})
}

var api = types.GoAPI{
	HumanizeAddress:     func(canonical []byte) (string, uint64, error) { return string(canonical), 1, nil },
	CanonicalizeAddress: func(human string) ([]byte, uint64, error) { return []byte(human), 1, nil },
	ValidateAddress:     func(string) (uint64, error) { return 1, nil },
}

func env() types.Env {
	return types.Env{
		Block:       types.BlockInfo{Height: 12345, Time: 1571797419879305533, ChainID: "test-1"},
		Transaction: &types.TransactionInfo{Index: 3},
		Contract:    types.ContractInfo{Address: "contract"},
	}
}

func open(t *testing.T, dir string, capabilities ...string) *wasmvm.VM {
	t.Helper()
	vm, err := wasmvm.NewVM(dir, append(append([]string{}, stock...), capabilities...), 32, false, 100)
	must(t, err)
	t.Cleanup(vm.Cleanup)
	return vm
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, variable string) []byte {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("set %s; `make wasmvm-tests` does", variable)
	}
	code, err := os.ReadFile(path)
	must(t, err)
	return code
}

// chain is a VM with the contract and the model stored.
type chain struct {
	vm       *wasmvm.VM
	contract wasmvm.Checksum
	model    wasmvm.Checksum
	codes    querier
}

func newChain(t *testing.T, dir string) chain {
	t.Helper()
	vm := open(t, dir, capability)
	contract, _, err := vm.StoreCode(read(t, "AIINFERENCE_TEST_CONTRACT"), gasLimit)
	must(t, err)
	model, _, err := vm.StoreCode(read(t, "AIINFERENCE_TEST_MODEL"), gasLimit)
	must(t, err)
	return chain{vm, contract, model, querier{codeID: model}}
}

// query asks the contract; the answer, and the gas that wasmvm reports.
func (c chain) query(msg string, limit uint64) ([]byte, uint64, error) {
	var q types.Querier = c.codes
	result, gas, err := c.vm.Query(
		c.contract, env(), []byte(msg), store{}, api, q, meter{}, limit, types.UFraction{Numerator: 1, Denominator: 1},
	)
	if err != nil {
		return nil, gas, err
	}
	if result.Err != "" {
		return nil, gas, fmt.Errorf("contract: %s", result.Err)
	}
	return result.Ok, gas, nil
}

// infer runs the model once.
func (c chain) infer() ([]byte, uint64, error) { return c.query(inferMsg, gasLimit) }

// inferMsg runs the model, which takes 18 numbers, on zeros.
var inferMsg = fmt.Sprintf(
	`{"run":{"code_id":%d,"inputs":[{"name":"","shape":[1,18],"fraction_bits":0,"integers":"%s"}]}}`,
	codeID, base64.StdEncoding.EncodeToString(make([]byte, 4*18)),
)

// --- tests ----------------------------------------------------------------------------------------------------------

func TestThisLibraryIsLoaded(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	wanted := os.Getenv("AIINFERENCE_TEST_LIBRARY")
	for _, line := range strings.Split(string(maps), "\n") {
		if strings.Contains(line, "libwasmvm") && !strings.HasSuffix(line, wanted) {
			t.Fatalf("another library is loaded: %s", line)
		}
	}
	if wanted == "" || !strings.Contains(string(maps), wanted) {
		t.Fatalf("the library %q is not loaded", wanted)
	}
}

func TestTrapsOfEveryKindLeaveTheProcessWhole(t *testing.T) {
	c := newChain(t, t.TempDir())
	answer, gas, err := c.infer()
	must(t, err)
	const rounds = 1000
	kinds := []struct{ msg, wants string }{
		{`{"steps":[{"panic":{"text":"on purpose"}}]}`, "on purpose"},
		{`{"steps":[{"work":{"rounds":1000000000000}}]}`, "Out of gas"},
		{`{"steps":[{"overflow_stack":{}}]}`, "out of bounds"},
		{`{"steps":[{"overflow_calls":{}}]}`, "stack"},
	}
	var group sync.WaitGroup
	for _, kind := range kinds {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := range rounds {
				limit := gasLimit
				if strings.Contains(kind.msg, "work") {
					limit = 3_000_000_000
				}
				_, _, err := c.vm.Execute(
					c.contract, env(), types.MessageInfo{Sender: "sender"}, []byte(kind.msg), store{}, api, c.codes,
					meter{}, limit, types.UFraction{Numerator: 1, Denominator: 1},
				)
				if err == nil || !strings.Contains(err.Error(), kind.wants) {
					t.Errorf("round %d of %s: %v", round, kind.msg, err)
					return
				}
			}
		}()
	}
	group.Add(1)
	go func() {
		defer group.Done()
		for range rounds {
			again, used, err := c.infer()
			if err != nil || !bytes.Equal(again, answer) || used != gas {
				t.Errorf("an inference between traps: %v, gas %d, before %d", err, used, gas)
				return
			}
		}
	}()
	group.Wait()
}

func TestStoredBytesAndChecksumsAreTheUploadedOnes(t *testing.T) {
	code := read(t, "AIINFERENCE_TEST_CONTRACT")
	c := newChain(t, t.TempDir())
	expected, err := wasmvm.CreateChecksum(code)
	must(t, err)
	if !bytes.Equal(c.contract, expected) {
		t.Fatalf("stored as %x, uploaded as %x", c.contract, expected)
	}
	stored, err := c.vm.GetCode(c.contract)
	must(t, err)
	if !bytes.Equal(stored, code) {
		t.Fatal("the stored bytes are others than the uploaded ones")
	}
	report, err := c.vm.AnalyzeCode(c.contract)
	must(t, err)
	if !strings.Contains(report.RequiredCapabilities, capability) {
		t.Fatalf("required: %s", report.RequiredCapabilities)
	}
	must(t, c.vm.Pin(c.contract))
	_, _, err = c.infer()
	must(t, err)
	pinned, err := c.vm.GetPinnedMetrics()
	must(t, err)
	if len(pinned.PerModule) != 1 || !bytes.Equal(pinned.PerModule[0].Checksum, c.contract) || pinned.PerModule[0].Metrics.Hits != 1 {
		t.Fatalf("pinned: %+v", pinned)
	}
	must(t, c.vm.Unpin(c.contract))
	must(t, c.vm.RemoveCode(c.contract))
	if _, err := c.vm.GetCode(c.contract); err == nil {
		t.Fatal("a removed contract is still there")
	}
}

func TestGasAndAnswerAreTheSameColdWarmPinnedAndAfterARestart(t *testing.T) {
	dir := t.TempDir()
	var answer []byte
	var gas uint64
	check := func(when string, c chain) {
		t.Helper()
		again, used, err := c.infer()
		must(t, err)
		if answer == nil {
			answer, gas = again, used
		}
		if !bytes.Equal(again, answer) || used != gas {
			t.Fatalf("%s: %s for %d gas, at first %s for %d", when, again, used, answer, gas)
		}
	}
	func() {
		vm, err := wasmvm.NewVM(dir, append(append([]string{}, stock...), capability), 32, false, 100)
		must(t, err)
		defer vm.Cleanup()
		contract, _, err := vm.StoreCode(read(t, "AIINFERENCE_TEST_CONTRACT"), gasLimit)
		must(t, err)
		model, _, err := vm.StoreCode(read(t, "AIINFERENCE_TEST_MODEL"), gasLimit)
		must(t, err)
		c := chain{vm, contract, model, querier{codeID: model}}
		check("cold", c)
		check("warm", c)
		must(t, vm.Pin(contract))
		check("pinned", c)
		must(t, vm.Unpin(contract))
		check("unpinned", c)
	}()
	// What a state sync leaves: the uploads alone.
	must(t, os.RemoveAll(filepath.Join(dir, "aiinference")))
	c := newChain(t, dir)
	check("after a restart without lowered copies", c)
}

func TestModelsAreCheckedWhenUploadedAndNotWhenRestored(t *testing.T) {
	model := read(t, "AIINFERENCE_TEST_MODEL")
	place := bytes.Index(model, []byte("aiinference.graph")) + len("aiinference.graph")
	broken := bytes.Clone(model)
	for i := place + 8; i < place+40; i++ {
		broken[i] ^= 0xff
	}
	c := newChain(t, t.TempDir())
	for _, store := range []func(wasmvm.WasmCode, uint64) (wasmvm.Checksum, uint64, error){c.vm.StoreCode, c.vm.SimulateStoreCode} {
		_, _, err := store(broken, gasLimit)
		if err == nil || !strings.Contains(err.Error(), "storing a model: ") {
			t.Fatalf("a broken model is refused when uploaded: %v", err)
		}
	}
	checksum, err := c.vm.StoreCodeUnchecked(broken)
	must(t, err)
	c.codes[codeID] = checksum
	_, _, err = c.infer()
	if err == nil || !strings.Contains(err.Error(), "loading a model") {
		t.Fatalf("a broken model is refused when used: %v", err)
	}
	// One stored before the extension was on is taken, and used once it is on.
	dir := t.TempDir()
	func() {
		vm, err := wasmvm.NewVM(dir, stock, 32, false, 100)
		must(t, err)
		defer vm.Cleanup()
		_, _, err = vm.StoreCode(model, gasLimit)
		must(t, err)
		_, _, err = vm.StoreCode(broken, gasLimit)
		must(t, err)
		_, _, err = vm.StoreCode(read(t, "AIINFERENCE_TEST_CONTRACT"), gasLimit)
		if err == nil || !strings.Contains(err.Error(), `Wasm contract requires unsupported import: "aiinference.`) {
			t.Fatalf("without the capability the contract is refused as by the stock library: %v", err)
		}
	}()
	c = newChain(t, dir)
	_, _, err = c.infer()
	must(t, err)
}

func TestANodeShowsItsInferencesWhereItIsAskedTo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	trace := filepath.Join(t.TempDir(), "trace.jsonl")
	t.Setenv("AIINFERENCE_METRICS", address)
	t.Setenv("AIINFERENCE_TRACE", trace)
	c := newChain(t, t.TempDir())
	metrics := func() string {
		response, err := http.Get("http://" + address + "/metrics")
		must(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		must(t, err)
		return string(text)
	}
	if text := metrics(); !strings.Contains(text, "aiinference_build_info{") {
		t.Errorf("the build is not told before the first request: %s", text)
	}
	for range 3 {
		_, _, err := c.infer()
		must(t, err)
	}
	text := metrics()
	for _, line := range []string{
		`aiinference_requests_total{outcome="inferred"} 3`,
		fmt.Sprintf(`aiinference_inferences_total{model="%x"} 3`, []byte(c.model)),
		fmt.Sprintf(`aiinference_model_cache_hits_total{model="%x"} 2`, []byte(c.model)),
		fmt.Sprintf(`aiinference_model_cache_misses_total{model="%x"} 1`, []byte(c.model)),
		fmt.Sprintf(`aiinference_inference_seconds_count{model="%x"} 3`, []byte(c.model)),
		fmt.Sprintf(`aiinference_gas_total{model="%x"} `, []byte(c.model)),
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
	// How many they are is the engine's affair; the cache holds this model alone.
	held := regexp.MustCompile(fmt.Sprintf(`aiinference_model_bytes\{model="%x"\} ([1-9][0-9]*)\n`, []byte(c.model))).FindStringSubmatch(text)
	if held == nil || !strings.Contains(text, "aiinference_model_cache_bytes "+held[1]+"\n") {
		t.Errorf("the cache does not hold the model alone:\n%s", text)
	}
	log, err := os.ReadFile(trace)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"height":12345,"transaction":3,"contract":"contract","entry_point":"query"`) {
		t.Errorf("the trace has %d lines, the first is %s", len(lines), lines[0])
	}
}

func TestASettingThatCannotBeIsNamed(t *testing.T) {
	t.Setenv("AIINFERENCE_KERNELS", "abacus")
	_, err := wasmvm.NewVM(t.TempDir(), append(append([]string{}, stock...), capability), 32, false, 100)
	if err == nil || !strings.Contains(err.Error(), `AIINFERENCE_KERNELS="abacus"`) {
		t.Fatal(err)
	}
}
