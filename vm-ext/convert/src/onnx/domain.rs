//! Which operators belong to which domain: a name alone does not say what a node computes.

/// Operators of ai.onnx.ml.
const CLASSICAL: &[&str] = &[
    "ArrayFeatureExtractor",
    "Binarizer",
    "CastMap",
    "CategoryMapper",
    "DictVectorizer",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
    "ZipMap",
];

/// Operators of com.microsoft that ai.onnx does not have, as far as they are read.
const FUSED: &[&str] = &[
    "BiasGelu",
    "DynamicQuantizeMatMul",
    "FastGelu",
    "FusedConv",
    "FusedMatMul",
    "MatMulIntegerToFloat",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearReduceMean",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuickGelu",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "TransposeMatMul",
];

/// Operators of com.microsoft that mean what those of ai.onnx of the same name do.
const SHARED: &[&str] = &[
    "DequantizeLinear",
    "Gelu",
    "GridSample",
    "Pad",
    "QLinearConv",
    "QuantizeLinear",
    "Range",
    "SimplifiedLayerNormalization",
    "Trilu",
    "Unique",
];

/// Operators of ai.onnx.preview.training.
const TRAINING: &[&str] = &["Adagrad", "Adam", "Momentum"];

/// The default domain has two names.
pub fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" {
        ""
    } else {
        domain
    }
}

/// Whether a domain (by its canonical name) may have an operator of this name.
///
/// onnxruntime writes SimplifiedLayerNormalization into the default domain.
pub fn may_have(domain: &str, operator: &str) -> bool {
    let among = |list: &[&str]| list.contains(&operator);
    match domain {
        "" => !among(CLASSICAL) && !among(FUSED) && !among(TRAINING),
        "ai.onnx.ml" => among(CLASSICAL),
        "com.microsoft" => among(FUSED) || among(SHARED),
        "ai.onnx.preview.training" => among(TRAINING),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_belongs_to_its_own_domain_only() {
        assert!(may_have("", "Conv"));
        assert!(may_have(canonical("ai.onnx"), "Conv"));
        for domain in ["ai.onnx.ml", "com.microsoft", "ai.onnx.preview.training", "com.example"] {
            assert!(!may_have(domain, "Conv"), "{domain}");
        }
        assert!(may_have("ai.onnx.ml", "Scaler") && !may_have("", "Scaler"));
        assert!(may_have("com.microsoft", "QGemm") && !may_have("", "QGemm"));
        assert!(may_have("com.microsoft", "Pad") && may_have("", "Pad"));
        assert!(may_have("ai.onnx.preview.training", "Adam") && !may_have("", "Adam"));
    }
}
