"""Adam with a warm-up and cosine decay, for parameters held in a dict of arrays."""

import jax
import jax.numpy as jnp


def init(params):
    zeros = jax.tree_util.tree_map(jnp.zeros_like, params)
    return zeros, zeros


def rate(step, steps, peak, warmup=200):
    return peak * jnp.minimum(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + jnp.cos(jnp.pi * step / steps)))


def update(params, grads, state, step, learning_rate, decay=0.0):
    first, second = state
    b1, b2 = 0.9, 0.99
    first = jax.tree_util.tree_map(lambda m, g: b1 * m + (1 - b1) * g, first, grads)
    second = jax.tree_util.tree_map(lambda v, g: b2 * v + (1 - b2) * g * g, second, grads)
    c1, c2 = 1 - b1 ** (step + 1.0), 1 - b2 ** (step + 1.0)
    params = jax.tree_util.tree_map(
        lambda p, m, v: p - learning_rate * ((m / c1) / (jnp.sqrt(v / c2) + 1e-8) + decay * p), params, first, second)
    return params, (first, second)
