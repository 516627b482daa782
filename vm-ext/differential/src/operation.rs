//! Random models of one node: every operation as often as any other, at shapes that fill registers, tiles and panels, leave
//! some of them half empty or are a single element.

use aiinference_engine::graph::{Graph, Input, Op, Output};
use aiinference_engine::infer::ValueType;

use crate::random::{inputs, values_of, Draw};

/// More elements make no other case.
const MOST: usize = 20_000;

/// The operation of a seed, as the only node of a model, and inputs for it. Seeds that follow each other go through
/// all operations.
pub fn operation(seed: u64) -> (Graph, Vec<Vec<i32>>) {
    let name = Op::NAMES[(seed % Op::NAMES.len() as u64) as usize];
    // Apart from the seeds of whole models.
    let draw = &mut Draw::new(seed ^ 0x6f70_0000_0000_0000);
    // Some draws fit at once, others after a few: far fewer than these.
    for _ in 0..1000 {
        if let Some(graph) = draw.attempt(name) {
            let inputs = inputs(&graph, draw);
            return (graph, inputs);
        }
    }
    unreachable!("no valid {name} in 1000 attempts (operation {seed})")
}

impl Draw {
    /// A model of one node of that operation, if what is drawn is valid.
    fn attempt(&mut self, name: &str) -> Option<Graph> {
        let mut graph = Graph::new();
        for (i, port) in self.operands(name).into_iter().enumerate() {
            graph.input(Input {
                name: format!("x{i}"),
                shape: port.shape,
                fraction_bits: 0,
                low: port.low,
                high: port.high,
                saturate: false,
            });
        }
        let values = values_of(&mut graph)?;
        if values.iter().any(|v| v.elements() > MOST) {
            return None;
        }
        let op = self.node(&values, Some(name));
        let value = graph.push(op);
        let values = values_of(&mut graph)?;
        graph.outputs.push(Output {
            name: "y".into(),
            value,
            fraction_bits: 0,
            labels: vec![],
        });
        (values.last()?.elements() <= MOST).then_some(graph)
    }

    /// Operands that may suit an operation.
    fn operands(&mut self, name: &str) -> Vec<ValueType> {
        match name {
            "Conv2d" | "MaxPool2d" | "AvgPool2d" | "Upsample2d" => {
                let channels = self.extent(12, 48);
                let shape = vec![self.u32(1, 2), channels, self.extent(12, 24), self.extent(12, 70)];
                vec![self.value(shape, 3)]
            }
            "MatMul" | "Softmax" | "LayerNorm" | "ArgMax" | "TopK" | "TreeEnsemble" => {
                let shape = self.rows(600);
                let narrow = if name == "MatMul" { 3 } else { 1 };
                vec![self.value(shape, narrow)]
            }
            "BatchMatMul" => {
                let [m, k, n] = [self.extent(12, 40), self.extent(20, 200), self.extent(20, 70)];
                let rank = self.int(0, 2) as usize;
                let batch = self.shape(rank, 3);
                let of = |d: &mut Self, m, n| {
                    let mut shape = if d.one_in(3) { vec![] } else { d.thinned(&batch) };
                    shape.extend([m, n]);
                    d.value(shape, 1_000)
                };
                vec![of(self, m, k), of(self, n, k), of(self, k, n)]
            }
            "Gather" | "GatherElements" => {
                let mut x = self.small();
                if x.is_empty() {
                    x.push(self.u32(1, 9));
                }
                let axis = if name == "Gather" {
                    self.int(0, x.len() as i64 - 1) as usize
                } else {
                    x.len() - 1
                };
                let high = self.int(0, i64::from(x[axis]) - 1) as i32;
                let low = if self.one_in(3) {
                    self.int(0, high.into()) as i32
                } else {
                    0
                };
                let shape = if name == "Gather" {
                    let rank = self.int(0, 2) as usize;
                    self.shape(rank, 7)
                } else {
                    let mut shape = x.clone();
                    shape[axis] = self.extent(9, 80);
                    shape
                };
                vec![self.value(x, 1), ValueType { shape, low, high }]
            }
            "Table" => {
                let (low, high) = self.pick(&[(-128, 127), (-32768, 32767), (-5, 90), (0, 127), (-32768, -300)]);
                let shape = self.small();
                vec![ValueType { shape, low, high }]
            }
            "Concat" => {
                let shape = self.small();
                let axis = self.int(0, (shape.len() as i64 - 1).max(0)) as usize;
                let like = |d: &mut Self| {
                    let mut shape = shape.clone();
                    if let Some(extent) = shape.get_mut(axis) {
                        *extent = d.u32(1, 9);
                    }
                    d.value(shape, 1)
                };
                self.list(3, like)
            }
            "Scan" => {
                let count = self.u32(1, 9);
                self.list(3, |d| {
                    let rank = d.int(0, 2) as usize;
                    let mut shape = d.shape(rank, 6);
                    shape.insert(d.int(0, rank as i64) as usize, count);
                    d.value(shape, 1)
                })
            }
            // What is elementwise has more operands than one, of shapes that broadcast.
            _ => {
                let shape = self.small();
                self.list(3, |d| {
                    let shape = if d.one_in(2) { shape.clone() } else { d.thinned(&shape) };
                    match d.next() % 6 {
                        // Conditions, and divisors with a sign.
                        0 => {
                            let (low, high) = d.pick(&[(0, 1), (-1, 1), (1, 9), (-9, -1), (1, i32::MAX)]);
                            ValueType { shape, low, high }
                        }
                        _ => d.value(shape, 1),
                    }
                })
            }
        }
    }

    /// Often small, sometimes large.
    pub(crate) fn extent(&mut self, small: u32, large: u32) -> u32 {
        match self.next() % 8 {
            0 => 1,
            1 => self.u32(1, large),
            _ => self.u32(1, small),
        }
    }

    /// A shape whose last axis may be long.
    fn rows(&mut self, longest: u32) -> Vec<u32> {
        let last = self.extent(40, longest);
        let rank = self.int(0, 2) as usize;
        let mut shape = self.shape(rank, 5);
        if rank == 1 && self.one_in(4) {
            shape = vec![self.u32(1, 70)];
        }
        shape.push(last);
        shape
    }

    /// Any shape of few elements, or one long axis.
    fn small(&mut self) -> Vec<u32> {
        if self.one_in(6) {
            return vec![self.u32(1, 700)];
        }
        let rank = self.pick(&[0, 1, 2, 2, 3, 4]);
        let most = self.pick(&[3, 5, 9]);
        self.shape(rank, most)
    }

    /// A shape that broadcasts to another.
    fn thinned(&mut self, shape: &[u32]) -> Vec<u32> {
        let from = if self.one_in(3) {
            self.int(0, shape.len() as i64) as usize
        } else {
            0
        };
        let extents = shape[from..].iter();
        extents.map(|extent| if self.one_in(4) { 1 } else { *extent }).collect()
    }

    /// A value of that shape, of any range, or within 16 bits so many times as often.
    fn value(&mut self, shape: Vec<u32>, narrow: u64) -> ValueType {
        loop {
            let (low, high) = self.range();
            if (low >= -32768 && high <= 32767) || self.one_in(narrow) {
                return ValueType { shape, low, high };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_operation_comes_as_often_as_any_other() {
        let mut seen = BTreeMap::new();
        for seed in 0..3400 {
            let (graph, inputs) = operation(seed);
            assert_eq!(graph.nodes.len(), 1);
            *seen.entry(graph.nodes[0].name()).or_insert(0) += 1;
            for (port, values) in graph.inputs.iter().zip(&inputs) {
                assert!(values.iter().all(|v| (port.low..=port.high).contains(v)));
            }
        }
        assert_eq!(seen.len(), Op::NAMES.len());
        assert!(seen.values().all(|count| *count == 100), "{seen:?}");
    }

    #[test]
    fn small_and_large_shapes_occur() {
        let mut elements: Vec<usize> = (0..3400)
            .map(|seed| {
                let (graph, _) = operation(seed);
                graph
                    .inputs
                    .iter()
                    .map(|i| i.shape.iter().product::<u32>() as usize)
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        elements.sort_unstable();
        assert_eq!(elements[0], 1);
        assert!(elements[1700] < 300, "half are small: {}", elements[1700]);
        assert!(elements[3300] > 1000, "some are large: {}", elements[3300]);
    }
}
