//! Random models: nodes are drawn at random and kept where the engine takes them.

use std::collections::VecDeque;

use aiinference_engine::graph::{
    Array, Comparison, Graph, HeaderEntry, Input, Op, Output, Rescale, Scanned, State, Trees, Window,
};
use aiinference_engine::infer::{infer, ValueType};

use crate::LIMITS;

/// What a node is drawn from: nearly half of all come from the second list. The order is part of what a seed means.
const EARLY: [&str; 36] = [
    "Constant",
    "MatMul",
    "MatMul",
    "Conv2d",
    "Conv2d",
    "Rescale",
    "Add",
    "Mul",
    "Clamp",
    "Table",
    "Softmax",
    "MaxPool2d",
    "AvgPool2d",
    "Upsample2d",
    "Reshape",
    "Transpose",
    "Concat",
    "Slice",
    "ArgMax",
    "TreeEnsemble",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
    "later",
];
const LATER: [&str; 18] = [
    "BatchMatMul",
    "BatchMatMul",
    "Min",
    "Max",
    "Compare",
    "Select",
    "Div",
    "Sqrt",
    "LayerNorm",
    "ReduceSum",
    "ReduceMax",
    "Gather",
    "GatherElements",
    "TopK",
    "Pad",
    "Broadcast",
    "Scan",
    "Scan",
];

/// A small generator (xorshift64*): the same numbers everywhere.
pub struct Draw {
    state: u64,
    /// Numbers to be given first.
    chosen: VecDeque<u64>,
}

impl Draw {
    /// The numbers that belong to a seed.
    pub fn new(seed: u64) -> Self {
        Draw {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            chosen: VecDeque::new(),
        }
    }

    /// Numbers that are chosen, and others after them: for fuzzers, which want to change one and leave the rest.
    pub fn chosen(numbers: impl IntoIterator<Item = u64>) -> Self {
        let chosen: VecDeque<u64> = numbers.into_iter().collect();
        Draw { chosen, ..Draw::new(0) }
    }

    /// Any number of 64 bits.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        if let Some(number) = self.chosen.pop_front() {
            return number;
        }
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// In `low..=high`.
    pub fn int(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % ((high - low) as u64 + 1)) as i64
    }

    /// The same of 32 bits.
    pub fn u32(&mut self, low: u32, high: u32) -> u32 {
        self.int(low.into(), high.into()) as u32
    }

    /// True once in n times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// One of a list.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[(self.next() % list.len() as u64) as usize]
    }

    /// In `low..=high`, its ends more often than chance has it.
    pub fn extreme(&mut self, low: i32, high: i32) -> i32 {
        match self.next() % 6 {
            0 => low,
            1 => high,
            _ => self.int(low.into(), high.into()) as i32,
        }
    }

    /// So many.
    pub fn list<T>(&mut self, count: usize, mut f: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..count).map(|_| f(self)).collect()
    }

    /// A range of an input or result: all of a width, or less.
    pub fn range(&mut self) -> (i32, i32) {
        match self.next() % 8 {
            0 => (i32::MIN, i32::MAX),
            1 => (-32768, 32767),
            2 => (-128, 127),
            3 => (0, 255),
            4 => (-32767, 32767),
            _ => {
                let bits = self.u32(1, 20);
                let high = self.int(0, 1 << bits) as i32;
                (-(self.int(0, 1 << bits) as i32), high)
            }
        }
    }

    /// Extents of `1..=most`, 1 often.
    pub fn shape(&mut self, rank: usize, most: u32) -> Vec<u32> {
        self.list(rank, |d| if d.one_in(4) { 1 } else { d.u32(1, most) })
    }

    /// Weights of some type and size.
    pub fn weights(&mut self, count: usize) -> Array {
        match self.next() % 5 {
            0 => Array::I8(self.list(count, |d| d.extreme(-128, 127) as i8)),
            1 => Array::I8(self.list(count, |d| d.int(-9, 9) as i8)),
            2 => Array::I16(self.list(count, |d| d.int(-300, 300) as i16)),
            3 => Array::I16(self.list(count, |d| d.extreme(-32767, 32767) as i16)),
            _ => Array::I16(self.list(count, |d| d.extreme(-32768, 32767) as i16)),
        }
    }

    /// One bias a channel, or none.
    pub fn bias(&mut self, channels: usize) -> Vec<i64> {
        let bits = self.u32(0, 40);
        match self.next() % 3 {
            0 => vec![],
            _ => self.list(channels, |d| d.int(-(1 << bits), 1 << bits)),
        }
    }

    /// A multiplier and shift, or one of each a channel.
    pub fn rescale(&mut self, channels: usize) -> Rescale {
        let count = if self.one_in(2) { 1 } else { channels };
        let bits = self.u32(0, 30);
        let (low, high) = self.range();
        Rescale {
            multipliers: self.list(count, |d| d.int(-(1 << bits) / 8, 1 << bits) as i32),
            shifts: self.list(count, |d| {
                if d.one_in(8) {
                    d.pick(&[0, 1, 62])
                } else {
                    d.u32(0, 40) as u8
                }
            }),
            low,
            high,
        }
    }

    /// A window of up to 4 by 4.
    pub fn window(&mut self) -> Window {
        let mut w = Window {
            kernel: [1; 2],
            strides: [1; 2],
            dilations: [1; 2],
            pads: [0; 4],
        };
        for axis in 0..2 {
            w.kernel[axis] = self.u32(1, 4);
            w.strides[axis] = self.u32(1, 3);
            w.dilations[axis] = if self.one_in(3) { self.u32(1, 3) } else { 1 };
            let reach = (w.kernel[axis] - 1) * w.dilations[axis];
            w.pads[axis] = if self.one_in(2) { self.u32(0, reach) } else { 0 };
            w.pads[axis + 2] = if self.one_in(2) { self.u32(0, reach) } else { 0 };
            // How far the next place or tap would be matters to nothing where there is but one.
            if self.one_in(20) {
                w.strides[axis] = 1 << self.u32(16, 31);
            }
            if w.kernel[axis] == 1 && self.one_in(10) {
                w.dilations[axis] = 1 << self.u32(16, 31);
            }
        }
        w
    }

    fn trees(&mut self, features: u32) -> Trees {
        let targets = self.u32(1, 4) as usize;
        let mut t = Trees {
            roots: vec![],
            features: vec![],
            thresholds: vec![],
            left: vec![],
            right: vec![],
            leaf_starts: vec![0],
            targets: vec![],
            weights: vec![],
            base: self.list(targets, |d| d.int(-1000, 1000)),
        };
        for _ in 0..self.u32(0, 5) {
            let depth = self.u32(0, 4);
            let root = self.tree(&mut t, features, depth);
            t.roots.push(root);
        }
        t
    }

    fn tree(&mut self, t: &mut Trees, features: u32, depth: u32) -> i32 {
        if depth == 0 || self.one_in(5) {
            for target in 0..t.base.len() {
                if self.one_in(2) {
                    t.targets.push(target as i32);
                    t.weights.push(self.extreme(-100_000, 100_000));
                }
            }
            t.leaf_starts.push(t.targets.len() as i32);
            return 1 - t.leaf_starts.len() as i32;
        }
        let node = t.features.len();
        t.features.push(self.u32(0, features - 1) as i32);
        let bits = self.u32(1, 17);
        t.thresholds.push(self.int(-(1 << bits), 1 << bits) as i32);
        t.left.push(0);
        t.right.push(0);
        t.left[node] = self.tree(t, features, depth - 1);
        t.right[node] = self.tree(t, features, depth - 1);
        node as i32
    }

    /// A node over some of the values, of an operation that is wanted or of any; often not a valid one.
    pub(crate) fn node(&mut self, values: &[ValueType], wanted: Option<&str>) -> Op {
        let any = |d: &mut Self| d.u32(0, values.len() as u32 - 1);
        let x = any(self);
        let shape = values[x as usize].shape.clone();
        let last = shape.last().copied().unwrap_or(1) as usize;
        let (low, high) = self.range();
        let shift = self.u32(0, 40) as u8;
        let axis = self.u32(0, shape.len().max(1) as u32 - 1);
        let extent = shape.get(axis as usize).copied().unwrap_or(1);
        let op = wanted.unwrap_or_else(|| self.pick(&EARLY));
        match op {
            "Constant" => {
                let shape = {
                    let rank = self.u32(0, 4) as usize;
                    self.shape(rank, 5)
                };
                let count = shape.iter().product::<u32>() as usize;
                let data = match self.next() % 3 {
                    0 => Array::I8(self.list(count, |d| d.int(-128, 127) as i8)),
                    1 => Array::I16(self.list(count, |d| d.int(-32768, 32767) as i16)),
                    _ => Array::I32(self.list(count, |d| d.extreme(-70_000, 70_000))),
                };
                Op::Constant { shape, data }
            }
            "MatMul" => {
                let n = match wanted {
                    Some(_) => self.extent(40, 100) as usize,
                    None => self.pick(&[1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 20, 33, 40]),
                };
                let weights = self.weights(n * last);
                Op::MatMul {
                    x,
                    weights,
                    bias: self.bias(n),
                    rescale: self.rescale(n),
                }
            }
            "Conv2d" => {
                let c = shape.get(1).copied().unwrap_or(1);
                let groups = if self.one_in(2) { 1 } else { self.pick(&[1, c, 2]) };
                let in_group = match wanted {
                    Some(_) => self.extent(5, 40 / groups.min(8)),
                    None => self.u32(1, 5),
                };
                let channels = groups * in_group;
                let window = self.window();
                let taps = c / groups.max(1) * window.kernel[0] * window.kernel[1];
                let weights = self.weights((channels * taps) as usize);
                let (bias, rescale) = (self.bias(channels as usize), self.rescale(channels as usize));
                Op::Conv2d {
                    x,
                    weights,
                    channels,
                    bias,
                    window,
                    groups,
                    rescale,
                }
            }
            "Rescale" => {
                let bias = self.bias(extent as usize);
                Op::Rescale {
                    x,
                    axis,
                    bias,
                    rescale: self.rescale(extent as usize),
                }
            }
            "Add" => {
                let multipliers = [self.int(-20_000, 20_000) as i32, self.int(-20_000, 20_000) as i32];
                Op::Add {
                    a: x,
                    b: any(self),
                    multipliers,
                    shift,
                    low,
                    high,
                }
            }
            "Mul" => Op::Mul {
                a: x,
                b: any(self),
                multiplier: self.int(-20_000, 20_000) as i32,
                shift,
                low,
                high,
            },
            // Often the numbers of something's elements.
            "Clamp" if self.one_in(2) => Op::Clamp {
                x,
                low: 0,
                high: self.u32(0, 4) as i32,
            },
            "Clamp" => Op::Clamp { x, low, high },
            "Table" => {
                let count = self.pick(&[256, 513]);
                Op::Table {
                    x,
                    table: self.list(count, |d| d.extreme(-32768, 32767) as i16),
                }
            }
            "Softmax" => Op::Softmax {
                x,
                multiplier: self.int(1, i32::MAX.into()) as i32,
                shift,
            },
            "MaxPool2d" => Op::MaxPool2d {
                x,
                window: self.window(),
            },
            "AvgPool2d" => Op::AvgPool2d {
                x,
                window: self.window(),
                count_padding: self.one_in(2),
            },
            "Upsample2d" => Op::Upsample2d {
                x,
                factors: [self.u32(1, 3), self.u32(1, 3)],
            },
            "Reshape" => {
                let count: u32 = shape.iter().product();
                let first = self.u32(1, count.min(8));
                let whole = count.is_multiple_of(first);
                Op::Reshape {
                    x,
                    shape: if whole {
                        vec![first, count / first]
                    } else {
                        vec![1, 1, 1, count]
                    },
                }
            }
            "Transpose" => {
                let mut axes: Vec<u32> = (0..shape.len() as u32).collect();
                for i in (1..axes.len()).rev() {
                    axes.swap(i, self.int(0, i as i64) as usize);
                }
                Op::Transpose { x, axes }
            }
            "Concat" => {
                let others = self.u32(0, 2) as usize;
                let mut xs = self.list(others, |d| if d.one_in(2) { x } else { any(d) });
                xs.push(x);
                Op::Concat { xs, axis }
            }
            "Slice" => {
                let (start, step) = (self.u32(0, extent - 1), self.u32(1, 3));
                let most = (extent - 1 - start) / step + 1;
                Op::Slice {
                    x,
                    axis,
                    start,
                    step,
                    length: self.u32(1, most),
                }
            }
            "ArgMax" => Op::ArgMax { x },
            "TreeEnsemble" => {
                let trees = self.trees(last as u32);
                let rescale = self.rescale(trees.base.len());
                Op::TreeEnsemble { x, trees, rescale }
            }
            _ => self.later_node(values, x, wanted),
        }
    }

    /// A value that satisfies a condition, if any does; else any.
    fn such(&mut self, values: &[ValueType], wanted: impl Fn(&ValueType) -> bool) -> u32 {
        let fitting: Vec<u32> = (0..values.len() as u32)
            .filter(|v| wanted(&values[*v as usize]))
            .collect();
        match fitting.is_empty() {
            true => self.u32(0, values.len() as u32 - 1),
            false => self.pick(&fitting),
        }
    }

    /// A value of the same shape as x, or any.
    fn mate(&mut self, values: &[ValueType], x: u32) -> u32 {
        let any = self.one_in(3);
        self.such(values, |v| any || v.shape == values[x as usize].shape)
    }

    fn scan(&mut self, values: &[ValueType], x: u32) -> Op {
        let any = |d: &mut Self| d.u32(0, values.len() as u32 - 1);
        let count = values[x as usize].shape.first().copied().filter(|count| *count < 20);
        let count = count.unwrap_or(1 + x);
        let scanned = self.list(2, |d| {
            let x = d.such(values, |v| v.shape.contains(&count));
            let axis = values[x as usize].shape.iter().position(|e| *e == count);
            Scanned {
                x,
                axis: axis.unwrap_or(0) as u32,
                reverse: d.one_in(2),
            }
        });
        let scanned: Vec<Scanned> = scanned.into_iter().filter(|_| self.one_in(2)).collect();
        let captures = self.u32(0, 1) as usize;
        let captured = self.list(captures, any);
        let carried = self.u32(0, 2) as usize;
        let mut states = self.list(carried, |d| {
            let (initial, (low, high)) = (any(d), d.range());
            let value = &values[initial as usize];
            State {
                initial,
                low: value.low.min(low),
                high: value.high.max(high),
                result: 0,
                kept: d.one_in(2),
            }
        });
        let port = |shape: &[u32], low, high| (shape.to_vec(), low, high);
        let mut ports: Vec<(Vec<u32>, i32, i32)> = Vec::new();
        for state in &states {
            ports.push(port(&values[state.initial as usize].shape, state.low, state.high));
        }
        for s in &scanned {
            let value = &values[s.x as usize];
            let mut shape = value.shape.clone();
            if !shape.is_empty() {
                shape.remove(s.axis as usize);
            }
            ports.push(port(&shape, value.low, value.high));
        }
        for id in &captured {
            let value = &values[*id as usize];
            ports.push(port(&value.shape, value.low, value.high));
        }
        let mut graph = Graph::new();
        for (i, (shape, low, high)) in ports.into_iter().enumerate() {
            graph.input(Input {
                name: format!("in{i}"),
                shape,
                fraction_bits: 0,
                low,
                high,
                saturate: false,
            });
        }
        if !graph.inputs.is_empty() {
            let wanted = self.u32(0, 4) as usize;
            self.grow(&mut graph, wanted, true);
        }
        for state in &mut states {
            let all = known(&mut graph);
            let shape = &values[state.initial as usize].shape;
            let x = self.such(&all, |v| v.shape == *shape);
            let value = &all[x as usize];
            state.result = match value.low >= state.low && value.high <= state.high {
                true => x,
                false => graph.push(Op::Clamp {
                    x,
                    low: state.low,
                    high: state.high,
                }),
            };
        }
        let last = (graph.inputs.len() + graph.nodes.len()) as i64 - 1;
        let lists = self.u32(0, 2) as usize;
        let collected = self.list(lists, |d| d.int(0.min(last), last.max(0)) as u32);
        Op::Scan {
            count,
            states,
            scanned,
            captured,
            body: graph.nodes,
            collected,
        }
    }

    /// Adds random nodes that are valid.
    fn grow(&mut self, graph: &mut Graph, wanted: usize, inside: bool) {
        let mut values = known(graph);
        for _ in 0..wanted * 6 {
            if graph.nodes.len() == wanted {
                break;
            }
            let op = self.node(&values, None);
            if inside && matches!(op, Op::Scan { .. }) {
                continue;
            }
            graph.push(op);
            match values_of(graph) {
                Some(kept) if kept.last().is_none_or(|v| v.elements() <= 20_000) => values = kept,
                _ => drop(graph.nodes.pop()),
            }
        }
    }

    fn later_node(&mut self, values: &[ValueType], x: u32, wanted: Option<&str>) -> Op {
        let this = &values[x as usize];
        let last = this.shape.last().copied().unwrap_or(1);
        let (low, high) = self.range();
        let axis = self.u32(0, this.shape.len().max(1) as u32 - 1);
        let extent = this.shape.get(axis as usize).copied().unwrap_or(1);
        let bits = self.u32(0, 30);
        let multiplier = self.int(-(1 << bits) / 8, 1 << bits) as i32;
        let shift = self.u32(0, 40) as u8;
        let magnitude = i64::from(this.low).abs().max(i64::from(this.high).abs());
        // So that x * 2^room stays below 2^62.
        let room = (magnitude.leading_zeros() as u8).saturating_sub(3).min(62);
        let numbers = |v: &ValueType, extent: u32| v.low >= 0 && i64::from(v.high) < i64::from(extent);
        match wanted.unwrap_or_else(|| self.pick(&LATER)) {
            "Scan" => self.scan(values, x),
            "BatchMatMul" => {
                let narrow = |v: &ValueType| v.shape.len() > 1 && v.low >= -32768 && v.high <= 32767;
                let a = self.such(values, narrow);
                let transposed = self.one_in(2);
                let shape = &values[a as usize].shape;
                let columns = shape.last().copied().unwrap_or(1);
                let fits = |v: &ValueType| {
                    let axis = v.shape.len().wrapping_sub(if transposed { 1 } else { 2 });
                    narrow(v) && v.shape.get(axis) == Some(&columns)
                };
                Op::BatchMatMul {
                    a,
                    b: self.such(values, fits),
                    transposed,
                    multiplier,
                    shift,
                    low,
                    high,
                }
            }
            "Min" => Op::Min {
                a: x,
                b: self.mate(values, x),
            },
            "Max" => Op::Max {
                a: x,
                b: self.mate(values, x),
            },
            "Compare" => Op::Compare {
                a: x,
                b: self.mate(values, x),
                kind: self.pick(&[Comparison::Less, Comparison::LessEqual, Comparison::Equal]),
            },
            "Select" => Op::Select {
                condition: self.mate(values, x),
                a: x,
                b: self.mate(values, x),
            },
            "Div" => Op::Div {
                a: x,
                b: self.mate(values, x),
                shift: self.u32(0, room.into()) as u8,
                low,
                high,
            },
            "Sqrt" => Op::Sqrt {
                x,
                shift: self.u32(0, room.into()) as u8,
                low,
                high,
            },
            "LayerNorm" => Op::LayerNorm {
                x,
                epsilon: match self.next() % 4 {
                    0 => 0,
                    1 => 1,
                    2 => self.int(0, 1 << 20) as u64,
                    _ => self.int(0, 1 << 61) as u64,
                },
                center: self.one_in(2),
                bias: self.bias(last as usize),
                rescale: self.rescale(last as usize),
            },
            "ReduceSum" => Op::ReduceSum {
                x,
                axis,
                multiplier,
                shift,
                low,
                high,
            },
            "ReduceMax" => Op::ReduceMax { x, axis },
            "Gather" => Op::Gather {
                x,
                indices: self.such(values, |v| numbers(v, extent) && v.elements() < 100),
                axis,
            },
            "GatherElements" => {
                let mut rows = this.shape.clone();
                rows.pop();
                let fits = |v: &ValueType| {
                    numbers(v, last) && v.shape.len() == rows.len() + 1 && v.shape[..rows.len()] == rows
                };
                let indices = self.such(values, fits);
                Op::GatherElements { x, indices }
            }
            "TopK" => Op::TopK {
                x,
                k: self.u32(1, last),
            },
            "Pad" => {
                let rank = this.shape.len();
                let side = |d: &mut Self| d.list(rank, |d| if d.one_in(3) { d.u32(0, 3) } else { 0 });
                Op::Pad {
                    x,
                    before: side(self),
                    after: side(self),
                    value: if self.one_in(2) { 0 } else { self.extreme(low, high) },
                }
            }
            _ => {
                let mut shape = this.shape.clone();
                for extent in &mut shape {
                    if *extent == 1 {
                        *extent = self.u32(1, 4);
                    }
                }
                if shape.len() < 4 && self.one_in(3) {
                    shape.insert(0, self.u32(1, 3));
                }
                Op::Broadcast { x, shape }
            }
        }
    }
}

/// The values of a graph that lacks nothing but outputs, if it is valid.
pub(crate) fn values_of(graph: &mut Graph) -> Option<Vec<ValueType>> {
    graph.outputs.push(Output {
        name: "out".into(),
        value: 0,
        fraction_bits: 0,
        labels: vec![],
    });
    let inferred = infer(graph, &LIMITS);
    graph.outputs.clear();
    Some(inferred.ok()?.values)
}

/// The values of a graph of valid nodes.
fn known(graph: &mut Graph) -> Vec<ValueType> {
    values_of(graph).expect("only valid nodes are kept")
}

/// A valid model and inputs for it.
pub fn model(seed: u64) -> (Graph, Vec<Vec<i32>>) {
    model_of(&mut Draw::new(seed))
}

/// The same of any numbers.
pub fn model_of(draw: &mut Draw) -> (Graph, Vec<Vec<i32>>) {
    let mut graph = Graph::new();
    if draw.one_in(2) {
        graph.header.push(HeaderEntry {
            key: 2,
            critical: draw.one_in(2),
            value: b"random".to_vec(),
        });
        graph.header.push(HeaderEntry {
            key: 77,
            critical: false,
            value: vec![draw.next() as u8],
        });
    }
    for i in 0..draw.u32(1, 3) {
        let (low, high) = draw.range();
        let rank = draw.pick(&[0, 1, 2, 2, 3, 4, 4, 4, 4]);
        let most = draw.pick(&[3, 7, 20]);
        let mut shape = draw.shape(rank, most);
        if rank == 4 {
            shape[0] = shape[0].min(2);
            shape[1] = shape[1].min(5);
        }
        let name = format!("in{i}");
        let fraction_bits = draw.int(-32, 30) as i32;
        graph.input(Input {
            name,
            shape,
            fraction_bits,
            low,
            high,
            saturate: draw.one_in(2),
        });
    }
    let wanted = draw.u32(1, 8) as usize;
    draw.grow(&mut graph, wanted, false);
    graph.outputs.push(Output {
        name: "out".into(),
        value: 0,
        fraction_bits: 0,
        labels: vec![],
    });
    let values = (graph.inputs.len() + graph.nodes.len()) as u32;
    graph.outputs[0].value = values - 1;
    if draw.one_in(2) {
        let value = draw.u32(0, values - 1);
        graph.outputs.push(Output {
            name: "second".into(),
            value,
            fraction_bits: -3,
            labels: vec![],
        });
    }
    let inputs = inputs(&graph, draw);
    (graph, inputs)
}

/// Inputs within their ranges, extremes often.
pub fn inputs(graph: &Graph, draw: &mut Draw) -> Vec<Vec<i32>> {
    let ports = graph.inputs.iter();
    ports
        .map(|port| {
            let count = port.shape.iter().product::<u32>() as usize;
            let pinned = draw.one_in(4).then(|| draw.pick(&[port.low, port.high]));
            draw.list(count, |d| pinned.unwrap_or_else(|| d.extreme(port.low, port.high)))
        })
        .collect()
}
