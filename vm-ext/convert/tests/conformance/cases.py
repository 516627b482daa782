"""Writes cases.zip: small cases of our own, one operator each, with the answers of ONNX's reference implementation.

    python3 -m pip install onnx==1.17.0 && python3 cases.py

The same versions give the same bytes. Integers are compared exactly, so that they are kept where sums are exact.
"""

import pathlib
import zipfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

F, I, U8, I8, B = numpy.float32, numpy.int64, numpy.uint8, numpy.int8, numpy.bool_
generator = numpy.random.default_rng(20)


def reals(*shape, scale=2.0):
    return (generator.uniform(-scale, scale, shape)).astype(F)


def whole(low, high, *shape, dtype=I):
    return generator.integers(low, high, shape).astype(dtype)


def ints(*values):
    return numpy.array(values, dtype=I)


def number(value, dtype=F):
    return numpy.array(value, dtype=dtype)


# Name, operator, operands (None where left out), attributes, number of results, domain.
CASES = []


def case(name, operator, operands, results=1, domain="", opset=20, **attributes):
    CASES.append((name, operator, operands, results, domain, opset, attributes))


for operator in ["Relu", "Sigmoid", "Tanh", "Erf", "Softplus", "Softsign", "Neg", "Abs", "Floor", "Ceil", "Round", "Sign", "HardSwish", "Elu"]:
    case(operator.lower(), operator, [reals(2, 5)])
case("exp", "Exp", [reals(3, 4)])
case("log", "Log", [abs(reals(3, 4)) + F(0.5)])
case("sqrt", "Sqrt", [abs(reals(3, 4))])
case("clip", "Clip", [reals(3, 4), number(-0.5), number(1.0)])
case("leakyrelu", "LeakyRelu", [reals(3, 4)], alpha=0.1)
case("gelu", "Gelu", [reals(3, 4)])
for operator in ["Add", "Sub", "Mul", "Min", "Max"]:
    case(operator.lower() + "_broadcast", operator, [reals(2, 3, 4), reals(3, 1)])
case("div", "Div", [reals(2, 3), abs(reals(3)) + F(0.5)])
case("div_integers", "Div", [whole(-50, 50, 6), ints(3, -3, 7, -7, 1, 5)])
case("mod", "Mod", [whole(-50, 50, 6), ints(3, -3, 7, -7, 1, 5)])
case("add_wraps", "Add", [whole(200, 255, 6, dtype=U8), whole(100, 200, 6, dtype=U8)])
case("less", "Less", [whole(-3, 3, 8), whole(-3, 3, 8)])
case("greaterorequal", "GreaterOrEqual", [whole(-3, 3, 8), whole(-3, 3, 8)])
case("where", "Where", [whole(0, 2, 2, 3, dtype=B), reals(2, 3), reals(3)])
case("cast_to_integers", "Cast", [reals(8, scale=20.0)], to=TensorProto.INT32)
case("matmul", "MatMul", [reals(2, 3, 4), reals(2, 4, 2)])
case("gemm", "Gemm", [reals(4, 3), reals(5, 4), reals(5)], transA=1, transB=1, alpha=0.5, beta=2.0)
case("einsum", "Einsum", [reals(2, 3, 4), reals(2, 4, 5)], equation="bij,bjk->bki")
case("matmulinteger", "MatMulInteger", [whole(0, 9, 2, 3, dtype=U8), whole(-9, 9, 3, 2, dtype=I8), number(4, U8), number(1, I8)])
case("conv", "Conv", [reals(1, 4, 5, 6), reals(6, 2, 3, 2, scale=0.5), reals(6)], group=2, pads=[1, 0, 1, 1], strides=[2, 1])
case("conv_three_axes", "Conv", [reals(1, 2, 3, 4, 4), reals(2, 2, 2, 3, 3, scale=0.5)], dilations=[1, 1, 1])
case("convtranspose", "ConvTranspose", [reals(1, 2, 3, 3), reals(2, 3, 3, 3, scale=0.5)], strides=[2, 2], pads=[1, 1, 0, 1], output_padding=[1, 0])
case("maxpool", "MaxPool", [reals(1, 2, 5, 5)], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], ceil_mode=1)
case("averagepool", "AveragePool", [reals(1, 2, 5, 5)], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
case("globalaveragepool", "GlobalAveragePool", [reals(1, 3, 4, 4)])
case("lppool", "LpPool", [reals(1, 2, 4, 4)], kernel_shape=[2, 2], strides=[2, 2], p=2)
case("transpose", "Transpose", [reals(2, 3, 4)], perm=[2, 0, 1])
case("reshape", "Reshape", [reals(2, 3, 4), ints(0, -1, 2)])
case("slice_backwards", "Slice", [reals(5, 6), ints(-1, 1), ints(-6, 6), ints(0, 1), ints(-2, 2)])
case("gather", "Gather", [reals(5, 3), ints(-1, 0, 2)], axis=0)
case("gatherelements", "GatherElements", [reals(3, 4), whole(0, 4, 3, 2)], axis=1)
case("gathernd", "GatherND", [reals(2, 3, 4), ints(0, 2, 1, 0).reshape(2, 2)])
case("scatterelements", "ScatterElements", [reals(3, 3), ints(2, 0, 1).reshape(1, 3), reals(1, 3)], axis=0)
case("scatternd_add", "ScatterND", [reals(4, 2), ints(1, 3, 1).reshape(3, 1), reals(3, 2)], reduction="add")
case("concat", "Concat", [reals(2, 2), reals(2, 3)], axis=1)
case("split", "Split", [reals(2, 6), ints(1, 2, 3)], results=3, axis=1)
case("pad_reflect", "Pad", [reals(3, 4), ints(1, 2, 0, 1)], mode="reflect")
case("pad", "Pad", [reals(3, 4), ints(1, 2, 0, 1), number(0.5)])
case("tile", "Tile", [reals(2, 3), ints(2, 2)])
case("expand", "Expand", [reals(3, 1), ints(2, 3, 4)])
case("depthtospace", "DepthToSpace", [reals(1, 8, 2, 3)], blocksize=2, mode="CRD")
case("trilu", "Trilu", [reals(4, 4), number(1, I)], upper=0)
case("reversesequence", "ReverseSequence", [reals(4, 3), ints(1, 2, 4)], time_axis=0, batch_axis=1)
for operator in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"]:
    case(operator.lower(), operator, [reals(2, 3, 4), ints(1)], keepdims=0)
case("argmax", "ArgMax", [whole(-9, 9, 3, 4).astype(F)], axis=1, keepdims=0)
case("topk", "TopK", [numpy.arange(12, dtype=F)[::-1].reshape(3, 4) * F(0.25), ints(2)], results=2, axis=1)
case("cumsum", "CumSum", [reals(3, 4), number(1, numpy.int32)], reverse=1)
case("softmax", "Softmax", [reals(3, 5)], axis=1)
case("logsoftmax", "LogSoftmax", [reals(3, 5)], axis=1)
case("layernormalization", "LayerNormalization", [reals(3, 8), reals(8), reals(8)])
case("batchnormalization", "BatchNormalization", [reals(2, 3, 4), reals(3), reals(3), reals(3), abs(reals(3)) + F(0.5)])
case("instancenormalization", "InstanceNormalization", [reals(2, 3, 8), reals(3), reals(3)])
case("lstm", "LSTM", [reals(3, 2, 4), reals(1, 12, 4, scale=0.5), reals(1, 12, 3, scale=0.5), reals(1, 24, scale=0.2)], results=2, hidden_size=3)
case("gru", "GRU", [reals(3, 2, 4), reals(1, 9, 4, scale=0.5), reals(1, 9, 3, scale=0.5), reals(1, 18, scale=0.2)], results=2, hidden_size=3, linear_before_reset=1)
case("rnn", "RNN", [reals(3, 2, 4), reals(1, 3, 4, scale=0.5), reals(1, 3, 3, scale=0.5)], results=2, hidden_size=3)
case("resize_linear", "Resize", [reals(1, 1, 3, 4), None, number([1, 1, 2, 1.5])], mode="linear")
case("resize_nearest", "Resize", [reals(1, 1, 3, 4), None, number([1, 1, 2, 2])], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
case("quantizelinear", "QuantizeLinear", [reals(2, 5, scale=4.0), number(0.04), number(128, U8)])
case("dequantizelinear", "DequantizeLinear", [whole(0, 255, 2, 5, dtype=U8), number(0.04), number(128, U8)])
case("onehot", "OneHot", [ints(0, 2, -1), number(4, I), number([0.0, 3.0])], axis=-1)
case("nonzero", "NonZero", [whole(0, 2, 3, 4)])
case("unique", "Unique", [ints(3, 1, 3, 2, 1)], results=4)
case("scaler", "Scaler", [reals(2, 3)], domain="ai.onnx.ml", offset=[0.5, -1.0, 2.0], scale=[2.0, 0.5, 1.0])
case("linearregressor", "LinearRegressor", [reals(2, 3)], domain="ai.onnx.ml", coefficients=[0.5, -1.0, 2.0], intercepts=[0.25])
case("binarizer", "Binarizer", [reals(2, 3)], domain="ai.onnx.ml", threshold=0.5)


def files():
    for name, operator, operands, results, domain, opset, attributes in CASES:
        names = [f"x{i}" if x is not None else "" for i, x in enumerate(operands)]
        outputs = [f"y{i}" for i in range(results)]
        node = helper.make_node(operator, names, outputs, domain=domain, **attributes)
        typed = lambda n, x: helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        given = {n: numpy.array(x, order="C") for n, x in zip(names, operands) if n}
        imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]

        def model(wanted):
            graph = helper.make_graph([node], name, [typed(n, x) for n, x in given.items()], wanted)
            return helper.make_model(graph, opset_imports=imports, ir_version=9, producer_name="")

        untyped = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
        answers = ReferenceEvaluator(model(untyped)).run(None, given)
        answers = [numpy.asarray(a) for a in answers]
        yield f"{name}/model.onnx", model([typed(n, a) for n, a in zip(outputs, answers)]).SerializeToString(deterministic=True)
        for stem, arrays in [("input", given.values()), ("output", answers)]:
            for i, array in enumerate(arrays):
                tensor = numpy_helper.from_array(array)
                yield f"{name}/test_data_set_0/{stem}_{i}.pb", tensor.SerializeToString(deterministic=True)


with zipfile.ZipFile(pathlib.Path(__file__).parent / "cases.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for path, data in files():
        archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED, 9)
print(len(CASES), "cases")
