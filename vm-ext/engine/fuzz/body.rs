//! What the fuzz targets and the replay of their corpora check. A program that uses it names
//! [`aiinference_differential::memory::Counting`] as its allocator.

use aiinference_differential::memory::{calls, measure};
use aiinference_differential::random::{self, Draw};
use aiinference_engine::error::LoadError;
use aiinference_engine::{format, Kernels, Limits, Program, Workspace};

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

/// Beyond this gas a model is not run, only loaded.
const MOST_GAS: u64 = 2_000_000_000;

/// More than reading or loading any model may hold: room for its bytes some times over.
fn most_held(bytes: usize) -> usize {
    (1 << 16) + 400 * bytes
}

/// A model as one string of bytes: the length of the graph (4 bytes, least first), the graph, the weights.
fn sections(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    let length = (u32::from_le_bytes(*length) as usize).min(rest.len());
    Some(rest.split_at(length))
}

/// Reads any bytes. What can be read is written as it was, whatever it means.
pub fn parse(data: &[u8]) {
    let Some((graph, weights)) = sections(data) else {
        return;
    };
    let (read, held, _) = measure(|| format::decode(graph, weights, &LIMITS));
    assert!(
        held <= most_held(data.len()),
        "reading {} bytes held {held}",
        data.len()
    );
    let Ok(read) = read else {
        return;
    };
    let again = format::encode(&read);
    assert!(
        again.graph == graph && again.weights == weights,
        "two encodings of one model"
    );
}

/// Loads any bytes. What loads can be read, runs with inputs at both ends of their ranges, and keeps what it declared.
pub fn load_and_run(data: &[u8]) {
    let Some((graph, weights)) = sections(data) else {
        return;
    };
    let (loaded, held, _) = measure(|| Program::load(graph, weights, &LIMITS));
    assert!(
        held <= most_held(data.len()),
        "loading {} bytes held {held}",
        data.len()
    );
    let Ok(program) = loaded else {
        return;
    };
    let read = format::decode(graph, weights, &LIMITS).expect("it has been read before");
    let again: Result<Program, LoadError> = Program::new(read, &LIMITS);
    let again = again.expect("it has been loaded before");
    assert_eq!(again.run_gas(), program.run_gas());
    assert!(program.peak_bytes() <= LIMITS.max_peak_bytes);
    if program.run_gas() > MOST_GAS {
        return;
    }
    for end in [false, true] {
        let inputs: Vec<Vec<i32>> = program
            .inputs()
            .iter()
            .map(|p| vec![if end { p.high } else { p.low }; p.shape.iter().product::<u32>() as usize])
            .collect();
        run(&program, &inputs);
    }
}

/// Runs a model that is valid by construction: the bytes are the draws that make it and its inputs, 8 a draw. Those after
/// them are the same every time.
pub fn execute(data: &[u8]) {
    let numbers = data.chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    let (graph, inputs) = random::model_of(&mut Draw::chosen(numbers));
    let file = format::encode(&graph);
    let limits = Limits {
        max_elements: 1 << 22,
        max_peak_bytes: 1 << 24,
        ..aiinference_differential::LIMITS
    };
    match Program::load(&file.graph, &file.weights, &limits) {
        Ok(program) if program.run_gas() <= MOST_GAS => run(&program, &inputs),
        Ok(_) => {}
        Err(problem) => panic!("a model that is valid by construction was refused: {problem}"),
    }
}

/// All kernels give one result, within the declared ranges, in the declared memory, and take none in a second run.
fn run(program: &Program, inputs: &[Vec<i32>]) {
    // Allocated beside what is declared: a few words a value.
    let overhead = 4096 + 64 * (program.inputs().len() + program.nodes().len());
    let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
    let results = program.run(&views, &Kernels::scalar()).expect("sound inputs");
    for (output, values) in program.outputs().iter().zip(&results) {
        assert!(
            values.iter().all(|v| *v >= output.low && *v <= output.high),
            "out of the declared range"
        );
    }
    for kernels in Kernels::available() {
        let mut workspace = Workspace::new();
        let (same, held, _) = measure(|| {
            let found = program.run_in(&mut workspace, &views, &kernels).expect("sound inputs");
            found.iter().eq(results.iter().map(Vec::as_slice))
        });
        assert!(same, "{kernels:?} differ");
        assert!(
            held as u64 <= program.peak_bytes() + overhead as u64,
            "held {held} bytes, declared {}",
            program.peak_bytes()
        );
        let (again, calls) = calls(|| program.run_in(&mut workspace, &views, &kernels).is_ok());
        assert!(again && calls == 0, "a second run asked for memory {calls} times");
    }
}
