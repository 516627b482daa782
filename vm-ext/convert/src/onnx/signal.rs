//! Fourier transforms as products with fixed matrices, and the windows that go with them.

use std::f64::consts::PI;

use super::import::{one, Importer};
use super::op::{axis, malformed, no, room, Op, Outcome, Value};
use super::proto::DataType;
use crate::net::Id;

/// Longest transform: its matrix has the square of this many elements.
const MAX_LENGTH: usize = 1 << 12;

impl<'a> Importer<'a> {
    pub(super) fn signals(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "DFT" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let given = match op.optional(2)? {
                    Some(a) => self.build.known_ints(a.id, "its axis")?.first().copied(),
                    None => op.int("axis"),
                };
                let default = if op.opset >= 20 { -2 } else { 1 };
                let a = axis(given.unwrap_or(default), rank)?;
                let length = match op.optional(1)? {
                    Some(l) => self
                        .build
                        .known_ints(l.id, "its length")?
                        .first()
                        .map(|l| (*l).max(1) as usize),
                    None => None,
                };
                let y = self.fourier(t.id, a, length, op.flag("inverse", false), op.flag("onesided", false))?;
                one(y, t.data_type)
            }
            "STFT" => {
                let t = op.tensor(0)?;
                one(self.short_time(op, t.id)?, t.data_type)
            }
            "HannWindow" => self.cosines(op, [0.5, 0.5, 0.0]),
            "HammingWindow" => self.cosines(op, [25.0 / 46.0, 21.0 / 46.0, 0.0]),
            "BlackmanWindow" => self.cosines(op, [0.42, 0.5, 0.08]),
            "MelWeightMatrix" => self.mel(op),
            _ => Ok(None),
        }
    }

    /// `[.., n, .., 1 or 2]` to `[.., m, .., 2]`.
    fn fourier(&mut self, x: Id, a: usize, length: Option<usize>, inverse: bool, one_sided: bool) -> Outcome<Id> {
        let rank = self.build.rank(x);
        let shape = self.build.shape(x);
        let parts = shape[rank - 1];
        if a + 1 == rank || !(1..=2).contains(&parts) {
            return malformed("its last axis is not real and imaginary part");
        }
        let n = length.unwrap_or(shape[a]);
        if n == 0 {
            return malformed("it transforms no elements");
        }
        if n > MAX_LENGTH {
            return no(
                format!("its length is {n}"),
                format!("transforms of up to {MAX_LENGTH} elements work"),
            );
        }
        let x = if shape[a] > n {
            self.build.slice(x, a, 0, 1, n)?
        } else {
            self.build.pad_axis(x, a, 0, n - shape[a], 0.0)?
        };
        // [.., n * parts]
        let order: Vec<usize> = (0..rank)
            .filter(|b| *b != a && *b + 1 != rank)
            .chain([a, rank - 1])
            .collect();
        let mut back = vec![0; rank];
        order.iter().enumerate().for_each(|(i, b)| back[*b] = i);
        let x = self.build.transpose(x, &order)?;
        let outer: Vec<usize> = self.build.shape(x)[..rank - 2].to_vec();
        let x = self.build.reshape(x, &[&outer[..], &[n * parts]].concat())?;
        let bins = if one_sided { n / 2 + 1 } else { n };
        let sign = if inverse { 1.0 } else { -1.0 };
        let scale = if inverse { 1.0 / n as f64 } else { 1.0 };
        let size = room(&[bins, 2, n, parts])?;
        // A sine and a cosine to an element.
        self.build.fold(32 * size as u64)?;
        let mut matrix = Vec::with_capacity(size);
        for k in 0..bins {
            for imaginary in [false, true] {
                for j in 0..n {
                    let angle = sign * 2.0 * PI * (k * j % n) as f64 / n as f64;
                    let (c, s) = (libm::cos(angle) * scale, libm::sin(angle) * scale);
                    // (c + i s)(re + i im)
                    let row = if imaginary { [s, c] } else { [c, -s] };
                    matrix.extend(&row[..parts]);
                }
            }
        }
        let y = self.build.linear(x, matrix, vec![0.0; bins * 2])?;
        let y = self.build.reshape(y, &[&outer[..], &[bins, 2]].concat())?;
        self.build.transpose(y, &back)
    }

    fn short_time(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let mut x = x;
        if self.build.rank(x) == 2 {
            let last = self.build.rank(x);
            x = self.build.unsqueeze(x, &[last])?;
        }
        let &[batch, length, parts] = &self.build.shape(x)[..] else {
            return malformed("its operand is no signal");
        };
        let first = |this: &Self, i: usize, what: &str| -> Outcome<Option<usize>> {
            match op.optional(i)? {
                Some(t) => Ok(this.build.known_ints(t.id, what)?.first().map(|v| (*v).max(0) as usize)),
                None => Ok(None),
            }
        };
        let step = first(self, 1, "its step")?.unwrap_or(1).max(1);
        let window = op.optional(2)?;
        let frame = match (first(self, 3, "its frame length")?, window) {
            (Some(n), _) => n,
            (None, Some(w)) => self.build.size(w.id),
            _ => length,
        };
        if frame == 0 || frame > length {
            return malformed("its frames do not fit its signal");
        }
        let count = (length - frame) / step + 1;
        self.build.fold(room(&[count, frame])? as u64)?;
        let list: Vec<usize> = (0..count).flat_map(|f| (0..frame).map(move |i| f * step + i)).collect();
        let frames = self.build.take(x, 1, &list)?;
        let mut frames = self.build.reshape(frames, &[batch, count, frame, parts])?;
        if let Some(window) = window {
            let n = self.build.size(window.id);
            let column = self.build.reshape(window.id, &[n, 1])?;
            frames = self.build.mul(frames, column)?;
        }
        self.fourier(frames, 2, None, false, op.flag("onesided", true))
    }

    /// `a - b cos(2 pi i / n) + c cos(4 pi i / n)`
    fn cosines(&mut self, op: &Op<'a>, [a, b, c]: [f64; 3]) -> Outcome<Option<Vec<Value>>> {
        let size = self.extents(op, 0)?.first().copied().unwrap_or(0);
        if size > super::tensor::MAX_ELEMENTS {
            return no("its window is too long", "shorten it");
        }
        let n = if op.flag("periodic", true) {
            size
        } else {
            size.max(2) - 1
        } as f64;
        let at = |i: usize| {
            let angle = 2.0 * PI * i as f64 / n;
            a - b * libm::cos(angle) + c * libm::cos(2.0 * angle)
        };
        let values = (0..size).map(at).collect();
        let data_type = op
            .int("output_datatype")
            .and_then(DataType::from_code)
            .unwrap_or(DataType::Float);
        let t = self.constant(values, &[size], data_type)?;
        one(t.id, t.data_type)
    }

    /// Triangles in mel scale over the bins of a spectrum.
    fn mel(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let mut given = [0.0; 5];
        for (i, value) in given.iter_mut().enumerate() {
            let t = op.tensor(i)?;
            *value = self
                .build
                .known(t.id, "its parameters")?
                .first()
                .copied()
                .unwrap_or(0.0);
        }
        let [bands, length, rate, low, high] = given;
        let (bands, bins) = (bands as usize, length as usize / 2 + 1);
        if bands == 0 || bands > 1 << 12 || bins > 1 << 16 {
            return malformed("its size is impossible");
        }
        self.build.fold(room(&[bins, bands])? as u64)?;
        let mel = |hz: f64| 2595.0 * libm::log10(1.0 + hz / 700.0);
        let (bottom, top) = (mel(low), mel(high));
        let step = (top - bottom) / (bands as f64 + 2.0);
        let edges: Vec<f64> = (0..bands + 2)
            .map(|i| {
                let hz = 700.0 * (libm::pow(10.0, (bottom + i as f64 * step) / 2595.0) - 1.0);
                libm::floor((length + 1.0) * hz / rate)
            })
            .collect();
        let mut values = vec![0.0; bins * bands];
        for band in 0..bands {
            let (left, middle, right) = (edges[band], edges[band + 1], edges[band + 2]);
            for (bin, row) in values.chunks_mut(bands).enumerate() {
                let f = bin as f64;
                if left == middle {
                    if f == middle {
                        row[band] = 1.0;
                    }
                } else if f >= left && f <= middle {
                    row[band] = (f - left) / (middle - left);
                }
                if right != middle && f >= middle && f < right {
                    row[band] = (right - f) / (right - middle);
                }
            }
        }
        let data_type = op
            .int("output_datatype")
            .and_then(DataType::from_code)
            .unwrap_or(DataType::Float);
        let t = self.constant(values, &[bins, bands], data_type)?;
        one(t.id, t.data_type)
    }
}
