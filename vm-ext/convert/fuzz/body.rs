//! What the fuzz target and the replay of its corpus check.

use aiinference_convert::{Converter, Dataset, FloatModel, ImportOptions, NamedArray};

/// Models with more elements are read only: what they compute says no more than what a small one does.
const MAX_ELEMENTS: usize = 1 << 15;
/// Samples to calibrate on.
const SAMPLES: usize = 3;

/// Any bytes as an ONNX model: it is read, computed and converted, or refused.
pub fn check(onnx: &[u8]) {
    let Ok(model) = FloatModel::read(onnx, &ImportOptions::default()) else {
        return;
    };
    if model.elements() > MAX_ELEMENTS {
        return;
    }
    let array = |(name, shape): (&str, &[usize])| {
        let count = SAMPLES * shape.iter().product::<usize>();
        NamedArray {
            name: name.into(),
            shape: [&[SAMPLES], shape].concat(),
            values: (0..count).map(|i| (i % 7) as f64 * 0.5 - 1.0).collect(),
        }
    };
    let arrays: Vec<NamedArray> = model.inputs().map(array).collect();
    let one = |a: &NamedArray| a.values[..a.values.len() / SAMPLES].to_vec();
    model.run(&arrays.iter().map(one).collect::<Vec<_>>());
    let data = Dataset { arrays, tabular: false };
    if let Ok(conversion) = Converter::new(onnx, &data).convert() {
        assert_eq!(conversion.report.outputs.len(), conversion.graph.outputs.len());
    }
}
