//! The accuracy report: the float model against the integer model on the calibration data.

use serde::Serialize;

/// What a conversion cost in accuracy, and what the model costs to run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Samples compared.
    pub samples: usize,
    /// Stored numbers: weights, biases, tables, trees.
    pub parameters: u64,
    /// Products in one run.
    pub macs: u64,
    /// Gas of one run.
    pub gas: u64,
    /// Most bytes of tensors at once during a run.
    pub peak_bytes: u64,
    /// The inputs' formats.
    pub inputs: Vec<InputReport>,
    /// Per output.
    pub outputs: Vec<OutputReport>,
    /// Outputs of the file that have no elements whatever the inputs are: the integer model leaves them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub empty_outputs: Vec<EmptyOutput>,
    /// By labels, where they were given.
    pub metrics: Option<Metrics>,
    /// What the limit on accuracy is about.
    pub drop: Drop,
    /// What provability cost, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provable: Option<ProvableReport>,
    /// Per layer, in the order in which they run; errors over the first samples only.
    pub layers: Vec<LayerReport>,
}

/// An input's format.
#[derive(Clone, Debug, Serialize)]
pub struct InputReport {
    /// Name.
    pub name: String,
    /// Extents.
    pub shape: Vec<u32>,
    /// An integer q stands for q * 2^-fraction_bits.
    pub fraction_bits: i32,
    /// Least real value.
    pub low: f64,
    /// Largest real value.
    pub high: f64,
    /// Whether values beyond are saturated instead of refused.
    pub saturate: bool,
}

/// Differences between two tensors over all samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Difference {
    /// Largest absolute error.
    pub max_abs_error: f64,
    /// Mean absolute error.
    pub mean_abs_error: f64,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Root of the mean square of the float values, to see the errors by.
    pub rms: f64,
    /// Cosine of the angle between the two, 1 where both are 0.
    pub cosine: f64,
}

impl Difference {
    /// The root mean squared error relative to the float values; absolute where those are 0.
    pub fn relative(&self) -> f64 {
        if self.rms == 0.0 {
            self.rmse
        } else {
            self.rmse / self.rms
        }
    }
}

/// An output's accuracy.
#[derive(Clone, Debug, Serialize)]
pub struct OutputReport {
    /// Name.
    pub name: String,
    /// Extents.
    pub shape: Vec<u32>,
    /// An integer q stands for q * 2^-fraction_bits.
    pub fraction_bits: i32,
    /// Error.
    #[serde(flatten)]
    pub difference: Difference,
    /// Share of samples on which both models name the same class; none if the output names no class.
    pub agreement: Option<f64>,
}

/// An output without elements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EmptyOutput {
    /// Name.
    pub name: String,
    /// Extents; at least one is 0.
    pub shape: Vec<usize>,
}

/// A layer's accuracy.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// Name of the node.
    pub name: String,
    /// Operation of the engine.
    pub op: String,
    /// An integer q stands for q * 2^-fraction_bits.
    pub fraction_bits: i32,
    /// Gas of this node.
    pub gas: u64,
    /// Bits of its largest weight with its sign (8 where they are stored in a byte), if it has any.
    pub weight_bits: Option<u32>,
    /// Bits that its value's range takes, the sign among them.
    pub value_bits: u32,
    /// Least value that calibration saw (or kept, with a percentile).
    pub low: f64,
    /// Largest.
    pub high: f64,
    /// Error, with what the layers before it contributed.
    #[serde(flatten)]
    pub difference: Difference,
    /// Error of this layer by itself: against its float operation on the integers that it was given. Where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<Difference>,
}

/// Quality by labels.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metrics {
    /// Of the float model.
    pub float: Quality,
    /// Of the integer model.
    pub integer: Quality,
}

/// Quality of one model; what does not apply is none.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quality {
    /// Share of samples whose class is named rightly.
    pub accuracy: Option<f64>,
    /// Area under the ROC curve, for two classes.
    pub auc: Option<f64>,
    /// Coefficient of determination, for labels that are no classes.
    pub r2: Option<f64>,
}

/// By how much the integer model is worse.
#[derive(Clone, Debug, Serialize)]
pub struct Drop {
    /// "AUC", "accuracy" or "R2" where labels were given; else "label agreement" or "relative RMSE".
    pub metric: String,
    /// How much is lost; negative if the integer model happens to be better.
    pub value: f64,
}

/// A provable conversion beside the ordinary one of the same model.
#[derive(Clone, Debug, Serialize)]
pub struct ProvableReport {
    /// By how much the ordinary integer model is worse than the float model.
    pub ordinary: Drop,
    /// By how much the provable one is worse than the ordinary one.
    pub cost: f64,
    /// Root of the mean squared error of the ordinary one, per output.
    pub ordinary_rmse: Vec<f64>,
    /// Root of the mean squared error per output before shifts were tuned, where they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untuned_rmse: Option<Vec<f64>>,
}

/// Sums up differences sample by sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Differ {
    count: u64,
    largest: f64,
    absolute: f64,
    squared: f64,
    dot: f64,
    norm_float: f64,
    norm_integer: f64,
}

impl Differ {
    /// Takes in two tensors: floats, and integers in units of `2^-fraction_bits`.
    pub fn add(&mut self, float: &[f64], integer: &[i32], fraction_bits: i32) {
        let unit = libm::ldexp(1.0, -fraction_bits);
        for (x, q) in float.iter().zip(integer) {
            let y = f64::from(*q) * unit;
            let error = (x - y).abs();
            if !error.is_finite() {
                continue;
            }
            self.count += 1;
            self.largest = self.largest.max(error);
            self.absolute += error;
            self.squared += error * error;
            self.dot += x * y;
            self.norm_float += x * x;
            self.norm_integer += y * y;
        }
    }

    /// The result.
    pub fn finish(&self) -> Difference {
        let n = self.count.max(1) as f64;
        let norms = (self.norm_float * self.norm_integer).sqrt();
        Difference {
            max_abs_error: self.largest,
            mean_abs_error: self.absolute / n,
            rmse: (self.squared / n).sqrt(),
            rms: (self.norm_float / n).sqrt(),
            cosine: match (norms == 0.0, self.norm_float == self.norm_integer) {
                (false, _) => self.dot / norms,
                (true, true) => 1.0,
                (true, false) => 0.0,
            },
        }
    }
}

/// Index of the largest, the first of equals.
pub fn arg_max(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

/// Area under the ROC curve of scores for labels 0 and 1; ties count half. None if a class is missing.
pub fn auc(scores: &[f64], labels: &[f64]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let (mut rank_sum, mut at) = (0.0, 0);
    while at < order.len() {
        let mut end = at;
        while end < order.len() && scores[order[end]] == scores[order[at]] {
            end += 1;
        }
        // Ranks at + 1 ..= end, shared by equal scores.
        let rank = (at + 1 + end) as f64 / 2.0;
        let positives = order[at..end].iter().filter(|i| labels[**i] > 0.5).count();
        rank_sum += rank * positives as f64;
        at = end;
    }
    let positives = labels.iter().filter(|l| **l > 0.5).count() as f64;
    let negatives = labels.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Coefficient of determination; none if the labels do not vary.
pub fn r2(predicted: &[f64], labels: &[f64]) -> Option<f64> {
    let n = labels.len() as f64;
    let mean = labels.iter().sum::<f64>() / n;
    let total: f64 = labels.iter().map(|l| (l - mean).powi(2)).sum();
    let residual: f64 = predicted.iter().zip(labels).map(|(p, l)| (p - l).powi(2)).sum();
    (total > 0.0).then(|| 1.0 - residual / total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_ordered_pairs_and_half_of_the_ties() {
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]), Some(0.75));
        assert_eq!(auc(&[0.5, 0.5], &[0.0, 1.0]), Some(0.5));
        assert_eq!(auc(&[0.5, 0.6], &[1.0, 1.0]), None);
    }

    #[test]
    fn differences_are_those_of_the_reals() {
        let mut d = Differ::default();
        d.add(&[1.0, -0.5], &[2, 0], 1);
        let d = d.finish();
        assert_eq!(d.max_abs_error, 0.5);
        assert_eq!(d.mean_abs_error, 0.25);
    }

    #[test]
    fn a_perfect_prediction_has_an_r2_of_one() {
        assert_eq!(r2(&[1.0, 2.0], &[1.0, 2.0]), Some(1.0));
        assert_eq!(r2(&[1.0, 2.0], &[3.0, 3.0]), None);
    }
}
