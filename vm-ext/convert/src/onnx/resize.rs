//! Resize, Upsample, GridSample, AffineGrid and RoiAlign: elements picked or mixed by fixed weights along axes.

use super::import::{one, Importer};
use super::op::{axes, axis, malformed, no, room, Op, Outcome, Value};
use crate::net::Id;

/// Farthest place that a resize may read at: far beyond the longest axis, and near enough to count up from.
const FARTHEST: f64 = 1e9;

/// How a resize reads its source.
struct Sampling {
    mode: String,
    coordinates: String,
    nearest: String,
    cubic: f64,
    exclude_outside: bool,
    antialias: bool,
    extrapolation: f64,
}

impl<'a> Importer<'a> {
    pub(super) fn resizing(&mut self, op: &Op<'a>) -> Outcome<Option<Vec<Value>>> {
        match op.kind() {
            "Resize" | "Upsample" => {
                let t = op.tensor(0)?;
                one(self.resize(op, t.id)?, t.data_type)
            }
            "GridSample" => {
                let t = op.tensor(0)?;
                one(self.grid_sample(op, t.id)?, t.data_type)
            }
            "AffineGrid" => {
                let t = op.tensor(0)?;
                one(self.affine_grid(op, t.id)?, t.data_type)
            }
            "RoiAlign" => {
                let t = op.tensor(0)?;
                one(self.roi_align(op, t.id)?, t.data_type)
            }
            _ => Ok(None),
        }
    }

    fn resize(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let rank = shape.len();
        let old = op.opset < 11;
        let (roi_at, scales_at, sizes_at) = if old { (9, 1, 9) } else { (1, 2, 3) };
        let list = match op.ints("axes").filter(|_| op.opset >= 18) {
            Some(list) => axes(&list, rank)?,
            None => (0..rank).collect(),
        };
        // Empty stands for left out.
        let read = |this: &Self, i: usize, what: &str| -> Outcome<Option<Vec<f64>>> {
            match op.optional(i)? {
                Some(t) if this.build.size(t.id) > 0 => this.build.known(t.id, what).map(Some),
                _ => Ok(None),
            }
        };
        let mut scales = match op.attribute("scales") {
            Some(a) => Some(a.floats.iter().map(|f| f64::from(*f)).collect()),
            None => read(self, scales_at, "its scales")?,
        };
        let sizes = read(self, sizes_at, "its sizes")?;
        let roi = read(self, roi_at, "its region")?;
        let text = |name: &str, default: &str| {
            let text = op.text(name);
            if text.is_empty() {
                default.to_string()
            } else {
                text
            }
        };
        let how = Sampling {
            mode: text("mode", "nearest"),
            coordinates: if old {
                "asymmetric".into()
            } else {
                text("coordinate_transformation_mode", "half_pixel")
            },
            nearest: if old {
                "floor".into()
            } else {
                text("nearest_mode", "round_prefer_floor")
            },
            cubic: op.float("cubic_coeff_a", -0.75),
            exclude_outside: op.flag("exclude_outside", false),
            antialias: op.flag("antialias", false),
            extrapolation: op.float("extrapolation_value", 0.0),
        };
        let mut out: Vec<usize> = Vec::new();
        if let Some(sizes) = &sizes {
            let mut factors: Vec<f64> = sizes.iter().zip(&list).map(|(s, a)| s / shape[*a] as f64).collect();
            let policy = op.text("keep_aspect_ratio_policy");
            let one_factor = match policy.as_str() {
                "not_larger" => Some(factors.iter().copied().fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(factors.iter().copied().fold(0.0, f64::max)),
                _ => None,
            };
            for (i, a) in list.iter().enumerate().take(sizes.len()) {
                out.push(match one_factor {
                    Some(f) => {
                        factors[i] = f;
                        libm::floor(f * shape[*a] as f64 + 0.5) as usize
                    }
                    None => sizes[i] as usize,
                });
            }
            scales = Some(factors);
        }
        // Finer scales than this would make kernels of millions of taps.
        let fits = |s: &Vec<f64>| s.len() == list.len() && s.iter().all(|f| (1e-5..=1e5).contains(f));
        let Some(scales) = scales.filter(fits) else {
            return malformed("its scales or sizes do not fit its operand");
        };
        let crop = how.coordinates == "tf_crop_and_resize";
        if sizes.is_none() {
            for (i, a) in list.iter().enumerate() {
                let region = match &roi {
                    Some(roi) if crop && roi.len() == 2 * list.len() => roi[i + list.len()] - roi[i],
                    _ => 1.0,
                };
                out.push(libm::floor(shape[*a] as f64 * region * scales[i]) as usize);
            }
        }
        if out.iter().any(|n| *n == 0 || *n > 1 << 20) {
            return malformed("its result is empty or too large");
        }
        let mut y = x;
        let mut factors = vec![1; rank];
        let mut outside: Vec<(usize, Vec<bool>)> = vec![];
        for (i, a) in list.iter().enumerate() {
            let (from, to, scale) = (shape[*a], out[i], scales[i]);
            let region = match &roi {
                Some(roi) if roi.len() == 2 * list.len() => (roi[i], roi[i + list.len()]),
                _ => (0.0, 1.0),
            };
            if from == to && scale == 1.0 && !crop {
                continue;
            }
            let at: Vec<f64> = (0..to)
                .map(|j| source(&how.coordinates, j, from, to, scale, region))
                .collect();
            // Neighbours of places beyond have no numbers of their own any more.
            if at.iter().any(|p| p.is_nan() || p.abs() > FARTHEST) {
                return malformed("its region is out of reach of its operand");
            }
            if crop {
                let beyond: Vec<bool> = at.iter().map(|p| *p < 0.0 || *p > from as f64 - 1.0).collect();
                if beyond.contains(&true) {
                    outside.push((*a, beyond));
                }
            }
            if how.mode == "nearest" {
                let picked: Vec<usize> = at.iter().map(|p| nearest(&how.nearest, *p, from)).collect();
                let factor = to / from.max(1);
                let enlarged = to == from * factor && picked.iter().enumerate().all(|(j, s)| *s == j / factor);
                if enlarged && *a + 2 >= rank {
                    factors[*a] = factor;
                } else {
                    y = self.build.take(y, *a, &picked)?;
                }
                continue;
            }
            let mut matrix = vec![0.0; room(&[to, from])?];
            self.build.fold(room(&[to, taps(&how, scale)])? as u64)?;
            for (row, p) in matrix.chunks_mut(from).zip(&at) {
                for (index, weight) in mixture(&how, *p, scale, from) {
                    row[index] += weight;
                }
            }
            y = self.build.along(y, *a, matrix, to)?;
        }
        if factors.iter().any(|f| *f > 1) {
            let two = |a: usize| factors[a];
            let pair = if rank == 1 {
                [1, two(0)]
            } else {
                [two(rank - 2), two(rank - 1)]
            };
            y = self.build.upsample(y, pair)?;
        }
        for (a, beyond) in outside {
            let mut mask_shape = vec![1; rank];
            mask_shape[a] = beyond.len();
            let mask = beyond.into_iter().map(|b| f64::from(u8::from(b))).collect();
            let mask = self.build.constant(mask, &mask_shape)?;
            let value = self.build.scalar(how.extrapolation)?;
            y = self.build.select(mask, value, y)?;
        }
        Ok(y)
    }

    /// Samples at stored places.
    fn grid_sample(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let shape = self.build.shape(x);
        let grid_id = op.tensor(1)?.id;
        let at = self.build.shape(grid_id);
        let n = shape.len().saturating_sub(2);
        if n == 0 || at.len() != n + 2 || at[n + 1] != n || at[0] != shape[0] {
            return malformed("its grid does not fit its operand");
        }
        let grid = self.build.known(grid_id, "the grid it samples at")?;
        let mode = op.text("mode");
        let padding = op.text("padding_mode");
        let align = op.flag("align_corners", false);
        let size: usize = shape[2..].iter().product();
        let points: usize = at[1..=n].iter().product();
        if n > 3 {
            return no(format!("it samples along {n} axes"), "images of up to three axes work");
        }
        if size == 0 {
            return malformed("its operand is empty");
        }
        let taps: &[i64] = match mode.as_str() {
            "nearest" => &[0],
            "cubic" | "bicubic" => &[-1, 0, 1, 2],
            _ => &[0, 1],
        };
        let mut batches = Vec::new();
        for b in 0..shape[0] {
            let mut matrix = vec![0.0; room(&[points, size])?];
            self.build
                .fold((points as u64).saturating_mul(16 * taps.len().pow(n as u32) as u64))?;
            for p in 0..points {
                // The last number is along the last axis.
                let mut parts: Vec<Vec<(i64, f64)>> = Vec::new();
                for a in 0..n {
                    let extent = shape[a + 2] as f64;
                    let g = grid[(b * points + p) * n + (n - 1 - a)];
                    let mut place = if align {
                        (g + 1.0) / 2.0 * (extent - 1.0)
                    } else {
                        ((g + 1.0) * extent - 1.0) / 2.0
                    };
                    let cubic = taps.len() == 4;
                    if !cubic {
                        place = match padding.as_str() {
                            "border" => place.clamp(0.0, extent - 1.0),
                            "reflection" => reflect(place, extent, align),
                            _ => place,
                        };
                    }
                    let floor = if taps.len() == 1 {
                        libm::rint(place)
                    } else {
                        libm::floor(place)
                    };
                    let t = place - floor;
                    let weights = match taps.len() {
                        1 => vec![1.0],
                        2 => vec![1.0 - t, t],
                        _ => cubic_weights(t, -0.75).to_vec(),
                    };
                    parts.push(
                        taps.iter()
                            .zip(weights)
                            .map(|(tap, w)| {
                                let i = floor + *tap as f64;
                                let i = match padding.as_str() {
                                    "border" => i.clamp(0.0, extent - 1.0),
                                    "reflection" => reflect(i, extent, align),
                                    _ => i,
                                };
                                (i as i64, w)
                            })
                            .collect(),
                    );
                }
                let row = &mut matrix[p * size..(p + 1) * size];
                mix(row, &parts, &shape[2..], 0, 0, 1.0);
            }
            let image = self.build.slice(x, 0, b, 1, 1)?;
            let image = self.build.reshape(image, &[shape[1], size])?;
            let y = self.build.linear(image, matrix, vec![0.0; points])?;
            batches.push(self.build.reshape(y, &[&[1, shape[1]][..], &at[1..=n]].concat())?);
        }
        self.build.concat(batches, 0)
    }

    /// Places of an image's pixels under an affine map.
    fn affine_grid(&mut self, op: &Op<'a>, theta: Id) -> Outcome<Id> {
        let size = self.extents(op, 1)?;
        let n = size.len().saturating_sub(2);
        let align = op.flag("align_corners", false);
        let shape = self.build.shape(theta);
        if !(2..=3).contains(&n) || shape != [size[0], n, n + 1] {
            return malformed("its map does not fit the size");
        }
        let place = |i: usize, extent: usize| {
            if align {
                if extent == 1 {
                    0.0
                } else {
                    -1.0 + 2.0 * i as f64 / (extent - 1) as f64
                }
            } else {
                (2.0 * i as f64 + 1.0) / extent as f64 - 1.0
            }
        };
        let extents = &size[2..];
        let points = room(&[extents, &[size[0], n + 1]].concat())? / (size[0] * (n + 1)).max(1);
        self.build.fold((points * (n + 1)) as u64)?;
        let mut base = Vec::new();
        for p in 0..points {
            let mut rest = p;
            let mut digits = vec![0; n];
            for a in (0..n).rev() {
                digits[a] = rest % extents[a];
                rest /= extents[a];
            }
            base.extend((0..n).rev().map(|a| place(digits[a], extents[a])));
            base.push(1.0);
        }
        // theta [B, n, n + 1] times base [points, n + 1] transposed.
        let y = self.build.linear(theta, base, vec![0.0; points])?;
        let y = self.build.transpose(y, &[0, 2, 1])?;
        self.build.reshape(y, &[&[size[0]][..], extents, &[n]].concat())
    }

    /// Means (or largest) of samples in stored boxes.
    fn roi_align(&mut self, op: &Op<'a>, x: Id) -> Outcome<Id> {
        let &[_, channels, h, w] = &self.build.shape(x)[..] else {
            return malformed("its operand is no image");
        };
        if h * w == 0 {
            return malformed("its operand is empty");
        }
        let rois = self.build.known(op.tensor(1)?.id, "the boxes")?;
        let batch = self.build.known_ints(op.tensor(2)?.id, "the images of the boxes")?;
        let (oh, ow) = (
            op.int("output_height").unwrap_or(1).max(1) as usize,
            op.int("output_width").unwrap_or(1).max(1) as usize,
        );
        if oh.checked_mul(ow).is_none_or(|n| n > 1 << 16) {
            return no("its result is too large", "make it smaller");
        }
        let ratio = op.int("sampling_ratio").unwrap_or(0);
        let scale = op.float("spatial_scale", 1.0);
        let half = op.opset >= 16 && op.text("coordinate_transformation_mode") != "output_half_pixel";
        let offset = if half { 0.5 } else { 0.0 };
        let largest = op.text("mode") == "max";
        let mut boxes = Vec::new();
        for (r, b) in rois.chunks_exact(4).zip(&batch) {
            let [x1, y1, x2, y2] = [r[0], r[1], r[2], r[3]].map(|v| v * scale - offset);
            let (mut rw, mut rh) = (x2 - x1, y2 - y1);
            if !half {
                rw = rw.max(1.0);
                rh = rh.max(1.0);
            }
            let (bw, bh) = (rw / ow as f64, rh / oh as f64);
            let count = |extent: f64, n: usize| {
                let n = if ratio > 0 {
                    ratio as f64
                } else {
                    libm::ceil(extent / n as f64)
                };
                n.clamp(1.0, 64.0) as usize
            };
            let (gh, gw) = (count(rh, oh), count(rw, ow));
            let samples = gh * gw;
            let taps = if largest { samples * 4 } else { 1 };
            self.build.fold((oh * ow * samples * 4) as u64)?;
            let mut matrix = vec![0.0; room(&[oh, ow, taps, h, w])?];
            for i in 0..oh {
                for j in 0..ow {
                    for s in 0..samples {
                        let y = y1 + i as f64 * bh + (s / gw) as f64 * bh / gh as f64 + bh / gh as f64 / 2.0;
                        let x = x1 + j as f64 * bw + (s % gw) as f64 * bw / gw as f64 + bw / gw as f64 / 2.0;
                        if y < -1.0 || y > h as f64 || x < -1.0 || x > w as f64 {
                            continue;
                        }
                        let (y, x) = (y.max(0.0), x.max(0.0));
                        let corner = |v: f64, n: usize| {
                            let low = (libm::floor(v) as usize).min(n - 1);
                            let high = (low + 1).min(n - 1);
                            let t = if low + 1 >= n { 0.0 } else { v - low as f64 };
                            [(low, 1.0 - t), (high, t)]
                        };
                        for (c, (iy, wy)) in corner(y, h).into_iter().enumerate() {
                            for (d, (ix, wx)) in corner(x, w).into_iter().enumerate() {
                                let (row, weight) = if largest {
                                    (((i * ow + j) * samples + s) * 4 + c * 2 + d, wy * wx)
                                } else {
                                    (i * ow + j, wy * wx / samples as f64)
                                };
                                matrix[row * h * w + iy * w + ix] += weight;
                            }
                        }
                    }
                }
            }
            let n = self.build.shape(x)[0];
            let Some(b) = usize::try_from(*b).ok().filter(|b| *b < n) else {
                return malformed(format!("a box is in image {b} of {n}"));
            };
            let image = self.build.slice(x, 0, b, 1, 1)?;
            let image = self.build.reshape(image, &[channels, h * w])?;
            let mut y = self.build.linear(image, matrix, vec![0.0; oh * ow * taps])?;
            if largest {
                y = self.build.reshape(y, &[channels, oh * ow, taps])?;
                y = self.build.largest(y, &[2], false)?;
            }
            boxes.push(self.build.reshape(y, &[1, channels, oh, ow])?);
        }
        if boxes.is_empty() {
            return self.build.constant(vec![], &[0, channels, oh, ow]);
        }
        self.build.concat(boxes, 0)
    }

    /// Kept here for callers that name an axis.
    pub(super) fn axis_of(&self, op: &Op<'a>, default: i64, rank: usize) -> Outcome<usize> {
        axis(op.int("axis").unwrap_or(default), rank)
    }
}

/// Where element j of the result is in the source.
fn source(coordinates: &str, j: usize, from: usize, to: usize, scale: f64, (start, end): (f64, f64)) -> f64 {
    let (j, n, m) = (j as f64, from as f64, to as f64);
    match coordinates {
        "asymmetric" => j / scale,
        "align_corners" if to == 1 => 0.0,
        // By the scale, not by the whole number of elements that it gives.
        "align_corners" => j * (n - 1.0) / (n * scale - 1.0),
        "pytorch_half_pixel" if to == 1 => 0.0,
        "half_pixel_symmetric" => {
            let adjustment = m / (scale * n);
            let offset = n / 2.0 * (1.0 - adjustment);
            offset + (j + 0.5) / scale - 0.5
        }
        "tf_half_pixel_for_nn" => (j + 0.5) / scale,
        "tf_crop_and_resize" if to == 1 => 0.5 * (start + end) * (n - 1.0),
        "tf_crop_and_resize" => start * (n - 1.0) + j * (end - start) * (n - 1.0) / (m - 1.0),
        _ => (j + 0.5) / scale - 0.5,
    }
}

fn nearest(mode: &str, p: f64, from: usize) -> usize {
    let i = match mode {
        "floor" => libm::floor(p),
        "ceil" => libm::ceil(p),
        "round_prefer_ceil" => libm::floor(p + 0.5),
        _ => libm::ceil(p - 0.5),
    };
    i.clamp(0.0, from as f64 - 1.0) as usize
}

fn cubic_weights(t: f64, a: f64) -> [f64; 4] {
    let near = |d: f64| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

/// How many source elements a place mixes at most.
fn taps(how: &Sampling, scale: f64) -> usize {
    let reach = if how.antialias { (1.0 / scale).max(1.0) } else { 1.0 };
    // At least 1e-5 is the scale.
    4 * libm::ceil(reach) as usize + 1
}

/// Which source elements a place mixes, with which weights.
fn mixture(how: &Sampling, p: f64, scale: f64, from: usize) -> Vec<(usize, f64)> {
    let cubic = how.mode == "cubic";
    let floor = libm::floor(p);
    let mut parts: Vec<(f64, f64)> = if how.antialias && scale < 1.0 {
        // The kernel stretched over what one element of the result covers.
        let reach = if cubic { 2.0 } else { 1.0 };
        let support = reach / scale;
        let (first, last) = (libm::floor(p - support) + 1.0, libm::ceil(p + support) - 1.0);
        let mut parts = Vec::new();
        let mut i = first;
        while i <= last {
            let d = ((i - p) * scale).abs();
            let w = if !cubic {
                (1.0 - d).max(0.0)
            } else if d <= 1.0 {
                cubic_weights(d, how.cubic)[1]
            } else if d < 2.0 {
                cubic_weights(d - 1.0, how.cubic)[0]
            } else {
                0.0
            };
            parts.push((i, w));
            i += 1.0;
        }
        parts
    } else if cubic {
        let weights = cubic_weights(p - floor, how.cubic);
        (0..4).map(|k| (floor - 1.0 + k as f64, weights[k])).collect()
    } else {
        vec![(floor, 1.0 - (p - floor)), (floor + 1.0, p - floor)]
    };
    let inside = |i: f64| i >= 0.0 && i < from as f64;
    if how.exclude_outside {
        parts.retain(|(i, _)| inside(*i));
    }
    if how.exclude_outside || how.antialias {
        let sum: f64 = parts.iter().map(|p| p.1).sum();
        parts.iter_mut().for_each(|p| p.1 /= sum);
    }
    let clamped = |i: f64| i.clamp(0.0, from as f64 - 1.0) as usize;
    parts.into_iter().map(|(i, w)| (clamped(i), w)).collect()
}

/// A place mirrored into the image.
fn reflect(p: f64, extent: f64, align: bool) -> f64 {
    let (low, high) = if align {
        (0.0, extent - 1.0)
    } else {
        (-0.5, extent - 0.5)
    };
    let range = high - low;
    if range <= 0.0 {
        return 0.0;
    }
    let away = (p - low).abs();
    let turns = libm::floor(away / range);
    let rest = away - turns * range;
    let mirrored = if turns % 2.0 == 0.0 { low + rest } else { high - rest };
    mirrored.clamp(0.0, extent - 1.0)
}

/// Adds products of the weights along all axes at the elements that are inside.
fn mix(row: &mut [f64], parts: &[Vec<(i64, f64)>], extents: &[usize], depth: usize, flat: usize, weight: f64) {
    let Some(part) = parts.get(depth) else {
        row[flat] += weight;
        return;
    };
    for (i, w) in part {
        if let Some(i) = usize::try_from(*i).ok().filter(|i| *i < extents[depth]) {
            mix(row, parts, extents, depth + 1, flat * extents[depth] + i, weight * w);
        }
    }
}
