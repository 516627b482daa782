//! Sequences and optionals as inputs and outputs, and outputs without elements.

use aiinference_convert::{
    as_integers, engine_limits, Conversion, ConvertError, Converter, EmptyOutput, FloatModel, ImportOptions,
};
use aiinference_engine::{Kernels, Program};

use crate::common::*;

/// Outputs of the integer model by name, as reals.
fn run(conversion: &Conversion, inputs: &[(&str, &[f64])]) -> Vec<(String, Vec<f64>)> {
    let graph = conversion.graph.clone();
    let given = |name: &str| inputs.iter().find(|(n, _)| *n == name).unwrap().1;
    let integers: Vec<Vec<i32>> = graph.inputs.iter().map(|i| as_integers(given(&i.name), i)).collect();
    let slices: Vec<&[i32]> = integers.iter().map(Vec::as_slice).collect();
    let program = Program::new(graph, &engine_limits()).unwrap();
    let results = program.run(&slices, &Kernels::auto()).unwrap();
    let outputs = results.iter().zip(program.outputs()).map(|(values, info)| {
        let unit = f64::from(-info.fraction_bits).exp2();
        let values = values.iter().map(|v| f64::from(*v) * unit);
        (info.name.clone(), values.collect())
    });
    outputs.collect()
}

fn close(found: &[f64], want: &[f64]) {
    let fits = found.len() == want.len() && found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3);
    assert!(fits, "{found:?} instead of {want:?}");
}

fn refusal(model: &[u8], options: &ImportOptions) -> ConvertError {
    match FloatModel::read(model, options) {
        Ok(_) => panic!("it is read"),
        Err(e) => e,
    }
}

/// The elements of a sequence one after the other.
fn joined() -> Vec<u8> {
    Builder::default()
        .sequence_input("s", &[2])
        .node("ConcatFromSequence", &["s"], &["y"], vec![int("axis", 0)])
        .output("y")
        .build()
}

#[test]
fn every_element_of_a_sequence_is_an_input() {
    let data = data(vec![array("s.0", 4, &[2], 1.0, 1), array("s.1", 4, &[2], 1.0, 2)]);
    let converter = Converter::new(&joined(), &data).convert();
    let error = converter.err().unwrap().to_string();
    assert!(error.contains("--shape s.0=EXTENTS"), "{error}");

    let model = joined();
    let converter = Converter::new(&model, &data)
        .shape("s.0", vec![2])
        .shape("s.1", vec![2]);
    let conversion = converter.convert().unwrap();
    let names: Vec<&str> = conversion.graph.inputs.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["s.0", "s.1"]);
    let outputs = run(&conversion, &[("s.0", &[0.5, -0.25]), ("s.1", &[0.125, 0.75])]);
    close(&outputs[0].1, &[0.5, -0.25, 0.125, 0.75]);
}

#[test]
fn elements_of_a_sequence_may_be_fixed() {
    let mut options = ImportOptions::default();
    options.shapes.insert("s.0".into(), vec![2]);
    options.shapes.insert("s.1".into(), vec![1]);
    options.fixed.insert("s.1".into(), vec![7.0]);
    let model = FloatModel::read(&joined(), &options).unwrap();
    assert_eq!(model.inputs().collect::<Vec<_>>(), [("s.0", &[2][..])]);
    assert_eq!(model.run(&[vec![1.0, 2.0]])[0].values, [1.0, 2.0, 7.0]);
}

#[test]
fn a_sequence_fixed_to_nothing_has_no_elements() {
    let model = Builder::default()
        .sequence_input("s", &[2])
        .node("SequenceLength", &["s"], &["n"], vec![])
        .int_output("n")
        .build();
    let mut options = ImportOptions::default();
    options.fixed.insert("s".into(), vec![]);
    let none = FloatModel::read(&model, &options).unwrap();
    assert_eq!(none.run(&[])[0].values, [0.0]);
}

#[test]
fn options_that_do_not_fit_a_sequence_are_refused_and_say_what_would() {
    let shaped = |names: &[&str]| {
        let mut options = ImportOptions::default();
        for name in names {
            options.shapes.insert(name.to_string(), vec![2]);
        }
        options
    };
    let gap = refusal(&joined(), &shaped(&["s.0", "s.2"]));
    assert!(
        matches!(&gap, ConvertError::NoSuchName { name, known, .. } if name == "s.2" && known.contains("\"s.1\"")),
        "{gap}"
    );
    let whole = refusal(&joined(), &shaped(&["s"])).to_string();
    assert!(whole.contains("no shape of its own"), "{whole}");
    let mut options = shaped(&["s.0"]);
    options.fixed.insert("s".into(), vec![]);
    let both = refusal(&joined(), &options).to_string();
    assert!(both.contains("fixed to nothing only"), "{both}");
    let mut options = ImportOptions::default();
    options.fixed.insert("s".into(), vec![1.0, 2.0]);
    let values = refusal(&joined(), &options).to_string();
    assert!(values.contains("fixed to nothing only"), "{values}");
}

#[test]
fn an_element_and_an_input_of_one_name_are_refused() {
    let model = Builder::default()
        .sequence_input("s", &[2])
        .input("s.0", &[2])
        .node("ConcatFromSequence", &["s"], &["y"], vec![int("axis", 0)])
        .output("y")
        .build();
    let mut options = ImportOptions::default();
    options.shapes.insert("s.0".into(), vec![2]);
    let error = refusal(&model, &options);
    assert!(
        matches!(&error, ConvertError::Input { input, .. } if input == "s.0"),
        "{error}"
    );
}

/// `x` in parts along its only axis.
fn parted(lengths: &[i64], output: &str) -> Builder {
    Builder::default()
        .input("x", &[6])
        .ints("lengths", &[lengths.len() as i64], lengths)
        .node("SplitToSequence", &["x", "lengths"], &[output], vec![int("axis", 0)])
        .output(output)
}

#[test]
fn every_element_of_a_sequence_is_an_output() {
    let data = data(vec![array("x", 4, &[6], 1.0, 3)]);
    let conversion = Converter::new(&parted(&[4, 2], "parts").build(), &data)
        .convert()
        .unwrap();
    let outputs = run(&conversion, &[("x", &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])]);
    assert_eq!(outputs.len(), 2);
    assert_eq!([&outputs[0].0, &outputs[1].0], ["parts.0", "parts.1"]);
    close(&outputs[0].1, &[0.1, 0.2, 0.3, 0.4]);
    close(&outputs[1].1, &[0.5, 0.6]);
}

#[test]
fn outputs_of_one_name_are_refused() {
    let model = parted(&[4, 2], "parts")
        .node("Neg", &["x"], &["parts.1"], vec![])
        .output("parts.1")
        .build();
    let error = refusal(&model, &ImportOptions::default()).to_string();
    assert!(error.contains("\"parts.1\"") && error.contains("this name"), "{error}");
}

#[test]
fn a_model_of_sequences_without_elements_is_refused() {
    let model = Builder::default()
        .input("x", &[1])
        .node("SequenceEmpty", &[], &["y"], vec![])
        .output("y")
        .build();
    let error = refusal(&model, &ImportOptions::default()).to_string();
    assert!(error.contains("without elements"), "{error}");
}

#[test]
fn long_names_of_very_many_outputs_are_refused() {
    let (many, long) = (vec!["x"; 1 << 16], "y".repeat(1 << 16));
    let model = Builder::default()
        .input("x", &[1])
        .node("SequenceConstruct", &many, &[&long], vec![])
        .output(&long)
        .build();
    let error = refusal(&model, &ImportOptions::default()).to_string();
    assert!(error.contains("numbers are stored"), "{}", error.len());
}

#[test]
fn long_class_names_of_very_many_outputs_are_refused() {
    let classes: Vec<String> = (0..4096).map(|i| format!("{i:01024}")).collect();
    let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
    let attributes = vec![
        strings("classlabels_strings", &classes),
        floats("coefficients", &vec![1.0; classes.len()]),
        floats("intercepts", &vec![0.0; classes.len()]),
    ];
    let sequence = |labels: usize| {
        Builder::default()
            .input("x", &[1, 1])
            .node_in(
                "ai.onnx.ml",
                "LinearClassifier",
                &["x"],
                &["label", "scores"],
                attributes.clone(),
            )
            .node("SequenceConstruct", &vec!["label"; labels], &["y"], vec![])
            .output("y")
            .build()
    };
    assert!(FloatModel::read(&sequence(8), &ImportOptions::default()).is_ok());
    let error = refusal(&sequence(1024), &ImportOptions::default()).to_string();
    assert!(error.contains("numbers are stored"), "{error}");
}

#[test]
fn an_optional_is_given_unless_it_is_fixed_to_nothing() {
    let then = Builder::default()
        .node("OptionalGetElement", &["o"], &["a"], vec![])
        .output("a");
    let other = Builder::default().node("Neg", &["x"], &["b"], vec![]).output("b");
    let model = Builder::default()
        .opset(16)
        .input("x", &[2])
        .optional_input("o", &[2])
        .node("OptionalHasElement", &["o"], &["has"], vec![])
        .node(
            "If",
            &["has"],
            &["y"],
            vec![body("then_branch", then.graph()), body("else_branch", other.graph())],
        )
        .output("y")
        .build();
    let mut options = ImportOptions::default();
    let given = FloatModel::read(&model, &options).unwrap();
    let names: Vec<&str> = given.inputs().map(|(name, _)| name).collect();
    assert_eq!(names, ["x", "o"]);
    assert_eq!(given.run(&[vec![1.0, 2.0], vec![3.0, 4.0]])[0].values, [3.0, 4.0]);
    options.fixed.insert("o".into(), vec![]);
    let absent = FloatModel::read(&model, &options).unwrap();
    let names: Vec<&str> = absent.inputs().map(|(name, _)| name).collect();
    assert_eq!(names, ["x"]);
    assert_eq!(absent.run(&[vec![1.0, 2.0]])[0].values, [-1.0, -2.0]);
}

#[test]
fn a_loop_that_keeps_a_sequence_must_know_whether_it_goes_on() {
    let pass = Builder::default()
        .node("Identity", &["going"], &["still"], vec![])
        .node("SequenceInsert", &["list", "x"], &["longer"], vec![])
        .output("still")
        .output("longer");
    let mut pass = pass.graph();
    pass.input = Builder::default()
        .input("i", &[])
        .input("going", &[])
        .input("list", &[])
        .graph()
        .input;
    let model = Builder::default()
        .input("x", &[2])
        .input("go", &[])
        .ints("times", &[], &[3])
        .node("SequenceEmpty", &[], &["none"], vec![])
        .node("Loop", &["times", "go", "none"], &["y"], vec![body("body", pass)])
        .output("y")
        .build();
    let error = refusal(&model, &ImportOptions::default());
    assert!(
        matches!(&error, ConvertError::Unknown { input: Some(input), .. } if input == "go"),
        "{error}"
    );
    let mut options = ImportOptions::default();
    options.fixed.insert("go".into(), vec![1.0]);
    let outputs = FloatModel::read(&model, &options).unwrap().run(&[vec![1.0, 2.0]]);
    let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["y.0", "y.1", "y.2"]);
}

#[test]
fn outputs_without_elements_are_left_out_and_reported() {
    let data = data(vec![array("x", 4, &[6], 1.0, 3)]);
    let conversion = Converter::new(&parted(&[0, 6], "parts").build(), &data)
        .convert()
        .unwrap();
    let empty = EmptyOutput {
        name: "parts.0".into(),
        shape: vec![0],
    };
    assert_eq!(conversion.report.empty_outputs, [empty]);
    assert!(conversion.report.to_json().contains("\"empty_outputs\""));
    let outputs = run(&conversion, &[("x", &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])]);
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].0, "parts.1");
    close(&outputs[0].1, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
}

#[test]
fn a_report_without_empty_outputs_does_not_speak_of_them() {
    let data = data(vec![array("x", 4, &[6], 1.0, 3)]);
    let report = Converter::new(&parted(&[4, 2], "parts").build(), &data)
        .convert()
        .unwrap()
        .report;
    assert!(!report.to_json().contains("empty_outputs"));
}

#[test]
fn a_model_whose_outputs_have_no_elements_is_refused_with_their_shapes() {
    let data = data(vec![array("x", 4, &[3, 6], 1.0, 3)]);
    let model = Builder::default()
        .input("x", &[3, 6])
        .ints("from", &[1], &[6])
        .ints("to", &[1], &[9])
        .ints("axes", &[1], &[1])
        .node("Slice", &["x", "from", "to", "axes"], &["y"], vec![])
        .output("y")
        .build();
    let error = Converter::new(&model, &data).convert().err().unwrap();
    let ConvertError::Empty { outputs } = &error else {
        panic!("{error}");
    };
    let empty = EmptyOutput {
        name: "y".into(),
        shape: vec![3, 0],
    };
    assert_eq!(outputs, &[empty]);
    assert!(error.to_string().contains("\"y\" [3, 0]"), "{error}");
}

#[test]
fn an_output_that_is_infinite_for_all_inputs_is_refused_and_infinite_limits_are_not() {
    let data = data(vec![array("x", 4, &[2], 1.0, 3)]);
    let model = |node: &str, output: &str| {
        Builder::default()
            .input("x", &[2])
            .constant("most", &[2], &[0.25, f32::INFINITY])
            .node(node, &["x", "most"], &["y"], vec![])
            .output(output)
            .build()
    };
    let error = Converter::new(&model("Min", "most"), &data).convert().err().unwrap();
    assert!(
        matches!(&error, ConvertError::Unsupported { node, reason, .. } if node == "most" && reason.contains("infinities")),
        "{error}"
    );
    let conversion = Converter::new(&model("Min", "y"), &data).convert().unwrap();
    close(&run(&conversion, &[("x", &[0.5, 0.75])])[0].1, &[0.25, 0.75]);
}
