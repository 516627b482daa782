"""The painter network: (mood, seed) -> pixels, a small decoder trained to imitate `scene.paint`.

A trunk of two layers turns the 16 numbers into
- profiles over x, jagged and smooth (ridges, tree lines, places of the discs): coefficients times a learned basis,
- profiles over y (gradients, waves), likewise,
- a low-resolution map that a convolutional decoder grows from 4x4 to 32x32, joined by learned textures (clouds, glow),
- weights of two full-size textures (stars, rain) and of the colours.
They meet at 64x64: sum, clip, mix, gate, and a last 3x3 convolution to red, green, blue. Profiles are what keeps edges
crisp: a ridge is where y exceeds a curve of x, not something to be upsampled.

Training has two parts: the trunk learns the curves of `scene.profiles`, which takes seconds; then everything learns the
pictures. The first masks start out as what the curves are for (below the ridge, inside the disc) and are free to move.
"""

import jax
import jax.numpy as jnp
import numpy as np

import adam
import scene
from onnx_graph import Graph

SIZE = scene.SIZE
TRUNK1, TRUNK2 = 96, 64
KJ, BJ = 7, 24  # jagged profiles over x and their basis
KS, BS = 7, 9  # smooth ones
KX = KJ + KS
KY, BY = 12, 10
LOW, MID, MAPS, LOW_OUT, FULL = 6, 10, 4, 8, 2  # channels: at 4x4, at 8 and 16, textures at 32, out of 32, textures at 64
C1, C2 = 44, 36
STRIP = 8  # rows of a picture that one training step sees


def init(rng):
    def dense(n_in, n_out, gain=2.0):
        return jnp.asarray(rng.normal(0, np.sqrt(gain / n_in), (n_in, n_out)), dtype=jnp.float32)

    x, y = 2 * scene.X - 1, 2 * scene.Y - 1
    waves = [f(np.pi * k * x) for k in (1, 2, 3) for f in (np.sin, np.cos)]
    basis_x = np.stack([np.ones(SIZE), x, x * x, *waves, *scene.RIDGES.reshape(9, SIZE), *scene.JAGS, *scene.TREES])
    smooth = np.stack([np.ones(SIZE), x, x * x, *waves])
    basis_y = np.stack([np.ones(SIZE), y, y * y, y**3, scene.WAVES, scene.BOLT * 10, np.sin(np.pi * y), np.cos(np.pi * y),
                        np.sin(2 * np.pi * y), np.cos(2 * np.pi * y)])
    half = scene.CLOUDS.reshape(-1, SIZE // 2, 2, SIZE // 2, 2).mean(axis=(2, 4))
    p = {
        "trunk1": dense(16, TRUNK1), "trunk2": dense(TRUNK1, TRUNK2),
        "cj": dense(TRUNK2, KJ * BJ, 0.1), "basis_j": basis_x, "cs": dense(TRUNK2, KS * BS, 0.1), "basis_s": smooth,
        "cy": dense(TRUNK2, KY * BY, 0.1), "basis_y": basis_y,
        "low": dense(TRUNK2, LOW * 16), "conv8": dense(9 * LOW, MID), "conv16": dense(9 * MID, MID),
        "conv32": dense(9 * (MID + MAPS), LOW_OUT), "maps": half, "maps_gain": dense(TRUNK2, MAPS, 1.0),
        "full": np.stack([scene.STARS, scene.RAIN]), "full_gain": dense(TRUNK2, FULL, 1.0),
        "mix1": dense(LOW_OUT + FULL, C1), "x1": dense(KX, C1, 1.0), "y1": dense(KY, C1, 1.0),
        "mix2": dense(C1, C2), "x2": dense(KX, C2, 0.3), "y2": dense(KY, C2, 0.3), "gate": dense(KY, C2, 0.1),
        "z2": dense(TRUNK2, C2, 0.2), "gate_z": dense(TRUNK2, C2, 0.3),
        "out": dense(9 * C2, 3, 0.5),
    }
    for name, width in [("trunk1", TRUNK1), ("trunk2", TRUNK2), ("cj", KJ * BJ), ("cs", KS * BS), ("cy", KY * BY), ("low", LOW * 16),
                        ("conv8", MID), ("conv16", MID), ("conv32", LOW_OUT), ("maps_gain", MAPS), ("full_gain", FULL),
                        ("mix1", C1), ("z2", C2), ("gate_z", C2), ("out", 3)]:
        p[name + ".b"] = np.zeros(width)
    p["gate_z.b"] = p["gate_z.b"] + 1.0
    p["mix1.b"] = p["mix1.b"] + rng.uniform(0, 0.8, C1)
    p = {name: np.array(value) for name, value in p.items()}
    for channel, (bias, over_x, over_y) in enumerate(masks()):
        for name, row in [("mix1", {}), ("x1", over_x), ("y1", over_y)]:
            p[name][:, channel] = 0.0
            for k, weight in row.items():
                p[name][k, channel] = weight
        p["mix1.b"][channel] = bias
    p["out.b"][:] = -2.5
    for channel, (bias, layers, over_y, base, colour) in enumerate(composition()):
        for name in ["mix2", "x2", "y2", "gate", "z2", "gate_z"]:
            p[name][:, channel] *= 0.1
        for k, weight in layers.items():
            p["mix2"][k, channel] = weight
        for k, weight in over_y.items():
            p["gate"][k, channel] = weight
        p["z2.b"][channel], p["gate_z.b"][channel] = bias, base
        p["out"].reshape(3, 3, C2, 3)[:, :, channel] *= 0.1
        p["out"].reshape(3, 3, C2, 3)[1, 1, channel] = colour
    return {name: jnp.asarray(value, dtype=jnp.float32) for name, value in p.items()}


def masks():
    """Where the first channels of the first layer start: (bias, weights of the x profiles, weights of the y profiles)."""
    # Indices into scene.profiles.
    far, middle, near, outline, mirror, snow_far, snow_middle, bank, sun, moon, aurora1, aurora2, bolt, water = range(14)
    height, sun_y, moon_y = 0, 1, 2
    bolt_y, waves = 10, 11

    def below(curve, pixels, sign=1.0):
        k = sign * SIZE / pixels
        return (0.5, {curve: -k}, {height: k})

    def disc(x_part, y_part, k, bias):
        return (bias, {x_part: -k}, {y_part: -k})

    return [
        below(far, 1), below(middle, 1), below(near, 1), below(outline, 1), below(mirror, 1.5, -1.0), below(water, 1),
        below(snow_far, 1.5, -1.0), below(snow_middle, 1.5, -1.0), below(bank, 8), below(far, 14), below(middle, 14),
        disc(sun, sun_y, 80.0, 0.5), disc(sun, sun_y, 2.2, 1.0), disc(sun, sun_y, 6.0, 1.0), disc(moon, moon_y, 140.0, 0.5),
        below(aurora1, 16), below(aurora1, 6, -1.0), below(aurora2, 16), below(aurora2, 6, -1.0),
        (1.2, {bolt: 64.0}, {bolt_y: -6.4}), (-0.2, {bolt: 64.0}, {bolt_y: -6.4}),
        (1.0, {bolt: 7.0}, {bolt_y: -0.7}), (1.0, {bolt: -7.0}, {bolt_y: 0.7}),
        (1.0, {sun: -8.0}, {waves: -0.35}), (1.0, {sun: -20.0}, {waves: -0.35}),
    ]


def composition():
    """Where the first channels of the second layer start: (bias, weights of the masks, gate by y, gate, colour added).

    A channel is a region, such as the far ridge without what stands before it, times a colour.
    """
    far, middle, near, outline, mirror, water, snow_far, snow_middle, bank, far_depth, middle_depth, sun, wide, glow, moon = range(15)
    aurora1_above, aurora1_below, aurora2_above, aurora2_below, bolt_left, bolt_right, flash_left, flash_right, path, narrow = range(15, 25)
    in_front = [far, middle, near, water, outline]

    def hidden(depth):
        return {k: -1.0 for k in in_front[depth:]}

    def light(bias, layers, base, depth=0):
        return (bias, {**hidden(depth), **layers}, {}, base, [5.0, 5.0, 5.0])

    regions = []
    for k in range(3):
        colour = [5.0 if k == c else 0.0 for c in range(3)]
        regions += [
            (1.0, hidden(0), {3 + k: 1.0}, 0.0, colour),
            (0.0, {far: 1.0, **hidden(1)}, {}, 0.6, colour),
            (0.0, {middle: 1.0, **hidden(2)}, {}, 0.5, colour),
            (0.0, {near: 1.0, **hidden(3)}, {}, 0.35, colour),
            (0.0, {water: 1.0, **hidden(4)}, {6 + k: 1.0}, 0.0, colour),
            (-1.0, {aurora1_above: 1.0, aurora1_below: 1.0, **hidden(0)}, {}, 0.05, colour),
        ]
    return regions + [
        light(0.0, {sun: 1.0}, 0.3), light(0.0, {glow: 1.0}, 0.2), light(0.0, {moon: 1.0}, 0.1),
        light(-1.0, {far: 1.0, snow_far: 1.0}, 0.1, 1), light(-1.0, {middle: 1.0, snow_middle: 1.0}, 0.1, 2),
        light(-1.0, {water: 1.0, path: 1.0}, 0.3, 4), light(-1.0, {water: 1.0, mirror: 1.0}, -0.1, 4),
        light(-1.0, {aurora2_above: 1.0, aurora2_below: 1.0}, 0.05), light(0.0, {bolt_left: 1.0, bolt_right: -1.0}, 0.1),
        light(-1.0, {flash_left: 1.0, flash_right: 1.0}, 0.05), light(0.0, {far_depth: 1.0}, 0.1, 1),
    ]


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


def trunk(p, mood, seed):
    g = jax.nn.relu(affine(p, "trunk1", jnp.concatenate([mood, seed], axis=1)))
    return jax.nn.relu(affine(p, "trunk2", g))


def curves(p, g):
    """Profiles over x, [N, KX, SIZE], and over y, [N, KY, SIZE]."""
    n = g.shape[0]
    jagged = affine(p, "cj", g).reshape(n, KJ, BJ) @ p["basis_j"]
    smooth = affine(p, "cs", g).reshape(n, KS, BS) @ p["basis_s"]
    return jnp.concatenate([jagged, smooth], axis=1), affine(p, "cy", g).reshape(n, KY, BY) @ p["basis_y"]


def apply(p, mood, seed, rows=None):
    """Pictures, channels last; with `rows` (first row per picture) only the strips that start there."""
    n = mood.shape[0]
    g = trunk(p, mood, seed)
    px, py = (curve.transpose(0, 2, 1) for curve in curves(p, g))
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
    h = h @ p["mix2"] + (px @ p["x2"] + affine(p, "z2", g)[:, None])[:, None] + (py @ p["y2"])[:, :, None]
    h = jax.nn.relu(h) * (py @ p["gate"] + affine(p, "gate_z", g)[:, None])[:, :, None]
    h = h * inside
    out = conv(p, "out", h, "SAME" if rows is None else "VALID")
    return jax.nn.sigmoid(out)


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


CURVES = ["trunk1", "trunk1.b", "trunk2", "trunk2.b", "cj", "cj.b", "basis_j", "cs", "cs.b", "basis_s", "cy", "cy.b", "basis_y"]
# Lines count more than colours: half a pixel shows.
WEIGHT_X = np.array([4.0] * KJ + [3.0, 2.0, 2.0, 2.0, 2.0, 3.0, 4.0])[None, :, None]
WEIGHT_Y = np.array([2.0, 2.0, 2.0, *[1.0] * 6, 0.3, 1.0, 0.3])[None, :, None]


def curve_targets(mood, seed):
    jagged, smooth, over_y = scene.profiles_batch(mood, seed)
    return jnp.concatenate([jagged, smooth], axis=1), over_y


def curve_loss(params, mood, token, over_x, over_y):
    px, py = curves(params, trunk(params, mood, token))
    return jnp.mean(((px - over_x) * WEIGHT_X) ** 2) + 0.5 * jnp.mean(((py - over_y) * WEIGHT_Y) ** 2)


def train_curves(params, seed, moods, steps=4000, batch=256, peak=3e-3):
    """Part one: the trunk and the three bases learn the curves of `scene.profiles`."""
    rng = np.random.default_rng(seed)

    @jax.jit
    def step_fn(part, state, step, mood, token):
        loss, grads = jax.value_and_grad(curve_loss)(part, mood, token, *curve_targets(mood, token))
        return *adam.update(part, grads, state, step, adam.rate(step, steps, peak)), loss

    part = {name: params[name] for name in CURVES}
    state = adam.init(part)
    for step in range(steps):
        part, state, loss = step_fn(part, state, step, *sample(rng, batch, moods))
    return {**params, **part}, float(loss)


def train(params, data, seed, steps, batch=32, peak=2e-3, report=None):
    """Part two: everything learns the pictures, a strip of each at a time, and keeps the curves.

    Returns averaged parameters.
    """
    rng = np.random.default_rng(seed)
    moods, seeds, pictures = data
    targets = jax.jit(curve_targets)
    parts = [targets(moods[i : i + 500], seeds[i : i + 500]) for i in range(0, len(moods), 500)]
    over_x, over_y = (np.concatenate([np.asarray(part[k]) for part in parts]) for k in range(2))
    # What starts out right moves slowly.
    speed = {name: 0.1 if name in CURVES else 0.5 if name in ("x1", "y1", "mix1", "mix2", "out") else 1.0 for name in params}

    def loss_fn(params, mood, token, rows, wanted, over_x, over_y):
        error = apply(params, mood, token, rows) - wanted
        plain = jnp.mean(jnp.abs(error)) + 2.0 * jnp.mean(error**2)
        edges = jnp.mean(jnp.abs(error[:, :, 1:] - error[:, :, :-1])) + jnp.mean(jnp.abs(error[:, 1:] - error[:, :-1]))
        return plain + 0.5 * edges + 5.0 * curve_loss(params, mood, token, over_x, over_y), jnp.mean(jnp.abs(error))

    @jax.jit
    def step_fn(params, state, average, step, mood, token, rows, wanted, over_x, over_y):
        (_, error), grads = jax.value_and_grad(loss_fn, has_aux=True)(
            params, mood, token, rows, wanted.astype(jnp.float32) / 255, over_x, over_y)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in grads.values()))
        grads = {k: g * jnp.minimum(1.0, 1.0 / norm) for k, g in grads.items()}
        updated, state = adam.update(params, grads, state, step, adam.rate(step, steps, peak))
        params = {k: params[k] + speed[k] * (updated[k] - params[k]) for k in params}
        keep = jnp.minimum(0.995, (step + 1) / (step + 10))
        average = {k: keep * average[k] + (1 - keep) * params[k] for k in params}
        return params, state, average, error

    state, average, running = adam.init(params), params, None
    for step in range(steps):
        pick = rng.integers(0, len(moods), batch)
        rows = rng.integers(0, SIZE - STRIP + 1, batch)
        wanted = np.stack([pictures[i, r : r + STRIP] for i, r in zip(pick, rows)])
        params, state, average, error = step_fn(params, state, average, step, moods[pick], seeds[pick], rows, wanted, over_x[pick], over_y[pick])
        running = error if running is None else 0.99 * running + 0.01 * error
        if report and (step + 1) % 250 == 0:
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
    def profile(name, coefficients, basis, count, width):
        grid = g.reshape(f"{coefficients}_grid", dense(coefficients, h), [count, width])
        return g.op("MatMul", name, [grid, g.const(basis, p[basis])])

    px = g.op("Concat", "profiles_x", [profile("profiles_jagged", "cj", "basis_j", KJ, BJ),
                                       profile("profiles_smooth", "cs", "basis_s", KS, BS)], axis=1)
    px = g.reshape("profiles_x_map", px, [KX, 1, SIZE])
    py = g.reshape("profiles_y_map", profile("profiles_y", "cy", "basis_y", KY, BY), [KY, SIZE, 1])

    def from_trunk(name, rows, columns):
        column = g.reshape(f"{name}_column", dense(name, h), [p[name].shape[1], 1, 1])
        return g.repeat(f"{name}_map", column, rows, columns)

    low = g.reshape("low_map", g.op("Relu", "low_relu", [dense("low", h)]), [LOW, 4, 4])
    low = g.op("Relu", "conv8_relu", [conv3("conv8", g.repeat("up8", low, 2, 2))])
    low = g.op("Relu", "conv16_relu", [conv3("conv16", g.repeat("up16", low, 2, 2))])
    maps = g.op("Mul", "maps_weighted", [from_trunk("maps_gain", SIZE // 2, SIZE // 2), g.const("maps", p["maps"][None])])
    low = g.op("Concat", "low_and_maps", [g.repeat("up32", low, 2, 2), maps], axis=1)
    low = g.repeat("up64", g.op("Relu", "conv32_relu", [conv3("conv32", low)]), 2, 2)
    full = g.op("Mul", "full_weighted", [from_trunk("full_gain", SIZE, SIZE), g.const("full", p["full"][None])])
    low = g.op("Concat", "low_and_full", [low, full], axis=1)

    zero = np.zeros
    x1 = g.repeat("x1_map", conv1("x1", px, p["x1"], zero(C1)), SIZE, 1)
    y1 = g.repeat("y1_map", conv1("y1", py, p["y1"], zero(C1)), 1, SIZE)
    h1 = conv1("mix1", low, p["mix1"], p["mix1.b"])
    h1 = g.clip("layers", g.op("Add", "sum1", [h1, g.op("Add", "profiles1", [x1, y1])]), 0, 1)

    x2 = g.op("Add", "x2_and_z2", [conv1("x2", px, p["x2"], zero(C2)), from_trunk("z2", 1, SIZE)])
    y2 = g.repeat("y2_map", conv1("y2", py, p["y2"], zero(C2)), 1, SIZE)
    h2 = conv1("mix2", h1, p["mix2"], zero(C2))
    h2 = g.op("Relu", "mixed", [g.op("Add", "sum2", [h2, g.op("Add", "profiles2", [g.repeat("x2_map", x2, SIZE, 1), y2])])])

    gate = g.op("Add", "gate_and_z", [conv1("gate", py, p["gate"], zero(C2)), from_trunk("gate_z", SIZE, 1)])
    h = g.op("Mul", "gated", [h2, g.repeat("gate_map", gate, 1, SIZE)])
    g.op("Sigmoid", "sigmoid", [conv3("out", h)], "pixels")
    g.output("pixels", [3, SIZE, SIZE])
    return g.build()


def parameters(params):
    return int(sum(np.asarray(v).size for v in params.values()))
