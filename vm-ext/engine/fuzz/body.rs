//! What the fuzz target and the replay of its corpus check.

use aiinference_engine::{format, Kernels, Limits, Program};

const LIMITS: Limits = Limits {
    max_nodes: 1 << 10,
    max_rank: 6,
    max_elements: 1 << 16,
    max_peak_bytes: 1 << 20,
    max_ports: 16,
    max_name_bytes: 64,
    max_labels: 256,
    max_header_entries: 16,
    max_header_bytes: 1 << 12,
};

/// A model as one string of bytes: the length of the graph (4 bytes, least first), the graph, the weights. Whether it
/// loads is up to it. If it does, its encoding is the one it had, it runs, and it keeps what it declared.
pub fn check(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
    let (graph, weights) = rest.split_at(length);
    let Ok(program) = Program::load(graph, weights, &LIMITS) else {
        return;
    };
    let read = format::decode(graph, weights, &LIMITS).expect("it has been read before");
    let again = format::encode(&read);
    assert!(
        again.graph == graph && again.weights == weights,
        "two encodings of one model"
    );
    assert!(program.peak_bytes() <= LIMITS.max_peak_bytes);
    if program.run_gas() > 2_000_000_000 {
        return;
    }
    for end in [false, true] {
        let inputs: Vec<Vec<i32>> = program
            .inputs()
            .iter()
            .map(|p| vec![if end { p.high } else { p.low }; p.shape.iter().product::<u32>() as usize])
            .collect();
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        let results = program.run(&views, &Kernels::scalar()).expect("sound inputs");
        for kernels in Kernels::available() {
            let same = program.run(&views, &kernels).expect("sound inputs") == results;
            assert!(same, "{kernels:?} differ");
        }
        for (output, values) in program.outputs().iter().zip(&results) {
            assert!(
                values.iter().all(|v| *v >= output.low && *v <= output.high),
                "out of the declared range"
            );
        }
    }
}
