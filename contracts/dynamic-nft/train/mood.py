"""The mood model: what the contract knows on chain -> eight numbers in (-1, 1).

The market part is learned from the S&P 500 (1999..2018) and the VIX (2014..2018) that PyPI's `arch` ships; the owner part
learns curves defined here. Everything the contract computes, `market_features` computes with the same formulas.
"""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

import adam
from onnx_graph import Graph

WINDOW = 21  # prices the contract keeps: the newest and the twenty before it
HELD_OUT_FROM = "2017-01-01"

MOOD = [
    ("warmth", "cold .. warm: the return of the last 20 days among all such returns"),
    ("light", "dark .. bright: how near the price is to its high of the last 250 days"),
    ("storm", "calm .. stormy: the VIX the network reads from the prices, 10 -> -1, 30 -> +1"),
    ("unrest", "smooth .. jagged: the mean daily change it expects of the next 10 days"),
    ("bloom", "bare .. lush: how long the owner has held the token"),
    ("wander", "settled .. travelled: how often the token has changed hands"),
    ("patina", "young .. old: days since the mint"),
    ("dream", "waking .. dreaming: a calm market and a faithful owner together"),
]
MARKET = [  # name, meaning, formula on p[0] (oldest) .. p[20] (newest), range, power of two of the first layer
    ("return_1", "change since the previous price, percent", "100 * (p[20] - p[19]) / p[19]", (-25, 25), -1),
    ("return_5", "change over 5 steps, percent", "100 * (p[20] - p[15]) / p[15]", (-40, 40), -2),
    ("return_20", "change over 20 steps, percent", "100 * (p[20] - p[0]) / p[0]", (-60, 60), -3),
    ("volatility_5", "mean absolute change of the last 5 steps, percent",
     "100 / 5 * sum(i = 16..20; abs(p[i] - p[i-1]) / p[i-1])", (0, 16), 0),
    ("volatility_20", "mean absolute change of the last 20 steps, percent",
     "100 / 20 * sum(i = 1..20; abs(p[i] - p[i-1]) / p[i-1])", (0, 16), 0),
    ("drawdown", "fall from the highest of the 21 prices, percent", "100 * (max(p) - p[20]) / max(p)", (0, 60), -3),
    ("position", "place between the lowest and the highest of the 21 prices",
     "(p[20] - min(p)) / (max(p) - min(p)), 1/2 if max(p) = min(p)", (0, 1), 1),
    ("rises", "share of the last 20 steps that went up", "count(i = 1..20; p[i] > p[i-1]) / 20", (0, 1), 1),
]
OWNER = [  # name, meaning, range, two divisors: the network sees min(x / near, 1) and min(x / far, 1)
    ("days_held", "whole days since the present owner received the token", (0, 1024), (32, 512)),
    ("transfers", "how often the token has changed hands since the mint", (0, 64), (4, 32)),
    ("days_old", "whole days since the mint", (0, 4096), (128, 1024)),
]


def market_features(prices):
    """Features of the last prices, oldest first; exact fractions. Fewer than 21 are filled up with the oldest one."""
    p = [Fraction(str(x)) for x in prices[-WINDOW:]]
    p = [p[0]] * (WINDOW - len(p)) + p
    steps = [abs(b - a) / a for a, b in zip(p, p[1:])]
    high, low = max(p), min(p)
    features = [
        100 * (p[20] - p[19]) / p[19],
        100 * (p[20] - p[15]) / p[15],
        100 * (p[20] - p[0]) / p[0],
        100 * sum(steps[-5:]) / 5,
        100 * sum(steps) / 20,
        100 * (high - p[20]) / high,
        (p[20] - low) / (high - low) if high > low else Fraction(1, 2),
        Fraction(sum(b > a for a, b in zip(p, p[1:])), 20),
    ]
    return [float(min(max(f, Fraction(r[0])), Fraction(r[1]))) for f, (_, _, _, r, _) in zip(features, MARKET)]


def ranks(values, reference):
    """Where each value stands in the reference, -1 .. 1; NaN stays NaN."""
    ordered = np.sort(reference[~np.isnan(reference)])
    placed = 2.0 * np.searchsorted(ordered, np.nan_to_num(values)) / len(ordered) - 1.0
    return np.where(np.isnan(values), np.nan, placed)


def market_table(sp500, vix):
    """Features and targets (warmth, light, storm, unrest) per trading day; unknown targets are NaN."""
    close = sp500["Adj Close"].to_numpy()
    dates = sp500.index
    days = np.arange(WINDOW - 1, len(close))
    features = np.array([market_features([f"{c:.2f}" for c in close[d - WINDOW + 1 : d + 1]]) for d in days])
    train = dates[days] < HELD_OUT_FROM
    change = np.abs(np.diff(close, prepend=close[0])) / close
    back20 = np.array([close[d] / close[d - 20] - 1 for d in days])
    high250 = np.array([close[d] / close[max(0, d - 249) : d + 1].max() for d in days])
    next10 = np.array([change[d + 1 : d + 11].mean() if d + 10 < len(close) else np.nan for d in days])
    level = vix["vix"].reindex(dates).to_numpy()[days]
    targets = np.stack([
        ranks(back20, back20[train]),
        ranks(high250, high250[train]),
        np.clip((level - 20.0) / 10.0, -1, 1),
        ranks(next10, next10[train]),
    ], axis=1)
    return days, features, targets, train


def owner_samples(rng, count):
    """Owner histories from newly minted to years old, over every scale of time."""
    days_old = np.floor(np.exp(rng.uniform(0, np.log(2000), count)) - 1)
    days_held = np.floor(days_old * rng.beta(1.0, 0.5, count))
    transfers = np.minimum(np.floor(rng.exponential(3.0, count) * rng.integers(0, 2, count)), 64)
    return np.stack([days_held, transfers, days_old], axis=1)


def owner_targets(owner):
    """bloom, wander, patina: 0 at a month, four transfers, half a year."""
    half = np.array([30.0, 4.0, 180.0])
    return 2.0 * owner / (owner + half) - 1.0


def init(rng, hidden=32):
    inputs = len(MARKET) + 2 * len(OWNER)
    return {
        "w1": jnp.asarray(rng.normal(0, np.sqrt(1.0 / inputs), (inputs, hidden))), "b1": jnp.zeros(hidden),
        "w2": jnp.asarray(rng.normal(0, np.sqrt(2.0 / hidden), (hidden, hidden))), "b2": jnp.zeros(hidden),
        "w3": jnp.asarray(rng.normal(0, np.sqrt(1.0 / hidden), (hidden, 8))), "b3": jnp.zeros(8),
    }


MARKET_SCALE = np.array([2.0 ** m[4] for m in MARKET])
NEAR = np.array([1.0 / o[3][0] for o in OWNER])
FAR = np.array([1.0 / o[3][1] for o in OWNER])


def apply(params, market, owner):
    x = jnp.concatenate([jnp.clip(market * MARKET_SCALE, -4, 4), jnp.clip(owner * NEAR, 0, 1), jnp.clip(owner * FAR, 0, 1)], axis=1)
    h = jax.nn.relu(x @ params["w1"] + params["b1"])
    h = jax.nn.relu(h @ params["w2"] + params["b2"])
    return jnp.tanh(h @ params["w3"] + params["b3"])


def train(features, targets, seed, steps=4000, batch=256):
    rng = np.random.default_rng(seed)
    params = init(rng)

    def loss(params, market, owner, wanted, known):
        error = jnp.where(known, apply(params, market, owner) - jnp.where(known, wanted, 0.0), 0.0)
        return jnp.sum(error**2) / jnp.sum(known)

    @jax.jit
    def step_fn(params, state, step, market, owner, wanted, known):
        grads = jax.grad(loss)(params, market, owner, wanted, known)
        return adam.update(params, grads, state, step, adam.rate(step, steps, 4e-3), decay=1e-3)

    state = adam.init(params)
    for step in range(steps):
        rows = rng.integers(0, len(features), batch)
        # A little noise on the features: a reading should not hinge on the second decimal.
        market = features[rows] * (1 + 0.02 * rng.normal(size=(batch, features.shape[1])))
        owner = owner_samples(rng, batch)
        wanted = full_targets(targets[rows], owner)
        params, state = step_fn(params, state, step, market, owner, np.nan_to_num(wanted), ~np.isnan(wanted))
    return {name: np.asarray(value, dtype=np.float64) for name, value in params.items()}


def full_targets(market_targets, owner):
    bloom_wander_patina = owner_targets(owner)
    calm = -market_targets[:, 3]
    dream = np.clip(0.5 * calm + 0.7 * bloom_wander_patina[:, 0] + 0.2, -1, 1)
    return np.concatenate([market_targets, bloom_wander_patina, dream[:, None]], axis=1)


def to_onnx(params):
    g = Graph("mood")
    market, owner = g.input("market", [len(MARKET)]), g.input("owner", [len(OWNER)])
    scaled = g.op("Mul", "market_scaled", [market, g.const("market_scale", MARKET_SCALE)])
    scaled = g.clip("market_clipped", scaled, -4, 4)
    near = g.clip("owner_near", g.op("Mul", "owner_near_scaled", [owner, g.const("near", NEAR)]), 0, 1)
    far = g.clip("owner_far", g.op("Mul", "owner_far_scaled", [owner, g.const("far", FAR)]), 0, 1)
    x = g.op("Concat", "features", [scaled, near, far], axis=1)
    h = g.op("Relu", "hidden1", [g.gemm("layer1", x, params["w1"], params["b1"])])
    h = g.op("Relu", "hidden2", [g.gemm("layer2", h, params["w2"], params["b2"])])
    g.op("Tanh", "tanh", [g.gemm("layer3", h, params["w3"], params["b3"])], "mood")
    g.output("mood", [8])
    return g.build()


def metrics(params, features, targets, train_rows):
    """R2 per market target on the held-out years, for the features of those years."""
    result = {}
    owner = np.tile([[30.0, 1.0, 60.0]], (len(features), 1))
    predicted = np.asarray(apply(params, features, owner))
    for index, name in enumerate(["warmth", "light", "storm", "unrest"]):
        for part, rows in [("train", train_rows), ("held_out", ~train_rows)]:
            rows = rows & ~np.isnan(targets[:, index])
            residual = targets[rows, index] - predicted[rows, index]
            r2 = 1 - (residual**2).mean() / targets[rows, index].var()
            correlation = np.corrcoef(targets[rows, index], predicted[rows, index])[0, 1]
            result[f"{name}_{part}"] = {"r2": round(float(r2), 3), "correlation": round(float(correlation), 3)}
    return result


def samples(features, rng, count):
    """Inputs as the contract meets them, real market days and sampled owners, with the corners of the ranges."""
    market = features[rng.integers(0, len(features), count)]
    owner = owner_samples(rng, count)
    low = np.array([[m[3][0] for m in MARKET]], dtype=np.float64)
    high = np.array([[m[3][1] for m in MARKET]], dtype=np.float64)
    corners = np.where(rng.integers(0, 2, (16, len(MARKET))), low, high)
    corner_owner = np.array([[o[2][1] for o in OWNER]]) * rng.integers(0, 2, (16, len(OWNER)))
    market = np.concatenate([market, low, high, corners]).astype(np.float32)
    owner = np.concatenate([owner, [[0, 0, 0]], [[o[2][1] for o in OWNER]], corner_owner]).astype(np.float32)
    return {"market": market, "owner": owner}
