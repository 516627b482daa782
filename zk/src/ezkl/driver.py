"""Calls ezkl for the aiinference prover: `driver.py REQUEST.json`.

The request names a task and its files. Progress goes to stdout, a line each that starts with "@@ "; the result is
written to the file that the request names. Whatever ezkl itself prints is not read.
"""

import asyncio
import ctypes
import inspect
import json
import os
import re
import resource
import signal
import sys
import time

import ezkl

# Samples that are held against all constraints: every input at its least, at its largest, at 0, and a few others.
CONSTRAINED = 8
FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617


class Refused(Exception):
    """A check failed; the message says which."""


def stage(result, name, call):
    print(f"@@ {name}", flush=True)
    start, cpu = time.monotonic(), time.process_time()

    async def within():
        # The asynchronous calls want a running loop already when they are called.
        value = call()
        return await value if inspect.isawaitable(value) else value

    value = asyncio.run(within())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result.setdefault("stages", []).append(
        {
            "name": name,
            "seconds": round(time.monotonic() - start, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "peak_kib": peak,
        }
    )
    return value


def signed(hexadecimal):
    value = int.from_bytes(bytes.fromhex(hexadecimal), "little")
    return value if value <= FIELD // 2 else value - FIELD


def run_args(settings):
    args = ezkl.PyRunArgs()
    args.input_visibility = "public"
    args.output_visibility = "public"
    args.param_visibility = "fixed"
    args.input_scale = 0
    args.param_scale = 0
    # Freivalds' check of matrix products leaves the products themselves free in what follows: anything could be proven.
    args.disable_freivalds = True
    for key, value in settings.items():
        setattr(args, key, value)
    return args


def write(path, value):
    with open(path, "w") as file:
        json.dump(value, file)


def read(path):
    with open(path) as file:
        return json.load(file)


def elements(inputs):
    """Integers, or field elements as ezkl writes them."""
    return {"input_data": [[v if isinstance(v, str) else float(v) for v in values] for values in inputs]}


def witness(request, inputs, vk=None, srs=None):
    """The outputs that the circuit computes."""
    work = request["work"]
    source, target = os.path.join(work, "input.json"), os.path.join(work, "witness.json")
    write(source, elements(inputs))
    ezkl.gen_witness(source, request["compiled"], target, vk, srs)
    return target, [[signed(v) for v in output] for output in read(target)["outputs"]]


def compare(request, sample, vk=None, srs=None):
    path, outputs = witness(request, sample["inputs"], vk, srs)
    if sample["outputs"] is not None and outputs != sample["outputs"]:
        raise Refused(
            "the circuit computes other outputs than the engine, so nothing may be proven with it: "
            f"{str(outputs)[:200]} instead of {str(sample['outputs'])[:200]}"
        )
    return path


def compare_all(request):
    """Runs against the engine's; the first ones against the circuit's constraints besides, which a witness by itself does
    not meet."""
    for index, sample in enumerate(request["samples"]):
        path = compare(request, sample)
        if index < CONSTRAINED:
            ezkl.mock(path, request["compiled"])


def canonical(path):
    """Settings in one order. ezkl lists the range checks in the order of a hash table, another one each time, and lays
    out the circuit's columns in that order: unsorted, the same model has several keys."""
    settings = read(path)
    for key in ("required_range_checks", "required_lookups"):
        settings[key].sort()
    settings["timestamp"] = 0
    with open(path, "w") as file:
        json.dump(settings, file, sort_keys=True)


def refuse_other_operations(request, made):
    """Every operation that ezkl made of the file must be one of those written, as often as it was written. An optimiser that
    folds, rounds or rescales would otherwise be seen only by the runs that it changes."""
    digits = request["settings"]
    base, legs = digits["decomp_base"], digits["decomp_legs"]
    bits = base.bit_length() - 1
    floor = f"REBASED (div={base}.0, rebasing_op=DIV (denom={base})) (FLOOR(scale={base}, legs={legs}))"
    relu, unit = "LEAKYRELU (slope=0)", f"IDENTITY (out_scale=Some({bits}))"
    linear = re.compile(r"Input|CONST \(scale=0\)|ADD|SUB|MULT|(EINSUM|CONV|RESHAPE|SLICE) .*")
    counts = {floor: 0, relu: 0, unit: 0}
    for line in ezkl.table(request["onnx"], run_args(digits)).splitlines():
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if len(cells) != 5 or not cells[0].isdigit():
            continue
        operation, scale = cells[1], cells[2]
        if operation in counts:
            counts[operation] += 1
        elif not linear.fullmatch(operation):
            raise Refused(f"ezkl made an operation of the model that is not exact: {operation}")
        if scale != (str(bits) if operation == unit else "0"):
            raise Refused(f"ezkl scales {operation} by 2^{scale}, which is not exact")
    if (counts[floor], counts[relu]) != (request["floors"], request["relus"]) or counts[unit] != counts[floor]:
        raise Refused(
            f"ezkl made {counts[floor]} floors and {counts[relu]} relus of the model's {request['floors']} and {request['relus']}"
        )
    checks = [[-1, 1], [0, 1], [0, base - 1]]
    if (
        made["einsum_params"]["total_einsum_col_size"] != 0
        or made["num_dynamic_lookups"] != 0
        or made["num_shuffles"] != 0
        or made["required_lookups"]
        or any(check not in checks for check in made["required_range_checks"])
        or set(made["model_output_scales"]) != {0}
        or set(made["model_input_scales"]) != {0}
    ):
        raise Refused("ezkl compiled the model with scales, lookups or random checks, which are not exact")


def compile_circuit(request, result):
    """Settings by the request's digits alone, the smallest circuit, and the check that it computes the engine's bits."""
    settings = dict(request["settings"])
    first = request["samples"][0]
    trial = os.path.join(request["work"], "trial.json")
    sample = os.path.join(request["work"], "sample.json")
    write(sample, elements(first["inputs"]))
    if "logrows" not in settings:
        ezkl.gen_settings(request["onnx"], trial, run_args(settings))
        ezkl.calibrate_settings(sample, request["onnx"], trial, "resources", 2.0, [0], [1], None)
        settings["logrows"] = read(trial)["run_args"]["logrows"]
    if settings["logrows"] > request["max_logrows"]:
        raise Refused(f"the circuit needs 2^{settings['logrows']} rows, above the limit of 2^{request['max_logrows']}")
    ezkl.gen_settings(request["onnx"], request["settings_file"], run_args(settings))
    canonical(request["settings_file"])
    ezkl.compile_circuit(request["onnx"], request["compiled"], request["settings_file"])
    made = read(request["settings_file"])
    refuse_other_operations(request, made)
    result["logrows"] = settings["logrows"]


def setup(request, result):
    stage(result, "compiling the circuit", lambda: compile_circuit(request, result))
    runs = len(request["samples"])
    stage(result, f"comparing {runs} runs with the engine", lambda: compare_all(request))
    srs = request["srs"]
    if request["make_srs"]:
        stage(result, "making a development SRS", lambda: ezkl.gen_srs(srs, result["logrows"]))
    vk, pk, settings = request["vk"], request["pk"], request["settings_file"]
    stage(result, "making the keys", lambda: ezkl.setup(request["compiled"], vk, pk, srs, None, False))
    stage(result, "writing the circuit's data", lambda: ezkl.create_evm_vka(vk, settings, request["vka"], srs))


def prove(request, result):
    sample = request["sample"]
    vk, srs, proof = request["vk"], request["srs"], os.path.join(request["work"], "proof.json")
    path = stage(result, "computing the witness", lambda: compare(request, sample, vk, srs))
    stage(result, "proving", lambda: ezkl.prove(path, request["compiled"], request["pk"], proof, srs))
    if not request.get("unverified"):
        stage(result, "verifying", lambda: ezkl.verify(proof, request["settings_file"], vk, srs, False))
    made = read(proof)
    result["proof"] = bytes(made["proof"]).hex()
    result["instances"] = made["instances"][0]


def verify(request, result):
    proof = os.path.join(request["work"], "proof.json")
    data = bytes.fromhex(request["proof"])
    write(
        proof,
        {
            "protocol": None,
            "instances": [request["instances"]],
            "proof": list(data),
            "hex_proof": "0x" + data.hex(),
            "split": None,
            "pretty_public_inputs": None,
            "timestamp": None,
            "version": ezkl.__version__ if hasattr(ezkl, "__version__") else None,
        },
    )

    def check():
        try:
            return bool(ezkl.verify(proof, request["settings_file"], request["vk"], request["srs"], False))
        except RuntimeError as error:
            result["reason"] = str(error)
            return False

    result["valid"] = stage(result, "verifying", check)


def witnesses(request, result):
    """Compares runs without proving them."""
    runs = len(request["samples"])
    stage(result, f"comparing {runs} runs with the engine", lambda: compare_all(request))


def die_with_parent():
    """Proofs take long: none is made for a prover that is gone. Linux alone can do that; elsewhere it goes on."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (AttributeError, OSError):
        pass


TASKS = {"setup": setup, "prove": prove, "verify": verify, "witnesses": witnesses}


def main():
    die_with_parent()
    request = read(sys.argv[1])
    result = {}
    try:
        TASKS[request["task"]](request, result)
    except BaseException as error:  # ezkl's panics are no Exceptions
        result["error"] = str(error) or repr(error)
    # A result that is there is whole.
    write(request["result"] + ".part", result)
    os.replace(request["result"] + ".part", request["result"])
    sys.stdout.flush()
    # The interpreter may crash at exit after ezkl's asynchronous calls; everything is written.
    os._exit(0)


main()
