#!/usr/bin/env python3
"""Train the two models of the dynamic-nft contract and write them to ../model.

    python train.py                 both models (about 15 minutes on two quiet cores; nearly all of it the painter)
    python train.py --only mood     the mood model and the price series (seconds)
    python train.py --only painter  the painter (reads ../model/mood.onnx)
    python train.py --sheets DIR    also write contact sheets as PNG
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from arch.data import sp500, vix  # noqa: E402

import mood  # noqa: E402
import painter  # noqa: E402
import scene  # noqa: E402
from onnx_graph import save  # noqa: E402

SEED = 7
POOL = 8000  # pictures painted for training
CURVE_STEPS = 4000
STEPS = 9000
PRICES = 420  # closes kept for the demo: the last ones of 2018
OUT = Path(__file__).resolve().parent.parent / "model"

SEED_MEANING = [
    "left .. right place of the sun or moon (the second moon stands opposite)",
    "water line: high .. low",
    "shape of the far ridge, kind of trees",
    "shape of the middle ridge, the side on which the shore rises",
    "flat .. grand mountains",
    "family of colours within the warmth of the mood",
    "size of the sun or moon, clouds",
    "height of the sun or moon, aurora, clouds",
]


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def train_mood():
    prices = sp500.load()
    _, features, targets, train_rows = mood.market_table(prices, vix.load())
    params = mood.train(features[train_rows], targets[train_rows], SEED)
    save(mood.to_onnx(params), OUT / "mood.onnx")

    calibration = mood.samples(features, np.random.default_rng(SEED), 238)
    np.savez_compressed(OUT / "mood_calibration.npz", **calibration)
    (answer,) = session(OUT / "mood.onnx").run(["mood"], calibration)
    expected = np.asarray(mood.apply(params, calibration["market"], calibration["owner"]))
    assert np.abs(answer - expected).max() < 1e-5

    last = prices["Adj Close"].iloc[-PRICES:]
    lines = ["date,close"] + [f"{day:%Y-%m-%d},{close:.2f}" for day, close in last.items()]
    (OUT / "prices.csv").write_text("\n".join(lines) + "\n")
    scores = mood.metrics(params, features, targets, train_rows)
    for name, score in scores.items():
        print(f"mood {name}: R2 {score['r2']}, correlation {score['correlation']}")
    return scores


def mood_samples(count):
    """Moods as the mood model makes them from market days and owners."""
    rng = np.random.default_rng(SEED + 1)
    _, features, _, _ = mood.market_table(sp500.load(), vix.load())
    inputs = {"market": features[rng.integers(0, len(features), count)].astype(np.float32),
              "owner": mood.owner_samples(rng, count).astype(np.float32)}
    return session(OUT / "mood.onnx").run(["mood"], inputs)[0]


def train_painter():
    moods = mood_samples(4000)
    data = painter.pool(np.random.default_rng(SEED + 2), POOL, moods)
    report = lambda step, loss, _: print(f"painter step {step}: loss {loss:.4f}", flush=True)
    params = painter.init(np.random.default_rng(SEED + 3))
    params, curve_loss = painter.train_curves(params, SEED + 3, moods, steps=CURVE_STEPS)
    print(f"painter curves: loss {curve_loss:.5f}", flush=True)
    params = painter.train(params, data, SEED + 4, STEPS, report=report)
    save(painter.to_onnx(params), OUT / "painter.onnx")

    rng = np.random.default_rng(SEED + 5)
    calibration = dict(zip(["mood", "seed"], painter.sample(rng, 96, moods)))
    corners = rng.choice([-1.0, 1.0], (32, 16)).astype(np.float32)
    calibration = {"mood": np.concatenate([calibration["mood"], corners[:, :8]]),
                   "seed": np.concatenate([calibration["seed"], corners[:, 8:]])}
    np.savez_compressed(OUT / "painter_calibration.npz", **calibration)
    (answer,) = session(OUT / "painter.onnx").run(["pixels"], calibration)
    expected = np.asarray(painter.apply(params, calibration["mood"], calibration["seed"])).transpose(0, 3, 1, 2)
    assert np.abs(answer - expected).max() < 1e-3, np.abs(answer - expected).max()

    fresh = dict(zip(["mood", "seed"], painter.sample(np.random.default_rng(SEED + 6), 128, moods)))
    (answer,) = session(OUT / "painter.onnx").run(["pixels"], fresh)
    error = float(np.abs(answer - np.asarray(scene.paint_batch(fresh["mood"], fresh["seed"]))).mean())
    scores = {"mean_absolute_error": round(error, 4), "parameters": painter.parameters(params)}
    print("painter", scores)
    return scores


def describe(scores):
    column = lambda names: [{"index": i, **entry} for i, entry in enumerate(names)]
    document = {
        "mood.onnx": {
            "inputs": {
                "market": {
                    "shape": ["N", len(mood.MARKET)],
                    "window": f"p[0] (oldest) .. p[{mood.WINDOW - 1}] (newest): the last {mood.WINDOW} posted prices; "
                              "with fewer, the oldest stands in for the missing ones",
                    "rule": "computed exactly or in decimals, then saturated to the range",
                    "features": column([{"name": n, "meaning": m, "formula": f, "min": r[0], "max": r[1]}
                                        for n, m, f, r, _ in mood.MARKET]),
                },
                "owner": {
                    "shape": ["N", len(mood.OWNER)],
                    "rule": "whole numbers, saturated to the range",
                    "features": column([{"name": n, "meaning": m, "min": r[0], "max": r[1]} for n, m, r, _ in mood.OWNER]),
                },
            },
            "outputs": {"mood": {"shape": ["N", 8], "min": -1, "max": 1,
                                 "features": column([{"name": n, "meaning": m} for n, m in mood.MOOD])}},
        },
        "painter.onnx": {
            "inputs": {
                "mood": {"shape": ["N", 8], "min": -1, "max": 1, "meaning": "the output `mood` of mood.onnx"},
                "seed": {"shape": ["N", 8], "min": -1, "max": 1,
                         "rule": "(byte - 128) / 128 for eight bytes of a hash of the token",
                         "features": column([{"meaning": m} for m in SEED_MEANING])},
            },
            "outputs": {"pixels": {"shape": ["N", 3, scene.SIZE, scene.SIZE], "min": 0, "max": 1,
                                   "meaning": "red, green, blue planes; rows from the top; byte = floor(255 * value + 1/2)"}},
        },
        "prices.csv": f"last {PRICES} daily closes of the S&P 500 to 2018-12-31 (PyPI arch)",
        "metrics": scores,
    }
    (OUT / "inputs.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def sheets(folder):
    """One mood over many tokens, one token over many moods, one token through the price series."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    painter_session, mood_session = session(OUT / "painter.onnx"), session(OUT / "mood.onnx")

    def sheet(name, moods, seeds, columns=8, zoom=3):
        pixels = painter_session.run(["pixels"], {"mood": np.float32(moods), "seed": np.float32(seeds)})[0]
        tiles = (np.clip(pixels, 0, 1).transpose(0, 2, 3, 1) * 255 + 0.5).astype(np.uint8)
        tiles = np.pad(tiles.repeat(zoom, 1).repeat(zoom, 2), ((0, 0), (3, 3), (3, 3), (0, 0)), constant_values=24)
        rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
        Image.fromarray(np.concatenate(rows, axis=0)).save(folder / name)

    rng = np.random.default_rng(11)
    tokens = rng.integers(0, 256, (64, 8)) / 128.0 - 1.0
    sheet("tokens.png", np.tile([[0.3, 0.6, -0.7, -0.4, 0.4, -0.5, 0.0, 0.4]], (32, 1)), tokens[:32])
    moods = []
    for index in range(8):  # a row per number of the mood, from -1 to 1
        for value in np.linspace(-1, 1, 8):
            row = [0.2, 0.3, -0.6, -0.3, 0.2, -0.6, -0.2, 0.0]
            if mood.MOOD[index][0] == "dream":
                row[1] = -0.6
            row[index] = value
            moods.append(row)
    sheet("moods.png", moods, np.tile(tokens[:1], (64, 1)))
    closes = [line.split(",")[1] for line in (OUT / "prices.csv").read_text().split()[1:]]
    days = np.linspace(30, len(closes), 32).astype(int)
    market = np.float32([mood.market_features(closes[:day]) for day in days])
    owner = np.float32([[day * 1.4, min(day // 90, 4), day * 1.4] for day in days])
    series = mood_session.run(["mood"], {"market": market, "owner": owner})[0]
    sheet("series.png", series, np.tile(tokens[1:2], (32, 1)))
    sheet("mixed.png", rng.uniform(-1, 1, (64, 8)), tokens)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", choices=["mood", "painter", "sheets"])
    arguments.add_argument("--sheets", type=Path, metavar="DIR")
    options = arguments.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    known = OUT / "inputs.json"
    scores = json.loads(known.read_text()).get("metrics", {}) if known.exists() else {}
    if options.only in (None, "mood"):
        scores["mood"] = train_mood()
    if options.only in (None, "painter"):
        scores["painter"] = train_painter()
    describe(scores)
    if options.sheets:
        sheets(options.sheets)


if __name__ == "__main__":
    main()
