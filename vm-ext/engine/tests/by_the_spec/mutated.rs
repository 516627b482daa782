//! Models that were changed at random, valid or not.

use aiinference_engine::format;

use crate::common::random::{self, Draw};
use crate::common::LIMITS;
use crate::golden::golden;
use crate::{agree, both, inputs, seeds, spec};

/// Beyond this gas a model that was made at random is not run, only loaded.
const MOST_GAS: u64 = 20_000_000;

/// Changes one number of the graph section to one that is near, small, or at an edge.
fn mutate_number(graph: &mut Vec<u8>, weights: &[u8], draw: &mut Draw) {
    let numbers = spec::numbers(graph, weights, &LIMITS);
    let Some(last) = numbers.len().checked_sub(1) else {
        return;
    };
    let place = numbers[draw.int(0, last as i64) as usize].clone();
    let old = graph[place.clone()]
        .iter()
        .rev()
        .fold(0_u64, |n, byte| n << 7 | u64::from(byte & 127));
    let power = 1_u64 << draw.int(0, 33);
    let mut new = match draw.next() % 10 {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        2 => old.wrapping_add(2),
        3 => old.wrapping_sub(2),
        4 => old ^ 1,
        5 => draw.int(0, 9) as u64,
        6 => power,
        7 => power - 1,
        8 => old << draw.int(0, 30),
        _ => old >> draw.int(0, 30),
    };
    let mut bytes = vec![];
    while new > 127 {
        bytes.push(new as u8 | 128);
        new >>= 7;
    }
    bytes.push(new as u8);
    graph.splice(place, bytes);
}

/// Writes a number at an edge somewhere in the weights.
fn mutate_weight(weights: &mut [u8], draw: &mut Draw) {
    let size = draw.pick(&[1, 2, 4, 8]);
    let Some(last) = (weights.len() / size).checked_sub(1) else {
        return;
    };
    let at = size * draw.int(0, last as i64) as usize;
    let power = 1_i64.wrapping_shl(draw.u32(0, 63));
    let n = draw.pick(&[
        power,
        power.wrapping_neg(),
        power.wrapping_sub(1),
        power.wrapping_neg().wrapping_sub(1),
    ]);
    weights[at..at + size].copy_from_slice(&n.to_le_bytes()[..size]);
}

/// Changes some bytes of one section, to what may still be a model.
fn mutate(bytes: &mut Vec<u8>, draw: &mut Draw) {
    for _ in 0..draw.pick(&[1, 1, 1, 2, 3]) {
        let Some(last) = bytes.len().checked_sub(1) else { return };
        let at = draw.int(0, last as i64) as usize;
        match draw.next() % 8 {
            0 => bytes[at] ^= 1 << draw.int(0, 7),
            1 => bytes[at] = bytes[at].wrapping_add(1),
            2 => bytes[at] = bytes[at].wrapping_sub(1),
            3 => bytes[at] = draw.int(0, 9) as u8,
            4 => bytes[at] = draw.next() as u8,
            5 => bytes[at] = bytes[draw.int(0, last as i64) as usize],
            6 => bytes[at] = draw.pick(&[0, 1, 62, 63, 127, 128, 255]),
            _ if draw.one_in(2) => bytes.insert(at, draw.pick(&[0, 1, 2, 128, 129])),
            _ => drop(bytes.remove(at)),
        }
    }
}

#[test]
fn mutated_models_are_taken_or_refused_by_both() {
    let golden = golden();
    let (mut taken, mut refused, mut run) = (0_u64, 0_u64, 0_u64);
    for seed in 0..seeds(100_000) {
        let name = format!("mutant {seed}");
        let draw = &mut Draw::new(seed ^ 0x5bd1_e995);
        let (mut graph, mut weights) = if draw.one_in(3) {
            let model = &golden[draw.int(0, golden.len() as i64 - 1) as usize];
            (model.graph.clone(), model.weights.clone())
        } else {
            let bytes = format::encode(&random::model(draw.next() % 5000).0);
            (bytes.graph, bytes.weights)
        };
        match draw.next() % 8 {
            0 => mutate(&mut weights, draw),
            1 | 2 => mutate(&mut graph, draw),
            3 | 4 => mutate_weight(&mut weights, draw),
            _ => mutate_number(&mut graph, &weights, draw),
        }
        let mut limits = LIMITS;
        if draw.one_in(4) {
            (limits.max_elements, limits.max_peak_bytes) = (u64::MAX, u64::MAX);
        }
        let Some((program, model)) = both(&name, &graph, &weights, &limits) else {
            refused += 1;
            continue;
        };
        taken += 1;
        if program.run_gas() <= MOST_GAS && program.peak_bytes() <= LIMITS.max_peak_bytes {
            agree(&name, &program, &model, &inputs(&program, draw));
            run += 1;
        }
    }
    println!("{taken} taken, {run} of them run, {refused} refused");
    assert!(
        taken > 100 && run > 100 && refused > 100,
        "{taken} taken, {run} of them run, {refused} refused"
    );
}
