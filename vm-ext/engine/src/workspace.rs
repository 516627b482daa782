//! The memory that runs take: allocated once, used again and again.

use alloc::vec::Vec;

use crate::plan::{Place, Plan};
use crate::tensor::{View, ViewMut};

/// Memory for runs of any model, one after another. It grows to what the largest needs ([`crate::Program::peak_bytes`])
/// and is kept until it is dropped: a run in a workspace that has grown allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    pub(crate) arena: Arena,
    pub(crate) results: Vec<i32>,
}

impl Workspace {
    /// An empty one.
    pub fn new() -> Self {
        Workspace::default()
    }
}

/// Tensors and scratch space, without the results.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena {
    narrow: Vec<i16>,
    wide: Vec<i32>,
    pub scratch: Scratch,
}

/// Space for an operation's own use, at least as long as its [`crate::plan::Room`] says, with arbitrary contents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    pub i16: Vec<i16>,
    pub i32: Vec<i32>,
    pub i64: Vec<i64>,
}

impl Arena {
    /// Grows to what a plan asks for. The program's limit on memory has bounded that.
    pub fn fit(&mut self, plan: &Plan) {
        grow(&mut self.narrow, plan.narrow);
        grow(&mut self.wide, plan.wide);
        grow(&mut self.scratch.i16, plan.scratch.i16);
        grow(&mut self.scratch.i32, plan.scratch.i32);
        grow(&mut self.scratch.i64, plan.scratch.i64);
    }

    /// All values, to be read.
    pub fn values(&self) -> Values<'_> {
        Values {
            narrow: Rest::all(&self.narrow),
            wide: Rest::all(&self.wide),
        }
    }

    /// One value to be written, the others to be read, and the scratch space.
    pub fn split(&mut self, place: Place, narrow: bool, elements: usize) -> (ViewMut<'_>, Values<'_>, &mut Scratch) {
        let start = match place {
            Place::Pool(start) => start as usize,
            // Constants are not computed.
            Place::Constant(_) => 0,
        };
        let (out, values) = if narrow {
            let (out, rest) = Rest::without(&mut self.narrow, start, elements);
            let values = Values {
                narrow: rest,
                wide: Rest::all(&self.wide),
            };
            (ViewMut::I16(out), values)
        } else {
            let (out, rest) = Rest::without(&mut self.wide, start, elements);
            let values = Values {
                narrow: Rest::all(&self.narrow),
                wide: rest,
            };
            (ViewMut::I32(out), values)
        };
        (out, values, &mut self.scratch)
    }
}

fn grow<T: Copy + Default>(pool: &mut Vec<T>, elements: u64) {
    let elements = elements as usize;
    if pool.len() < elements {
        // What it held is of no value: nothing is copied.
        pool.clear();
        pool.reserve_exact(elements);
        pool.resize(elements, T::default());
    }
}

/// Values that may be read.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    narrow: Rest<'a, i16>,
    wide: Rest<'a, i32>,
}

impl<'a> Values<'a> {
    /// So many elements of a pool from `start` on.
    pub fn view(&self, start: u64, narrow: bool, elements: usize) -> View<'a> {
        let start = start as usize;
        match narrow {
            true => View::I16(self.narrow.slice(start, elements)),
            false => View::I32(self.wide.slice(start, elements)),
        }
    }
}

/// A pool, perhaps without a part in its middle that is being written.
#[derive(Clone, Copy)]
struct Rest<'a, T> {
    before: &'a [T],
    /// Where `after` starts in the pool.
    end: usize,
    after: &'a [T],
}

impl<'a, T> Rest<'a, T> {
    fn all(pool: &'a [T]) -> Self {
        Rest {
            before: pool,
            end: pool.len(),
            after: &[],
        }
    }

    fn without(pool: &'a mut [T], start: usize, elements: usize) -> (&'a mut [T], Self) {
        let (before, rest) = pool.split_at_mut(start);
        let (part, after) = rest.split_at_mut(elements);
        let rest = Rest {
            before,
            end: start + elements,
            after,
        };
        (part, rest)
    }

    fn slice(&self, start: usize, elements: usize) -> &'a [T] {
        match start.checked_sub(self.end) {
            Some(start) => &self.after[start..start + elements],
            None => &self.before[start..start + elements],
        }
    }
}
