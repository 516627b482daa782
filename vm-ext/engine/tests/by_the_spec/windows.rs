//! Convolutions that go by windows.

use aiinference_engine::graph::{Array, Op, Rescale, Window};
use aiinference_engine::{format, Kernels};

use crate::common::random::Draw;
use crate::common::LIMITS;
use crate::{agree, both, graph, input, inputs};

/// Windows of which an image has fewer than a vector has lanes, beside such as have a few more pixels or fewer channels.
#[test]
fn convolutions_of_few_pixels_are_the_same_by_both_and_by_every_set() {
    let (mut few, mut wide, mut whole) = (0, 0, 0);
    for seed in 0..600 {
        let draw = &mut Draw::new(seed);
        let c = draw.pick(&[1, 2, 5, 16]);
        let image = [draw.u32(1, 6), draw.u32(1, 6)];
        let (kernel, pads) = match draw.one_in(3) {
            true => (image, [0; 4]),
            false => {
                let kernel = image.map(|extent| draw.u32(1, extent.min(4)));
                (kernel, draw.pick(&[[0; 4], [1, 1, 1, 1], [2, 0, 0, 5]]))
            }
        };
        let dilations = if draw.one_in(3) { [1, 2] } else { [1, 1] };
        let window = Window {
            kernel,
            strides: [draw.u32(1, 3), draw.u32(1, 3)],
            dilations,
            pads,
        };
        let channels = draw.pick(&[15, 16, 17, 18, 20, 35, 64]);
        let taps = c * kernel[0] * kernel[1];
        let count = (channels * taps) as usize;
        let weights = match draw.int(0, 2) {
            0 => Array::I8(draw.list(count, |d| d.extreme(-128, 127) as i8)),
            1 => Array::I16(draw.list(count, |d| d.extreme(-300, 300) as i16)),
            // Of which not many fit 32 bits together.
            _ => Array::I16(draw.list(count, |d| d.extreme(-32768, 32767) as i16)),
        };
        let biases = draw.pick(&[0, 1, channels as usize]);
        let bias = draw.list(biases, |d| d.int(-(1 << 20), 1 << 20));
        let multipliers = draw.pick(&[1, channels as usize]);
        let (low, high) = draw.pick(&[(-9, 9), (-128, 127), (0, 255), (-30_000, 32_767), (-40_000, 2)]);
        let rescaled = match draw.one_in(4) {
            true => (0, i32::MIN, i32::MAX),
            false => (9, -30_000, 30_000),
        };
        let conv = Op::Conv2d {
            x: 0,
            weights,
            channels,
            bias,
            window,
            groups: 1,
            rescale: Rescale {
                multipliers: draw.list(multipliers, |d| d.int(-9, 9) as i32),
                shifts: vec![rescaled.0; multipliers],
                low: rescaled.1,
                high: rescaled.2,
            },
        };
        let batch = draw.pick(&[1, 1, 2, 13]);
        let model = graph(vec![input(&[batch, c, image[0], image[1]], low, high)], vec![conv]);
        let (name, bytes) = (format!("seed {seed}"), format::encode(&model));
        let Some((program, model)) = both(&name, &bytes.graph, &bytes.weights, &LIMITS) else {
            continue;
        };
        let inputs = inputs(&program, draw);
        let outputs = agree(&name, &program, &model, &inputs);
        let views: Vec<&[i32]> = inputs.iter().map(Vec::as_slice).collect();
        for kernels in Kernels::available() {
            assert_eq!(
                program.run(&views, &kernels).as_ref(),
                Ok(&outputs),
                "{name}: {kernels:?}"
            );
        }
        let ty = &program.outputs()[0];
        if channels >= 16 && ty.shape[2] * ty.shape[3] < 16 {
            few += 1;
            wide += u32::from(ty.low < -32768 || ty.high > 32767);
            whole += u32::from(kernel == image && pads == [0; 4]);
        }
    }
    assert!(few > 120 && wide > 25 && whole > 50, "{few} {wide} {whole}");
}
