//! What surrounds the nodes.

use aiinference_engine::format;
use aiinference_engine::graph::{Array, Graph, HeaderEntry, Input, Op, Output};

use crate::common::random::Draw;
use crate::common::LIMITS;
use crate::{agree, both, inputs, seeds};

/// Ports, names, labels and headers, valid and not.
#[test]
fn what_surrounds_the_nodes_is_taken_or_refused_by_both() {
    let (mut taken, mut refused) = (0_u64, 0_u64);
    for seed in 0..seeds(40_000) {
        let draw = &mut Draw::new(seed ^ 0x2545_f491);
        let mut limits = LIMITS;
        if draw.one_in(2) {
            limits.max_ports = draw.int(1, 4) as usize;
            limits.max_name_bytes = draw.int(3, 9) as usize;
            limits.max_labels = draw.int(0, 6) as usize;
            limits.max_header_entries = draw.int(0, 3) as usize;
            limits.max_header_bytes = draw.int(0, 40) as usize;
        }
        let text = |d: &mut Draw| -> String {
            let letters = if d.one_in(60) { 0 } else { d.u32(1, 4) as usize };
            d.list(letters, |d| d.pick(&['a', 'b', 'c', '\u{e9}', '\u{2260}']))
                .into_iter()
                .collect()
        };
        let mut graph = Graph::new();
        let entries = draw.int(0, 3) as usize;
        let mut keys = draw.list(entries, |d| d.u32(0, 4));
        if !draw.one_in(6) {
            keys.sort();
            keys.dedup();
        }
        for key in keys {
            let length = if key == 1 && !draw.one_in(4) {
                32
            } else {
                draw.pick(&[0, 1, 7, 20, 31, 33])
            };
            let value = draw.list(length, |d| d.pick(&[b'x', b'y', 0xc3, 0xa9]));
            graph.header.push(HeaderEntry {
                key,
                critical: draw.one_in(4),
                value,
            });
        }
        for _ in 0..draw.int(0, 3) {
            let (low, high) = (draw.pick(&[-1, 0, 0, 3]), draw.pick(&[2, 3, 3, 4]));
            let fraction_bits = if draw.one_in(10) {
                draw.pick(&[-33, -32, 30, 31])
            } else {
                0
            };
            let extents = draw.int(0, 3) as usize;
            let shape = draw.list(extents, |d| if d.one_in(60) { 0 } else { 1 });
            graph.inputs.push(Input {
                name: text(draw),
                shape,
                fraction_bits,
                low,
                high,
                saturate: draw.one_in(2),
            });
        }
        for _ in 0..draw.int(0, 1) {
            graph.nodes.push(Op::Constant {
                shape: vec![],
                data: Array::I8(vec![draw.int(-1, 3) as i8]),
            });
        }
        for _ in 0..draw.int(0, 3) {
            let known = (graph.inputs.len() + graph.nodes.len()) as u32;
            let value = if draw.one_in(20) {
                known
            } else {
                draw.u32(0, known.max(1) - 1)
            };
            let fraction_bits = if draw.one_in(10) {
                draw.pick(&[-33, -32, 30, 31])
            } else {
                0
            };
            let count = draw.pick(&[0, 0, 1, 4, 5, 6]);
            let labels = draw.list(count, text);
            graph.outputs.push(Output {
                name: text(draw),
                value,
                fraction_bits,
                labels,
            });
        }
        let bytes = format::encode(&graph);
        match both(
            &format!("seed {seed}: {graph:?} within {limits:?}"),
            &bytes.graph,
            &bytes.weights,
            &limits,
        ) {
            Some((program, model)) => {
                agree(&format!("seed {seed}"), &program, &model, &inputs(&program, draw));
                taken += 1;
            }
            None => refused += 1,
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}
