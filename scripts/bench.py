"""Times the engine beside onnxruntime, single thread, in turn, and writes docs/benchmarks.md and benchmarks.json.

bench.py PACKAGES BUILT WORK FIGURES DOCS [PART OF A NAME]: PACKAGES holds the unpacked packages with real models, which scripts/real_models.py
knows, BUILT the compiled programs. WORK holds a folder for every converted model (model.wasm, case.json), among them those that
`cargo bench` left there, and FIGURES what it measured, a JSON object a line. scripts/bench.sh brings everything and calls this.
"""
import glob
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime import quantization

from real_models import convert, convert_all
from timing import TYPES, Runtime, machine, session

PACKAGES, BUILT, WORK, FIGURES, DOCS = sys.argv[1:6]
ONLY = sys.argv[6] if len(sys.argv) > 6 else ""
PROGRAM = os.path.join(BUILT, "aiinference")
# Turns of engine and runtimes; each gives the least of many runs.
ROUNDS = 5


class Engine:
    """The example `time`, kept running."""

    def __init__(self):
        self.process = subprocess.Popen([os.path.join(BUILT, "examples/time")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the engine does not answer to {words[0]}")
        return json.loads(answer)

    def load(self, folder, feed):
        """Loads a model and gives it a float model's inputs in its integers."""
        info = self.ask("load", os.path.join(folder, "model.wasm"))
        parts = []
        for port in info["inputs"]:
            values = np.asarray(feed[port["name"]], np.float64).reshape(-1)
            integers = np.floor(values * 2.0 ** port["fraction_bits"] + 0.5)
            parts.append(np.clip(integers, port["low"], port["high"]).astype("<i4"))
        path = os.path.join(WORK, "inputs.i32")
        np.concatenate(parts).tofile(path)
        self.ask("inputs", path)
        return info

    def nanoseconds(self):
        return self.ask("run")["ns"]


class Samples(quantization.CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter(feeds)

    def get_next(self):
        return next(self.feeds, None)


def quantised(case, feeds, folder):
    """The model as onnxruntime's own tools quantise it to 8 bits; None where they cannot."""
    path = os.path.join(folder, "int8.onnx")
    if os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(case["model"]):
        return path
    kinds = {node.op_type for node in onnx.load(case["model"], load_external_data=False).graph.node}
    try:
        if "Conv" in kinds:
            ports = {port.name: TYPES[port.type] for port in session(case["model"]).get_inputs()}
            feeds = [{name: feed[name].astype(kind) for name, kind in ports.items()} for feed in feeds]
            quantization.quantize_static(case["model"], path, Samples(feeds), per_channel=True)
        elif "MatMul" in kinds or "Gemm" in kinds:
            quantization.quantize_dynamic(case["model"], path)
        else:
            return None
        session(path)
        return path
    except Exception as error:  # whatever a tool of others raises: the column stays empty
        print(f"  no 8-bit model: {str(error)[:100]}")
        return None


def feeds(case):
    """Single inputs of the data that belongs to a model."""
    with np.load(case["data"]) as data:
        names = [port.name for port in session(case["model"]).get_inputs()]
        count = min(8, len(data[names[0]]))
        one = (lambda a, i: a[i : i + 1]) if case.get("batch", True) else (lambda a, i: a[i])
        return [{name: one(data[name], i) for name in names} for i in range(count)]


def minilm():
    """Six layers of a transformer in MiniLM's shapes with weights drawn at random: 128 tokens of 384, 12 heads."""
    folder = os.path.join(WORK, "minilm")
    path = os.path.join(folder, "model.onnx")
    os.makedirs(folder, exist_ok=True)
    random = np.random.default_rng(1)
    nodes, constants = [], []

    def constant(name, values):
        constants.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind, inputs, **attributes):
        name = f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def linear(x, k, n):
        i = len(nodes)
        w = constant(f"w{i}", random.normal(0, k**-0.5, (k, n)).astype(np.float32))
        b = constant(f"b{i}", random.normal(0, 0.1, n).astype(np.float32))
        return node("Add", [node("MatMul", [x, w]), b])

    def normalised(x):
        i = len(nodes)
        scale, bias = constant(f"g{i}", np.ones(384, np.float32)), constant(f"h{i}", np.zeros(384, np.float32))
        return node("LayerNormalization", [x, scale, bias], axis=-1, epsilon=1e-12)

    split, joined = constant("split", np.int64([1, 128, 12, 32])), constant("joined", np.int64([1, 128, 384]))
    root, half = constant("root", np.float32(32**-0.5)), constant("half", np.float32(0.5))
    one, two = constant("one", np.float32(1)), constant("two", np.float32(2**0.5))
    x = "x"
    for _ in range(6):
        heads = lambda order: node("Transpose", [node("Reshape", [linear(x, 384, 384), split])], perm=order)
        q, k, v = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
        shares = node("Softmax", [node("Mul", [node("MatMul", [q, k]), root])], axis=-1)
        mixed = node("Transpose", [node("MatMul", [shares, v])], perm=[0, 2, 1, 3])
        middle = normalised(node("Add", [x, linear(node("Reshape", [mixed, joined]), 384, 384)]))
        wide = linear(middle, 384, 1536)
        gelu = node("Mul", [node("Mul", [wide, node("Add", [node("Erf", [node("Div", [wide, two])]), one])]), half])
        x = normalised(node("Add", [middle, linear(gelu, 1536, 384)]))
    shape = [1, 128, 384]
    graph = helper.make_graph(
        nodes,
        "minilm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    data = {"x": random.normal(0, 1, (4, 128, 384)).astype(np.float32)}
    convert(PROGRAM, folder, "transformer in MiniLM's shapes, 128 tokens, random weights", path, data)


def empty(folder):
    """What calling onnxruntime from Python takes with a model that does nothing."""
    path = os.path.join(folder, "empty.onnx")
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "empty", [value("x")], [value("y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return Runtime(path, {"x": np.zeros(1)}).nanoseconds()


def measure(engine, folder):
    """One model: engine and runtimes in turn, the least of each."""
    with open(os.path.join(folder, "case.json"), encoding="utf-8") as file:
        case = json.load(file)
    inputs = feeds(case)
    info = engine.load(folder, inputs[0])
    small = quantised(case, inputs, folder)
    runtimes = {"ort_f32": Runtime(case["model"], inputs[0])}
    if small:
        runtimes["ort_int8"] = Runtime(small, inputs[0])
    least = {"engine": float("inf"), **{name: float("inf") for name in runtimes}}
    for _ in range(ROUNDS):
        least["engine"] = min(least["engine"], engine.nanoseconds())
        for name, runtime in runtimes.items():
            least[name] = min(least[name], runtime.nanoseconds())
    row = {"name": case["title"], "us": {name: ns / 1000 for name, ns in least.items()}}
    row.update({key: info[key] for key in ["macs", "gas", "peak_bytes", "bytes", "kernels"]})
    row["load_us"] = info["load_ns"] / 1000
    row["ratio_f32"] = least["engine"] / least["ort_f32"]
    row["ratio_int8"] = least["engine"] / least["ort_int8"] if small else None
    for key in ["import_ns", "import_gas", "guest_ns", "guest_gas"]:
        row[key] = case.get(key)
    print(f"{row['name']}: {least['engine'] / 1000:.1f} us, {row['ratio_f32']:.2f} of onnxruntime's", flush=True)
    return row


def number(value, digits=1):
    return "" if value is None else f"{value:,.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def model_rows(models, guest_ns_per_mac):
    for m in models:
        guest = m["guest_ns"] / m["us"]["engine"] / 1000 if m["guest_ns"] else None
        # Of models that are mostly products.
        tuned = guest_ns_per_mac * m["macs"] / m["us"]["engine"] / 1000 if guest_ns_per_mac and m["macs"] > 1e6 else None
        yield [
            m["name"],
            number(m["macs"] / 1e6, 2),
            number(m["us"]["engine"]),
            number(m["us"]["ort_f32"]),
            number(m["ratio_f32"], 2),
            number(m["us"].get("ort_int8")),
            number(m["ratio_int8"], 2),
            number(guest, 0),
            number(tuned, 0),
            number(m["gas"] / 1e9, 3),
            number(m["gas"] / m["macs"], 0) if m["macs"] else "",
            number(m["load_us"] / (m["bytes"] / 1e6), 0),
        ]


def write(report):
    models, kernels = report["models"], report["kernels"]
    sets = list(dict.fromkeys(k["set"] for k in kernels))
    names = list(dict.fromkeys(k["name"] for k in kernels))
    by = {(k["name"], k["set"]): k["gmacs"] for k in kernels}
    peak = report["int8_peak"]

    def cell(name, set_):
        speed = by.get((name, set_))
        share = f" ({speed / peak:.2f})" if speed and peak and set_ == sets[-1] else ""
        return number(speed) + share

    text = f"""# Benchmarks

{report["machine"]}, kernels {report["engine_kernels"]}, onnxruntime {report["onnxruntime"]}; written by `make bench`, the same figures in
`benchmarks.json`. One thread, processor time, the least of many runs; engine and onnxruntime were run in turn.

## Models

Times in microseconds. The engine's have copying inputs and outputs in them, onnxruntime's the call from Python, which takes
{report["empty_us"]:.1f} with an empty model. 8 bits: the model as onnxruntime's own tools quantise it. Guest: how many times longer the engine takes
compiled to Wasm and run in a contract. Tuned: how many times longer its products alone, of models above a million, take a contract whose
loop was written for that ({number(report["guest_ns_per_mac"], 3)} ns and {number(report["guest_gas_per_mac"], 0)} gas each, `contracts/in-guest`).

{table(["model", "MMAC", "engine", "ORT f32", "ratio", "ORT 8 bits", "ratio", "guest", "tuned", "G gas", "gas/MAC", "load us/MB"], model_rows(models, report["guest_ns_per_mac"]))}

## Kernels

Billions of products a second; in brackets the share of what one core's instruction for bytes can do at most{f", {peak:.1f} here" if peak else ""}. Products
are without rescaling, the other rows whole runs. `i8 x i8` is 8-bit activations times 8-bit weights.

{table([""] + sets, ([name] + [cell(name, set_) for set_ in sets] for name in names))}
"""
    with open(os.path.join(DOCS, "benchmarks.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(DOCS, "benchmarks.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")


def main():
    with open(FIGURES, encoding="utf-8") as file:
        figures = [json.loads(line) for line in file]
    minilm()
    convert_all(PACKAGES, PROGRAM, WORK)
    engine, models = Engine(), []
    for path in sorted(glob.glob(os.path.join(WORK, "*", "case.json"))):
        if ONLY in path:
            models.append(measure(engine, os.path.dirname(path)))
    if ONLY:
        return
    models.sort(key=lambda m: m["macs"])
    write(
        {
            "machine": machine(),
            "engine_kernels": models[0]["kernels"],
            "onnxruntime": onnxruntime.__version__,
            "empty_us": empty(WORK) / 1000,
            **{name: next((f[name] for f in figures if name in f), None) for name in ["int8_peak", "guest_ns_per_mac", "guest_gas_per_mac"]},
            "models": models,
            "kernels": [f for f in figures if "gmacs" in f],
        }
    )


if __name__ == "__main__":
    main()
