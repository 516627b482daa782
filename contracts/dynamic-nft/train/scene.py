"""The procedural painter: (mood, seed) -> a 64 x 64 landscape. The decoder network learns to paint like it.

Layers from back to front: sky gradient, stars, aurora, moon or sun with its glow, a second moon, clouds, three mountain
ridges in growing depth, water with the reflection of the light, rain, lightning, the near shore with its trees.
The seed decides the composition (and the family of colours), the mood decides weather, light, season and growth.
Everything is smooth in (mood, seed) and edges are as wide as a pixel: what a small network can learn.
"""

import jax
import jax.numpy as jnp
import numpy as np

SIZE = 64
WARMTH, LIGHT, STORM, UNREST, BLOOM, WANDER, PATINA, DREAM = range(8)

_rng = np.random.default_rng(20)
X = (np.arange(SIZE) + 0.5) / SIZE
Y = X.copy()


def _rgb(text):
    return [[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in text.split()]


# Where a palette sits on (warmth, hue seed), then: sky top, sky middle, horizon, light, far ridge, near ridge, shore, accent.
_PALETTES = [
    ((-0.9, -0.8), "16356b 4f8cc9 f3d9cf fff4e0 8aa9d6 2d4f8e 0f1f45 28e0ff"),
    ((-0.9, 0.0), "0d3b52 2fa3a5 e6f4cf fbffe9 79c2b8 1c6470 0a2a38 7dff5a"),
    ((-0.9, 0.8), "1e1550 6a4bb0 eda6cf fff0fb a58bd6 4a3590 170f3d 2effc0"),
    ((0.9, -0.8), "2f2360 d65a6f ffc06a fff1b8 d98a86 7a3260 2a1134 ff7ad9"),
    ((0.9, 0.0), "2a6f97 f0b56a ffeec2 fffbe0 d9a77a 8f5638 3b2218 ffe02e"),
    ((0.9, 0.8), "3a0f2e c8324a ff9350 ffe3a0 c9605a 6b1f3f 230a1f ff5ac8"),
    ((0.0, -0.3), "274b8f 9a8fd0 ffd3b8 fff6da a6a0d0 514a86 1c1a3e 3cf5e6"),
    ((0.0, 0.5), "124e4a 6fbf7f fdf0a8 fffde0 9fc98a 2f6b52 102e2a ff8ad4"),
]
CENTRES = np.array([p[0] for p in _PALETTES])
GREY = np.array([0.3, 0.55, 0.15])  # weights of red, green, blue in a colour's grey
COLOURS = np.array([_rgb(p[1]) for p in _PALETTES])  # palette, role, channel


def _ridge(rng, octaves, base, roughness):
    """A jagged profile over X: folded linear noise, mean 0, about -1 .. 1."""
    total, amplitude, cells = np.zeros(SIZE), 1.0, base
    for _ in range(octaves):
        knots = rng.uniform(-1, 1, cells + 2)
        total += amplitude * np.interp(X * cells, np.arange(cells + 2), knots)
        amplitude *= roughness
        cells *= 2
    total -= total.mean()
    return total / np.abs(total).max()


RIDGES = np.stack([_ridge(_rng, 4, 3, 0.5) for _ in range(9)]).reshape(3, 3, SIZE)
JAGS = np.stack([_ridge(_rng, 2, 13, 0.7) for _ in range(3)])


def _trees(rng, count):
    """A line of conifers: the outline over the ground, 0 .. 1."""
    line = np.zeros(SIZE)
    for _ in range(count):
        centre, height, width = rng.uniform(0, 1), rng.uniform(0.45, 1.0), rng.uniform(0.022, 0.04)
        line = np.maximum(line, height * np.clip(1 - np.abs(X - centre) / width, 0, 1))
    return line


TREES = np.stack([_trees(_rng, 13) for _ in range(3)])
BOLT = np.interp(Y, np.linspace(0, 0.75, 10), _rng.uniform(-0.055, 0.055, 10))
WAVES = np.sin(2 * np.pi * 1.9 / (Y + 0.02 - 0.45).clip(0.05))


def _blobs(rng, shape, smooth):
    field = rng.normal(size=shape)
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None, :]
    field = np.fft.ifft2(np.fft.fft2(field) * np.exp(-((fy * smooth[0]) ** 2 + (fx * smooth[1]) ** 2))).real
    return field / field.std()


CLOUDS = np.stack([_blobs(_rng, (SIZE, SIZE), (9, 26)) + 0.35 * _blobs(_rng, (SIZE, SIZE), (4, 9)) for _ in range(4)])


def _stars(rng, count):
    field = np.zeros((SIZE, SIZE))
    for _ in range(count):
        row, column, glow = rng.integers(1, 46), rng.integers(1, SIZE - 1), rng.uniform(0.35, 1.0) ** 1.5
        field[row, column] = max(field[row, column], glow)
        if glow > 0.75:
            for dr, dc in [(0, 1), (1, 0), (0, -1), (-1, 0)]:
                field[row + dr, column + dc] = max(field[row + dr, column + dc], 0.32 * glow)
    return field


STARS = _stars(_rng, 85)


def _rain(rng, count):
    field = np.zeros((SIZE, SIZE))
    for _ in range(count):
        row, column, length = rng.integers(0, SIZE), rng.integers(0, SIZE), rng.integers(4, 8)
        for i in range(length):
            field[(row + i) % SIZE, (column - i // 2) % SIZE] = rng.uniform(0.5, 1.0)
    return field


RAIN = _rain(_rng, 75)


def _smooth(low, high, value):
    t = jnp.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _edge(distance, width=1.0):
    """0 outside, 1 inside; the edge is `width` pixels wide."""
    return jnp.clip(distance * SIZE / width + 0.5, 0, 1)


def _mix(a, b, t):
    return a + (b - a) * t


def ridge_lines(mood, seed):
    """Heights (as y) of the far, middle and near ridge over x, and the water line."""
    water = 0.69 + 0.12 * seed[1]
    shapes = []
    for layer, (phase, base, tall) in enumerate([(seed[2], 0.21, 0.19), (seed[3], 0.11, 0.13), (0.6 * seed[4] - 0.7 * seed[2], 0.035, 0.085)]):
        angle = np.pi * phase + layer
        mixed = (RIDGES[layer, 0] * jnp.cos(angle) + RIDGES[layer, 1] * jnp.sin(angle) + 0.6 * RIDGES[layer, 2] * seed[4])
        grand = 0.70 + 0.45 * seed[4] * (-1) ** layer
        rough = (0.012 + 0.020 * (mood[UNREST] + 1) / 2) * JAGS[layer] * (mood[UNREST] + 1.2)
        shapes.append(water - base * (0.6 + 0.4 * grand) - tall * grand * (0.85 + 0.25 * mood[UNREST]) * mixed - rough)
    return shapes, water


def tones(mood, seed):
    """Colours after weather and time of day, and the amounts of night and gloom."""
    distance = ((jnp.stack([mood[WARMTH], seed[5]]) - CENTRES) ** 2 * np.array([1.0, 1.6])).sum(axis=1)
    weights = jax.nn.softmax(-distance * 4.5)
    top, middle, horizon, lamp, far, near, shore, accent = jnp.einsum("p,prc->rc", weights, COLOURS)
    night = _smooth(0.15, -0.75, mood[LIGHT])
    gloom = _smooth(-0.1, 0.9, mood[STORM])

    def toned(colour, dark):
        colour = _mix(colour, colour * jnp.array([0.20, 0.24, 0.42]) * dark, night)
        colour = _mix(colour, _mix(jnp.dot(colour, GREY), colour, 0.72) * 0.72, gloom * 0.9)
        return jnp.clip(colour * (1.0 + 0.12 * mood[LIGHT] * (1 - night)), 0, 1)

    return {
        "night": night, "gloom": gloom, "accent": accent, "lamp": lamp,
        "top": toned(top, 0.75), "middle": toned(middle, 1.15), "horizon": toned(horizon, 1.65),
        "far": toned(far, 1.25), "near": toned(near, 1.0), "shore": toned(shore, 0.7),
        "disc": _mix(lamp, jnp.array([0.93, 0.95, 1.0]), 0.6 * night) * (1 - 0.25 * gloom),
    }


def layout(mood, seed):
    """Where things are: curves over x, places and sizes."""
    lines, water = ridge_lines(mood, seed)
    travelled = _smooth(-0.7, 0.6, mood[WANDER])
    growth, snow = (mood[BLOOM] + 1) / 2, (mood[PATINA] + 1) / 2
    slope = 0.5 - 0.5 * jnp.tanh(2.5 * seed[3]) * (2 * X - 1)
    bank = 0.99 - 0.13 * slope**2 - 0.015 * jnp.sin(9 * X + 3 * seed[2])
    angle = np.pi * seed[2]
    grove = TREES[0] * (0.5 + 0.5 * jnp.cos(angle)) + TREES[1] * (0.5 - 0.5 * jnp.cos(angle)) + 0.35 * TREES[2]
    return {
        "lines": lines, "water": water, "bank": bank, "growth": growth, "snow": snow, "travelled": travelled,
        "outline": bank - (0.02 + 0.25 * growth) * grove * (0.25 + 0.75 * slope) * _smooth(0.0, 0.15, growth),
        "snow_lines": [line + (0.10 - 0.05 * k) * snow * (0.55 + 0.45 * JAGS[k] + 0.35 * RIDGES[k, 2]) for k, line in enumerate(lines[:2])],
        "mirror": (2.3 * water - lines[2]) / 1.3,
        "sun": (0.5 + 0.33 * seed[0], water * (0.40 - 0.17 * seed[7] - 0.06 * mood[LIGHT]), 0.105 + 0.065 * seed[6]),
        "moon": (0.5 - 0.32 * seed[0] - 0.10 * seed[3], water * (0.22 + 0.10 * seed[7]), 0.058 * travelled),
        "auroras": [lift + 0.07 * jnp.sin(2 * np.pi * wave * X + np.pi * seed[6] + 2 * k) + 0.05 * seed[7]
                    for k, (lift, wave) in enumerate([(0.30, 1.0), (0.17, 1.7)])],
        "bolt": 0.5 - 0.30 * seed[0],
    }


def sky_column(tone, water):
    """The colour of the open sky by height, (SIZE, 3)."""
    t = (jnp.asarray(Y) / water)[:, None]
    return _mix(_mix(tone["top"], tone["middle"], _smooth(0.0, 0.62, t)), tone["horizon"], _smooth(0.45, 1.05, t))


def water_column(tone, water):
    """The colour of the open water by height, (SIZE, 3)."""
    depth = ((jnp.asarray(Y) - water) / (1 - water))[:, None]
    colour = _mix(tone["horizon"], tone["middle"], _smooth(0.0, 0.55, depth))
    return 0.82 * _mix(colour, tone["top"], _smooth(0.35, 1.1, depth))


def profiles(mood, seed):
    """The picture's curves, each about -1 .. 1: over x jagged and smooth, over y."""
    place, tone = layout(mood, seed), tones(mood, seed)
    x, y = jnp.asarray(X), jnp.asarray(Y)
    sun_x, sun_y, radius = place["sun"]
    moon_x, moon_y, small = place["moon"]
    jagged = [*place["lines"], place["outline"], place["mirror"], *place["snow_lines"]]
    smooth = [place["bank"], 4 * ((x - sun_x) ** 2 - radius**2), 4 * ((x - moon_x) ** 2 - small**2), *place["auroras"],
              x - place["bolt"], jnp.full(SIZE, place["water"])]
    over_y = [y, 4 * (y - sun_y) ** 2, 4 * (y - moon_y) ** 2, *sky_column(tone, place["water"]).T,
              *water_column(tone, place["water"]).T, jnp.clip(y / place["water"], 0, 1), jnp.asarray(BOLT) * 10, jnp.asarray(WAVES)]
    return jnp.stack(jagged), jnp.stack(smooth), jnp.stack(over_y)


def paint(mood, seed):
    """One picture, (3, SIZE, SIZE) in [0, 1]."""
    x, y = jnp.asarray(X)[None, :], jnp.asarray(Y)[:, None]
    storm, light = mood[STORM], mood[LIGHT]
    place, tone = layout(mood, seed), tones(mood, seed)
    night, gloom, lamp, accent = tone["night"], tone["gloom"], tone["lamp"], tone["accent"]
    horizon, near = tone["horizon"], tone["near"]
    lines, water = place["lines"], place["water"]
    clear = 1 - gloom
    t = y / water
    column = lambda c: c[:, None, None]

    # Sky and stars.
    sky = sky_column(tone, water).T[:, :, None]
    sky = sky + (night * (0.25 + 0.75 * clear) * 0.95) * jnp.asarray(STARS) * _smooth(0.8, 0.25, t)

    # Aurora: two curtains hanging from a wave, in the accent colour.
    dream = _smooth(0.1, 0.9, mood[DREAM]) * (0.30 + 0.70 * night) * (1 - 0.7 * gloom)
    for k, curve in enumerate(place["auroras"]):
        under = curve[None, :] - y
        curtain = jnp.where(under > 0, jnp.exp(-under / 0.16), jnp.exp(under / 0.05))
        glow = accent if k == 0 else _mix(accent, lamp, 0.35)
        sky = _mix(sky, column(glow), (0.72 - 0.2 * k) * dream * curtain * (0.75 + 0.25 * jnp.sin(2 * np.pi * 5 * x + 4 * seed[6])))

    # The light: a sun by day, a moon by night; the second moon comes with travel.
    sun_x, sun_y, radius = place["sun"]
    d = jnp.sqrt((x - sun_x) ** 2 + (y - sun_y) ** 2 + 1e-6)
    sky = _mix(sky, column(tone["disc"]), (0.55 - 0.25 * gloom) * jnp.exp(-jnp.maximum(d - radius, 0) / (0.11 + 0.03 * light)))
    sky = _mix(sky, column(tone["disc"]), (1 - 0.55 * gloom) * _edge(radius - d))
    moon_x, moon_y, small = place["moon"]
    d2 = jnp.sqrt((x - moon_x) ** 2 + (y - moon_y) ** 2 + 1e-6)
    shade = 0.82 + 0.35 * jnp.clip((moon_x - x) / 0.06, -1, 1) * 0.5
    sky = _mix(sky, column(_mix(accent, tone["disc"], 0.45)) * shade, _edge(small - d2) * _smooth(0.0, 0.15, place["travelled"]))

    # Clouds.
    field = (CLOUDS[0] * jnp.cos(np.pi * seed[6]) + CLOUDS[1] * jnp.sin(np.pi * seed[6]) + CLOUDS[2] * seed[4] + CLOUDS[3] * seed[7]) / 1.6
    cover = _smooth(0.0, 1.3, field - 0.55 + 1.5 * gloom - 0.25 * clear * mood[DREAM]) * _smooth(1.0, 0.72, t) * _smooth(-0.1, 0.14, y)
    lit = _mix(_mix(lamp, horizon, 0.5), near * 0.55 + tone["middle"] * 0.35, gloom)
    lit = _mix(lit, lit * jnp.array([0.45, 0.5, 0.68]), night)
    sky = _mix(sky, column(lit), (0.62 + 0.25 * gloom) * cover)

    # Lightning.
    bolt_x = place["bolt"] + BOLT[:, None]
    power = _smooth(0.35, 0.9, storm)
    strike = power * _edge(0.010 - jnp.abs(x - bolt_x)) * _edge(lines[0][None, :] + 0.04 - y)
    flash = 0.30 * power * jnp.exp(-jnp.abs(x - bolt_x) / 0.10) * _smooth(1.0, 0.3, t)
    sky = _mix(sky, column(_mix(lamp, jnp.ones(3), 0.5)), jnp.clip(strike + flash, 0, 1))

    # Ridges, snow on the far ones with age.
    picture, snow = sky, place["snow"]
    snow_colour = _mix(jnp.array([0.97, 0.98, 1.0]), lamp, 0.25) * _mix(1.0, 0.52, night) * (1 - 0.25 * gloom)
    for layer, line in enumerate(lines):
        body = _mix(_mix(near, tone["far"], 1 - 0.5 * layer), horizon, [0.55, 0.28, 0.05][layer])
        below = y - line[None, :]
        fade = _mix(column(body), column(_mix(body, horizon, 0.5)), (jnp.clip(below / 0.22, 0, 1) * (1 - 0.3 * layer))[None])
        if layer < 2:
            cap = place["snow_lines"][layer][None, :] - line[None, :]
            fade = _mix(fade, column(snow_colour), 0.9 * _smooth(0.02, 0.2, snow) * _edge(cap - below, 1.5) * _edge(cap, 2.0))
        picture = _mix(picture, fade, _edge(below))

    # Water: the sky upside down, the near ridge's reflection, a path of light, waves.
    depth = (y - water) / (1 - water)
    mirrored = water_column(tone, water).T[:, :, None]
    mirrored = _mix(mirrored, column(near * 0.75), 0.55 * _edge(1.3 * (place["mirror"][None, :] - y), 2.0))
    waves = jnp.asarray(WAVES)[:, None]
    spread = 0.035 + 0.12 * depth + 0.05 * (storm + 1)
    path = jnp.clip(1.25 - jnp.abs(x - sun_x) / spread - 0.75 * (0.5 + 0.5 * waves), 0, 1) * (0.85 - 0.55 * gloom)
    mirrored = _mix(mirrored, column(tone["disc"]), path) + (0.04 + 0.05 * gloom) * waves
    picture = _mix(picture, mirrored, _edge(y - water))
    picture = _mix(picture, column(_mix(horizon, tone["disc"], 0.5)), 0.6 * jnp.exp(-(((y - water) / 0.008) ** 2)))

    # Near shore, rising to one side; trees and undergrowth come with the years held.
    growth = place["growth"]
    bush = _mix(tone["shore"], jnp.array([0.10, 0.20, 0.10]) * (1 - 0.5 * night) + 0.4 * tone["shore"], 0.6 * growth)
    flowers = _mix(bush, accent * (1 - 0.55 * night), 0.28 * growth)
    ground = _mix(column(bush), column(flowers), _smooth(0.0, 0.10, y - place["bank"][None, :])[None])
    picture = _mix(picture, ground, _edge(y - place["outline"][None, :]))

    # Rain.
    picture = picture + 0.30 * _smooth(0.2, 1.0, storm) * jnp.asarray(RAIN)
    return jnp.clip(picture, 0, 1)


paint_batch = jax.jit(jax.vmap(paint))
profiles_batch = jax.vmap(profiles)
