//! Inputs to try a circuit on.

use aiinference_engine::graph::Input;

/// So many inputs of a model: all at their least, all at their largest, all at 0 or next to it, and the rest from a fixed
/// sequence, where a fifth of the elements stands at an end of its range. The same on every machine.
pub fn samples(inputs: &[Input], count: usize) -> Vec<Vec<Vec<i32>>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..count)
        .map(|sample| {
            let of = |input: &Input, next: &mut dyn FnMut() -> u64| -> Vec<i32> {
                let elements: usize = input.shape.iter().map(|extent| *extent as usize).product();
                let span = i64::from(input.high) - i64::from(input.low) + 1;
                let mut element = || match sample {
                    0 => input.low,
                    1 => input.high,
                    2 => 0.clamp(input.low, input.high),
                    _ => match next() % 10 {
                        0 => input.low,
                        1 => input.high,
                        // Below 2^31, added to an i32 within the range.
                        _ => (i64::from(input.low) + (next() % span as u64) as i64) as i32,
                    },
                };
                (0..elements).map(|_| element()).collect()
            };
            inputs.iter().map(|input| of(input, &mut next)).collect()
        })
        .collect()
}
