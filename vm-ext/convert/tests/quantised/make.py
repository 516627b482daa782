"""Makes models that onnxruntime's own quantiser wrote, and onnxruntime's answers: `make.py` writes into its folder.

Digits of scikit-learn (8 x 8), as input of three small networks; quantised as QDQ, as QOperator, with weights per channel, and dynamically. `digits.npz` holds
what each was asked (`x`) and `calibration`, `NAME.npz` onnxruntime's output (`y`), and
what one unit of it counts (`unit`; 0 where the output is no integer). The answers must come from a CPU with VNNI: without it,
onnxruntime's sums of U8 x S8 saturate.
"""
import os

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

FOLDER = os.path.dirname(os.path.abspath(__file__))
RANDOM = np.random.default_rng(20)
X, Y = load_digits(return_X_y=True)
X = (X / 8 - 1).astype(np.float32).reshape(-1, 1, 8, 8)
CALIBRATION, ASKED = X[:64], X[1500:1548]


def save(name, nodes, initializers, shape_in, shape_out):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"] + shape_in)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"] + shape_out)],
        [numpy_helper.from_array(np.float32(v) if v.dtype.kind == "f" else v, k) for k, v in initializers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path = os.path.join(FOLDER, name + ".float.onnx")
    onnx.save(model, path)
    return path


def kernel(out, inner, size):
    return RANDOM.normal(0, 1 / np.sqrt(inner * size * size), [out, inner, size, size])


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def classifier():
    """Two convolutions, pooling, a fitted layer."""
    weights = {"w1": kernel(8, 1, 3), "b1": RANDOM.normal(0, 0.2, 8), "w2": kernel(16, 8, 3), "b2": RANDOM.normal(0, 0.2, 16)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    features = session(save("features", nodes, weights, [1, 8, 8], [64])).run(None, {"x": X[:1500]})[0]
    os.remove(os.path.join(FOLDER, "features.float.onnx"))
    fitted = LogisticRegression(max_iter=2000, C=0.3).fit(features, Y[:1500])
    nodes[-1] = helper.make_node("Flatten", ["p"], ["f"])
    nodes.append(helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], transB=1))
    weights |= {"w3": fitted.coef_, "b3": fitted.intercept_}
    return save("classifier", nodes, weights, [1, 8, 8], [10])


def image():
    """Depthwise and 1 x 1 convolutions, a sum around them, largest of neighbours: an image of four channels."""
    weights = {"w1": kernel(12, 1, 3), "b1": RANDOM.normal(0, 0.2, 12), "w2": kernel(12, 1, 3), "w3": kernel(12, 12, 1), "w4": kernel(4, 12, 3)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], group=12),
        helper.make_node("Conv", ["c2", "w3"], ["c3"]),
        helper.make_node("Add", ["c3", "r1"], ["s"]),
        helper.make_node("Relu", ["s"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["a"], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1]),
        helper.make_node("Conv", ["a", "w4"], ["y"], pads=[1, 1, 1, 1]),
    ]
    return save("image", nodes, weights, [1, 8, 8], [4, 8, 8])


def means():
    """Means of neighbours and of all."""
    weights = {"w1": kernel(8, 1, 3), "b1": RANDOM.normal(0, 0.2, 8), "w2": kernel(64, 8, 1)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("AveragePool", ["c"], ["a"], kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1]),
        helper.make_node("Conv", ["a", "w2"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["y"]),
    ]
    return save("means", nodes, weights, [1, 8, 8], [64, 1, 1])


class Reader(CalibrationDataReader):
    def __init__(self):
        self.left = iter(CALIBRATION)

    def get_next(self):
        x = next(self.left, None)
        return None if x is None else {"x": x[None]}


def answers(name):
    runtime = session(os.path.join(FOLDER, name + ".onnx"))
    y = np.concatenate([runtime.run(None, {"x": x[None]})[0] for x in ASKED])
    model = onnx.load(os.path.join(FOLDER, name + ".onnx"))
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    (last,) = [n for n in model.graph.node if n.output[0] == "y"]
    unit = stored[last.input[1]] if last.op_type == "DequantizeLinear" else np.float32(0)
    np.savez_compressed(os.path.join(FOLDER, name + ".npz"), y=y, unit=unit.reshape(1))
    return y


np.savez_compressed(os.path.join(FOLDER, "digits.npz"), calibration=CALIBRATION, x=ASKED)
for make in [classifier, image, means]:
    path = make()
    prepared = path.replace(".float", ".prepared")
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    name = make.__name__
    # A mean between two equal scales, as QDQ has it, is often a tie, which onnxruntime decides by the noise of its floats.
    for form in [QuantFormat.QOperator] if name == "means" else [QuantFormat.QDQ, QuantFormat.QOperator]:
        for per_channel in [False, True]:
            quantised = f"{name}_{form.name.lower()}" + ("_channels" if per_channel else "")
            quantize_static(
                prepared, os.path.join(FOLDER, quantised + ".onnx"), Reader(), quant_format=form, per_channel=per_channel,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )
            y = answers(quantised)
            if name == "classifier":
                print(quantised, (y.argmax(1) == Y[1500:1548]).mean())
    os.remove(path)
    if name == "means":
        os.remove(prepared)
        continue
    quantised = name + "_dynamic"
    quantize_dynamic(prepared, os.path.join(FOLDER, quantised + ".onnx"), weight_type=QuantType.QUInt8)
    answers(quantised)
    os.remove(prepared)
