//! Nodes that break the rules of their operation: each is refused, by the error that says why, and its neighbour that
//! just keeps them is taken.

mod common;

use aiinference_engine::error::{FormatProblem, NodeProblem, ShapeProblem};
use aiinference_engine::graph::{Array, Comparison, Graph, Input, Op, Output, Rescale, Scanned, State};
use aiinference_engine::infer::{infer, Sums, ValueType};
use aiinference_engine::{format, Limits, LoadError, Program};
use common::LIMITS;

type Port<'a> = (&'a [u32], i32, i32);

/// The range of a node over inputs of these shapes and ranges, or what is wrong with it, loaded from bytes like any other model.
fn load(ports: &[Port], op: Op) -> Result<ValueType, NodeProblem> {
    let mut graph = Graph::new();
    for (i, (shape, low, high)) in ports.iter().enumerate() {
        graph.input(Input {
            name: format!("x{i}"),
            shape: shape.to_vec(),
            fraction_bits: 0,
            low: *low,
            high: *high,
            saturate: false,
        });
    }
    let value = graph.push(op);
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    let file = format::encode(&graph);
    match Program::load(&file.graph, &file.weights, &LIMITS) {
        Ok(program) => Ok(program.nodes()[0].value.clone()),
        Err(LoadError::Node { node: 0, problem, .. }) => Err(problem),
        Err(other) => panic!("{other}"),
    }
}

/// Shape and range of a node that is taken.
fn taken(ports: &[Port], op: Op) -> (Vec<u32>, i32, i32) {
    let value = load(ports, op).expect("a sound node");
    (value.shape, value.low, value.high)
}

fn refused(ports: &[Port], op: Op) -> NodeProblem {
    load(ports, op).expect_err("an unsound node")
}

fn unit() -> Rescale {
    Rescale {
        multipliers: vec![1],
        shifts: vec![0],
        low: i32::MIN,
        high: i32::MAX,
    }
}

const ALL: (i32, i32) = (i32::MIN, i32::MAX);

#[test]
fn products_of_computed_tensors() {
    let op = |transposed, multiplier| Op::BatchMatMul {
        a: 0,
        b: 1,
        transposed,
        multiplier,
        shift: 0,
        low: ALL.0,
        high: ALL.1,
    };
    let narrow = |shape: &'static [u32]| (shape, -32768, 32767);
    let (a, b) = (narrow(&[5, 1, 2, 3]), narrow(&[7, 3, 4]));
    assert_eq!(
        taken(&[(a.0, 0, 2), (b.0, -1, 4)], op(false, 1)),
        (vec![5, 7, 2, 4], -6, 24)
    );
    assert_eq!(
        taken(&[(a.0, 0, 2), (&[4, 3], -1, 4)], op(true, -1)),
        (vec![5, 1, 2, 4], -24, 6)
    );
    assert_eq!(refused(&[a, b], op(true, 1)), NodeProblem::Mismatch { axis: 3 });
    assert_eq!(
        refused(&[a, narrow(&[2, 3, 4, 4])], op(false, 1)),
        NodeProblem::Mismatch { axis: 0 }
    );
    assert_eq!(
        refused(&[narrow(&[3]), b], op(false, 1)),
        NodeProblem::Rank { found: 1, want: 2 }
    );
    assert_eq!(
        refused(&[a, narrow(&[3])], op(false, 1)),
        NodeProblem::Rank { found: 1, want: 2 }
    );
    let wide = |low, high| refused(&[(&[2, 3], 0, 1), (&[3, 2], low, high)], op(false, 1));
    assert_eq!(wide(-32769, 0), NodeProblem::Range { low: -32769, high: 0 });
    assert_eq!(wide(0, 32768), NodeProblem::Range { low: 0, high: 32768 });
    // 2^16 * 2^15 * 2^15 = 2^46.
    let long = |k| [(vec![1, k], -32768, 0), (vec![1, k], -32768, 0)];
    let ports = |k: u32, f: &dyn Fn(&[Port])| f(&long(k).each_ref().map(|(s, l, h)| (s.as_slice(), *l, *h)));
    ports(1 << 16, &|p| {
        assert_eq!(refused(p, op(true, 1)), NodeProblem::Accumulator { channel: 0 })
    });
    ports((1 << 16) - 1, &|p| assert_eq!(taken(p, op(true, 1)).0, [1, 1]));
    ports(1 << 15, &|p| {
        assert_eq!(refused(p, op(true, 1 << 17)), NodeProblem::Product { channel: 0 })
    });
    ports(1 << 15, &|p| assert_eq!(taken(p, op(true, (1 << 17) - 1)).2, i32::MAX));
    // An operand may be huge only as far as the result is not.
    let far = refused(&[(&[1 << 20, 1], 0, 1), (&[1, 1 << 20], 0, 1)], op(false, 1));
    assert!(
        matches!(far, NodeProblem::Shape(ShapeProblem::Elements { .. })),
        "{far}"
    );
}

/// Rows of a Softmax come to one, so that their products with anything of 16 bits fit 32.
#[test]
fn products_of_shares() {
    let n = 128;
    let mut graph = Graph::new();
    for (i, shape) in [vec![3, n], vec![n, 5]].into_iter().enumerate() {
        graph.input(Input {
            name: format!("x{i}"),
            shape,
            fraction_bits: 0,
            low: -32768,
            high: 32767,
            saturate: false,
        });
    }
    let shares = graph.push(Op::Softmax {
        x: 0,
        multiplier: 1,
        shift: 0,
    });
    let moved = graph.push(Op::Reshape {
        x: shares,
        shape: vec![3, 1, n],
    });
    let fewer = graph.push(Op::Slice {
        x: moved,
        axis: 0,
        start: 1,
        step: 1,
        length: 2,
    });
    let torn = graph.push(Op::Reshape {
        x: shares,
        shape: vec![1, 3 * n],
    });
    let others = graph.push(Op::Constant {
        shape: vec![3 * n, 1],
        data: Array::I16(vec![-32768; 3 * n as usize]),
    });
    let end = |a, b, transposed| Op::BatchMatMul {
        a,
        b,
        transposed,
        multiplier: 1,
        shift: 0,
        low: ALL.0,
        high: ALL.1,
    };
    let products = [
        end(shares, 1, false),
        end(fewer, 1, false),
        end(0, shares, true),
        end(torn, others, false),
    ];
    let products = products.map(|op| graph.push(op));
    graph.outputs.push(Output {
        name: "y".into(),
        value: products[0],
        fraction_bits: 0,
        labels: vec![],
    });
    let inferred = infer(&graph, &LIMITS).expect("a sound model");
    let found = products.map(|value| {
        let ValueType { low, high, .. } = inferred.values[value as usize];
        (inferred.sums[value as usize - 2], low, high)
    });
    let most = (32768 + 64) * 32768;
    let shares = (Sums::I32, -most, most);
    assert_eq!(found[..3], [shares, shares, shares]);
    // Rows that were torn apart and joined anew are no shares.
    assert!(matches!(found[3].0, Sums::Blocks(2)), "{:?}", found[3]);
}

#[test]
fn comparisons_and_choices() {
    let (ours, theirs): (Port, Port) = ((&[2, 1], -5, 3), (&[3], 1, 9));
    let shape = vec![2, 3];
    assert_eq!(taken(&[ours, theirs], Op::Min { a: 0, b: 1 }), (shape.clone(), -5, 3));
    assert_eq!(taken(&[ours, theirs], Op::Max { a: 0, b: 1 }), (shape.clone(), 1, 9));
    let compare = |a: [i32; 2], b: [i32; 2], kind| {
        let value = taken(
            &[(&[1], a[0], a[1]), (&[1], b[0], b[1])],
            Op::Compare { a: 0, b: 1, kind },
        );
        (value.1, value.2)
    };
    for (kind, a, b, range) in [
        (Comparison::Less, [0, 4], [4, 5], (0, 1)),
        (Comparison::Less, [0, 3], [4, 5], (1, 1)),
        (Comparison::Less, [5, 6], [4, 5], (0, 0)),
        (Comparison::LessEqual, [0, 4], [4, 5], (1, 1)),
        (Comparison::LessEqual, [5, 6], [4, 5], (0, 1)),
        (Comparison::LessEqual, [6, 6], [4, 5], (0, 0)),
        (Comparison::Equal, [4, 4], [4, 4], (1, 1)),
        (Comparison::Equal, [0, 3], [4, 5], (0, 0)),
        (Comparison::Equal, [0, 4], [4, 5], (0, 1)),
        (Comparison::Equal, [4, 5], [4, 5], (0, 1)),
    ] {
        assert_eq!(compare(a, b, kind), range, "{a:?} {kind:?} {b:?}");
    }
    let select = Op::Select {
        condition: 2,
        a: 0,
        b: 1,
    };
    for (condition, range) in [
        ((0, 0), (1, 9)),
        ((1, 2), (-5, 3)),
        ((-2, -1), (-5, 3)),
        ((0, 1), (-5, 9)),
    ] {
        let value = taken(&[ours, theirs, (&[4, 1, 1], condition.0, condition.1)], select.clone());
        assert_eq!(value, (vec![4, 2, 3], range.0, range.1));
    }
    let clash: Port = (&[4], 0, 1);
    let mismatch = NodeProblem::Mismatch { axis: 1 };
    assert_eq!(refused(&[ours, theirs, clash], select), mismatch);
    assert_eq!(refused(&[(&[2, 3], 0, 1), clash], Op::Min { a: 0, b: 1 }), mismatch);
    assert_eq!(refused(&[(&[2, 3], 0, 1), clash], Op::Max { a: 1, b: 0 }), mismatch);
    let kind = Comparison::Equal;
    assert_eq!(
        refused(&[(&[2, 3], 0, 1), clash], Op::Compare { a: 0, b: 1, kind }),
        mismatch
    );
    let missing = NodeProblem::Operand { value: 1, known: 1 };
    assert_eq!(refused(&[clash], Op::Compare { a: 0, b: 1, kind }), missing);
}

#[test]
fn quotients_and_roots() {
    let op = |shift| Op::Div {
        a: 0,
        b: 1,
        shift,
        low: -100,
        high: 100,
    };
    let one: &[u32] = &[1];
    let range = |a: (i32, i32), b: (i32, i32), shift| {
        let (_, low, high) = taken(&[(one, a.0, a.1), (one, b.0, b.1)], op(shift));
        (low, high)
    };
    assert_eq!(range((10, 20), (2, 5), 0), (2, 10));
    assert_eq!(range((10, 20), (-5, -2), 0), (-10, -2));
    assert_eq!(range((-20, 10), (3, 5), 0), (-7, 3));
    assert_eq!(range((-20, -10), (-1, 5), 0), (-100, 20));
    assert_eq!(range((10, 20), (0, 4), 0), (3, 100));
    assert_eq!(range((0, 0), (0, 0), 9), (0, 0));
    assert_eq!(range((-3, -3), (2, 2), 0), (-1, -1), "halves round up");
    assert_eq!(range((3, 3), (-2, -2), 0), (-1, -1), "halves round up");
    assert_eq!(range(ALL, ALL, 30), (-100, 100));
    assert_eq!(
        refused(&[(one, ALL.0, 0), (one, 1, 1)], op(31)),
        NodeProblem::Product { channel: 0 }
    );
    assert_eq!(range((0, ALL.1), (1, 1), 31), (0, 100));
    assert!(matches!(
        refused(&[(one, 0, 0), (one, 0, 0)], op(63)),
        NodeProblem::Parameter { .. }
    ));
    assert_eq!(range((0, 0), (0, 0), 62), (0, 0));

    let root = |shift| Op::Sqrt {
        x: 0,
        shift,
        low: 1,
        high: 40_000,
    };
    assert_eq!(taken(&[(one, -7, 6)], root(0)), (vec![1], 1, 2));
    assert_eq!(
        taken(&[(one, 6, 7)], root(0)),
        (vec![1], 2, 3),
        "sqrt(7) is nearer to 3"
    );
    assert_eq!(taken(&[(one, 0, ALL.1)], root(31)), (vec![1], 1, 40_000));
    assert_eq!(refused(&[(one, 0, 1)], root(62)), NodeProblem::Product { channel: 0 });
    assert_eq!(taken(&[(one, ALL.0, 0)], root(62)), (vec![1], 1, 1));
    assert!(matches!(
        refused(&[(one, 0, 0)], root(63)),
        NodeProblem::Parameter { .. }
    ));
}

#[test]
fn normalisation() {
    let op = |epsilon, center, bias: Vec<i64>, rescale| Op::LayerNorm {
        x: 0,
        epsilon,
        center,
        bias,
        rescale,
    };
    let plain = |center| op(0, center, vec![], unit());
    let shape: &[u32] = &[3, 4];
    // sqrt(3) and 2 in units of 2^-20, and what rounding may add.
    let most = 1_816_186 + 2;
    assert_eq!(taken(&[(shape, -9, 9)], plain(true)), (vec![3, 4], -most, most));
    let most = (2 << 20) + 2;
    assert_eq!(taken(&[(shape, -9, 9)], plain(false)), (vec![3, 4], -most, most));
    assert_eq!(taken(&[(shape, 0, 9)], plain(false)), (vec![3, 4], 0, most));
    assert_eq!(taken(&[(shape, -9, 0)], plain(false)), (vec![3, 4], -most, 0));
    // Rows times their spread below 2^31; with the mean subtracted, where the elements lie does not matter.
    let quarter = 1 << 29;
    assert_eq!(refused(&[(shape, 0, quarter)], plain(true)), NodeProblem::Row);
    assert_eq!(taken(&[(shape, 1 - quarter, 0)], plain(true)).0, [3, 4]);
    assert_eq!(
        taken(&[(shape, i32::MAX - quarter + 1, i32::MAX)], plain(true)).0,
        [3, 4]
    );
    assert_eq!(refused(&[(shape, quarter, quarter)], plain(false)), NodeProblem::Row);
    assert_eq!(taken(&[(shape, 1 - quarter, quarter - 1)], plain(false)).0, [3, 4]);
    // 2 * 2 * 9^2 is the most that the spread comes to.
    let room = (1u64 << 62) - 4 * 81;
    assert_eq!(
        refused(&[(shape, 0, 9)], op(room, true, vec![], unit())),
        NodeProblem::Row
    );
    assert_eq!(taken(&[(shape, 0, 9)], op(room - 1, true, vec![], unit())).0, [3, 4]);
    assert_eq!(
        refused(&[(shape, 0, 9)], op(u64::MAX, true, vec![], unit())),
        NodeProblem::Row
    );
    assert_eq!(
        refused(&[(&[], 0, 9)], plain(true)),
        NodeProblem::Rank { found: 0, want: 1 }
    );
    let long = refused(&[(&[65_537], 0, 1)], plain(true));
    assert!(matches!(long, NodeProblem::Parameter { .. }), "{long}");
    assert_eq!(taken(&[(&[65_536], 0, 1)], plain(true)).0, [65_536]);
    let biased = |bias| refused(&[(shape, 0, 9)], op(0, true, bias, unit()));
    assert!(matches!(biased(vec![1; 3]), NodeProblem::Length { .. }));
    assert_eq!(biased(vec![0, 0, i64::MIN, 0]), NodeProblem::Accumulator { channel: 2 });
    let steep = Rescale {
        multipliers: vec![i32::MIN],
        ..unit()
    };
    let refusal = refused(&[(shape, 0, 9)], op(0, true, vec![1 << 31], steep));
    assert_eq!(refusal, NodeProblem::Product { channel: 0 });
}

#[test]
fn reductions() {
    let sum = |axis, multiplier| Op::ReduceSum {
        x: 0,
        axis,
        multiplier,
        shift: 1,
        low: -1000,
        high: 1000,
    };
    let shape: &[u32] = &[2, 3, 4];
    assert_eq!(taken(&[(shape, -1, 5)], sum(1, -3)), (vec![2, 4], -22, 5));
    assert_eq!(
        taken(&[(shape, -1, 5)], Op::ReduceMax { x: 0, axis: 2 }),
        (vec![2, 3], -1, 5)
    );
    assert_eq!(refused(&[(shape, 0, 1)], sum(3, 1)), NodeProblem::Axis { axis: 3 });
    assert_eq!(
        refused(&[(&[], 0, 1)], Op::ReduceMax { x: 0, axis: 0 }),
        NodeProblem::Axis { axis: 0 }
    );
    let long: &[u32] = &[1 << 15];
    assert_eq!(
        refused(&[(long, ALL.0, 0)], sum(0, 1)),
        NodeProblem::Accumulator { channel: 0 }
    );
    assert_eq!(taken(&[(long, 0, ALL.1)], sum(0, 1)), (vec![], 0, 1000));
    assert_eq!(
        refused(&[(long, 0, ALL.1)], sum(0, 1 << 17)),
        NodeProblem::Product { channel: 0 }
    );
    let top = |k| Op::TopK { x: 0, k };
    assert_eq!(taken(&[(shape, -1, 5)], top(3)), (vec![2, 3, 3], 0, 3));
    for k in [0, 5, u32::MAX] {
        assert!(
            matches!(refused(&[(shape, 0, 1)], top(k)), NodeProblem::Parameter { .. }),
            "{k}"
        );
    }
    assert_eq!(refused(&[(&[], 0, 1)], top(1)), NodeProblem::Rank { found: 0, want: 1 });
}

#[test]
fn elements_by_number() {
    let x: Port = (&[2, 3, 4], -7, 8);
    let gather = |axis| Op::Gather { x: 0, indices: 1, axis };
    assert_eq!(taken(&[x, (&[5, 6], 0, 2)], gather(1)), (vec![2, 5, 6, 4], -7, 8));
    assert_eq!(taken(&[x, (&[], 0, 3)], gather(2)), (vec![2, 3], -7, 8));
    assert_eq!(
        refused(&[x, (&[5], 0, 3)], gather(1)),
        NodeProblem::Range { low: 0, high: 3 }
    );
    assert_eq!(
        refused(&[x, (&[5], -1, 2)], gather(1)),
        NodeProblem::Range { low: -1, high: 2 }
    );
    assert_eq!(refused(&[x, (&[5], 0, 0)], gather(3)), NodeProblem::Axis { axis: 3 });
    let ranks = refused(&[x, (&[1, 1, 1, 1, 1], 0, 0)], gather(0));
    assert!(
        matches!(ranks, NodeProblem::Shape(ShapeProblem::Rank { .. })),
        "{ranks}"
    );
    let many = refused(&[(&[1 << 12, 1 << 10], 0, 1), (&[1 << 20], 0, 0)], gather(0));
    assert!(
        matches!(many, NodeProblem::Shape(ShapeProblem::Elements { .. })),
        "{many}"
    );

    let elements = Op::GatherElements { x: 0, indices: 1 };
    assert_eq!(
        taken(&[x, (&[2, 3, 9], 0, 3)], elements.clone()),
        (vec![2, 3, 9], -7, 8)
    );
    let outside = NodeProblem::Range { low: 0, high: 4 };
    assert_eq!(refused(&[x, (&[2, 3, 9], 0, 4)], elements.clone()), outside);
    assert_eq!(
        refused(&[x, (&[2, 4, 9], 0, 3)], elements.clone()),
        NodeProblem::Mismatch { axis: 1 }
    );
    assert_eq!(
        refused(&[x, (&[9], 0, 3)], elements.clone()),
        NodeProblem::Rank { found: 1, want: 3 }
    );
    let single: Port = (&[], 0, 0);
    assert_eq!(
        refused(&[single, single], elements),
        NodeProblem::Rank { found: 0, want: 1 }
    );
}

/// A Scan of one state and one scanned operand.
struct OneOfEach {
    count: u32,
    state: State,
    scanned: Scanned,
    body: Vec<Op>,
    collected: Vec<u32>,
}

impl OneOfEach {
    /// Twice: the state becomes state + slice, clamped; the sum is collected.
    fn sound() -> Self {
        OneOfEach {
            count: 2,
            state: State {
                initial: 0,
                low: -50,
                high: 60,
                result: 3,
                kept: true,
            },
            scanned: Scanned {
                x: 1,
                axis: 1,
                reverse: false,
            },
            body: vec![
                Op::Add {
                    a: 0,
                    b: 1,
                    multipliers: [1, 1],
                    shift: 0,
                    low: -99,
                    high: 99,
                },
                Op::Clamp {
                    x: 2,
                    low: -50,
                    high: 60,
                },
            ],
            collected: vec![2],
        }
    }

    fn op(self) -> Op {
        Op::Scan {
            count: self.count,
            states: vec![self.state],
            scanned: vec![self.scanned],
            captured: vec![],
            body: self.body,
            collected: self.collected,
        }
    }
}

#[test]
fn scans() {
    let ports: [Port; 2] = [(&[3], -5, 5), (&[3, 2], -40, 40)];
    assert_eq!(taken(&ports, OneOfEach::sound().op()), (vec![3 + 2 * 3], -90, 99));
    let changed = |change: &dyn Fn(&mut OneOfEach)| {
        let mut scan = OneOfEach::sound();
        change(&mut scan);
        refused(&ports, scan.op())
    };
    let range = |found| NodeProblem::StateRange {
        state: 0,
        declared: [-50, 60],
        found,
    };
    assert_eq!(changed(&|s| s.state.result = 2), range([-90, 99]), "not clamped");
    let narrow = NodeProblem::StateRange {
        state: 0,
        declared: [-4, 60],
        found: [-5, 5],
    };
    assert_eq!(changed(&|s| s.state.low = -4), narrow, "it does not start there");
    let empty = changed(&|s| (s.state.low, s.state.high) = (1, 0));
    assert!(matches!(empty, NodeProblem::Parameter { .. }));
    assert_eq!(
        changed(&|s| s.state.result = 4),
        NodeProblem::Operand { value: 4, known: 4 }
    );
    assert_eq!(
        changed(&|s| s.state.initial = 2),
        NodeProblem::Operand { value: 2, known: 2 }
    );
    assert_eq!(
        changed(&|s| s.collected.push(9)),
        NodeProblem::Operand { value: 9, known: 4 }
    );
    assert_eq!(changed(&|s| s.scanned.axis = 2), NodeProblem::Axis { axis: 2 });
    let extents = [changed(&|s| s.scanned.axis = 0), changed(&|s| s.count = 3)];
    assert!(
        extents.iter().all(|e| matches!(e, NodeProblem::Length { .. })),
        "{extents:?}"
    );
    assert!(matches!(changed(&|s| s.count = 0), NodeProblem::Parameter { .. }));
    let nothing = changed(&|s| {
        s.state.kept = false;
        s.collected.clear();
    });
    assert!(matches!(nothing, NodeProblem::Parameter { .. }));
    let shape = changed(&|s| {
        s.body.push(Op::Reshape {
            x: 3,
            shape: vec![3, 1],
        });
        s.state.result = 4;
    });
    assert_eq!(shape, NodeProblem::StateShape { state: 0 });
    let inside = changed(&|s| s.body.push(Op::ReduceMax { x: 0, axis: 1 }));
    let expected = NodeProblem::Body {
        node: 2,
        op: "ReduceMax",
        problem: Box::new(NodeProblem::Axis { axis: 1 }),
    };
    assert_eq!(inside, expected);
    let outside = changed(&|s| s.body.insert(0, Op::ArgMax { x: 2 }));
    let expected = NodeProblem::Body {
        node: 0,
        op: "ArgMax",
        problem: Box::new(NodeProblem::Operand { value: 2, known: 2 }),
    };
    assert_eq!(outside, expected, "a body sees its own values only");
    // More results than a tensor may have elements, of a body of none.
    let many = Op::Scan {
        count: 1 << 21,
        states: vec![],
        scanned: vec![],
        captured: vec![0],
        body: vec![],
        collected: vec![0],
    };
    let many = refused(&ports, many);
    assert!(
        matches!(many, NodeProblem::Shape(ShapeProblem::Elements { .. })),
        "{many}"
    );
}

#[test]
fn scans_in_scans() {
    let mut graph = Graph::new();
    for (i, shape) in [vec![3], vec![3, 2]].into_iter().enumerate() {
        graph.input(Input {
            name: format!("x{i}"),
            shape,
            fraction_bits: 0,
            low: -5,
            high: 5,
            saturate: false,
        });
    }
    let mut inner = OneOfEach::sound().op();
    // As deep as it takes to overflow a stack, were it followed.
    for _ in 0..10_000 {
        let mut outer = OneOfEach::sound();
        outer.body = vec![inner];
        inner = outer.op();
    }
    let value = graph.push(inner);
    graph.outputs.push(Output {
        name: "y".into(),
        value,
        fraction_bits: 0,
        labels: vec![],
    });
    // Encoding and dropping 10,000 levels are the caller's own doing: done where there is stack enough.
    let deep = std::thread::Builder::new().stack_size(1 << 28).spawn(move || {
        let refusal = Program::new(graph.clone(), &LIMITS).expect_err("a Scan in a Scan");
        let file = format::encode(&graph);
        (refusal, file)
    });
    let (refusal, file) = deep.expect("a thread").join().expect("no panic");
    let expected = LoadError::Node {
        node: 0,
        op: "Scan",
        problem: NodeProblem::Body {
            node: 0,
            op: "Scan",
            problem: Box::new(NodeProblem::Nested),
        },
    };
    assert_eq!(refusal, expected);
    let refusal = Program::load(&file.graph, &file.weights, &LIMITS).expect_err("a Scan in a Scan");
    assert!(
        matches!(
            refusal,
            LoadError::Format {
                problem: FormatProblem::Nested,
                ..
            }
        ),
        "{refusal}"
    );
}

#[test]
fn nodes_of_bodies_count_as_nodes() {
    let mut graph = Graph::new();
    for (i, shape) in [vec![3], vec![3, 2]].into_iter().enumerate() {
        graph.input(Input {
            name: format!("x{i}"),
            shape,
            fraction_bits: 0,
            low: -5,
            high: 5,
            saturate: false,
        });
    }
    for _ in 0..3 {
        graph.push(OneOfEach::sound().op());
    }
    graph.outputs.push(Output {
        name: "y".into(),
        value: 4,
        fraction_bits: 0,
        labels: vec![],
    });
    let file = format::encode(&graph);
    let limited = |max_nodes| Limits { max_nodes, ..LIMITS };
    assert!(Program::load(&file.graph, &file.weights, &limited(9)).is_ok());
    let expected = |e| {
        matches!(
            e,
            LoadError::Limit {
                what: "nodes",
                limit: 8,
                ..
            }
        )
    };
    assert!(expected(
        Program::load(&file.graph, &file.weights, &limited(8)).unwrap_err()
    ));
    assert!(expected(Program::new(graph, &limited(8)).unwrap_err()));
}

#[test]
fn larger_tensors() {
    let x: Port = (&[2, 3], -7, 8);
    let pad = |before: &[u32], after: &[u32], value| Op::Pad {
        x: 0,
        before: before.to_vec(),
        after: after.to_vec(),
        value,
    };
    assert_eq!(taken(&[x], pad(&[1, 0], &[0, 2], 9)), (vec![3, 5], -7, 9));
    assert_eq!(
        taken(&[x], pad(&[0, 0], &[0, 0], 9)),
        (vec![2, 3], -7, 8),
        "nothing is padded"
    );
    for (before, after) in [(&[1u32][..], &[0u32, 2][..]), (&[1, 0], &[0, 2, 0])] {
        assert!(matches!(
            refused(&[x], pad(before, after, 9)),
            NodeProblem::Length { .. }
        ));
    }
    for most in [u32::MAX, u32::MAX - 2] {
        assert!(matches!(
            refused(&[x], pad(&[most, 0], &[1, 0], 0)),
            NodeProblem::Parameter { .. }
        ));
    }
    let huge = refused(&[(&[1, 1], 0, 1)], pad(&[1 << 30, 0], &[0, 1 << 30], 0));
    assert!(
        matches!(huge, NodeProblem::Shape(ShapeProblem::Elements { .. })),
        "{huge}"
    );
    let broadcast = |shape: &[u32]| Op::Broadcast {
        x: 0,
        shape: shape.to_vec(),
    };
    assert_eq!(
        taken(&[(&[2, 1], -7, 8)], broadcast(&[4, 2, 3])),
        (vec![4, 2, 3], -7, 8)
    );
    assert_eq!(taken(&[(&[], -7, 8)], broadcast(&[2])), (vec![2], -7, 8));
    assert_eq!(refused(&[x], broadcast(&[2, 4])), NodeProblem::Mismatch { axis: 1 });
    assert_eq!(refused(&[x], broadcast(&[2, 1])), NodeProblem::Mismatch { axis: 1 });
    assert!(matches!(refused(&[x], broadcast(&[3])), NodeProblem::Mismatch { .. }));
    assert!(matches!(
        refused(&[(&[1], 0, 1)], broadcast(&[0])),
        NodeProblem::Shape(ShapeProblem::ZeroExtent { .. }) | NodeProblem::Mismatch { .. }
    ));
    let huge = refused(&[(&[1], 0, 1)], broadcast(&[1 << 16, 1 << 16]));
    assert!(
        matches!(huge, NodeProblem::Shape(ShapeProblem::Elements { .. })),
        "{huge}"
    );
}
