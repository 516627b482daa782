"""Makes the fixtures: real proofs of small circuits, and the verifier's Solidity source.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python make.py

Writes one JSON file a circuit beside this script. Proofs differ on each run, keys do not, but for the development SRS, which is
made anew with each run unless SRS names a file. With SOURCE set, the reusable verifier's source is written there.

The models are integer networks `y = W2 . relu((W1 . x + b1) >> 7) + b2`: every scale is 0, and each shift is a multiplication by
2^-7 and a Floor, whose result is unique.
"""

import asyncio
import inspect
import json
import os
import pathlib
import sys
import tempfile

import ezkl
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent
R = 21888242871839275222246405745257275088548364400416034343698204186575808495617
INPUTS, HIDDEN, OUTPUTS, SHIFT, LOGROWS = 8, 8, 3, 7, 12
# As many inputs as an image of 28 by 28 has, each of them a public value.
MANY = 784
LOW, HIGH = -64, 63


def numbers(seed, count, low, high):
    """The same on every machine and with every library."""
    out = []
    for _ in range(count):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(low + (seed >> 33) % (high - low + 1))
    return out


class Net:
    def __init__(self, seed, inputs=INPUTS, hidden=HIDDEN):
        n = numbers(seed, hidden * inputs + hidden + OUTPUTS * hidden + OUTPUTS, -127, 127)
        take = lambda count: [n.pop(0) for _ in range(count)]
        self.inputs = inputs
        self.w1 = np.array(take(hidden * inputs)).reshape(inputs, hidden)
        self.b1 = np.array(take(hidden))
        self.w2 = np.array(take(OUTPUTS * hidden)).reshape(hidden, OUTPUTS)
        self.b2 = np.array(take(OUTPUTS))

    def run(self, x):
        hidden = np.maximum((np.array(x) @ self.w1 + self.b1) >> SHIFT, 0)
        return [int(v) for v in hidden @ self.w2 + self.b2]

    def bound(self):
        """No output is further from 0."""
        reach = max(abs(LOW), abs(HIGH))
        hidden = ((np.abs(self.w1).sum(axis=0) * reach + np.abs(self.b1)) >> SHIFT) + 1
        return int(((hidden @ np.abs(self.w2)) + np.abs(self.b2)).max())

    def onnx(self, path):
        init = lambda name, value: numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name)
        nodes = [
            helper.make_node("MatMul", ["x", "w1"], ["m1"]),
            helper.make_node("Add", ["m1", "b1"], ["a1"]),
            helper.make_node("Mul", ["a1", "scale"], ["s1"]),
            helper.make_node("Floor", ["s1"], ["f1"]),
            helper.make_node("Relu", ["f1"], ["r1"]),
            helper.make_node("MatMul", ["r1", "w2"], ["m2"]),
            helper.make_node("Add", ["m2", "b2"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, self.inputs])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, OUTPUTS])],
            [init("w1", self.w1), init("b1", self.b1), init("w2", self.w2), init("b2", self.b2), init("scale", np.array(2.0**-SHIFT))],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        onnx.save(model, path)


def call(function, *arguments):
    """In a process of its own: the library may crash at exit, its files complete."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:

            async def go():
                value = function(*arguments)
                return (await value) if inspect.isawaitable(value) else value

            asyncio.run(go())
            code = 0
        except BaseException as error:  # noqa: BLE001: a Rust panic is none of Exception
            print(f"{function.__name__}: {error!r}", file=sys.stderr, flush=True)
        os._exit(code)
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 0


def need(function, *arguments):
    if not call(function, *arguments):
        sys.exit(f"{function.__name__} failed")


def felt(text):
    return int.from_bytes(bytes.fromhex(text), "little")


def circuit(name, net, srs, folder, visibility, cases):
    at = lambda file: str(folder / f"{name}.{file}")
    net.onnx(at("onnx"))
    args = ezkl.PyRunArgs()
    args.input_visibility, args.output_visibility, args.param_visibility = visibility, "public", "fixed"
    args.input_scale = args.param_scale = 0
    args.decomp_base, args.decomp_legs, args.num_inner_cols, args.logrows = 2**SHIFT, 3, 2, LOGROWS
    # Its shortcut for products of matrices binds nothing of their results.
    args.disable_freivalds = True
    need(ezkl.gen_settings, at("onnx"), at("settings"), args)
    samples = [cases[0], [LOW] * net.inputs, [HIGH] * net.inputs]
    json.dump({"input_data": [sum(samples, [])]}, open(at("calibration"), "w"))
    need(ezkl.calibrate_settings, at("calibration"), at("onnx"), at("settings"), "resources", 2.0, [0], [1], None)
    settings = json.load(open(at("settings")))
    settings["run_args"]["logrows"] = LOGROWS
    # ezkl collects these in a set, whose order differs from run to run and decides the order of columns, and so the key.
    settings["required_range_checks"].sort()
    settings["timestamp"] = 0
    json.dump(settings, open(at("settings"), "w"))
    need(ezkl.compile_circuit, at("onnx"), at("compiled"), at("settings"))
    need(ezkl.setup, at("compiled"), at("vk"), at("pk"), srs, None, False)
    need(ezkl.create_evm_vka, at("vk"), at("settings"), at("vka"), srs)
    raw = open(at("vka"), "rb").read()
    count = int.from_bytes(raw[:8], "little")
    assert len(raw) == 8 + 32 * count
    proofs = []
    for x in cases:
        y = net.run(x)
        json.dump({"input_data": [x]}, open(at("input"), "w"))
        need(ezkl.gen_witness, at("input"), at("compiled"), at("witness"), at("vk"), srs)
        need(ezkl.prove, at("witness"), at("compiled"), at("pk"), at("proof"), srs)
        need(ezkl.verify, at("proof"), at("settings"), at("vk"), srs, False)
        made = json.load(open(at("proof")))
        instances = [felt(text) for column in made["instances"] for text in column]
        signed = [v - R if v > R // 2 else v for v in instances]
        hashed = visibility == "hashed"
        assert signed[1 if hashed else net.inputs :] == y, (signed, y)
        assert hashed or signed[: net.inputs] == x
        case = {"inputs": x, "outputs": y, "proof": bytes(made["proof"]).hex()}
        if hashed:
            case["hash"] = instances[0].to_bytes(32, "big").hex()
        proofs.append(case)
    run_args = settings["run_args"]
    fixture = {
        "low": LOW,
        "high": HIGH,
        "bound": net.bound(),
        "shift": SHIFT,
        "w1": net.w1.T.tolist(),
        "b1": net.b1.tolist(),
        "w2": net.w2.T.tolist(),
        "b2": net.b2.tolist(),
        "settings": {k: run_args[k] for k in ("logrows", "decomp_base", "decomp_legs", "num_inner_cols")},
        "verifying_key": raw[8:].hex(),
        "proofs": proofs,
    }
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in fixture.items())
    (HERE / f"{name}.json").write_text(f"{{\n{lines}\n}}\n")
    print(f"{name}: key {len(raw) - 8} bytes, proofs {[len(p['proof']) // 2 for p in proofs]} bytes", flush=True)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        srs = os.environ.get("SRS") or str(folder / "srs")
        if not os.path.exists(srs):
            need(ezkl.gen_srs, srs, LOGROWS)
        other = str(folder / "other-srs")
        need(ezkl.gen_srs, other, LOGROWS)
        cases = [numbers(seed, INPUTS, LOW, HIGH) for seed in (11, 12)] + [[LOW, HIGH] * (INPUTS // 2)]
        circuit("public", Net(1), srs, folder, "public", cases)
        circuit("hashed", Net(1), srs, folder, "hashed", cases[:2])
        # The same network in all but its weights, and the first one under another SRS.
        circuit("other-weights", Net(2), srs, folder, "public", cases[:1])
        circuit("other-srs", Net(1), other, folder, "public", cases[:1])
        circuit("many", Net(3, MANY, 2), srs, folder, "public", [numbers(13, MANY, LOW, HIGH)])
        source = os.environ.get("SOURCE")
        if source:
            # It writes the source and then looks for a compiler, which need not be there.
            call(ezkl.create_evm_verifier, str(folder / "public.vk"), str(folder / "public.settings"), source, str(folder / "abi"), srs, True)
            print(f"{source}: {os.path.getsize(source)} bytes")
    sys.stdout.flush()
    os._exit(0)


main()
