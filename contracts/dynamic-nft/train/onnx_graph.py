"""A thin builder for ONNX graphs: constants as initialisers, batch axis `N`, opset 13."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    def __init__(self, name):
        self.name = name
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []

    def input(self, name, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))
        return name

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))

    def const(self, name, array):
        array = np.asarray(array)
        if array.dtype != np.int64:
            array = array.astype(np.float32)
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, name, inputs, out=None, **attributes):
        out = out or name
        self.nodes.append(helper.make_node(kind, inputs, [out], name=name, **attributes))
        return out

    def gemm(self, name, x, weight, bias, out=None):
        return self.op("Gemm", name, [x, self.const(f"{name}.w", weight), self.const(f"{name}.b", bias)], out)

    def conv(self, name, x, weight, bias, out=None):
        """A convolution with stride 1 that keeps the size (odd kernels)."""
        kh, kw = weight.shape[2:]
        return self.op("Conv", name, [x, self.const(f"{name}.w", weight), self.const(f"{name}.b", bias)], out,
                       kernel_shape=[kh, kw], strides=[1, 1], dilations=[1, 1], group=1,
                       pads=[kh // 2, kw // 2, kh // 2, kw // 2])

    def clip(self, name, x, low, high, out=None):
        return self.op("Clip", name, [x, self.const(f"{name}.low", np.float32(low)), self.const(f"{name}.high", np.float32(high))], out)

    def reshape(self, name, x, shape):
        return self.op("Reshape", name, [x, self.const(f"{name}.shape", np.array([-1, *shape], dtype=np.int64))])

    def repeat(self, name, x, rows, columns):
        """Nearest-neighbour Resize by integer factors."""
        scales = self.const(f"{name}.scales", np.array([1, 1, rows, columns], dtype=np.float32))
        return self.op("Resize", name, [x, "", scales], mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric")

    def build(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        model.producer_name = "aiinference dynamic-nft/train"
        onnx.checker.check_model(model, full_check=True)
        return model


def save(model, path):
    path.write_bytes(model.SerializeToString(deterministic=True))
