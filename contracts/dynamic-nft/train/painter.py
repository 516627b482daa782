"""The painter network: (mood, seed) -> pixels, a small decoder trained to imitate `scene.paint`.

A trunk of two layers turns the 16 numbers into
- profiles over x (ridges, tree lines, discs): coefficients times a learned basis, [N, KX, 1, 64],
- profiles over y (gradients, waves):                                            [N, KY, 64, 1],
- a low-resolution map that a convolutional decoder grows from 4x4 to 32x32 (clouds, glow), joined by learned textures,
- weights of two full-size textures (stars, rain).
They meet at 64x64: sum, clip, mix, gate by height, and a last 3x3 convolution to red, green, blue.
Profiles are what keeps edges crisp: a ridge is where y exceeds a curve of x, not something to be upsampled.
"""

import jax
import jax.numpy as jnp
import numpy as np

import adam
import scene
from onnx_graph import Graph

SIZE = scene.SIZE
TRUNK1, TRUNK2 = 64, 56
KX, BX, KY, BY = 12, 24, 8, 10
LOW, MID, MAPS, LOW_OUT, FULL = 8, 12, 6, 8, 2  # channels: at 4x4, at 8 and 16, textures at 32, out of 32, textures at 64
C1, C2 = 44, 36
STRIP = 8  # rows of a picture that one training step sees


def init(rng):
    def dense(n_in, n_out, gain=2.0):
        return jnp.asarray(rng.normal(0, np.sqrt(gain / n_in), (n_in, n_out)), dtype=jnp.float32)

    x, y = 2 * scene.X - 1, 2 * scene.Y - 1
    waves = [f(np.pi * k * x) for k in (1, 2, 3) for f in (np.sin, np.cos)]
    basis_x = np.stack([np.ones(SIZE), x, x * x, *waves, *scene.RIDGES.reshape(9, SIZE), *scene.JAGS, *scene.TREES])
    basis_y = np.stack([np.ones(SIZE), y, y * y, y**3, scene.WAVES, scene.BOLT * 10, np.sin(np.pi * y), np.cos(np.pi * y),
                        np.sin(2 * np.pi * y), np.cos(2 * np.pi * y)])
    half = scene.CLOUDS.reshape(-1, SIZE // 2, 2, SIZE // 2, 2).mean(axis=(2, 4))
    maps = np.concatenate([half, rng.normal(0, 0.3, (MAPS - len(half), SIZE // 2, SIZE // 2))])
    p = {
        "trunk1": dense(16, TRUNK1), "trunk2": dense(TRUNK1, TRUNK2),
        "cx": dense(TRUNK2, KX * BX, 0.5), "basis_x": basis_x, "cy": dense(TRUNK2, KY * BY, 0.5), "basis_y": basis_y,
        "low": dense(TRUNK2, LOW * 16), "conv8": dense(9 * LOW, MID), "conv16": dense(9 * MID, MID),
        "conv32": dense(9 * (MID + MAPS), LOW_OUT), "maps": maps, "maps_gain": dense(TRUNK2, MAPS, 1.0),
        "full": np.stack([scene.STARS, scene.RAIN]), "full_gain": dense(TRUNK2, FULL, 1.0),
        "mix1": dense(LOW_OUT + FULL, C1), "x1": dense(KX, C1, 4.0), "y1": dense(KY, C1, 4.0),
        "mix2": dense(C1, C2), "x2": dense(KX, C2, 0.3), "y2": dense(KY, C2, 0.3), "gate": dense(KY, C2, 0.5),
        "out": dense(9 * C2, 3, 0.5),
    }
    for name, width in [("trunk1", TRUNK1), ("trunk2", TRUNK2), ("cx", KX * BX), ("cy", KY * BY), ("low", LOW * 16),
                        ("conv8", MID), ("conv16", MID), ("conv32", LOW_OUT), ("maps_gain", MAPS), ("full_gain", FULL),
                        ("mix1", C1), ("mix2", C2), ("gate", C2), ("out", 3)]:
        p[name + ".b"] = np.zeros(width)
    p["gate.b"] = p["gate.b"] + 1.0
    p["mix1.b"] = p["mix1.b"] + rng.uniform(0, 0.8, C1)
    return {name: jnp.asarray(value, dtype=jnp.float32) for name, value in p.items()}


@jax.custom_vjp
def clip01(x):
    return jnp.clip(x, 0, 1)


# Outside of 0..1 a twentieth of the gradient passes in training, lest a channel die.
clip01.defvjp(lambda x: (jnp.clip(x, 0, 1), (x > 0) & (x < 1)), lambda inside, g: (g * jnp.where(inside, 1.0, 0.05),))


def affine(p, name, x):
    return x @ p[name] + p[name + ".b"]


def conv(p, name, x, rows="SAME"):
    """3x3, zero padding, channels last. With rows VALID the rows above and below are already part of x."""
    w = p[name].reshape(3, 3, x.shape[-1], -1)
    padding = [(1, 1) if rows == "SAME" else (0, 0), (1, 1)]
    return jax.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + p[name + ".b"]


def repeat(x, times):
    return jnp.repeat(jnp.repeat(x, times, axis=1), times, axis=2)


def apply(p, mood, seed, rows=None):
    """Pictures, channels last; with `rows` (first row per picture) only the strips that start there."""
    n = mood.shape[0]
    g = jax.nn.relu(affine(p, "trunk1", jnp.concatenate([mood, seed], axis=1)))
    g = jax.nn.relu(affine(p, "trunk2", g))
    px = jnp.einsum("nkb,bx->nxk", affine(p, "cx", g).reshape(n, KX, BX), p["basis_x"])
    py = jnp.einsum("nkb,by->nyk", affine(p, "cy", g).reshape(n, KY, BY), p["basis_y"])
    low = jax.nn.relu(affine(p, "low", g)).reshape(n, LOW, 4, 4).transpose(0, 2, 3, 1)
    low = jax.nn.relu(conv(p, "conv8", repeat(low, 2)))
    low = jax.nn.relu(conv(p, "conv16", repeat(low, 2)))
    maps = p["maps"].transpose(1, 2, 0)[None] * affine(p, "maps_gain", g)[:, None, None, :]
    low = jax.nn.relu(conv(p, "conv32", jnp.concatenate([repeat(low, 2), maps], axis=-1)))
    full = jnp.broadcast_to(p["full"].transpose(1, 2, 0)[None], (n, SIZE, SIZE, FULL))
    low_mixed = low @ p["mix1"][:LOW_OUT]
    inside = jnp.ones((n, SIZE, 1, 1))
    if rows is not None:
        index = rows[:, None] - 1 + jnp.arange(STRIP + 2)[None, :]
        inside = ((index >= 0) & (index < SIZE)).astype(jnp.float32)[:, :, None, None]
        index = jnp.clip(index, 0, SIZE - 1)
        take = jax.vmap(lambda a, i: a[i])
        py, full, low_mixed = take(py, index), take(full, index), take(low_mixed, index // 2)
        low_mixed = jnp.repeat(low_mixed, 2, axis=2)
    else:
        low_mixed = repeat(low_mixed, 2)
    full = full * affine(p, "full_gain", g)[:, None, None, :]
    h = low_mixed + full @ p["mix1"][LOW_OUT:] + p["mix1.b"]
    h = clip01(h + (px @ p["x1"])[:, None] + (py @ p["y1"])[:, :, None])
    h = affine(p, "mix2", h) + (px @ p["x2"])[:, None] + (py @ p["y2"])[:, :, None]
    h = jax.nn.relu(h) * affine(p, "gate", py)[:, :, None]
    h = h * inside
    out = conv(p, "out", h, "SAME" if rows is None else "VALID")
    return jax.nn.sigmoid(out)


def targets(mood, seed, rows):
    pictures = jax.vmap(scene.paint)(mood, seed).transpose(0, 2, 3, 1)
    index = rows[:, None] + jnp.arange(STRIP)[None, :]
    return jax.vmap(lambda a, i: a[i])(pictures, index)


def sample(rng, count, moods):
    """Half of the moods uniform, a quarter pushed to the corners, a quarter as the mood model makes them."""
    mood = rng.uniform(-1, 1, (count, 8))
    kind = rng.integers(0, 4, count)
    mood = np.where((kind == 0)[:, None], np.clip(1.6 * mood, -1, 1), mood)
    mood = np.where((kind == 1)[:, None], moods[rng.integers(0, len(moods), count)], mood)
    seed = rng.uniform(-1, 1, (count, 8))
    return mood.astype(np.float32), seed.astype(np.float32)


def pool(rng, count, moods, chunk=64):
    """Training pictures, painted once: inputs and uint8 pixels."""
    mood, seed = sample(rng, count, moods)
    pictures = np.empty((count, SIZE, SIZE, 3), dtype=np.uint8)
    for start in range(0, count, chunk):
        part = np.asarray(scene.paint_batch(mood[start : start + chunk], seed[start : start + chunk]))
        pictures[start : start + chunk] = (part.transpose(0, 2, 3, 1) * 255 + 0.5).astype(np.uint8)
    return mood, seed, pictures


def train(data, seed, steps, batch=48, peak=4e-3, params=None, report=None):
    rng = np.random.default_rng(seed)
    params = init(rng) if params is None else params
    moods, seeds, pictures = data

    def loss_fn(params, mood, token, rows, wanted):
        error = apply(params, mood, token, rows) - wanted
        plain = jnp.mean(jnp.abs(error)) + 2.0 * jnp.mean(error**2)
        edges = jnp.mean(jnp.abs(error[:, :, 1:] - error[:, :, :-1])) + jnp.mean(jnp.abs(error[:, 1:] - error[:, :-1]))
        return plain + 0.5 * edges

    @jax.jit
    def step_fn(params, state, average, step, mood, token, rows, wanted):
        loss, grads = jax.value_and_grad(loss_fn)(params, mood, token, rows, wanted.astype(jnp.float32) / 255)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in grads.values()))
        grads = {k: g * jnp.minimum(1.0, 1.0 / norm) for k, g in grads.items()}
        params, state = adam.update(params, grads, state, step, adam.rate(step, steps, peak))
        average = {k: 0.995 * average[k] + 0.005 * params[k] for k in params}
        return params, state, average, loss

    state, average, running = adam.init(params), params, None
    for step in range(steps):
        pick = rng.integers(0, len(moods), batch)
        rows = rng.integers(0, SIZE - STRIP + 1, batch)
        wanted = np.stack([pictures[i, r : r + STRIP] for i, r in zip(pick, rows)])
        params, state, average, loss = step_fn(params, state, average, step, moods[pick], seeds[pick], rows, wanted)
        running = loss if running is None else 0.99 * running + 0.01 * loss
        if report and (step + 1) % 500 == 0:
            report(step + 1, float(running), average)
    return average


def to_onnx(params):
    p = {name: np.asarray(value, dtype=np.float64) for name, value in params.items()}
    g = Graph("painter")
    z = g.op("Concat", "latent", [g.input("mood", [8]), g.input("seed", [8])], axis=1)

    def dense(name, x):
        return g.gemm(name, x, p[name], p[name + ".b"])

    def conv3(name, x, out=None):
        w = p[name].reshape(3, 3, -1, p[name].shape[1]).transpose(3, 2, 0, 1)
        return g.conv(name, x, w, p[name + ".b"], out)

    def conv1(name, x, weight, bias):
        return g.conv(name, x, weight.T[:, :, None, None], bias)

    h = g.op("Relu", "trunk1_relu", [dense("trunk1", z)])
    h = g.op("Relu", "trunk2_relu", [dense("trunk2", h)])
    px = g.op("MatMul", "profiles_x", [g.reshape("cx_grid", dense("cx", h), [KX, BX]), g.const("basis_x", p["basis_x"])])
    px = g.reshape("profiles_x_map", px, [KX, 1, SIZE])
    py = g.op("MatMul", "profiles_y", [g.reshape("cy_grid", dense("cy", h), [KY, BY]), g.const("basis_y", p["basis_y"])])
    py = g.reshape("profiles_y_map", py, [KY, SIZE, 1])

    low = g.reshape("low_map", g.op("Relu", "low_relu", [dense("low", h)]), [LOW, 4, 4])
    low = g.op("Relu", "conv8_relu", [conv3("conv8", g.repeat("up8", low, 2, 2))])
    low = g.op("Relu", "conv16_relu", [conv3("conv16", g.repeat("up16", low, 2, 2))])
    gains = g.repeat("maps_gain_map", g.reshape("maps_gain_column", dense("maps_gain", h), [MAPS, 1, 1]), SIZE // 2, SIZE // 2)
    maps = g.op("Mul", "maps_weighted", [gains, g.const("maps", p["maps"][None])])
    low = g.op("Concat", "low_and_maps", [g.repeat("up32", low, 2, 2), maps], axis=1)
    low = g.repeat("up64", g.op("Relu", "conv32_relu", [conv3("conv32", low)]), 2, 2)
    gains = g.repeat("full_gain_map", g.reshape("full_gain_column", dense("full_gain", h), [FULL, 1, 1]), SIZE, SIZE)
    full = g.op("Mul", "full_weighted", [gains, g.const("full", p["full"][None])])
    low = g.op("Concat", "low_and_full", [low, full], axis=1)

    def add_profiles(level, x):
        width = p["x" + level].shape[1]
        x_part = g.repeat(f"x{level}_map", conv1(f"x{level}", px, p["x" + level], np.zeros(width)), SIZE, 1)
        y_part = g.repeat(f"y{level}_map", conv1(f"y{level}", py, p["y" + level], np.zeros(width)), 1, SIZE)
        return g.op("Add", f"sum{level}", [x, g.op("Add", f"profiles{level}", [x_part, y_part])])

    h = add_profiles("1", conv1("mix1", low, p["mix1"], p["mix1.b"]))
    h = g.clip("layers", h, 0, 1)
    h = g.op("Relu", "mixed", [add_profiles("2", conv1("mix2", h, p["mix2"], p["mix2.b"]))])
    gate = g.repeat("gate_map", conv1("gate", py, p["gate"], p["gate.b"]), 1, SIZE)
    h = g.op("Mul", "gated", [h, gate])
    g.op("Sigmoid", "sigmoid", [conv3("out", h)], "pixels")
    g.output("pixels", [3, SIZE, SIZE])
    return g.build()


def parameters(params):
    return int(sum(np.asarray(v).size for v in params.values()))
