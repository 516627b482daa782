//! Convolutions and pooling: sliding windows over any number of axes.

use aiinference_engine::graph::Window;

use super::build::whole;
use super::import::{one, several, Importer};
use super::op::{malformed, no, room, Op, Outcome, Tensor, Value};
use super::product::Zero;
use super::proto::{AttributeType, DataType};
use crate::expr::{Binary, Expr, Unary};
use crate::net::{Id, Kind};

/// A window over spatial axes, padding worked out.
#[derive(Clone, Debug)]
pub struct Spec {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    before: Vec<usize>,
    /// With what ceil_mode added.
    after: Vec<usize>,
    /// What ceil_mode added.
    beyond: Vec<usize>,
    /// Extents of the result.
    out: Vec<usize>,
}

/// Padding and strides are bounded so that extents never overflow.
const MAX_STEP: i64 = 1 << 20;
/// Most elements that a window spans along an axis, dilated.
const MAX_REACH: usize = 1 << 26;
/// Most taps of all places of a window together, where each is written down by itself.
const MAX_TAPS: usize = 1 << 24;

/// By what the sum of a window is divided.
#[derive(Clone, Copy, PartialEq)]
enum Count {
    /// The taps within the image.
    Inside,
    /// Those within the padding that the node declares, too: not what ceil_mode added.
    Padded,
    /// All taps of the kernel, wherever they are.
    Kernel,
}

impl<'a> Importer<'a> {
    pub(super) fn windows(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "Conv" | "FusedConv" => {
                let t = op.tensor(0)?;
                let weights = op.tensor(1)?;
                let bias = op.optional(2)?.map(|b| b.id);
                let y = match self.in_integers(t.id, weights.id, 0) {
                    Some((x, w, scales)) => {
                        let sums = self.convolution(op, x, w, None)?;
                        self.rescaled(sums, 1, scales, bias)?
                    }
                    None => self.convolution(op, t.id, weights.id, bias)?,
                };
                let y = match super::elementwise::activation(&op.text("activation"), None, None) {
                    Some(f) if op.kind() == "FusedConv" => self.build.map(y, f)?,
                    _ => y,
                };
                one(y, t.data_type)
            }
            "ConvInteger" => {
                let (t, w) = (op.tensor(0)?, op.tensor(1)?);
                let zeros = (op.optional(2)?, op.optional(3)?);
                let x = self.less_zero(t, zeros.0, Zero::Axis(1))?;
                let w = self.less_zero(w, zeros.1, Zero::Axis(0))?;
                one(self.convolution(op, x, w, None)?, DataType::Int32)
            }
            "ConvTranspose" => {
                let t = op.tensor(0)?;
                one(self.transposed_convolution(op, t.id)?, t.data_type)
            }
            "DeformConv" => {
                let t = op.tensor(0)?;
                one(self.deformable(op, t.id)?, t.data_type)
            }
            "MaxPool" => self.max_pool(op),
            "AveragePool" => {
                let t = op.tensor(0)?;
                let y = self.average_pool(op, t.id)?;
                one(y, t.data_type)
            }
            "LpPool" => {
                let t = op.tensor(0)?;
                let spec = self.pool_spec(op, t.id)?;
                let p = order(op)?;
                let x = self.powers(t.id, p)?;
                let size: usize = spec.kernel.iter().product();
                let mean = self.average(x, &spec, Count::Kernel)?;
                let sum = self.build.line(mean, size as f64, 0.0)?;
                one(self.root(sum, p)?, t.data_type)
            }
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => {
                let t = op.tensor(0)?;
                let rank = self.build.rank(t.id);
                let list: Vec<usize> = (2..rank).collect();
                let y = match op.kind() {
                    "GlobalAveragePool" => self.of_integers(t.id, |this, x| this.build.sum(x, &list, None, true))?,
                    "GlobalMaxPool" => {
                        let shape = self.build.shape(t.id);
                        if let &[b, ch, h, w] = &shape[..] {
                            let kind = Kind::MaxPool {
                                x: t.id,
                                window: whole([h, w]),
                            };
                            self.build.push(kind, vec![b, ch, 1, 1])?
                        } else {
                            self.build.largest(t.id, &list, true)?
                        }
                    }
                    _ => {
                        let p = order(op)?;
                        let x = self.powers(t.id, p)?;
                        let sum = self.build.sum(x, &list, Some(1.0), true)?;
                        self.root(sum, p)?
                    }
                };
                one(y, t.data_type)
            }
            "MaxUnpool" => {
                let t = op.tensor(0)?;
                one(self.unpool(op, t.id)?, t.data_type)
            }
            "Col2Im" => {
                let t = op.tensor(0)?;
                one(self.col2im(op, t.id)?, t.data_type)
            }
            _ => Ok(None),
        }
    }

    /// `|x|^p`
    fn powers(&mut self, x: Id, p: f64) -> Outcome<Id> {
        let magnitude = Expr::unary(Unary::Abs, Expr::X);
        let f = if p == 1.0 {
            magnitude
        } else if p == 2.0 {
            Expr::unary(Unary::Square, Expr::X)
        } else {
            Expr::binary(Binary::Pow, magnitude, Expr::Const(p))
        };
        self.build.map(x, f)
    }

    /// `x^(1/p)`
    fn root(&mut self, x: Id, p: f64) -> Outcome<Id> {
        if p == 1.0 {
            return Ok(x);
        }
        self.build
            .map(x, Expr::binary(Binary::Pow, Expr::X, Expr::Const(1.0 / p)))
    }

    fn pool_spec(&mut self, op: &Op<'a>, x: Id) -> Outcome<Spec> {
        let kernel = op.ints("kernel_shape").unwrap_or_default();
        if self.build.shape(x).iter().skip(2).any(|n| *n == 0) {
            return malformed("its image is empty");
        }
        self.spec(op, x, &kernel)
    }

    /// The window of a node over the spatial axes of x.
    pub(super) fn spec(&mut self, op: &Op<'a>, x: Id, kernel: &[i64]) -> Outcome<Spec> {
        let shape = self.build.shape(x);
        let n = kernel.len();
        if n == 0 || shape.len() != n + 2 {
            return malformed(format!("a window of {n} axes slides over {shape:?}"));
        }
        let list = |name: &str, default: i64, count: usize| -> Outcome<Vec<usize>> {
            let given = op
                .ints(name)
                .filter(|l| !l.is_empty())
                .unwrap_or_else(|| vec![default; count]);
            let fine = given.len() == count && given.iter().all(|v| (0..MAX_STEP).contains(v));
            if fine {
                Ok(given.into_iter().map(|v| v as usize).collect())
            } else {
                malformed(format!("its {name} {given:?} do not fit {n} axes"))
            }
        };
        let (strides, dilations) = (list("strides", 1, n)?, list("dilations", 1, n)?);
        if strides.contains(&0) || dilations.contains(&0) || kernel.iter().any(|k| !(1..MAX_STEP).contains(k)) {
            return malformed("its kernel, strides or dilations hold 0");
        }
        let mut pads = list("pads", 0, 2 * n)?;
        let auto = op.text("auto_pad");
        let ceil = op.flag("ceil_mode", false);
        let mut spec = Spec {
            kernel: kernel.iter().map(|k| *k as usize).collect(),
            strides,
            dilations,
            before: vec![0; n],
            after: vec![0; n],
            beyond: vec![0; n],
            out: vec![0; n],
        };
        room(&spec.kernel)?;
        for a in 0..n {
            let (extent, stride) = (shape[a + 2], spec.strides[a]);
            let reach = (spec.kernel[a] - 1) * spec.dilations[a] + 1;
            if reach > MAX_REACH {
                return no(
                    format!("its window spans {reach} elements"),
                    "shrink the window or its dilation",
                );
            }
            match auto.as_str() {
                "SAME_UPPER" | "SAME_LOWER" => {
                    let total = ((extent.div_ceil(stride).max(1) - 1) * stride + reach).saturating_sub(extent);
                    let small = total / 2;
                    let upper = auto == "SAME_UPPER";
                    pads[a] = if upper { small } else { total - small };
                    pads[a + n] = total - pads[a];
                }
                "VALID" => {
                    pads[a] = 0;
                    pads[a + n] = 0;
                }
                _ => {}
            }
            let Some(left) = (extent + pads[a] + pads[a + n]).checked_sub(reach) else {
                return no(
                    "its window is larger than the image",
                    "pad the image or shrink the window",
                );
            };
            let mut out = left / stride + 1;
            // Windows that would start in the padding behind do not count.
            if ceil && left % stride != 0 && out * stride < extent + pads[a] {
                spec.beyond[a] = out * stride - left;
                out += 1;
            }
            spec.before[a] = pads[a];
            spec.after[a] = pads[a + n] + spec.beyond[a];
            spec.out[a] = out;
        }
        room(&spec.out)?;
        Ok(spec)
    }

    /// A window over one or two spatial axes, as one over `[B, C, H, W]`; gives the image, too.
    fn flat(&mut self, x: Id, spec: &Spec) -> Outcome<(Id, Window)> {
        let shape = self.build.shape(x);
        let n = spec.kernel.len();
        let mut window = whole([1, 1]);
        let mut image = vec![shape[0], shape[1], 1, 1];
        for i in 0..n {
            let at = 2 - n + i;
            window.kernel[at] = spec.kernel[i] as u32;
            window.strides[at] = spec.strides[i] as u32;
            window.dilations[at] = spec.dilations[i] as u32;
            window.pads[at] = spec.before[i] as u32;
            window.pads[at + 2] = spec.after[i] as u32;
            image[2 + at] = shape[2 + i];
        }
        Ok((self.build.reshape(x, &image)?, window))
    }

    /// The spec without its first axis.
    fn inner(spec: &Spec) -> Spec {
        let rest = |v: &[usize]| v[1..].to_vec();
        Spec {
            kernel: rest(&spec.kernel),
            strides: rest(&spec.strides),
            dilations: rest(&spec.dilations),
            before: rest(&spec.before),
            after: rest(&spec.after),
            beyond: rest(&spec.beyond),
            out: rest(&spec.out),
        }
    }

    fn convolution(&mut self, op: &Op<'a>, x: Id, weights: Id, bias: Option<Id>) -> Outcome<Id> {
        let wshape = self.build.shape(weights);
        let kernel: Vec<i64> = wshape.iter().skip(2).map(|k| *k as i64).collect();
        let spec = self.spec(op, x, &kernel)?;
        let groups = op.int("group").unwrap_or(1);
        let channels = self.build.shape(x)[1];
        let Some(groups) = usize::try_from(groups)
            .ok()
            .filter(|g| *g > 0 && Some(channels) == wshape[1].checked_mul(*g) && wshape[0].is_multiple_of(*g))
        else {
            return malformed(format!(
                "weights {wshape:?} in {groups} groups do not fit {channels} channels"
            ));
        };
        let weights = self.build.known(weights, "the kernel of a convolution")?;
        let bias = match bias {
            Some(bias) => self.build.known(bias, "the bias of a convolution")?,
            None => vec![0.0; wshape[0]],
        };
        if bias.len() != wshape[0] {
            return malformed(format!("{} biases are given for {} channels", bias.len(), wshape[0]));
        }
        self.conv(x, &weights, &wshape, bias, groups, &spec)
    }

    /// A convolution with stored weights `[O, C / groups, kernel..]`.
    fn conv(
        &mut self,
        x: Id,
        weights: &[f64],
        wshape: &[usize],
        bias: Vec<f64>,
        groups: usize,
        spec: &Spec,
    ) -> Outcome<Id> {
        let n = spec.kernel.len();
        let outputs = bias.len();
        let shape = self.build.shape(x);
        if n <= 2 {
            let (image, window) = self.flat(x, spec)?;
            let kind = Kind::Conv {
                x: image,
                weights: weights.to_vec(),
                bias,
                window: window.clone(),
                groups,
            };
            let y = self.build.window(image, outputs, &window, kind)?;
            return self.build.reshape(y, &[&[shape[0], outputs][..], &spec.out].concat());
        }
        // Slice by slice of the kernel's first axis.
        let inner: usize = wshape[3..].iter().product();
        let depth = spec.kernel[0];
        let padded = self.build.pad_axis(x, 2, spec.before[0], spec.after[0], 0.0)?;
        let mut sum = None;
        for d in 0..depth {
            let part: Vec<f64> = weights
                .chunks(depth * inner)
                .flat_map(|w| w[d * inner..(d + 1) * inner].iter().copied())
                .collect();
            let plane = self
                .build
                .slice(padded, 2, d * spec.dilations[0], spec.strides[0], spec.out[0])?;
            let rank = n + 2;
            let order: Vec<usize> = [0, 2, 1].into_iter().chain(3..rank).collect();
            let plane = self.build.transpose(plane, &order)?;
            let mut flat = vec![shape[0] * spec.out[0], shape[1]];
            flat.extend(&shape[3..]);
            let plane = self.build.reshape(plane, &flat)?;
            let part_shape: Vec<usize> = [&wshape[..2], &wshape[3..]].concat();
            let bias = if d == 0 { bias.clone() } else { vec![0.0; outputs] };
            let y = self.conv(plane, &part, &part_shape, bias, groups, &Self::inner(spec))?;
            sum = Some(match sum {
                None => y,
                Some(sum) => self.build.add(sum, y)?,
            });
        }
        let Some(sum) = sum else {
            return malformed("its kernel is empty");
        };
        let mut split = vec![shape[0], spec.out[0], outputs];
        split.extend(&spec.out[1..]);
        let y = self.build.reshape(sum, &split)?;
        let order: Vec<usize> = [0, 2, 1].into_iter().chain(3..n + 2).collect();
        self.build.transpose(y, &order)
    }

    /// One convolution gives every phase of the stride as channels of their own, which are then interleaved.
    fn transposed_convolution(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let weights = op.tensor(1)?.id;
        let wshape = self.build.shape(weights);
        let shape = self.build.shape(x);
        let n = wshape.len().saturating_sub(2);
        if n == 0 || n > 3 || shape.len() != n + 2 || wshape[0] != shape[1] || wshape.contains(&0) {
            return malformed(format!("weights {wshape:?} do not fit {shape:?}"));
        }
        let groups = usize::try_from(op.int("group").unwrap_or(1)).unwrap_or(0);
        if groups == 0 || !wshape[0].is_multiple_of(groups) {
            return malformed(format!("{} channels do not split into {groups} groups", wshape[0]));
        }
        let list = |name: &str, default: i64, count: usize| -> Outcome<Vec<usize>> {
            let given = op
                .ints(name)
                .filter(|l| !l.is_empty())
                .unwrap_or_else(|| vec![default; count]);
            if given.len() == count && given.iter().all(|v| (0..MAX_STEP).contains(v)) {
                Ok(given.into_iter().map(|v| v as usize).collect())
            } else {
                malformed(format!("its {name} {given:?} do not fit {n} axes"))
            }
        };
        let (strides, dilations) = (list("strides", 1, n)?, list("dilations", 1, n)?);
        if strides.contains(&0) || dilations.contains(&0) {
            return malformed("its strides or dilations hold 0");
        }
        let extra = list("output_padding", 0, n)?;
        let pads = list("pads", 0, 2 * n)?;
        let values = self.build.known(weights, "the kernel of a convolution")?;
        let per_group = wshape[1];
        let outputs = per_group * groups;
        let bias = match op.optional(2)? {
            Some(bias) => self.build.known(bias.id, "the bias of a convolution")?,
            None => vec![0.0; outputs],
        };
        if bias.len() != outputs {
            return malformed(format!("{} biases are given for {outputs} channels", bias.len()));
        }
        // What the full result loses in front and how long it is to be.
        let reach: Vec<usize> = (0..n).map(|a| (wshape[a + 2] - 1) * dilations[a] + 1).collect();
        let full: Vec<usize> = (0..n)
            .map(|a| (shape[a + 2].max(1) - 1) * strides[a] + reach[a])
            .collect();
        let mut front = vec![0i64; n];
        let mut length = vec![0usize; n];
        let wanted = op.ints("output_shape").filter(|l| l.len() >= n);
        let auto = op.text("auto_pad");
        for a in 0..n {
            let (before, after) = (pads[a] as i64, pads[a + n] as i64);
            let total = full[a] as i64 + extra[a] as i64;
            let same = auto.starts_with("SAME");
            let out = match &wanted {
                Some(list) => list[list.len() - n + a],
                None if same => (shape[a + 2] * strides[a]) as i64,
                None => total - before - after,
            };
            length[a] = match usize::try_from(out) {
                Ok(out) if out > 0 && out < MAX_STEP as usize => out,
                _ => return malformed(format!("its result would be {out} long")),
            };
            // What is cut to get a given length is cut in front where it is odd, unless SAME_UPPER says otherwise. (The text
            // of version 1 has it the other way about; nobody does so.)
            let cut = (total - out).max(0);
            front[a] = match auto.as_str() {
                _ if wanted.is_none() && !same => before,
                "SAME_UPPER" => cut / 2,
                _ => cut - cut / 2,
            };
        }
        // Taps of phase r: r, r + s, ..; one flipped kernel of ceil(reach / s) taps per phase.
        let taps: Vec<usize> = (0..n).map(|a| reach[a].div_ceil(strides[a])).collect();
        let phases = room(&strides)?;
        let tap_count = room(&taps)?;
        let in_per_group = wshape[0] / groups;
        let kernel_size: usize = wshape[2..].iter().product();
        let mut kernel = vec![0.0; room(&[outputs, phases, in_per_group, tap_count])?];
        for (flat, value) in values.iter().enumerate() {
            let position = flat % kernel_size;
            let o = flat / kernel_size % per_group;
            let input = flat / kernel_size / per_group;
            let (group, c) = (input / in_per_group, input % in_per_group);
            let (mut rest, mut phase, mut tap) = (position, 0, 0);
            let (mut phase_stride, mut tap_stride) = (1, 1);
            for a in (0..n).rev() {
                let k = rest % wshape[a + 2] * dilations[a];
                rest /= wshape[a + 2];
                phase += k % strides[a] * phase_stride;
                tap += (taps[a] - 1 - k / strides[a]) * tap_stride;
                phase_stride *= strides[a];
                tap_stride *= taps[a];
            }
            let row = (group * per_group + o) * phases + phase;
            kernel[(row * in_per_group + c) * tap_count + tap] = *value;
        }
        let biases = bias.iter().flat_map(|b| vec![*b; phases]).collect();
        let blocks: Vec<usize> = (0..n).map(|a| shape[a + 2] + taps[a] - 1).collect();
        let around: Vec<usize> = taps.iter().map(|t| t - 1).collect();
        let spec = Spec {
            kernel: taps,
            strides: vec![1; n],
            dilations: vec![1; n],
            before: around.clone(),
            after: around,
            beyond: vec![0; n],
            out: blocks.clone(),
        };
        let wshape = [&[outputs * phases, in_per_group][..], &spec.kernel].concat();
        let y = self.conv(x, &kernel, &wshape, biases, groups, &spec)?;
        // [B, O, s.., q..] -> [B, O, q0, s0, q1, s1, ..]
        let split = [&[shape[0], outputs][..], &strides, &blocks].concat();
        let mut y = self.build.reshape(y, &split)?;
        let order: Vec<usize> = [0, 1]
            .into_iter()
            .chain((0..n).flat_map(|a| [2 + n + a, 2 + a]))
            .collect();
        y = self.build.transpose(y, &order)?;
        let woven: Vec<usize> = (0..n).map(|a| blocks[a] * strides[a]).collect();
        y = self.build.reshape(y, &[&[shape[0], outputs][..], &woven].concat())?;
        for a in 0..n {
            // Beyond what the kernel reaches there is nothing but the bias, which the phases hold already.
            let end = front[a] + length[a] as i64;
            let missing = usize::try_from(end - woven[a] as i64).unwrap_or(0);
            if missing > 0 {
                let mut edge = self.build.shape(y);
                edge[2 + a] = missing;
                let spread = [&[1, outputs][..], &vec![1; n]].concat();
                let bias = self.build.constant(bias.clone(), &spread)?;
                let edge = self.build.broadcast(bias, &edge)?;
                y = self.build.concat(vec![y, edge], 2 + a)?;
            }
            y = self.build.slice(y, 2 + a, front[a].max(0) as usize, 1, length[a])?;
        }
        Ok(y)
    }

    fn max_pool(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        let t = op.tensor(0)?;
        let spec = self.pool_spec(op, t.id)?;
        if op.wants(1) {
            return self.max_pool_with_indices(op, t, &spec);
        }
        let y = self.largest_in(t.id, &spec)?;
        one(y, t.data_type)
    }

    /// The largest of every window: two axes at a time, from the last.
    fn largest_in(&mut self, x: Id, spec: &Spec) -> Outcome<Id> {
        let n = spec.kernel.len();
        let shape = self.build.shape(x);
        if n <= 2 {
            let (image, window) = self.flat(x, spec)?;
            let kind = Kind::MaxPool {
                x: image,
                window: window.clone(),
            };
            let y = self.build.window(image, shape[1], &window, kind)?;
            return self.build.reshape(y, &[&shape[..2], &spec.out].concat());
        }
        let flat = [&[shape[0], shape[1] * shape[2]][..], &shape[3..]].concat();
        let rest = self.build.reshape(x, &flat)?;
        let rest = self.largest_in(rest, &Self::inner(spec))?;
        let plane: usize = spec.out[1..].iter().product();
        let rest = self.build.reshape(rest, &[shape[0], shape[1], shape[2], plane])?;
        let depth = Spec {
            kernel: vec![spec.kernel[0], 1],
            strides: vec![spec.strides[0], 1],
            dilations: vec![spec.dilations[0], 1],
            before: vec![spec.before[0], 0],
            after: vec![spec.after[0], 0],
            beyond: vec![0; 2],
            out: vec![spec.out[0], plane],
        };
        let y = self.largest_in(rest, &depth)?;
        self.build.reshape(y, &[&shape[..2], &spec.out].concat())
    }

    /// For every window position (row-major) and tap, the index in the flattened image, or none in the padding.
    fn taps(&self, spec: &Spec, extents: &[usize]) -> Outcome<Vec<Vec<Option<usize>>>> {
        let n = extents.len();
        let all = room(&[&spec.out[..], &spec.kernel].concat())?;
        if all > MAX_TAPS {
            return no(
                format!("its windows have {all} taps together"),
                format!("up to {MAX_TAPS} work; make the model or its inputs smaller"),
            );
        }
        self.build.fold(16 * all as u64)?;
        let positions: usize = spec.out.iter().product();
        let taps: usize = spec.kernel.iter().product();
        let digits = |mut flat: usize, base: &[usize]| -> Vec<usize> {
            let mut digits = vec![0; n];
            for a in (0..n).rev() {
                digits[a] = flat % base[a];
                flat /= base[a];
            }
            digits
        };
        let table = (0..positions)
            .map(|p| {
                let at = digits(p, &spec.out);
                (0..taps)
                    .map(|k| {
                        let k = digits(k, &spec.kernel);
                        (0..n).try_fold(0, |flat, a| {
                            let i = (at[a] * spec.strides[a] + k[a] * spec.dilations[a]).checked_sub(spec.before[a])?;
                            (i < extents[a]).then_some(flat * extents[a] + i)
                        })
                    })
                    .collect()
            })
            .collect();
        Ok(table)
    }

    /// Every window's elements side by side: `[B, C, positions, taps]`, the padding holding `value`.
    fn patches(&mut self, x: Id, spec: &Spec, value: f64) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let size: usize = shape[2..].iter().product();
        let (positions, taps): (usize, usize) = (spec.out.iter().product(), spec.kernel.iter().product());
        let flat = self.build.reshape(x, &[shape[0], shape[1], size])?;
        let flat = self.build.pad_axis(flat, 2, 0, 1, value)?;
        let list: Vec<usize> = self
            .taps(spec, &shape[2..])?
            .into_iter()
            .flatten()
            .map(|i| i.unwrap_or(size))
            .collect();
        let y = self.build.take(flat, 2, &list)?;
        self.build.reshape(y, &[shape[0], shape[1], positions, taps])
    }

    fn max_pool_with_indices(&mut self, op: &Op<'a>, t: Tensor, spec: &Spec) -> Outcome<Option<Vec<Value>>> {
        let shape = self.build.shape(t.id);
        let out = [&shape[..2], &spec.out].concat();
        let y = self.largest_in(t.id, spec)?;
        let patches = self.patches(t.id, spec, -1e30)?;
        let best = self.build.arg_max(patches, 3, false)?;
        let (positions, taps): (usize, usize) = (spec.out.iter().product(), spec.kernel.iter().product());
        let planes = shape[0] * shape[1];
        let size: usize = shape[2..].iter().product();
        // Column-major indices swap the spatial axes.
        let extents = &shape[2..];
        let number = |flat: usize| {
            if !op.flag("storage_order", false) {
                return flat;
            }
            let (mut rest, mut digits) = (flat, vec![]);
            for e in extents.iter().rev() {
                digits.push(rest % e);
                rest /= e;
            }
            digits.iter().zip(extents.iter().rev()).fold(0, |n, (d, e)| n * e + d)
        };
        let table = self.taps(spec, extents)?;
        let list = table.iter().flatten().map(|i| number(i.unwrap_or(0)) as f64).collect();
        let table = self.build.constant(list, &[positions, taps])?;
        let table = self.build.broadcast(table, &[planes, positions, taps])?;
        let best = self.build.reshape(best, &[planes, positions, 1])?;
        let kind = Kind::GatherElements {
            x: table,
            indices: best,
        };
        let indices = self.build.push(kind, vec![planes, positions, 1])?;
        let bases = (0..planes).map(|p| (p * size) as f64).collect();
        let bases = self.build.constant(bases, &[planes, 1, 1])?;
        let indices = self.build.add(indices, bases)?;
        let indices = self.build.reshape(indices, &out)?;
        several([(y, t.data_type), (indices, DataType::Int64)])
    }

    /// The mean of every window.
    fn average(&mut self, x: Id, spec: &Spec, count: Count) -> Outcome<Id> {
        let n = spec.kernel.len();
        let shape = self.build.shape(x);
        let out = [&shape[..2], &spec.out].concat();
        // Where windows differ in what they are divided by, and in three dimensions, sums are divided by hand.
        let regular = (0..n).all(|a| {
            let reach = (spec.kernel[a] - 1) * spec.dilations[a] + 1;
            spec.after[a] < reach && spec.before[a] < reach && (spec.beyond[a] == 0 || count != Count::Padded)
        });
        if n <= 2 && regular {
            let (image, window) = self.flat(x, spec)?;
            let kind = Kind::AvgPool {
                x: image,
                window: window.clone(),
                count_padding: count != Count::Inside,
            };
            let y = self.build.window(image, shape[1], &window, kind)?;
            return self.build.reshape(y, &out);
        }
        let size: usize = spec.kernel.iter().product();
        let patches = self.patches(x, spec, 0.0)?;
        let sums = self.build.sum(patches, &[3], Some(1.0), false)?;
        // The padded image, where the padding counts.
        let (mut whole, mut extents) = (spec.clone(), shape[2..].to_vec());
        if count == Count::Padded {
            for (a, extent) in extents.iter_mut().enumerate() {
                *extent += spec.before[a] + spec.after[a] - spec.beyond[a];
                whole.before[a] = 0;
            }
        }
        let counts = self.taps(&whole, &extents)?;
        let factors = counts.iter().map(|taps| {
            let inside = taps.iter().filter(|t| t.is_some()).count();
            1.0 / (if count == Count::Kernel { size } else { inside.max(1) }) as f64
        });
        let factors: Vec<f64> = factors.collect();
        let factors = self.build.constant(factors.clone(), &[factors.len()])?;
        let means = self.build.mul(sums, factors)?;
        self.build.reshape(means, &out)
    }

    fn unpool(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let kernel = op.ints("kernel_shape").unwrap_or_default();
        let n = kernel.len();
        if shape.len() != n + 2 {
            return malformed("its kernel does not fit its operand");
        }
        let strides = op.ints("strides").unwrap_or_else(|| vec![1; n]);
        let pads = op.ints("pads").unwrap_or_else(|| vec![0; 2 * n]);
        if strides.len() != n || pads.len() != 2 * n {
            return malformed("its strides or pads do not fit its kernel");
        }
        if kernel
            .iter()
            .chain(&strides)
            .chain(&pads)
            .any(|v| !(0..MAX_STEP).contains(v))
        {
            return malformed("its kernel, strides or pads are impossible");
        }
        let inferred: Vec<i64> = (0..n)
            .map(|a| (shape[a + 2] as i64 - 1) * strides[a] + kernel[a] - pads[a] - pads[a + n])
            .collect();
        let mut out = shape[..2].to_vec();
        match op.optional(2)? {
            Some(t) => {
                out = {
                    let list = self.build.known_ints(t.id, "the shape of its result")?;
                    list.iter().map(|e| (*e).max(0) as usize).collect()
                }
            }
            None => out.extend(inferred.iter().map(|e| (*e).max(0) as usize)),
        }
        if out.len() != n + 2 || super::tensor::count(&out).is_none() {
            return malformed("the shape of its result is impossible");
        }
        let indices = self.build.known(op.tensor(1)?.id, "where the elements go")?;
        if indices.len() != self.build.size(x) {
            return malformed("its indices and elements differ in number");
        }
        // Indices count in the image as inferred, planes before it.
        let from: Vec<usize> = inferred.iter().map(|e| (*e).max(0) as usize).collect();
        let digits_base = [&shape[..2], &from].concat();
        let count: usize = out.iter().product();
        let size = self.build.size(x);
        let mut source = vec![size; count];
        for (i, index) in indices.iter().enumerate() {
            let mut rest = *index as usize;
            let mut digits = vec![0; n + 2];
            for a in (0..n + 2).rev() {
                digits[a] = rest % digits_base[a].max(1);
                rest /= digits_base[a].max(1);
            }
            let inside = digits.iter().zip(&out).all(|(d, e)| d < e);
            let flat = inside.then(|| digits.iter().zip(&out).fold(0, |flat, (d, e)| flat * e + d));
            if let Some(place) = flat.and_then(|f| source.get_mut(f)) {
                *place = i;
            }
        }
        let flat = self.build.reshape(x, &[size])?;
        let flat = self.build.pad_axis(flat, 0, 0, 1, 0.0)?;
        let y = self.build.take(flat, 0, &source)?;
        self.build.reshape(y, &out)
    }

    fn col2im(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let image = self.extents(op, 1)?;
        let block = self.extents(op, 2)?;
        let n = image.len();
        let shape = self.build.shape(x);
        let size = room(&block)?;
        if shape.len() != 3 || block.len() != n || size == 0 || !shape[1].is_multiple_of(size) {
            return malformed("its blocks do not fit its operand");
        }
        let kernel: Vec<i64> = block.iter().map(|b| *b as i64).collect();
        let probe_shape = [&[1, 1][..], &image].concat();
        let count = room(&image)?;
        let probe = self.build.constant(vec![0.0; count], &probe_shape)?;
        let spec = self.spec(op, probe, &kernel)?;
        let positions: usize = spec.out.iter().product();
        if count > MAX_TAPS {
            return no(
                format!("its image has {count} elements"),
                format!("up to {MAX_TAPS} work"),
            );
        }
        if positions != shape[2] {
            return malformed(format!("it has {} columns for {positions} blocks", shape[2]));
        }
        // Every pixel sums the columns that cover it.
        let mut covering: Vec<Vec<usize>> = vec![vec![]; count];
        for (p, taps) in self.taps(&spec, &image)?.into_iter().enumerate() {
            for (k, at) in taps.into_iter().enumerate() {
                if let Some(i) = at {
                    covering[i].push(k * positions + p);
                }
            }
        }
        let channels = shape[1] / size;
        let flat = self.build.reshape(x, &[shape[0], channels, size * positions])?;
        let flat = self.build.pad_axis(flat, 2, 0, 1, 0.0)?;
        let most = covering.iter().map(Vec::len).max().unwrap_or(0).max(1);
        room(&[count, most])?;
        let list: Vec<usize> = covering
            .iter()
            .flat_map(|c| (0..most).map(|i| c.get(i).copied().unwrap_or(size * positions)))
            .collect();
        let y = self.build.take(flat, 2, &list)?;
        let y = self.build.reshape(y, &[shape[0], channels, count, most])?;
        let y = self.build.sum(y, &[3], Some(1.0), false)?;
        self.build.reshape(y, &[&[shape[0], channels][..], &image].concat())
    }

    /// A convolution whose taps are moved by offsets, which must be stored: taps between pixels are mixtures.
    fn deformable(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let weights = op.tensor(1)?.id;
        let (shape, wshape) = (self.build.shape(x), self.build.shape(weights));
        if shape.len() != 4 || wshape.len() != 4 {
            return no(
                "it is not over images",
                "deformable convolutions work in two dimensions",
            );
        }
        let spec = self.spec(op, x, &[wshape[2] as i64, wshape[3] as i64])?;
        let offsets = self.build.known(op.tensor(2)?.id, "the offsets of its taps")?;
        let masks = match op.optional(4)? {
            Some(t) => Some(self.build.known(t.id, "the weights of its taps")?),
            None => None,
        };
        let groups = op.int("group").unwrap_or(1).max(1) as usize;
        let offset_groups = op.int("offset_group").unwrap_or(1).max(1) as usize;
        let (h, w) = (shape[2], shape[3]);
        let (oh, ow) = (spec.out[0], spec.out[1]);
        let (positions, taps) = (oh * ow, wshape[2] * wshape[3]);
        let (batch, channels) = (shape[0], shape[1]);
        let numbers = [batch, offset_groups, taps, 2, positions];
        let numbers = numbers.iter().try_fold(1usize, |n, e| n.checked_mul(*e));
        if channels % offset_groups != 0
            || h * w == 0
            || Some(offsets.len()) != numbers
            || Some(channels) != wshape[1].checked_mul(groups)
            || wshape[0] % groups != 0
        {
            return malformed("its offsets or groups do not fit");
        }
        let kernel = self.build.known(weights, "the kernel of a convolution")?;
        let per = channels / offset_groups;
        let mut images = Vec::new();
        for b in 0..batch {
            let mut rows = Vec::new();
            let image = self.build.slice(x, 0, b, 1, 1)?;
            for g in 0..offset_groups {
                // [taps * positions, h * w]: bilinear weights.
                let mut matrix = vec![0.0; room(&[taps, positions, h, w])?];
                self.build.fold((64 * taps * positions) as u64)?;
                for k in 0..taps {
                    for p in 0..positions {
                        let at = |d: usize| {
                            let flat = (((b * offset_groups + g) * taps + k) * 2 + d) * positions + p;
                            let (grid, tap) = if d == 0 {
                                (p / ow, k / wshape[3])
                            } else {
                                (p % ow, k % wshape[3])
                            };
                            (grid * spec.strides[d] + tap * spec.dilations[d]) as f64 - spec.before[d] as f64
                                + offsets[flat]
                        };
                        let mask = masks
                            .as_ref()
                            .and_then(|m| m.get(((b * offset_groups + g) * taps + k) * positions + p).copied())
                            .unwrap_or(1.0);
                        let (y, x) = (at(0), at(1));
                        let (fy, fx) = (libm::floor(y), libm::floor(x));
                        for (iy, wy) in [(fy, 1.0 - (y - fy)), (fy + 1.0, y - fy)] {
                            for (ix, wx) in [(fx, 1.0 - (x - fx)), (fx + 1.0, x - fx)] {
                                if iy >= 0.0 && ix >= 0.0 && iy < h as f64 && ix < w as f64 {
                                    let pixel = iy as usize * w + ix as usize;
                                    matrix[(k * positions + p) * h * w + pixel] += wy * wx * mask;
                                }
                            }
                        }
                    }
                }
                let part = self.build.slice(image, 1, g * per, 1, per)?;
                let part = self.build.reshape(part, &[per, h * w])?;
                rows.push(self.build.linear(part, matrix, vec![0.0; taps * positions])?);
            }
            let columns = self.build.concat(rows, 0)?;
            // [channels, taps, positions] -> [groups, positions, channels / groups * taps]
            let columns = self.build.reshape(columns, &[groups, wshape[1] * taps, positions])?;
            let columns = self.build.transpose(columns, &[0, 2, 1])?;
            let per_group = wshape[0] / groups;
            let mut parts = Vec::new();
            for g in 0..groups {
                let part = self.build.slice(columns, 0, g, 1, 1)?;
                let size = per_group * wshape[1] * taps;
                let weights = kernel[g * size..(g + 1) * size].to_vec();
                let y = self.build.linear(part, weights, vec![0.0; per_group])?;
                let y = self.build.transpose(y, &[0, 2, 1])?;
                parts.push(self.build.reshape(y, &[1, per_group, oh, ow])?);
            }
            images.push(self.build.concat(parts, 1)?);
        }
        let y = self.build.concat(images, 0)?;
        match op.optional(3)? {
            Some(bias) => {
                let bias = self.build.known(bias.id, "the bias of a convolution")?;
                let n = bias.len();
                self.build.per_channel(y, 1, vec![1.0; n], bias)
            }
            None => Ok(y),
        }
    }
}

impl<'a> Importer<'a> {
    /// The means of a node's windows.
    pub(super) fn average_pool(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let spec = self.pool_spec(op, x)?;
        let count = if op.flag("count_include_pad", false) {
            Count::Padded
        } else {
            Count::Inside
        };
        self.of_integers(x, |this, x| this.average(x, &spec, count))
    }

    /// The convolution of a node on operands that were prepared.
    pub(super) fn convolved(&mut self, op: &Op<'a>, x: Id, weights: Id, bias: Option<Id>) -> Outcome<Id> {
        self.convolution(op, x, weights, bias)
    }
}

/// The order of a norm: an integer, or a float in the first operator set.
fn order(op: &Op) -> Outcome<f64> {
    let p = op.attribute("p").map_or(2.0, |a| {
        let float = a.r#type == AttributeType::Float as i32 || a.i == 0;
        if float {
            f64::from(a.f)
        } else {
            a.i as f64
        }
    });
    if p > 0.0 && p.is_finite() {
        return Ok(p);
    }
    malformed(format!("its norm is of order {p}"))
}
