//! Tensors while a model runs: elements in 16 or 32 bits, row-major. Shapes are known statically and live elsewhere.

use alloc::vec::Vec;

use crate::kernels::{Channel, Kernels, Lanes, Target, WIDE};

/// Owned elements: those of constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tensor {
    I16(Vec<i16>),
    I32(Vec<i32>),
}

/// Borrowed elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum View<'a> {
    I16(&'a [i16]),
    I32(&'a [i32]),
}

/// Elements to write. What they hold before is of no value: every operation writes all of them.
#[derive(Debug)]
pub(crate) enum ViewMut<'a> {
    I16(&'a mut [i16]),
    I32(&'a mut [i32]),
}

impl Tensor {
    pub fn view(&self) -> View<'_> {
        match self {
            Tensor::I16(v) => View::I16(v),
            Tensor::I32(v) => View::I32(v),
        }
    }
}

impl ViewMut<'_> {
    pub fn len(&self) -> usize {
        match self {
            ViewMut::I16(v) => v.len(),
            ViewMut::I32(v) => v.len(),
        }
    }

    /// Copies elements of the same storage, or of the narrower one, to `start`.
    pub fn copy(&mut self, start: usize, x: View<'_>) {
        match (x, self) {
            (View::I16(x), ViewMut::I16(y)) => y[start..start + x.len()].copy_from_slice(x),
            (View::I32(x), ViewMut::I32(y)) => y[start..start + x.len()].copy_from_slice(x),
            (View::I16(x), ViewMut::I32(y)) => {
                for (y, x) in y[start..].iter_mut().zip(x) {
                    *y = i32::from(*x);
                }
            }
            (View::I32(_), ViewMut::I16(_)) => debug_assert!(false, "a range holds those of its parts"),
        }
    }

    /// Makes every element `value`, which the storage holds.
    pub fn fill(&mut self, value: i32) {
        match self {
            ViewMut::I16(v) => v.fill(value as i16),
            ViewMut::I32(v) => v.fill(value),
        }
    }

    /// So many elements from `start` on.
    pub fn part(&mut self, start: usize, count: usize) -> ViewMut<'_> {
        match self {
            ViewMut::I16(v) => ViewMut::I16(&mut v[start..start + count]),
            ViewMut::I32(v) => ViewMut::I32(&mut v[start..start + count]),
        }
    }

    /// Writes values, which the storage holds by the inferred range, from element `start` on.
    pub fn store(&mut self, start: usize, values: &[i32]) {
        match self {
            ViewMut::I16(v) => narrow(values, &mut v[start..start + values.len()]),
            ViewMut::I32(v) => v[start..start + values.len()].copy_from_slice(values),
        }
    }

    /// The same by a kernel, where the run is long enough to be worth it.
    pub fn store_run(&mut self, start: usize, values: &[i32], kernels: &Kernels) {
        match self {
            ViewMut::I16(v) if values.len() >= WIDE => {
                (kernels.ends.narrow)(values, &mut v[start..start + values.len()])
            }
            _ => self.store(start, values),
        }
    }

    /// Rescales panels of rows of 16 columns, and writes them as [`ViewMut::store_panels`] does.
    pub fn store_columns(
        &mut self,
        sums: &mut [i32],
        lanes: &[Lanes<i32>],
        (low, high): (i32, i32),
        to: Rows,
        kernels: &Kernels,
    ) {
        match self {
            ViewMut::I16(v) => (kernels.ends.columns_to)(sums, lanes, low, high, to.target(v)),
            ViewMut::I32(_) => {
                (kernels.ends.columns)(sums, lanes, low, high);
                self.store_panels(sums, sums.len() / WIDE / lanes.len(), to, kernels);
            }
        }
    }

    /// The same with a channel for each row.
    pub fn store_rows(
        &mut self,
        sums: &mut [i32],
        channels: &[Channel<i32>],
        (low, high): (i32, i32),
        to: Rows,
        kernels: &Kernels,
    ) {
        match self {
            ViewMut::I16(v) => (kernels.ends.rows_to)(sums, channels, low, high, to.target(v)),
            ViewMut::I32(_) => {
                (kernels.ends.rows)(sums, channels, low, high);
                self.store_panels(sums, channels.len(), to, kernels);
            }
        }
    }

    /// Writes panels of `rows` rows of 16 columns.
    pub fn store_panels(&mut self, values: &[i32], rows: usize, to: Rows, kernels: &Kernels) {
        match self {
            ViewMut::I16(v) => (kernels.ends.narrow_columns)(values, rows, to.target(v)),
            ViewMut::I32(v) => {
                for (p, panel) in values.chunks_exact(rows * WIDE).enumerate() {
                    let count = WIDE.min(to.columns - p * WIDE);
                    for (r, row) in panel.chunks_exact(WIDE).enumerate() {
                        let at = to.start + r * to.stride + p * WIDE;
                        v[at..at + count].copy_from_slice(&row[..count]);
                    }
                }
            }
        }
    }
}

/// Where panels of rows are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    /// The first element.
    pub start: usize,
    /// From row to row.
    pub stride: usize,
    /// Of one row, in all panels.
    pub columns: usize,
}

impl Rows {
    fn target(self, out: &mut [i16]) -> Target<'_> {
        Target {
            out: &mut out[self.start..],
            stride: self.stride,
            columns: self.columns,
        }
    }
}

impl<'a> View<'a> {
    /// So many elements from `start` on.
    pub fn part(self, start: usize, count: usize) -> View<'a> {
        match self {
            View::I16(v) => View::I16(&v[start..start + count]),
            View::I32(v) => View::I32(&v[start..start + count]),
        }
    }

    /// Reads elements from `start` on.
    pub fn load(self, start: usize, out: &mut [i32]) {
        let end = start + out.len();
        match self {
            View::I16(v) => {
                for (y, x) in out.iter_mut().zip(&v[start..end]) {
                    *y = i32::from(*x);
                }
            }
            View::I32(v) => out.copy_from_slice(&v[start..end]),
        }
    }

    /// The same by a kernel, where the run is long enough to be worth it.
    pub fn load_run(self, start: usize, out: &mut [i32], kernels: &Kernels) {
        match self {
            View::I16(v) if out.len() >= WIDE => (kernels.ends.widen)(&v[start..start + out.len()], out),
            _ => self.load(start, out),
        }
    }

    pub fn len(self) -> usize {
        match self {
            View::I16(v) => v.len(),
            View::I32(v) => v.len(),
        }
    }

    /// Element i.
    pub fn get(self, i: usize) -> i32 {
        match self {
            View::I16(v) => i32::from(v[i]),
            View::I32(v) => v[i],
        }
    }

    /// A copy in 32 bits.
    pub fn to_i32(self) -> Vec<i32> {
        match self {
            View::I16(v) => v.iter().map(|x| i32::from(*x)).collect(),
            View::I32(v) => v.to_vec(),
        }
    }
}

/// The low 16 bits, which are the value where it fits.
fn narrow(values: &[i32], out: &mut [i16]) {
    for (y, x) in out.iter_mut().zip(values) {
        debug_assert_eq!(i32::from(*x as i16), *x);
        *y = *x as i16;
    }
}
