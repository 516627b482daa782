//! What the outputs mean, and how good two models are at it.

use aiinference_engine::OutputInfo;

use crate::net::{Id, Kind, Net};
use crate::quantise::scale::pow2;
use crate::report::{arg_max, auc, r2, Differ, Drop, Metrics, OutputReport, Quality};

/// What an output says.
#[derive(Clone, Debug, PartialEq)]
enum Role {
    /// A class index; the classes' numbers where they are not 0, 1, ..
    Class(Vec<f64>),
    /// A probability per class.
    Scores,
    /// The probability of class 1.
    Probability,
    /// One number.
    Number,
    /// Anything else.
    Other,
}

/// One output over all samples.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Of the float model, per sample.
    pub float: Vec<Vec<f64>>,
    /// Of the integer model, as reals.
    pub integer: Vec<Vec<f64>>,
    /// The difference of the two.
    pub differ: Differ,
}

/// How two models compare.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Per output.
    pub outputs: Vec<OutputReport>,
    /// By labels, where there are any that an output speaks about.
    pub metrics: Option<Metrics>,
    /// By how much the integer model is worse.
    pub drop: Drop,
}

/// Judges what was observed of every output; labels are those of the same samples.
pub fn judge(net: &Net, infos: &[OutputInfo], observed: &[Observed], labels: Option<&[f64]>) -> Judgement {
    let roles: Vec<Role> = (0..observed.len()).map(|o| role(net, o, &observed[o])).collect();
    let outputs: Vec<OutputReport> = infos
        .iter()
        .enumerate()
        .map(|(o, info)| OutputReport {
            name: info.name.clone(),
            shape: info.shape.clone(),
            fraction_bits: info.fraction_bits,
            difference: observed[o].differ.finish(),
            agreement: agreement(&roles[o], &observed[o]),
        })
        .collect();
    let metrics = labels.and_then(|labels| metrics(&roles, observed, labels));
    let drop = drop(metrics.as_ref(), &outputs);
    Judgement { outputs, metrics, drop }
}

impl Observed {
    /// Takes in one sample: reals of the float model, integers in units of `2^-fraction_bits`.
    pub fn add(&mut self, float: Vec<f64>, integer: &[i32], fraction_bits: i32) {
        self.differ.add(&float, integer, fraction_bits);
        let unit = pow2(-fraction_bits);
        self.integer
            .push(integer.iter().map(|q| f64::from(*q) * unit).collect());
        self.float.push(float);
    }
}

/// The role of an output, by what computes it and what it looks like.
fn role(net: &Net, output: usize, observed: &Observed) -> Role {
    let output = &net.outputs[output];
    let mut at: Id = output.value;
    while let Kind::Reshape { x } = net.nodes[at].kind {
        at = x;
    }
    if matches!(net.nodes[at].kind, Kind::ArgMax { .. }) {
        let numbers = output.labels.iter().map(|l| l.parse()).collect::<Result<Vec<f64>, _>>();
        return Role::Class(numbers.unwrap_or_default());
    }
    let size: usize = net.shape(output.value).iter().product();
    let within = |low: f64, high: f64| observed.float.iter().flatten().all(|v| *v >= low && *v <= high);
    let sums_to_one = || {
        observed
            .float
            .iter()
            .all(|v| (v.iter().sum::<f64>() - 1.0).abs() < 1e-3)
    };
    match size {
        1 if within(0.0, 1.0) => Role::Probability,
        1 => Role::Number,
        _ if net.shape(output.value).last() == Some(&size) && within(-1e-6, 1.0 + 1e-6) && sums_to_one() => {
            Role::Scores
        }
        _ => Role::Other,
    }
}

/// The class that an output names, if it names one.
fn class(role: &Role, values: &[f64]) -> Option<f64> {
    match role {
        Role::Class(_) => values.first().copied(),
        Role::Scores => Some(arg_max(values) as f64),
        Role::Probability => values.first().map(|p| f64::from(*p > 0.5)),
        Role::Number | Role::Other => None,
    }
}

/// Share of samples on which both models name the same class.
fn agreement(role: &Role, observed: &Observed) -> Option<f64> {
    let mut same = 0;
    for (x, y) in observed.float.iter().zip(&observed.integer) {
        same += usize::from(class(role, x)? == class(role, y)?);
    }
    Some(same as f64 / observed.float.len().max(1) as f64)
}

/// Quality by labels; none if no output speaks about them.
fn metrics(roles: &[Role], observed: &[Observed], labels: &[f64]) -> Option<Metrics> {
    let float = quality(roles, observed, labels, |o| &o.float);
    let integer = quality(roles, observed, labels, |o| &o.integer);
    (float.accuracy.is_some() || float.auc.is_some() || float.r2.is_some()).then_some(Metrics { float, integer })
}

fn quality(roles: &[Role], observed: &[Observed], labels: &[f64], of: impl Fn(&Observed) -> &Vec<Vec<f64>>) -> Quality {
    let classes = labels.iter().all(|l| *l == l.trunc() && *l >= 0.0);
    let highest = labels.iter().copied().fold(0.0, f64::max);
    let binary = classes && highest <= 1.0;
    let first = |values: &[Vec<f64>], i: usize| -> Vec<f64> {
        values.iter().map(|v| v.get(i).copied().unwrap_or(0.0)).collect()
    };
    let share = |named: Vec<f64>| {
        let right = named.iter().zip(labels).filter(|(a, b)| a == b).count();
        right as f64 / labels.len().max(1) as f64
    };
    let mut found = Quality {
        accuracy: None,
        auc: None,
        r2: None,
    };
    for (role, o) in roles.iter().zip(observed) {
        let values = of(o);
        let width = values.first().map_or(0, Vec::len);
        // Which sign or half separates classes must not depend on the model that is judged.
        let logits = o.float.iter().flatten().any(|v| *v < 0.0 || *v > 1.0);
        let accuracy = match role {
            Role::Class(numbers) => {
                let named = first(values, 0).into_iter();
                Some(share(
                    named.map(|c| numbers.get(c as usize).copied().unwrap_or(c)).collect(),
                ))
            }
            Role::Scores if classes && highest < width as f64 => {
                Some(share(values.iter().map(|v| arg_max(v) as f64).collect()))
            }
            Role::Other if classes && width > 1 && highest < width as f64 => {
                Some(share(values.iter().map(|v| arg_max(v) as f64).collect()))
            }
            Role::Probability | Role::Number if binary => {
                let threshold = if logits { 0.0 } else { 0.5 };
                Some(share(
                    first(values, 0).into_iter().map(|p| f64::from(p > threshold)).collect(),
                ))
            }
            _ => None,
        };
        found.accuracy = found.accuracy.or(accuracy);
        let score = match role {
            Role::Probability | Role::Number if binary => Some(first(values, 0)),
            Role::Scores | Role::Other if binary && width == 2 => Some(
                values
                    .iter()
                    .map(|v| v[1] - if *role == Role::Other { v[0] } else { 0.0 })
                    .collect(),
            ),
            _ => None,
        };
        found.auc = found.auc.or_else(|| score.and_then(|s| auc(&s, labels)));
        if found.r2.is_none() && matches!(role, Role::Number | Role::Probability) && !binary {
            found.r2 = r2(&first(values, 0), labels);
        }
    }
    if found.accuracy.is_some() {
        found.r2 = None;
    }
    found
}

/// What the limit on accuracy is compared with.
fn drop(metrics: Option<&Metrics>, outputs: &[OutputReport]) -> Drop {
    let named = |metric: &str, value: f64| Drop {
        metric: metric.into(),
        value,
    };
    if let Some(m) = metrics {
        let pairs = [
            ("AUC", m.float.auc, m.integer.auc),
            ("accuracy", m.float.accuracy, m.integer.accuracy),
            ("R2", m.float.r2, m.integer.r2),
        ];
        for (metric, float, integer) in pairs {
            if let (Some(float), Some(integer)) = (float, integer) {
                return named(metric, float - integer);
            }
        }
    }
    let agreement = outputs
        .iter()
        .filter_map(|o| o.agreement)
        .fold(None, |least: Option<f64>, a| Some(least.map_or(a, |l| l.min(a))));
    if let Some(agreement) = agreement {
        return named("label agreement", 1.0 - agreement);
    }
    let relative = outputs.iter().map(|o| {
        let d = &o.difference;
        if d.rmse == 0.0 {
            0.0
        } else {
            d.rmse / d.rms.max(f64::MIN_POSITIVE)
        }
    });
    named("relative RMSE", relative.fold(0.0, f64::max))
}
